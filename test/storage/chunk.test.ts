// Goal: XOR chunks hold every sample bit for bit, and hostile bytes are refused.
// Method: random series through encoder and decoder; known bytes; every truncation; random flips.
import fc from 'fast-check';
import t from 'tap';
import { Arena } from '../../storage/chunk/arena.ts';
import { decodeXor, xorSampleCount } from '../../storage/chunk/xor-decode.ts';
import {
  XOR_SAMPLE_BYTES_MAX,
  appendXor,
  createXorColumns,
  putXorCount,
} from '../../storage/chunk/xor-encode.ts';

type Sample = readonly [timeMs: number, bits: bigint];
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

function encode(samples: readonly Sample[]): Uint8Array {
  const columns = createXorColumns(1);
  const bytes = new Uint8Array(2 + samples.length * XOR_SAMPLE_BYTES_MAX).fill(0xaa);
  const room = { bytes, base: 0, capacity: bytes.length };
  const timestamps = Float64Array.from(samples, ([time]) => time);
  const values = new Uint32Array(BigUint64Array.from(samples, ([, bits]) => bits).buffer);
  // In runs of one to three, as they may come.
  for (let from = 0; from < samples.length;) {
    const to = Math.min(from + 1 + (from % 3), samples.length);
    from = appendXor(columns, 0, room, { timestamps, values }, from, to);
  }
  putXorCount(bytes, 0, samples.length);
  return bytes.subarray(0, Math.ceil(columns.bitLength[0]! / 8));
}

function decode(bytes: Uint8Array): Sample[] | undefined {
  const count = bytes.length < 2 ? 0 : xorSampleCount(bytes, 0);
  const timestamps = new Float64Array(count + 1);
  const values = new Uint32Array(count * 2 + 2);
  const end = decodeXor(bytes, 0, bytes.length, timestamps, values, 0);
  if (end < 0) return undefined;
  return Array.from({ length: end }, (_, i) => [
    timestamps[i]!,
    (BigInt(values[i * 2 + 1]!) << 32n) | BigInt(values[i * 2]!),
  ]);
}

const bitsOf = (value: number): bigint => new BigUint64Array(new Float64Array([value]).buffer)[0]!;

t.test(`decodeXor() returns what appendXor() was given (seed ${seed})`, async (t) => {
  const delta = fc.oneof(
    fc.constant(15_000),
    fc.integer({ min: 1, max: 40_000 }),
    fc.integer({ min: 1, max: 2 ** 40 }),
  );
  const value = fc.oneof(
    fc.double().map(bitsOf),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.constantFrom(bitsOf(1), bitsOf(1.5), 0x7ff0_0000_0000_0002n, 0x8000_0000_0000_0000n, 1n, 0n),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: -(2 ** 45), max: 2 ** 45 }),
      fc.array(fc.tuple(delta, value), { minLength: 1, maxLength: 150 }),
      (start, steps) => {
        let time = start;
        const samples = steps.map(([step, bits]): Sample => [(time += step), bits]);
        const back = decode(encode(samples));
        return (
          back?.length === samples.length &&
          back.every(([at, bits], i) => at === samples[i]![0] && bits === samples[i]![1])
        );
      },
    ),
    { seed, numRuns: 500 },
  );
  t.pass();
});

t.test('the deltas of deltas at the borders of each size survive', async (t) => {
  for (const dod of [
    0,
    1,
    -1,
    8192,
    -8191,
    8193,
    -8192,
    65_536,
    -65_535,
    65_537,
    -65_536,
    524_288,
    -524_287,
    524_289,
    -524_288,
    2 ** 40,
  ]) {
    const base = 2 ** 41;
    const samples: Sample[] = [
      [0, 1n],
      [base, 1n],
      [2 * base + dod, 1n],
      [3 * base + 2 * dod, 2n],
    ];
    t.same(decode(encode(samples)), samples, `dod ${dod}`);
  }
});

t.test("the bytes are Prometheus' own", async (t) => {
  const hex = Buffer.from(
    encode([
      [1_000, bitsOf(1)],
      [16_000, bitsOf(1)],
      [31_000, bitsOf(2)],
      [46_001, bitsOf(2)],
    ]),
  ).toString('hex');
  // count 4 | varint 1000 | 1.0 | uvarint 15000 | 0 0 11 00001 001011 11111111111 10 00000000000001 0
  t.equal(hex, '0004' + 'd00f' + '3ff0000000000000' + '9875' + '3097ffe00040');
});

