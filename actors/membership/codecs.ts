/**
 * What other instances may send to the membership actor, and nothing else: four message types, every
 * field checked before the actor sees it. Everything that is not here is local.
 */
import { z } from 'zod';
import { INSTANCE_BYTES_MAX, type InstanceId, parseInstanceId } from '../../model/ids.ts';
import { type PayloadCodec, checkedCodec } from '../runtime/index.ts';

/** Far more records than a cluster has. */
const RECORDS_MAX = 20_000;
const RECORD_BYTES_MAX = 512;
const TEXT_MAX = 1024;
const NAME_MAX = 256;

const text = z.string().max(TEXT_MAX);
const bytes = z.instanceof(Uint8Array);
const record = bytes.refine((one) => one.length <= RECORD_BYTES_MAX);
const instance = z
  .string()
  .max(INSTANCE_BYTES_MAX)
  .transform((name, context): InstanceId => {
    try {
      return parseInstanceId(name);
    } catch {
      context.addIssue('not an instance id');
      return z.NEVER;
    }
  });
const exchange = z.object({ from: instance, records: z.array(record).max(RECORDS_MAX) });
const ballot = z.object({
  kind: z.enum(['ack', 'ask', 'nack']),
  from: instance,
  stamp: text,
  record: record.nullable(),
  electorate: text,
  isReturning: z.boolean(),
  why: text,
});

/** By message type; also what this instance sends to others. */
export const membershipCodecs: ReadonlyMap<string, PayloadCodec> = new Map([
  ['ballot', checkedCodec('ballot', z.object({ ballot }), z.null())],
  ['exchange', checkedCodec('exchange', z.object({ exchange }), exchange)],
  ['ping', checkedCodec('ping', z.object({ target: z.string().max(NAME_MAX) }), z.boolean())],
  ['push-pull', checkedCodec('push-pull', z.object({ bytes }), bytes)],
]);
