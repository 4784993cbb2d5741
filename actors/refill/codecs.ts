/** What other instances may ask the refill: whether it covered what a key names. */
import { z } from 'zod';
import { type PayloadCodec, checkedCodec } from '../runtime/index.ts';

const KEY_MAX = 64;

/** By message type; also what this instance sends to others. */
export const refillCodecs: ReadonlyMap<string, PayloadCodec> = new Map([
  ['covered', checkedCodec('covered', z.object({ key: z.string().max(KEY_MAX) }), z.boolean())],
]);
