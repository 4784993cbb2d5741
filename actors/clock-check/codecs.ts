/** What other instances may ask: what time it is here. */
import { z } from 'zod';
import { type PayloadCodec, checkedCodec } from '../runtime/index.ts';

/** By message type; also what this instance sends to others. */
export const clockCheckCodecs: ReadonlyMap<string, PayloadCodec> = new Map([
  ['wall-time', checkedCodec('wall-time', z.object({}), z.number())],
]);
