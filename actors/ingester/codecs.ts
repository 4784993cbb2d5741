/**
 * How the ingester's messages cross between nodes. A push is its WriteBatch' own bytes; its answer two
 * columns and a few errors. Reads are small asks with msgpack, a select with JSON; their answers are frames of bytes. What
 * arrives is checked field by field before the actor sees it.
 */
import { z } from 'zod';
import {
  type ErrorFacts,
  type ErrorId,
  StarlingError,
  errorCatalogue,
} from '../../model/errors.ts';
import { parseTenantId } from '../../model/ids.ts';
import { METRIC_TYPES } from '../../model/metadata.ts';
import { WINDOW_VALUES } from '../../model/window-value.ts';
import { decodeWriteBatch } from '../../model/wire/write-batch.ts';
import {
  type Message,
  type PayloadCodec,
  checkedCodec,
  packControl,
  unpackChecked,
} from '../runtime/index.ts';
import { type IngesterMessage, METADATA_PER_MESSAGE_MAX, type PushAnswer } from './messages.ts';
import { selectCodec } from './select-codec.ts';

type PushMessage = Extract<IngesterMessage, { readonly type: 'push' }>;

/** A push with its batch' encoded bytes at hand, so that sending copies nothing. */
export type EncodedPush = {
  readonly type: 'push';
  readonly batch: PushMessage['batch'];
  readonly bytes: Uint8Array;
};

// The payload's own bound is the bound of every text and list in it.
const text = z.string();
/** A time; open ranges are infinite. */
const time = z.custom<number>((value) => typeof value === 'number' && !Number.isNaN(value));
const count = z.number().int().min(0);
const index = z.number().int().min(0).max(0xffffffff);
/** Which series and times a read asks for. */
export const scopeSchema = z.object({
  tenant: z.string().transform(parseTenantId),
  selectors: z.array(
    z.array(z.object({ name: text, type: z.enum(['=', '!=', '=~', '!~']), value: text })),
  ),
  range: z.object({ minTimeMs: time, maxTimeMs: time }),
  limit: count,
});
const projection = z.object({
  kind: z.enum(['only', 'without']),
  names: z.array(text),
});
export const hintsSchema = z.object({
  // msgpack has no `undefined` of its own.
  projection: projection.nullish().transform((one) => one ?? undefined),
  newestOnly: z.boolean(),
  value: z
    .enum(WINDOW_VALUES)
    .nullish()
    .transform((one) => one ?? undefined),
  settledBeforeMs: time.nullish().transform((one) => one ?? undefined),
  part: z
    .object({ index: count, count: count.min(1) })
    .nullish()
    .transform((one) => one ?? undefined),
});
const readSummary = z.object({
  digest: text,
  oldestTimeMs: time,
  heldFromMs: time.nullish().transform((one) => one ?? undefined),
});
const metadataEntry = z.object({
  name: text,
  type: z
    .number()
    .int()
    .min(0)
    .max(METRIC_TYPES.length - 1),
  help: text,
  unit: text,
});
const pushMetadata = z.object({
  tenant: z.string().transform(parseTenantId),
  entries: z.array(metadataEntry).max(METADATA_PER_MESSAGE_MAX),
});
const readMetadata = z.object({
  tenant: z.string().transform(parseTenantId),
  metric: z
    .string()
    .nullish()
    .transform((one) => one ?? undefined),
  limit: count,
});
const wirePushAnswer = z.object({
  unknown: z.array(index),
  rejected: z.array(index),
  errors: z.array(z.object({ id: z.string(), facts: z.unknown() })),
});

const pushCodec: PayloadCodec = {
  encodeMessage: (message) => {
    const { bytes } = message as EncodedPush; // the only maker of pushes
    return bytes;
  },
  decodeMessage: (bytes) => ({ type: 'push', batch: decodeWriteBatch(bytes) }) as Message,
  encodeAnswer: (answer) => {
    const { errors, rejected, unknown } = answer as PushAnswer; // what `push` is answered with
    const wire = {
      unknown: [...unknown],
      rejected: [...rejected],
      errors: errors.map((error) => ({ id: error.id, facts: error.facts })),
    };
    return packControl(wire);
  },
  decodeAnswer: (bytes): PushAnswer => {
    const wire = unpackChecked(bytes, wirePushAnswer, 'answer to push');
    return {
      unknown: Uint32Array.from(wire.unknown),
      rejected: Uint32Array.from(wire.rejected),
      errors: wire.errors.map(reviveError),
    };
  },
};

function reviveError({
  facts,
  id,
}: {
  readonly id: string;
  readonly facts: unknown;
}): StarlingError {
  if (!Object.hasOwn(errorCatalogue, id)) return new StarlingError('internal', undefined, id);
  return new StarlingError(id as ErrorId, facts as ErrorFacts<ErrorId>);
}

/** What other instances may send to an ingester, by message type, and how its answers are read. */
export const ingesterCodecs: ReadonlyMap<string, PayloadCodec> = new Map([
  ['exemplars', checkedCodec('exemplars', z.object({ scope: scopeSchema }), readSummary)],
  ['metadata', checkedCodec('metadata', readMetadata, readSummary)],
  ['push', pushCodec],
  ['push-metadata', checkedCodec('push-metadata', pushMetadata, z.null())],
  ['select', selectCodec],
  ['tenants', checkedCodec('tenants', z.object({}), readSummary)],
  ['series', checkedCodec('series', z.object({ scope: scopeSchema }), readSummary)],
  ['label-names', checkedCodec('label-names', z.object({ scope: scopeSchema }), readSummary)],
  [
    'label-values',
    checkedCodec('label-values', z.object({ scope: scopeSchema, name: text }), readSummary),
  ],
]);
