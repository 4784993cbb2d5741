/**
 * The public face of `promql/`: parse a text into a checked tree, print it, plan and run it.
 * Other rooms import from here only.
 */
export type * from './ast.ts';
export { formatDuration, parseDuration } from './duration.ts';
export type { ParsedDuration } from './duration.ts';
export { evaluate, evaluatePlan } from './engine.ts';
export { explained } from './explain.ts';
export type { ExplainedNode, Explanation } from './explain.ts';
export { functionTable } from './functions-table.ts';
export type { FunctionName, FunctionSpec } from './functions-table.ts';
export type { Downsampling, QueryBudget, QueryParams } from './operators/context.ts';
export { EXPERIMENTAL_LANGUAGE, parseExpr, parseSelector } from './parser.ts';
export type { ParserOptions } from './parser.ts';
export { positionOf } from './parser-position.ts';
export { PASSES } from './plan/passes.ts';
export type { PassName } from './plan/passes.ts';
export { planOf, selectionsOf } from './plan/plan.ts';
export { selectorsOf } from './plan/selectors.ts';
export type { Plan } from './plan/plan.ts';
export type { Selection } from './plan/selections.ts';
export { prettyExpr, printExpr, printMatcher } from './printer.ts';
export { astToJson } from './printer-json.ts';
export type { JsonValue } from './printer-json.ts';
export { encodeResult } from './result.ts';
export type { QueryResult } from './result.ts';
export { Trace } from './trace.ts';
export type { NodeFigures } from './trace.ts';
export { documentedType } from './types.ts';
export type { ValueType } from './types.ts';
