/**
 * How the ingester's messages cross between nodes. A push is its WriteBatch' own bytes; its answer two
 * columns and a few errors. Reads are small asks with msgpack; their answers are frames of bytes.
 */
import {
  type ErrorFacts,
  type ErrorId,
  StarlingError,
  errorCatalogue,
} from '../../model/errors.ts';
import { parseTenantId } from '../../model/ids.ts';
import { decodeWriteBatch } from '../../model/wire/write-batch.ts';
import { type Message, type PayloadCodec, packControl, unpackControl } from '../runtime/index.ts';
import type { IngesterMessage, PushAnswer } from './messages.ts';

type PushMessage = Extract<IngesterMessage, { readonly type: 'push' }>;

/** A push with its batch' encoded bytes at hand, so that sending copies nothing. */
export type EncodedPush = {
  readonly type: 'push';
  readonly batch: PushMessage['batch'];
  readonly bytes: Uint8Array;
};

interface WireError {
  readonly id: string;
  readonly facts: unknown;
}

interface WirePushAnswer {
  readonly unknown: readonly number[];
  readonly rejected: readonly number[];
  readonly errors: readonly WireError[];
}

const pushCodec: PayloadCodec = {
  encodeMessage: (message) => {
    const { bytes } = message as EncodedPush; // the only maker of pushes
    return bytes;
  },
  decodeMessage: (bytes) => ({ type: 'push', batch: decodeWriteBatch(bytes) }) as Message,
  encodeAnswer: (answer) => {
    const { errors, rejected, unknown } = answer as PushAnswer; // what `push` is answered with
    const wire: WirePushAnswer = {
      unknown: [...unknown],
      rejected: [...rejected],
      errors: errors.map((error) => ({ id: error.id, facts: error.facts })),
    };
    return packControl(wire);
  },
  decodeAnswer: (bytes): PushAnswer => {
    const wire = unpackControl(bytes) as WirePushAnswer; // checked by the conversions below
    return {
      unknown: Uint32Array.from(wire.unknown),
      rejected: Uint32Array.from(wire.rejected),
      errors: wire.errors.map(reviveError),
    };
  },
};

function reviveError({ facts, id }: WireError): StarlingError {
  if (!Object.hasOwn(errorCatalogue, id)) return new StarlingError('internal', undefined, id);
  return new StarlingError(id as ErrorId, facts as ErrorFacts<ErrorId>);
}

/** Reads: the scope travels as msgpack arrays and is checked when it arrives. */
const readCodec: PayloadCodec = {
  encodeMessage: packControl,
  decodeMessage: (bytes) => {
    const message = unpackControl(bytes) as Message & {
      readonly scope: { readonly tenant: string };
    };
    parseTenantId(message.scope.tenant);
    return message;
  },
  encodeAnswer: packControl,
  decodeAnswer: (bytes) => unpackControl(bytes),
};

export const ingesterCodecs: ReadonlyMap<string, PayloadCodec> = new Map([
  ['push', pushCodec],
  ['select', readCodec],
  ['series', readCodec],
  ['label-names', readCodec],
  ['label-values', readCodec],
]);
