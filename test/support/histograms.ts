/** Native histograms for tests: random ones of every kind, growing ones, and chunks and lines of them. */
import {
  type Buckets,
  CUSTOM_SCHEMA,
  EMPTY_HISTOGRAM,
  type Histogram,
  compact,
} from '../../model/histogram.ts';
import { type HistogramSample, staleHistogramSample } from '../../model/histogram-sample.ts';
import { histogramText } from '../../model/histogram-text.ts';
import {
  CHUNK_FLOAT_HISTOGRAM,
  CHUNK_HISTOGRAM,
  type ChunkBytes,
} from '../../storage/block/format.ts';
import type { BlockReader } from '../../storage/block/block-reader.ts';
import { createSeriesEntry } from '../../storage/block/series-reader.ts';
import { decodeHistogramChunk } from '../../storage/chunk/histogram-decode.ts';
import { HistogramChunkWriter } from '../../storage/chunk/histogram-encode.ts';

export interface TimedSample {
  readonly timeMs: number;
  readonly sample: HistogramSample;
}

export const KINDS = [
  'integer',
  'float',
  'custom',
  'custom float',
  'gauge',
  'float gauge',
] as const;
export type Kind = (typeof KINDS)[number];

/** A generator of numbers in [0, 1) that are the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A series of `count` histograms, 15 s apart, that grow, get new buckets, are reset, and now and then stale. */
export function histogramSeries(
  kind: Kind,
  options: { readonly startMs: number; readonly count: number; readonly seed: number },
): TimedSample[] {
  const random = randomOf(options.seed);
  const isFloat = kind.includes('float');
  const isGauge = kind.includes('gauge');
  const observed = new Map<number, number>();
  const samples: TimedSample[] = [];
  for (let i = 0; i < options.count; i++) {
    const timeMs = options.startMs + i * 15_000 + (i % 7 === 0 ? Math.floor(random() * 20) : 0);
    if (random() < 0.02) {
      samples.push({ timeMs, sample: staleHistogramSample(isFloat) });
      continue;
    }
    if (random() < 0.02) observed.clear();
    for (let n = Math.floor(random() * 8); n > 0; n--) {
      const bucket = Math.floor(random() * random() * 24) - (kind.startsWith('custom') ? 0 : 8);
      const more = isFloat ? random() * 10 : Math.floor(random() * 1000);
      observed.set(
        bucket,
        Math.max(0, (observed.get(bucket) ?? 0) + more * (isGauge && random() < 0.5 ? -1 : 1)),
      );
    }
    const histogram = histogramFrom(observed, kind.startsWith('custom'), random);
    const hinted: Histogram = isGauge ? { ...histogram, hint: 'gauge' } : histogram;
    samples.push({ timeMs, sample: { histogram: hinted, isFloat, isStale: false } });
  }
  return samples;
}

const BOUNDS = Float64Array.from({ length: 24 }, (_, i) =>
  i < 12 ? i / 8 : i * 1.1e5 + 0.123456789,
);

function histogramFrom(
  observed: ReadonlyMap<number, number>,
  isCustom: boolean,
  random: () => number,
): Histogram {
  const pick = (
    isTaken: (bucket: number) => boolean,
    index: (bucket: number) => number,
  ): Buckets => {
    const buckets = [...observed.keys()].filter(isTaken).sort((a, b) => index(a) - index(b));
    return {
      indexes: Int32Array.from(buckets, index),
      counts: Float64Array.from(buckets, (bucket) => observed.get(bucket) ?? 0),
    };
  };
  const zeroCount = isCustom ? 0 : (observed.get(0) ?? 0);
  const positive = pick(
    (bucket) => isCustom || bucket > 0,
    (bucket) => bucket,
  );
  const negative = pick(
    (bucket) => !isCustom && bucket < 0,
    (bucket) => -bucket * 3,
  );
  const count = [zeroCount, ...positive.counts, ...negative.counts].reduce((a, b) => a + b, 0);
  return {
    ...EMPTY_HISTOGRAM,
    schema: isCustom ? CUSTOM_SCHEMA : 3,
    zeroThreshold: isCustom ? 0 : 2 ** -128,
    zeroCount,
    count,
    sum: random() < 0.5 ? count * random() : Math.floor(random() * 100),
    positive,
    negative,
    customBounds: isCustom ? BOUNDS : EMPTY_HISTOGRAM.customBounds,
  };
}

/** Chunks of samples, a new one where one must be or after `perChunk` samples. */
export function histogramChunks(samples: readonly TimedSample[], perChunk = 120): ChunkBytes[] {
  const chunks: ChunkBytes[] = [];
  let writer: HistogramChunkWriter | undefined;
  const close = (): void => {
    if (writer === undefined) return;
    const bytes = writer.copy();
    const encoding = writer.isFloat ? CHUNK_FLOAT_HISTOGRAM : CHUNK_HISTOGRAM;
    const { lastTimeMs: maxTimeMs, minTimeMs } = writer;
    chunks.push({ encoding, minTimeMs, maxTimeMs, bytes, from: 0, to: bytes.length });
  };
  for (const { sample, timeMs } of samples) {
    const hint = writer === undefined ? 'unknown' : writer.refuses(sample);
    if (writer !== undefined && hint === undefined && writer.count < perChunk) {
      writer.append(timeMs, sample);
      continue;
    }
    close();
    const isGauge = sample.histogram.hint === 'gauge';
    writer = new HistogramChunkWriter(timeMs, sample, isGauge ? 'gauge' : (hint ?? 'not_reset'));
  }
  close();
  return chunks;
}

/** All samples of the chunks of a block, which holds histograms only, in the order of its series. */
export async function histogramsOfBlock(reader: BlockReader): Promise<TimedSample[]> {
  const found: TimedSample[] = [];
  const entry = createSeriesEntry();
  for (const ref of await reader.select([])) {
    await reader.index.readSeries(ref, entry);
    for (const chunkRef of entry.chunkRefs) {
      const { data, encoding } = await reader.readChunk(chunkRef);
      const isFloat = encoding === CHUNK_FLOAT_HISTOGRAM;
      const run = decodeHistogramChunk(data, 0, data.length, isFloat);
      if (run === undefined) throw new Error('a chunk that does not decode');
      run.samples.forEach((sample, i) => found.push({ sample, timeMs: run.timestamps[i] ?? 0 }));
    }
  }
  return found;
}

/** Everything about a sample but its hint, as one line. */
export function sampleLine({ sample, timeMs }: TimedSample): string {
  const { histogram, isFloat, isStale } = sample;
  if (isStale) return `${timeMs} stale`;
  const { customBounds, schema, zeroThreshold } = histogram;
  const text = histogramText(compact(histogram));
  return `${timeMs} ${isFloat} ${schema} ${zeroThreshold} ${customBounds.join()} ${text}`;
}
