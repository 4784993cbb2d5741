/**
 * Goal: what a downsampled block keeps of a series is what a plain reading of its samples gives, window by window,
 * and enough of the samples themselves that first, last and resets of whole windows are those of all samples.
 * Method: random series (counters, values below zero, NaN, stale markers, histograms between) against sums and
 * loops over all samples; 5 minutes of 1 hour of samples against 1 hour at once; broken bytes.
 */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { STALE_NAN_HIGH, STALE_NAN_LOW, isStaleWords } from '../../model/sample.ts';
import { CHUNK_AGGREGATES, CHUNK_HISTOGRAM, CHUNK_XOR } from '../../storage/block/format.ts';
import { type ChunkBytes, chunkSampleCount } from '../../storage/block/format.ts';
import {
  joinAggregates,
  pickAggregates,
  splitAggregates,
} from '../../storage/chunk/aggregate-chunk.ts';
import { decodeXor, xorSampleCount } from '../../storage/chunk/xor-decode.ts';
import { xorChunk, xorChunksOf } from '../../storage/chunk/xor-chunks.ts';
import { SeriesDownsampler } from '../../storage/downsample/series-downsampler.ts';

interface Sample {
  readonly t: number;
  /** undefined: a stale marker. */
  readonly v: number | undefined;
}

const STALE = new Float64Array(Uint32Array.of(STALE_NAN_LOW, STALE_NAN_HIGH).buffer);

function chunksOf(samples: readonly Sample[]): ChunkBytes[] {
  const times = Float64Array.from(samples, ({ t }) => t);
  const values = new Float64Array(samples.length);
  const words = new Uint32Array(values.buffer);
  samples.forEach(({ v }, i) => {
    if (v !== undefined) values[i] = v;
    else words.set(new Uint32Array(STALE.buffer), i * 2);
  });
  return xorChunksOf(times, values, 0, times.length).map((chunk) => ({
    ...chunk,
    ...{ encoding: CHUNK_XOR, from: 0, to: chunk.bytes.length },
  }));
}

function chunkOf(sample: Sample): ChunkBytes {
  const [chunk] = chunksOf([sample]);
  if (chunk === undefined) throw new Error('no chunk');
  return chunk;
}

function samplesOf(bytes: Uint8Array, from: number, to: number): Sample[] {
  if (from === to) return [];
  const times = new Float64Array(xorSampleCount(bytes, from));
  const values = new Float64Array(times.length);
  const words = new Uint32Array(values.buffer);
  const end = decodeXor(bytes, from, to - from, times, words, 0);
  if (end !== times.length) throw new Error('a chunk that does not decode');
  return Array.from(times, (time, i) => {
    const isStale = isStaleWords(words[i * 2]!, words[i * 2 + 1]!);
    return { t: time, v: isStale ? undefined : values[i] };
  });
}

/** Per aggregate, over all chunks. */
function aggregatesOf(chunks: readonly ChunkBytes[]): Sample[][] {
  const all: Sample[][] = [[], [], [], [], []];
  for (const { bytes, encoding, from, to } of chunks) {
    if (encoding !== CHUNK_AGGREGATES) continue;
    const places = splitAggregates(bytes, from, to);
    if (places === undefined) throw new Error('a chunk that does not split');
    all.forEach((into, i) => into.push(...samplesOf(bytes, places[i * 2]!, places[i * 2 + 1]!)));
  }
  return all;
}

function downsample(
  chunks: readonly ChunkBytes[],
  resolutionMs: number,
  lastMs = Number.MAX_SAFE_INTEGER,
): ChunkBytes[] {
  const downsampler = new SeriesDownsampler({ resolutionMs, lastMs });
  downsampler.begin();
  for (const chunk of chunks) if (!downsampler.add(chunk)) throw new Error('refused');
  downsampler.finish();
  return [...downsampler.ready];
}

interface Totals {
  count: number;
  sum: number;
  min: number;
  max: number;
}

/** By the end of the window. */
function naiveTotals(samples: readonly Sample[], resolutionMs: number): Map<number, Totals> {
  const byWindow = new Map<number, Totals>();
  for (const { t, v } of samples) {
    if (v === undefined) continue;
    const end = Math.ceil(t / resolutionMs) * resolutionMs;
    const known = byWindow.get(end) ?? { count: 0, sum: 0, min: NaN, max: NaN };
    known.count++;
    known.sum += v;
    if (!(v >= known.min) && !Number.isNaN(v)) known.min = v;
    if (!(v <= known.max) && !Number.isNaN(v)) known.max = v;
    byWindow.set(end, known);
  }
  return byWindow;
}

function totalsOf(chunks: readonly ChunkBytes[], resolutionMs: number): Map<number, Totals> {
  const [count, sum, min, max] = aggregatesOf(chunks);
  const byWindow = new Map<number, Totals>();
  count?.forEach(({ t, v }, i) => {
    const end = Math.ceil(t / resolutionMs) * resolutionMs;
    const known = byWindow.get(end) ?? { count: 0, sum: 0, min: NaN, max: NaN };
    known.count += v ?? 0;
    known.sum += sum?.[i]?.v ?? 0;
    const low = min?.[i]?.v ?? NaN;
    const high = max?.[i]?.v ?? NaN;
    if (!(low >= known.min) && !Number.isNaN(low)) known.min = low;
    if (!(high <= known.max) && !Number.isNaN(high)) known.max = high;
    byWindow.set(end, known);
  });
  return byWindow;
}