t.test('a window that became too wide is told anew', async (t) => {
  const check = (values: readonly number[], [ours, kept]: readonly [number, number]): void => {
    const samples = values.map((value, i): Sample => [i * 15_000, bitsOf(value)]);
    const bytes = encode(samples);
    t.same(decode(bytes), samples);
    t.equal(
      bytes.length,
      ours,
      `where ${kept} bytes keep the first one: ${values.slice(0, 3).join()}`,
    );
  };
  const from = (first: number, step: (i: number) => number): readonly number[] => [
    first,
    ...Array.from({ length: 60 }, (_, i) => step(i)),
  ];
  check(
    from(0, (i) => i % 7),
    [140, 139],
  );
  check(
    from(0.1, (i) => i % 7),
    [149, 153],
  );
  check(
    from(1 / 3, (i) => (i % 20) / 4),
    [125, 190],
  );
  check(
    from(1e9 + 0.1, (i) => 1e9 + i),
    [116, 285],
  );
});

t.test(
  'a corrupt chunk is refused or decodes to as many samples as it says, never more',
  async (t) => {
    const samples = Array.from({ length: 120 }, (_, i): Sample => [
      1_700_000_000_000 + i * 15_000 + (i % 7),
      bitsOf(i * 1.1),
    ]);
    const bytes = encode(samples);
    for (let length = 0; length < bytes.length; length++) {
      t.equal(
        decode(bytes.subarray(0, length)) === undefined || length < 2,
        true,
        `cut at ${length}`,
      );
    }
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
        const mutant = Uint8Array.from(bytes);
        mutant[at] = byte;
        const back = decode(mutant);
        return back === undefined || back.length === xorSampleCount(mutant, 0);
      }),
      { seed, numRuns: 2000 },
    );
    const liar = Uint8Array.of(0xff, 0xff, 1, 2, 3);
    t.equal(decode(liar), undefined, '65,535 samples in three bytes');
  },
);

t.test('an arena begins slabs of a queue anew when all of them is freed', async (t) => {
  const arena = new Arena();
  const sizes = Array.from({ length: 40_000 }, (_, i) => 1 + ((i * 37) % 700));
  const round = (): number[] =>
    sizes.map((size, i) => {
      const handle = arena.append(size);
      arena.slab(handle).fill(i & 0xff, arena.offset(handle), arena.offset(handle) + size);
      return handle;
    });
  const room = arena.allocate(100);
  arena.slab(room).fill(7, arena.offset(room), arena.offset(room) + 100);
  let older = round();
  let newer = round();
  const reserved = arena.reservedBytes;
  for (let times = 0; times < 5; times++) {
    older.forEach((handle, i) => arena.free(handle, sizes[i]!));
    older = newer;
    newer = round();
  }
  t.ok(arena.reservedBytes <= reserved + (1 << 20), `${reserved}, then ${arena.reservedBytes}`);
  const isWhole = (handle: number, i: number): boolean =>
    arena.slab(handle)[arena.offset(handle)] === (i & 0xff) &&
    arena.slab(handle)[arena.offset(handle) + sizes[i]! - 1] === (i & 0xff);
  t.ok(older.every(isWhole) && newer.every(isWhole));
  for (const handles of [older, newer])
    handles.forEach((handle, i) => arena.free(handle, sizes[i]!));
  t.equal(arena.usedBytes, 112);
  t.ok(arena.reservedBytes < 12 << 20, `what is not needed is given back: ${arena.reservedBytes}`);
  t.equal(arena.slab(room)[arena.offset(room)], 7);
});

t.test('an arena reuses what was freed and keeps ranges apart', async (t) => {
  const arena = new Arena();
  const handles = Array.from({ length: 5000 }, (_, i) => arena.allocate(1 + ((i * 37) % 1024)));
  handles.forEach((handle, i) =>
    arena
      .slab(handle)
      .fill(i & 0xff, arena.offset(handle), arena.offset(handle) + 1 + ((i * 37) % 1024)),
  );
  handles.forEach((handle, i) =>
    t.equal(arena.slab(handle)[arena.offset(handle) + ((i * 37) % 1024)], i & 0xff),
  );
  const reserved = arena.reservedBytes;
  handles.forEach((handle, i) => arena.free(handle, 1 + ((i * 37) % 1024)));
  t.equal(arena.usedBytes, 0);
  for (let i = 0; i < 5000; i++) arena.allocate(1 + ((i * 37) % 1024));
  t.equal(arena.reservedBytes, reserved);
});
