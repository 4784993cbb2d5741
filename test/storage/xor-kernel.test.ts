// Goal: chunks decoded by WebAssembly give what xor-decode.ts gives, for all bytes.
// Method: both decode random chunks, cut and changed ones, and bytes that never were one; columns are compared bit for bit.
import fc from 'fast-check';
import t from 'tap';
import { isScratch, scratchFloats, withScratch } from '../../model/scratch-memory.ts';
import { isStaleWords } from '../../model/sample.ts';
import { xorChunk } from '../../storage/chunk/xor-chunks.ts';
import { decodeXor, xorSampleCount } from '../../storage/chunk/xor-decode.ts';
import { XorDecoder } from '../../storage/chunk/xor-kernel.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** Where the columns begin: not at the start of theirs. */
const AT = 3;

interface Decoded {
  readonly end: number;
  readonly timestamps: readonly number[];
  readonly words: readonly number[];
  readonly staleCount: number;
}

function told(
  end: number,
  timestamps: Float64Array,
  values: Uint32Array,
): Omit<Decoded, 'staleCount'> {
  if (end < 0) return { end, timestamps: [], words: [] };
  return {
    end,
    timestamps: [...timestamps.subarray(AT, end)],
    words: [...values.subarray(AT * 2, end * 2)],
  };
}

function byTypeScript(bytes: Uint8Array, offset: number, length: number): Decoded {
  const room = AT + (length < 2 ? 0 : xorSampleCount(bytes, offset));
  const [timestamps, values] = [new Float64Array(room), new Uint32Array(room * 2)];
  const end = decodeXor(bytes, offset, length, timestamps, values, AT);
  let staleCount = 0;
  for (let i = AT; i < end; i++) if (isStaleWords(values[i * 2]!, values[i * 2 + 1]!)) staleCount++;
  return { ...told(end, timestamps, values), staleCount };
}

function byWebAssembly(bytes: Uint8Array, offset: number, length: number): Decoded {
  return withScratch(() => {
    const room = AT + (length < 2 ? 0 : xorSampleCount(bytes, offset));
    const timestamps = scratchFloats(room);
    const { buffer, byteOffset } = scratchFloats(room);
    const values = new Uint32Array(buffer, byteOffset, room * 2);
    const decoder = XorDecoder.create();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const end = decoder?.decode(view, offset, length, timestamps, values, AT) ?? NaN;
    const staleCount = end < 0 ? 0 : (decoder?.staleCount ?? NaN);
    return { ...told(end, timestamps, values), staleCount };
  });
}

/** Undefined: both are the same, signs of zero included. */
function difference(bytes: Uint8Array, offset: number, length: number): unknown {
  const expected = byTypeScript(bytes, offset, length);
  const found = byWebAssembly(bytes, offset, length);
  const isEqual =
    found.end === expected.end &&
    found.staleCount === expected.staleCount &&
    found.timestamps.every((time, i) => Object.is(time, expected.timestamps[i])) &&
    found.words.every((word, i) => word === expected.words[i]);
  return isEqual ? undefined : { expected, found };
}

const bitsOf = (value: number): bigint => new BigUint64Array(new Float64Array([value]).buffer)[0]!;
const STALE = 0x7ff0_0000_0000_0002n;
const delta = fc.oneof(
  fc.constant(15_000),
  fc.integer({ min: 1, max: 40_000 }),
  fc.integer({ min: 1, max: 2 ** 20 }),
  fc.integer({ min: 1, max: 2 ** 40 }),
);
const value = fc.oneof(
  fc.integer({ min: 0, max: 1000 }).map(bitsOf),
  fc.double().map(bitsOf),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(bitsOf(1), bitsOf(1.5), STALE, bitsOf(-0), 1n, 0n),
);
const chunk = fc
  .tuple(
    fc.integer({ min: -(2 ** 45), max: 2 ** 45 }),
    fc.array(fc.tuple(delta, value), { minLength: 1, maxLength: 130 }),
  )
  .map(([start, steps]) => {
    let time = start;
    const timestamps = Float64Array.from(steps, ([step]) => (time += step));
    const values = new Uint32Array(BigUint64Array.from(steps, ([, bits]) => bits).buffer);
    return xorChunk({ timestamps, values }, 0, steps.length);
  });

