/**
 * Envelopes as protobuf (envelope.proto). Reading is protobufjs'; its descriptor is written out here, so
 * that nothing is read from disk at start, and a test holds it against the .proto file. Writing is our
 * own, because it must place payloads: each begins at a multiple of eight in its frame, so that columns
 * of 8-byte numbers are read where they arrived.
 */
import protobuf from 'protobufjs';
import type { Envelope, EnvelopeCodec, EnvelopeKind } from '../actors/runtime/index.ts';
import { StarlingError } from '../model/errors.ts';
import { putUvarint, uvarintLength } from '../model/wire/varint.ts';

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
        padding: { type: 'bytes', id: 8 },
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
    encode: encodeFrame,
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

/** Field number and wire type, as one byte. */
const TAG = {
  envelopes: 0x0a,
  version: 0x08,
  kind: 0x10,
  correlationId: 0x18,
  path: 0x22,
  type: 0x2a,
  remainingMs: 0x30,
  payload: 0x3a,
  padding: 0x42,
} as const;
const PAYLOAD_ALIGNMENT = 8;
/** What gRPC puts before a message: whether it is compressed, and its length. */
export const GRPC_PREFIX_BYTES = 5;
/** Padding is a tag, a length and at most so many bytes more than is missing to a multiple of eight. */
const PADDING_BYTES_MAX = PAYLOAD_ALIGNMENT + 1;
/** A tag and a length in five bytes, which may be more than it needs: it is written last. */
const HEAD_BYTES = 6;
/** Everything of an envelope but its texts and its payload. */
const ENVELOPE_BYTES_MAX = HEAD_BYTES + 4 * 6 + 3 * 6 + PADDING_BYTES_MAX;
const ZEROS = new Uint8Array(PADDING_BYTES_MAX);

/** The frame's bytes, in a buffer of their own. */
function encodeFrame(envelopes: readonly Envelope[]): Uint8Array {
  let bytesMax = 0;
  for (const { path, payload, type } of envelopes)
    bytesMax += ENVELOPE_BYTES_MAX + 3 * (path.length + type.length) + payload.length;
  const frame = Buffer.allocUnsafeSlow(bytesMax);
  let at = 0;
  for (const envelope of envelopes) at = putEnvelope(frame, at, envelope);
  return frame.subarray(0, at);
}

/** Writes an envelope as a field of the frame; returns the offset after it. */
function putEnvelope(frame: Uint8Array, start: number, envelope: Envelope): number {
  const { payload } = envelope;
  let at = start + HEAD_BYTES;
  at = putNumber(frame, at, TAG.version, envelope.version);
  at = putNumber(frame, at, TAG.kind, KINDS.indexOf(envelope.kind));
  at = putNumber(frame, at, TAG.correlationId, envelope.correlationId);
  at = putNumber(frame, at, TAG.remainingMs, envelope.remainingMs);
  at = putBytes(frame, at, TAG.path, Buffer.from(envelope.path));
  at = putBytes(frame, at, TAG.type, Buffer.from(envelope.type));
  const payloadAt = GRPC_PREFIX_BYTES + at + 1 + uvarintLength(payload.length);
  const missing = -payloadAt & (PAYLOAD_ALIGNMENT - 1);
  if (missing > 0) {
    const padding = missing === 1 ? PADDING_BYTES_MAX : missing; // a field has two bytes at least
    at = putBytes(frame, at, TAG.padding, ZEROS.subarray(0, padding - 2));
  }
  at = putBytes(frame, at, TAG.payload, payload);
  frame[start] = TAG.envelopes;
  let rest = at - start - HEAD_BYTES;
  for (let i = 1; i < HEAD_BYTES - 1; i++, rest >>>= 7) frame[start + i] = (rest & 0x7f) | 0x80;
  frame[start + HEAD_BYTES - 1] = rest;
  return at;
}

function putNumber(frame: Uint8Array, at: number, tag: number, value: number): number {
  frame[at] = tag;
  return putUvarint(frame, at + 1, value);
}

function putBytes(frame: Uint8Array, at: number, tag: number, bytes: Uint8Array): number {
  const from = putNumber(frame, at, tag, bytes.length);
  frame.set(bytes, from);
  return from + bytes.length;
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
  const payload = plainBytes(wire.payload);
  return { version, kind, correlationId, path, type, remainingMs, payload };
}

/**
 * The same bytes, not as a Buffer: what reads them reads those of this node too, and loops that meet two kinds of
 * arrays are compiled anew, and slower. An absent field is an array.
 */
function plainBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0) return NO_BYTES;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

function corrupt(why: string, cause?: unknown): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: `envelope: ${why}`, offset: 0 }, cause);
}
