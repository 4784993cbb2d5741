// Goal: envelopes on the wire are what envelope.proto says, and hostile frames end in one named error.
// Method: the .proto file parsed by protobufjs as the judge; round trips, cuts and noise by fast-check.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import t from 'tap';
import type { Envelope, EnvelopeKind } from '../../actors/runtime/index.ts';
import { StarlingError } from '../../model/errors.ts';
import {
  ENVELOPES_PER_FRAME_MAX,
  GRPC_PREFIX_BYTES,
  createEnvelopeCodec,
  envelopeDescriptor,
} from '../../proto/envelope-codec.ts';
import { checkout } from '../support/checkout.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const codec = createEnvelopeCodec();
/** In the order of their numbers on the wire, which never change. */
const KINDS: readonly (EnvelopeKind | undefined)[] = [
  'hello',
  'ask',
  'stream',
  undefined, // given up
  'answer',
  'error',
  'frame',
  'credit',
  'cancel',
];
const protoFile = checkout('proto/envelope.proto');
const judge = protobuf.parse(readFileSync(protoFile, 'utf8')).root;
const frameType = judge.lookupType('starling.v1.Frame');

const anyEnvelope = fc.record({
  version: fc.nat(2 ** 31 - 1),
  kind: fc.constantFrom(...KINDS.filter((kind) => kind !== undefined)),
  correlationId: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  path: fc.string({ maxLength: 60 }),
  type: fc.string({ maxLength: 30 }),
  remainingMs: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  payload: fc.uint8Array({ maxLength: 200 }),
});

/** Envelopes as plain data, whatever kind of array holds their bytes. */
function plain(envelopes: readonly Envelope[]): unknown {
  return envelopes.map((one) => ({ ...one, payload: Buffer.from(one.payload).toString('hex') }));
}

/** The id and message of the refusal; fails when the frame is taken or something else is thrown. */
function refusalOf(frame: Uint8Array): string {
  try {
    codec.decode(frame);
  } catch (error) {
    if (error instanceof StarlingError) return `${error.id} ${error.message}`;
    throw error;
  }
  return 'taken';
}

const wireFrame = (envelopes: readonly object[]): Uint8Array =>
  frameType.encode({ envelopes }).finish();

t.test('envelopeDescriptor is envelope.proto, field by field', async (t) => {
  const fieldsOf = (type: protobuf.Type): unknown =>
    type.fieldsArray.map(({ id, name, repeated, type: kind }) => ({ id, name, repeated, kind }));
  const own = protobuf.Root.fromJSON(envelopeDescriptor);
  const namespace = judge.lookup('starling.v1') as protobuf.Namespace; // the package of the file
  const names = namespace.nestedArray.map(({ name }) => name).sort();
  t.strictSame(names, Object.keys(envelopeDescriptor.nested).sort());
  for (const name of names)
    t.strictSame(fieldsOf(own.lookupType(name)), fieldsOf(namespace.lookupType(name)), name);
});

t.test(`decode(encode(x)) is x, and the judge reads the same (seed ${seed})`, async (t) => {
  fc.assert(
    fc.property(fc.array(anyEnvelope, { maxLength: 8 }), (envelopes) => {
      const bytes = codec.encode(envelopes);
      t.strictSame(plain(codec.decode(bytes)), plain(envelopes));
      const read = frameType.toObject(frameType.decode(bytes), { defaults: true, arrays: true });
      const kinds = (read['envelopes'] as { readonly kind: number }[]).map(({ kind }) => kind);
      t.strictSame(
        kinds,
        envelopes.map(({ kind }) => KINDS.indexOf(kind)),
      );
    }),
    { seed, numRuns: 200 },
  );
});

t.test(
  `each payload of encode() begins at a multiple of eight behind gRPC's prefix, read in place (seed ${seed})`,
  async (t) => {
    fc.assert(
      fc.property(fc.array(anyEnvelope, { minLength: 1, maxLength: 8 }), (envelopes) => {
        const frame = Buffer.from(codec.encode(envelopes));
        for (const { payload } of codec.decode(frame)) {
          if (payload.length === 0) continue;
          t.equal(payload.buffer, frame.buffer);
          t.equal((GRPC_PREFIX_BYTES + payload.byteOffset - frame.byteOffset) % 8, 0);
        }
      }),
      { seed, numRuns: 200 },
    );
  },
);

t.test('decode() counts the envelopes of a frame before it makes any', async (t) => {
  const many = (count: number): Buffer => Buffer.alloc(count * 2, Buffer.of(0x0a, 0));
  t.equal(codec.decode(many(ENVELOPES_PER_FRAME_MAX)).length, ENVELOPES_PER_FRAME_MAX);
  t.match(refusalOf(many(ENVELOPES_PER_FRAME_MAX + 1)), /^protobuf\.corrupt .*too many envelopes/);
  // What comes after the bound is not even looked at, so nothing was decoded before it was counted.
  const broken = Buffer.concat([Buffer.of(0x0a, 1, 0xff), many(ENVELOPES_PER_FRAME_MAX + 1)]);
  t.match(refusalOf(broken), /too many envelopes/);
});

t.test('decode() refuses unknown kinds, long names and what is no protobuf', async (t) => {
  const check = (frame: Uint8Array, expected: RegExp | string): void => {
    t.match(refusalOf(frame), expected);
  };
  check(wireFrame([{ kind: KINDS.length }]), /^protobuf\.corrupt .*envelope kind 9/);
  check(wireFrame([{ kind: 2 ** 32 - 1 }]), /envelope kind 4294967295/);
  check(wireFrame([{ path: 'p'.repeat(257) }]), /a name too long/);
  check(wireFrame([{ type: 't'.repeat(257) }]), /a name too long/);
  check(wireFrame([{ path: 'p'.repeat(256), type: 't'.repeat(256) }]), 'taken');
  check(Buffer.from('0affffffff7f', 'hex'), /^protobuf\.corrupt/); // a length of 34 GB
  check(Buffer.from('0a05', 'hex'), /^protobuf\.corrupt/);
  check(Buffer.from('ffffffffffffffffffffff', 'hex'), /^protobuf\.corrupt/);
  check(Buffer.alloc(20_000, 0x0b), /^protobuf\.corrupt/); // groups in groups
  check(Buffer.from('1205aabbccddee', 'hex'), 'taken'); // an unknown field, for later versions
});

t.test(`any cut or noise is a frame or protobuf.corrupt, never a crash (seed ${seed})`, (t) => {
  const isDecided = (frame: Uint8Array): boolean =>
    /^(taken|protobuf\.corrupt)/.test(refusalOf(frame));
  fc.assert(
    fc.property(fc.array(anyEnvelope, { minLength: 1, maxLength: 4 }), fc.nat(), (some, at) => {
      const bytes = codec.encode(some);
      return isDecided(bytes.subarray(0, at % bytes.length));
    }),
    { seed, numRuns: 500 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), isDecided), { seed, numRuns: 2000 });
  const property = fc.property(anyEnvelope, fc.nat(), fc.nat(255), (one, at, byte) => {
    const bytes = Uint8Array.from(codec.encode([one]));
    bytes[at % bytes.length] = byte;
    return isDecided(bytes);
  });
  fc.assert(property, { seed, numRuns: 2000 });
  t.end();
});
