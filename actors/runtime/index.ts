/** The actor runtime's public face. */
export {
  CONTROL_BYTES_MAX,
  type Schema,
  checkedCodec,
  packControl,
  unpackChecked,
  unpackControl,
} from './payload.ts';
export { ActorRuntime, type RuntimeOptions } from './runtime.ts';
export type * from './types.ts';