/** What rate and increase read of a window: its first and last sample, and what was before resets. */
function counterFacts(samples: readonly Sample[], afterMs: number, untilMs: number): unknown {
  const inside = samples.filter(({ t, v }) => v !== undefined && t > afterMs && t <= untilMs);
  const values = inside.map(({ v = NaN }) => v);
  let resets = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! < values[i - 1]!) resets += values[i - 1]!;
  const all = samples.filter(({ t }) => t <= untilMs);
  return {
    first: inside[0],
    last: inside.at(-1),
    newest: all.at(-1),
    resets: Number.isNaN(resets) ? 'NaN' : Number(resets.toPrecision(12)),
  };
}

function closeTo(a: number, b: number): boolean {
  return Object.is(a, b) || Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));
}

function isSameTotals(a: Map<number, Totals>, b: Map<number, Totals>): boolean {
  return (
    a.size === b.size &&
    [...a].every(([end, one]) => {
      const other = b.get(end);
      return (
        other?.count === one.count &&
        Object.is(other.min, one.min) &&
        Object.is(other.max, one.max) &&
        closeTo(other.sum, one.sum)
      );
    })
  );
}

const gapMs = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(15_000, 14_997, 15_003, 60_000) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 * 3_600_000 }) },
);
const value = fc.record({
  gap: gapMs,
  step: fc.integer({ min: 0, max: 50 }),
  kind: fc.oneof(
    { weight: 30, arbitrary: fc.constant('up' as const) },
    { weight: 3, arbitrary: fc.constantFrom('reset', 'stale', 'same', 'odd') },
  ),
});
const series = fc
  .record({
    steps: fc.array(value, { minLength: 1, maxLength: 600, size: 'max' }),
    odd: fc.constantFrom(0, -5, NaN, Infinity, -0),
    startMs: fc.constantFrom(1_700_000_100_000, 1_700_000_123_457, -7_200_000),
  })
  .map(({ odd, startMs, steps }) => {
    const samples: Sample[] = [];
    let [t, v] = [startMs, 0];
    for (const { gap, kind, step } of steps) {
      t += gap;
      v = kind === 'reset' ? 0 : v + step;
      samples.push({ t, v: kind === 'stale' ? undefined : kind === 'odd' ? odd : v });
    }
    return samples;
  });

const MINUTES_5 = 300_000;
const HOUR = 3_600_000;

t.test('aggregates are those of all samples, and of finer windows', (t) => {
  fc.assert(
    fc.property(series, (samples) => {
      const fine = downsample(chunksOf(samples), MINUTES_5);
      const coarse = downsample(fine, HOUR);
      t.ok(isSameTotals(naiveTotals(samples, MINUTES_5), totalsOf(fine, MINUTES_5)), 'fine');
      t.ok(isSameTotals(naiveTotals(samples, HOUR), totalsOf(coarse, HOUR)), 'coarse');
      const direct = downsample(chunksOf(samples), HOUR);
      t.ok(isSameTotals(totalsOf(direct, HOUR), totalsOf(coarse, HOUR)), 'direct');
      for (const chunks of [fine, coarse, direct]) {
        for (let i = 0; i < chunks.length; i++) {
          const { maxTimeMs, minTimeMs } = chunks[i]!;
          if (minTimeMs <= maxTimeMs && (i === 0 || minTimeMs > chunks[i - 1]!.maxTimeMs)) continue;
          t.fail('chunks that overlap');
        }
      }
    }),
    { numRuns: 100 },
  );
  t.end();
});

t.test('first, last, newest and resets of whole windows are those of all samples', (t) => {
  fc.assert(
    fc.property(series, fc.integer({ min: 1, max: 5 }), (samples, length) => {
      const fine = downsample(chunksOf(samples), MINUTES_5);
      for (const [resolutionMs, chunks] of [
        [MINUTES_5, fine],
        [HOUR, downsample(fine, HOUR)],
      ] as const) {
        const kept = aggregatesOf(chunks)[4]!;
        t.ok(
          kept.every(({ t }, i) => i === 0 || t > kept[i - 1]!.t),
          'times rise',
        );
        const firstMs = Math.floor(samples[0]!.t / resolutionMs) * resolutionMs;
        const lastMs = Math.min(samples.at(-1)?.t ?? 0, firstMs + 30 * resolutionMs);
        for (let end = firstMs; end < lastMs + resolutionMs; end += resolutionMs) {
          const afterMs = end - length * resolutionMs;
          const [got, wanted] = [kept, samples].map((one) => counterFacts(one, afterMs, end));
          if (!isDeepStrictEqual(got, wanted)) return t.strictSame(got, wanted);
        }
      }
      return true;
    }),
    { numRuns: 100 },
  );
  t.end();
});

