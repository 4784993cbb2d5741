/** The actor runtime's public face. */
export { packControl, unpackControl } from './payload.ts';
export { ActorRuntime, type RuntimeOptions } from './runtime.ts';
export type * from './types.ts';