t.test(`XorDecoder gives what decodeXor() gives (seed ${seed})`, async (t) => {
  const check = (bytes: Uint8Array, offset: number, length: number): void => {
    t.equal(difference(bytes, offset, length), undefined);
  };
  fc.assert(
    fc.property(chunk, (bytes) => difference(bytes, 0, bytes.length) === undefined),
    { seed, numRuns: 500 },
  );
  const one = xorChunk(
    { timestamps: Float64Array.of(-7), values: Uint32Array.of(2, 0x7ff0_0000) },
    0,
    1,
  );
  check(one, 0, one.length);
  for (let length = 0; length < one.length; length++) check(one, 0, length);
  check(Uint8Array.of(0, 0), 0, 2);
  check(Uint8Array.of(0xff, 0xff, 1, 2, 3), 0, 5);
});

t.test('so it does wherever a chunk lies, and however it is cut', async () => {
  fc.assert(
    fc.property(
      chunk,
      fc.uint8Array({ maxLength: 20 }),
      fc.uint8Array({ maxLength: 40 }),
      fc.nat(),
      (bytes, before, after, cut) => {
        const all = Buffer.concat([before, bytes, after]);
        const length = cut % 2 === 0 ? bytes.length : cut % (bytes.length + after.length);
        return difference(all, before.length, length) === undefined;
      },
    ),
    { seed, numRuns: 1000 },
  );
});

t.test('so it does for bytes that were changed, and for any bytes', async () => {
  const change = fc.tuple(fc.nat(), fc.nat(255));
  fc.assert(
    fc.property(chunk, fc.array(change, { minLength: 1, maxLength: 6 }), (bytes, changes) => {
      for (const [at, byte] of changes) bytes[at % Math.min(bytes.length, 40)] = byte;
      return difference(bytes, 0, bytes.length) === undefined;
    }),
    { seed, numRuns: 2000 },
  );
  const headed = fc
    .tuple(fc.nat(30), fc.uint8Array({ minLength: 2, maxLength: 300 }), fc.boolean())
    .map(([count, bytes, isFull]) => {
      if (isFull) bytes.fill(0xff, 2, 2 + (count % 12)); // numbers without an end
      bytes.set([0, count]);
      return bytes;
    });
  fc.assert(
    fc.property(headed, (bytes) => difference(bytes, 0, bytes.length) === undefined),
    { seed, numRuns: 2000 },
  );
});

t.test('one decoder decodes one chunk after another, and counts all stale markers', async (t) => {
  const stale = { timestamps: Float64Array.of(1, 2), values: Uint32Array.of(0, 0, 2, 0x7ff0_0000) };
  const [a, b] = [xorChunk(stale, 0, 2), xorChunk(stale, 0, 1)];
  withScratch(() => {
    const timestamps = scratchFloats(5);
    const { buffer, byteOffset } = scratchFloats(5);
    const values = new Uint32Array(buffer, byteOffset, 10);
    t.ok(isScratch(timestamps));
    const decoder = XorDecoder.create();
    const put = (bytes: Uint8Array, at: number): number | undefined =>
      decoder?.decode(new DataView(bytes.buffer), 0, bytes.length, timestamps, values, at);
    t.same([put(a, 0), put(b, 2), put(a, 3)], [2, 3, 5]);
    t.same([...timestamps], [1, 2, 1, 1, 2]);
    t.equal(decoder?.staleCount, 2);
    t.same([decoder?.takes(16_384), decoder?.takes(16_385)], [true, false]);
  });
  t.equal(XorDecoder.create(), undefined, 'outside of a job');
});