t.test('a window at the end of the block stands at its last millisecond', (t) => {
  const chunks = chunksOf([
    { t: 0, v: 1 },
    { t: 100_000, v: 2 },
    { t: 599_000, v: 4 },
  ]);
  const [count] = aggregatesOf(downsample(chunks, MINUTES_5, 599_999));
  t.strictSame(count, [
    { t: 0, v: 1 },
    { t: 300_000, v: 1 },
    { t: 599_999, v: 1 },
  ]);
  t.end();
});

t.test('histogram chunks pass through, and nothing overlaps them', (t) => {
  const before = chunkOf({ t: 1000, v: 1 });
  const after = chunkOf({ t: 5000, v: 2 });
  const bytes = Uint8Array.of(0, 1, 2, 3);
  const times = { minTimeMs: 2000, maxTimeMs: 4000 };
  const histogram = { encoding: CHUNK_HISTOGRAM, ...times, bytes, from: 0, to: 4 };
  const chunks = downsample([before, histogram, after], MINUTES_5);
  t.equal(chunks[1], histogram);
  t.strictSame(
    chunks.map(({ maxTimeMs, minTimeMs }) => [minTimeMs, maxTimeMs]),
    [
      [1000, 1000],
      [2000, 4000],
      [5000, 300_000],
    ],
  );
  t.end();
});

t.test('a chunk of aggregates has the bytes that Thanos writes', (t) => {
  const parts = [3, 0, 2, 130, 1].map((length, i) => new Uint8Array(length).fill(i + 1));
  const bytes = joinAggregates(parts);
  const long = Buffer.alloc(130, 4).toString('hex');
  t.equal(
    Buffer.from(bytes).toString('hex'),
    `03 01 010101  00  02 01 0303  8201 01 ${long}  01 01 05`.replaceAll(' ', ''),
  );
  t.strictSame(
    splitAggregates(bytes, 0, bytes.length),
    Uint32Array.of(2, 5, 0, 0, 8, 10, 13, 143, 145, 146),
  );
  const picked = pickAggregates(bytes, ['min', 'counter']);
  t.equal(Buffer.from(picked ?? []).toString('hex'), '00000201030300010105');
  for (let to = 0; to < bytes.length; to++) t.equal(splitAggregates(bytes, 0, to), undefined);
  t.equal(splitAggregates(Uint8Array.of(1, 2, 0, 0, 0, 0, 0), 0, 7), undefined, 'not XOR');
  t.equal(pickAggregates(Uint8Array.of(255), ['sum']), undefined);
  t.end();
});

t.test('a window of which others kept more than we would loses none of it', (t) => {
  const count = 420;
  const timestamps = Float64Array.from({ length: count }, (_, i) => 1 + i);
  const values = Float64Array.from(timestamps, (_, i) => -i); // falls all the time: each is kept
  const column = { timestamps, values: new Uint32Array(values.buffer) };
  const kept = xorChunk(column, 0, count);
  const one = (v: number): Uint8Array => chunkOf({ t: count, v }).bytes;
  const bytes = joinAggregates([one(count), one(7), one(1 - count), one(0), kept]);
  const times = { minTimeMs: 1, maxTimeMs: count };
  const chunk = { encoding: CHUNK_AGGREGATES, ...times, bytes, from: 0, to: bytes.length };
  const [counts, sums, , , left] = aggregatesOf(downsample([chunk], HOUR));
  t.strictSame(
    left,
    Array.from(timestamps, (time, i) => ({ t: time, v: values[i] })),
  );
  t.equal(
    counts?.reduce((sum, { v = 0 }) => sum + v, 0),
    count,
  );
  t.equal(
    sums?.reduce((sum, { v = 0 }) => sum + v, 0),
    7,
  );
  t.end();
});

t.test('bytes that do not hold are refused', (t) => {
  const sound = downsample([chunkOf({ t: 1, v: 1 })], MINUTES_5)[0] ?? chunkOf({ t: 0, v: 0 });
  t.equal(chunkSampleCount(sound), 1);
  const refuse = (bytes: Uint8Array, encoding = CHUNK_AGGREGATES): void => {
    const downsampler = new SeriesDownsampler({ resolutionMs: HOUR, lastMs: HOUR });
    downsampler.begin();
    t.notOk(downsampler.add({ ...sound, encoding, bytes, from: 0, to: bytes.length }));
  };
  refuse(sound.bytes.subarray(0, -1));
  refuse(Uint8Array.of(255, 255, 0), CHUNK_XOR);
  refuse(Uint8Array.of(0, 5, 1), CHUNK_XOR);
  const xor = chunkOf({ t: 1, v: 1 }).bytes;
  refuse(joinAggregates([xor, xor.subarray(0, 0), xor, xor, xor])); // a count without its sum
  const before = chunkOf({ t: 0, v: 1 }).bytes;
  refuse(joinAggregates([xor, before, Uint8Array.of(0, 9), xor, xor]));
  t.end();
});
