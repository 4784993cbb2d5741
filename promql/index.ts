/**
 * The public face of `promql/`: parse a text into a checked tree, print it, plan and run it.
 * Other rooms import from here only.
 */
export type * from './ast.ts';
export { functionTable } from './functions-table.ts';
export type { FunctionName, FunctionSpec } from './functions-table.ts';
export type { ValueType } from './types.ts';
