/** The whole protocol of comparing clocks: time passes, and another instance asks what time it is here. */
import type { Reply } from '../runtime/index.ts';

export const CLOCK_CHECK_PATH = '/clock-check';

export type ClockCheckMessage =
  | { readonly type: 'tick' }
  /** Answered with the wall clock, in milliseconds since 1970. */
  | { readonly type: 'wall-time'; readonly reply: Reply<number> };
