/** What other instances may ask: whether an instance was seen down here for so long. */
import { z } from 'zod';
import { INSTANCE_BYTES_MAX } from '../../model/ids.ts';
import { type PayloadCodec, checkedCodec } from '../runtime/index.ts';

const seenDown = z.object({
  instance: z.string().max(INSTANCE_BYTES_MAX),
  forMs: z.number().nonnegative(),
});

/** By message type; also what this instance sends to others. */
export const autoForgetCodecs: ReadonlyMap<string, PayloadCodec> = new Map([
  ['seen-down', checkedCodec('seen-down', seenDown, z.boolean())],
]);
