/** The actor runtime's public face. */
export { type Schema, checkedCodec, packControl, unpackChecked, unpackControl } from './payload.ts';
export { ActorRuntime, type RuntimeOptions } from './runtime.ts';
export type * from './types.ts';
