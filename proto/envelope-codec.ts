/**
 * Envelopes as protobuf (envelope.proto). The descriptor is written out here, so that nothing is read
 * from disk at start; a test holds it against the .proto file.
 */
import protobuf from 'protobufjs';
import type { Envelope, EnvelopeCodec, EnvelopeKind } from '../actors/runtime/index.ts';
import { StarlingError } from '../model/errors.ts';

/** Numbers are the wire's: append only. */
const KINDS: readonly (EnvelopeKind | undefined)[] = [
  'hello',
  'ask',
  'stream',
  undefined, // was a message without an answer
  'answer',
  'error',
  'frame',
  'credit',
  'cancel',
];
export const ENVELOPES_PER_FRAME_MAX = 100_000;
const TEXT_MAX = 256;
const ENVELOPES_FIELD = 1;
const NO_BYTES = new Uint8Array(0);

export const envelopeDescriptor = {
  nested: {
    Envelope: {
      fields: {
        version: { type: 'uint32', id: 1 },
        kind: { type: 'uint32', id: 2 },
        correlationId: { type: 'uint32', id: 3 },
        path: { type: 'string', id: 4 },
        type: { type: 'string', id: 5 },
        remainingMs: { type: 'uint32', id: 6 },
        payload: { type: 'bytes', id: 7 },
      },
    },
    Frame: { fields: { envelopes: { rule: 'repeated', type: 'Envelope', id: 1 } } },
  },
} as const;

interface WireEnvelope {
  readonly version: number;
  readonly kind: number;
  readonly correlationId: number;
  readonly path: string;
  readonly type: string;
  readonly remainingMs: number;
  readonly payload: Uint8Array;
}

export function createEnvelopeCodec(): EnvelopeCodec {
  const frameType = protobuf.Root.fromJSON(envelopeDescriptor).lookupType('Frame');
  return {
    encode(envelopes) {
      const wire = envelopes.map((one) => ({ ...one, kind: KINDS.indexOf(one.kind) }));
      return frameType.encode({ envelopes: wire }).finish();
    },
    decode(frame) {
      let wire: readonly WireEnvelope[];
      try {
        checkCount(frame);
        // The descriptor fixes the shape; decode fills absent fields with their defaults.
        ({ envelopes: wire } = frameType.decode(frame) as unknown as {
          readonly envelopes: readonly WireEnvelope[];
        });
      } catch (error) {
        if (error instanceof StarlingError) throw error;
        throw corrupt('not a frame of envelopes', error);
      }
      return wire.map(checkEnvelope);
    },
  };
}

/** Before anything is allocated: an empty envelope is two bytes on the wire and far more in memory. */
function checkCount(frame: Uint8Array): void {
  const reader = protobuf.Reader.create(frame);
  let count = 0;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag >>> 3 === ENVELOPES_FIELD) count++;
    if (count > ENVELOPES_PER_FRAME_MAX) throw corrupt('too many envelopes');
    reader.skipType(tag & 7);
  }
}

function checkEnvelope(wire: WireEnvelope): Envelope {
  const kind = KINDS[wire.kind];
  if (kind === undefined) throw corrupt(`envelope kind ${wire.kind}`);
  if (wire.path.length > TEXT_MAX || wire.type.length > TEXT_MAX) throw corrupt('a name too long');
  const { correlationId, path, remainingMs, type, version } = wire;
  const payload = wire.payload.length === 0 ? NO_BYTES : wire.payload; // absent, it is an array
  return { version, kind, correlationId, path, type, remainingMs, payload };
}

function corrupt(why: string, cause?: unknown): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: `envelope: ${why}`, offset: 0 }, cause);
}
