/**
 * Two runs of samples of one series, each rising by time, become one, a sample a time: what copies of a
 * series that differ need.
 *
 * Of two samples of one time the pick is deterministic, so that every node keeps the same: not stale
 * before stale, a histogram before a number, of histograms the one that counted more, of numbers the one
 * with the larger bits.
 */
import { type HistogramSample, compareForKeeping } from '../../model/histogram-sample.ts';
import { isStaleWords } from '../../model/sample.ts';

/** The histogram at each place where the sample is one. */
export type HistogramColumn = (HistogramSample | undefined)[];

export interface MergeColumns {
  readonly timestamps: Float64Array;
  /** Two words a sample, low first. */
  readonly values: Uint32Array;
  /** Absent while all samples are numbers. */
  readonly histograms: HistogramColumn | undefined;
  /** Beside the samples, where they stand for several. */
  readonly weights?: Float64Array | undefined;
}

/** Merges [start, middle) and [middle, end) in place; returns the new end. */
export function mergeRuns(
  columns: MergeColumns,
  start: number,
  middle: number,
  end: number,
): number {
  const { histograms, timestamps, values, weights } = columns;
  const times = timestamps.slice(start, end);
  const words = values.slice(start * 2, end * 2);
  const others = histograms?.slice(start, end);
  const loads = weights?.slice(start, end);
  const split = middle - start;
  let a = 0;
  let b = split;
  let at = start;
  while (a < split || b < times.length) {
    const isBoth = a < split && b < times.length && times[a] === times[b];
    const takesA = b === times.length || (a < split && times[a]! <= times[b]!);
    const from = isBoth ? preferred(words, others, a, b) : takesA ? a : b;
    timestamps[at] = times[from]!;
    values[at * 2] = words[from * 2]!;
    values[at * 2 + 1] = words[from * 2 + 1]!;
    if (histograms !== undefined) histograms[at] = others?.[from];
    if (weights !== undefined) weights[at] = loads?.[from] ?? 1;
    at++;
    if (takesA) a++;
    if (isBoth || !takesA) b++;
  }
  return at;
}

/** Which of two samples of one time is kept. */
function preferred(
  words: Uint32Array,
  histograms: HistogramColumn | undefined,
  a: number,
  b: number,
): number {
  const [one, other] = [histograms?.[a], histograms?.[b]];
  if (one !== undefined && other !== undefined) return compareForKeeping(one, other) <= 0 ? a : b;
  const order =
    staleness(words, one, a) - staleness(words, other, b) ||
    Number(other !== undefined) - Number(one !== undefined) ||
    words[b * 2 + 1]! - words[a * 2 + 1]! ||
    words[b * 2]! - words[a * 2]!;
  return order <= 0 ? a : b;
}

function staleness(words: Uint32Array, histogram: HistogramSample | undefined, i: number): number {
  const isStale = histogram?.isStale ?? isStaleWords(words[i * 2]!, words[i * 2 + 1]!);
  return isStale ? 1 : 0;
}
