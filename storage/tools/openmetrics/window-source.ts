/**
 * The samples of one window as a source of series for a block: sorted by labels, then time.
 *
 *   count a series ─► parts of at most so many samples, by rank of the labels ─► scatter ─► chunks
 *
 * Memory: two numbers a series, and the samples of one part; a window that has more is gone over once a part.
 */
import { StarlingError } from '../../../model/errors.ts';
import { type Labels, printLabels } from '../../../model/labels.ts';
import { formatSample } from '../../../model/number-text.ts';
import type { BlockSource, SourceSeries } from '../../block/cut.ts';
import type { ChunkBytes } from '../../block/format.ts';
import { SeriesSamples } from '../../block/series-samples.ts';
import type { SampleSpool, Window } from './spool.ts';

export const PART_SAMPLES_MAX = 2_000_000;
/** The one NaN that Prometheus stores for a NaN in a text. */
const NAN_LOW = 1;
const NAN_HIGH = 0x7ff8_0000;

export interface SortedSeries {
  readonly labels: readonly Labels[];
  /** Series numbers by their labels, and the place of each in it. */
  readonly order: Uint32Array;
  readonly ranks: Uint32Array;
  /** The samples that are in memory at once, if no series has more. */
  readonly partSamplesMax: number;
}

/** Makes the source of one window. */
export async function windowSource(
  spool: SampleSpool,
  window: Window,
  sorted: SortedSeries,
): Promise<BlockSource> {
  const counts = new Uint32Array(sorted.labels.length);
  await spool.forEach(window, (records, count) => {
    for (let i = 0; i < count; i++) counts[records[i * 3]!]!++;
  });
  return {
    *symbols() {
      for (const series of sorted.order) {
        if (counts[series]! > 0) yield* sorted.labels[series]!;
      }
    },
    series: () => seriesOfWindow(spool, window, { ...sorted, counts }),
  };
}

async function* seriesOfWindow(
  spool: SampleSpool,
  window: Window,
  counted: SortedSeries & { readonly counts: Uint32Array },
): AsyncGenerator<SourceSeries> {
  const { counts, order, partSamplesMax } = counted;
  for (let from = 0; from < order.length;) {
    let to = from;
    let sampleCount = 0;
    while (to < order.length) {
      const count = counts[order[to]!]!;
      if (sampleCount > 0 && sampleCount + count > partSamplesMax) break;
      sampleCount += count;
      to++;
    }
    if (sampleCount > 0) {
      const part = await readPart(spool, window, counted, { from, to, sampleCount });
      yield* part;
    }
    from = to;
  }
}

/** The series with ranks `[from, to)`. */
async function readPart(
  spool: SampleSpool,
  window: Window,
  { counts, labels, order, ranks }: SortedSeries & { readonly counts: Uint32Array },
  {
    from,
    sampleCount,
    to,
  }: { readonly from: number; readonly to: number; readonly sampleCount: number },
): Promise<Generator<SourceSeries>> {
  const times = new Float64Array(sampleCount);
  const values = new Float64Array(sampleCount);
  const starts = new Uint32Array(to - from + 1);
  for (let rank = from; rank < to; rank++) {
    starts[rank - from + 1] = starts[rank - from]! + counts[order[rank]!]!;
  }
  const ends = starts.slice(0, to - from);
  await spool.forEach(window, (records, count) => {
    for (let i = 0; i < count; i++) {
      const rank = ranks[records[i * 3]!]!;
      if (rank < from || rank >= to) continue;
      const at = ends[rank - from]!++;
      times[at] = records[i * 3 + 1]!;
      values[at] = records[i * 3 + 2]!;
    }
  });
  return (function* () {
    const samples = new SeriesSamples();
    for (let rank = from; rank < to; rank++) {
      const [start, end] = [starts[rank - from]!, starts[rank - from + 1]!];
      if (start === end) continue;
      const set = labels[order[rank]!]!;
      const own = { times: times.subarray(start, end), values: values.subarray(start, end) };
      yield { labels: set, chunks: encode(samples, own, set) };
    }
  })();
}

/** Chunks of samples in any order. Throws `openmetrics.duplicate`. */
function encode(
  samples: SeriesSamples,
  { times, values }: { readonly times: Float64Array; readonly values: Float64Array },
  labels: Labels,
): readonly ChunkBytes[] {
  samples.clear();
  const places = sortedPlaces(times);
  const words = new Uint32Array(values.slice().buffer);
  for (let i = 0; i < times.length; i++) {
    const at = places === undefined ? i : places[i]!;
    const timeMs = times[at]!;
    const isNaN = Number.isNaN(values[at]!);
    const low = isNaN ? NAN_LOW : words[at * 2]!;
    const high = isNaN ? NAN_HIGH : words[at * 2 + 1]!;
    const last = samples.length - 1;
    if (last < 0 || samples.timeAt(last) !== timeMs) samples.push(timeMs, low, high);
    else {
      const [lastLow, lastHigh] = samples.wordsAt(last);
      if (lastLow === low && lastHigh === high) continue; // said twice
      throw duplicate(labels, timeMs, [lastLow, lastHigh], values[at]!);
    }
  }
  const chunks: ChunkBytes[] = [];
  samples.encode(chunks);
  return chunks;
}

function duplicate(
  labels: Labels,
  timeMs: number,
  words: readonly number[],
  value: number,
): StarlingError {
  const first = new Float64Array(Uint32Array.from(words).buffer)[0]!;
  const texts = [formatSample(first), formatSample(value)];
  const facts = { series: printLabels(labels), timeMs, values: texts.join(' and ') };
  return new StarlingError('openmetrics.duplicate', facts);
}

/** The order of the times, stable; undefined: they rise already. */
function sortedPlaces(times: Float64Array): Uint32Array | undefined {
  let isSorted = true;
  for (let i = 1; i < times.length; i++) if (times[i]! < times[i - 1]!) isSorted = false;
  if (isSorted) return undefined;
  const places = Uint32Array.from(times.keys());
  return places.sort((a, b) => times[a]! - times[b]! || a - b);
}
