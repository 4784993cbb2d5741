/**
 * A sample that is a native histogram, as it is written and stored: the histogram, and whether its counts
 * came as integers or as floats (the two have chunks of their own). A stale marker is a sample without
 * observations.
 *
 * Invariant: integer counts are at most `INTEGER_COUNT_MAX`, so that differences of differences of
 * neighbouring buckets, which chunks store, are exact in a double.
 */
import {
  type Buckets,
  EMPTY_HISTOGRAM,
  type Histogram,
  type ResetHint,
  compact,
  equalHistograms,
} from './histogram.ts';
import { STALE_NAN_HIGH, STALE_NAN_LOW } from './sample.ts';

export interface HistogramSample {
  readonly histogram: Histogram;
  readonly isFloat: boolean;
  readonly isStale: boolean;
}

export const INTEGER_COUNT_MAX = 2 ** 51;
/** The most buckets of one side, and the most custom bounds. */
export const BUCKETS_MAX = 2 ** 14;

/** Hints by the number that the wire and the log have for them. */
export const RESET_HINTS: readonly ResetHint[] = ['unknown', 'reset', 'not_reset', 'gauge'];

const STALE: Histogram = { ...EMPTY_HISTOGRAM, sum: NaN };

/** The stale marker of a series of histograms. */
export function staleHistogramSample(isFloat: boolean): HistogramSample {
  return { histogram: STALE, isFloat, isStale: true };
}

/** Writes the bits of the sum to two words of `out`, low first. */
export function putSumWords(sample: HistogramSample, out: Uint32Array, at: number): void {
  if (sample.isStale) {
    out[at] = STALE_NAN_LOW;
    out[at + 1] = STALE_NAN_HIGH;
    return;
  }
  const words = new Uint32Array(Float64Array.of(sample.histogram.sum).buffer);
  out[at] = words[0]!;
  out[at + 1] = words[1]!;
}

/** Equal in what counts: the hint, and buckets that are mentioned with nothing in them, do not. */
export function equalSamples(a: HistogramSample, b: HistogramSample): boolean {
  if (a.isStale !== b.isStale || a.isFloat !== b.isFloat) return false;
  return a.isStale || equalHistograms(compact(a.histogram), compact(b.histogram));
}

/**
 * Below 0 when `a` is kept of two samples of one time, above 0 when `b` is: not stale before stale, then
 * the one that counted more. An order, so that every node keeps the same.
 */
export function compareForKeeping(a: HistogramSample, b: HistogramSample): number {
  return (
    Number(a.isStale) - Number(b.isStale) ||
    compareHistograms(b.histogram, a.histogram) ||
    Number(a.isFloat) - Number(b.isFloat)
  );
}

function compareHistograms(a: Histogram, b: Histogram): number {
  return (
    compareNumbers(a.count, b.count) ||
    compareNumbers(a.sum, b.sum) ||
    compareNumbers(a.schema, b.schema) ||
    compareNumbers(a.zeroThreshold, b.zeroThreshold) ||
    compareNumbers(a.zeroCount, b.zeroCount) ||
    compareLists(a.customBounds, b.customBounds) ||
    compareBuckets(a.positive, b.positive) ||
    compareBuckets(a.negative, b.negative)
  );
}

function compareBuckets(a: Buckets, b: Buckets): number {
  return compareLists(a.indexes, b.indexes) || compareLists(a.counts, b.counts);
}

function compareLists(a: ArrayLike<number>, b: ArrayLike<number>): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = compareNumbers(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** NaN is the smallest. */
function compareNumbers(a: number, b: number): number {
  if (Object.is(a, b)) return 0;
  if (Number.isNaN(a)) return -1;
  if (Number.isNaN(b)) return 1;
  return a < b ? -1 : a > b ? 1 : Object.is(a, -0) ? -1 : 1;
}
