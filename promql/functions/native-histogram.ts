/**
 * What is read from one native histogram: quantile, fraction, spread. Within a bucket observations
 * are taken as spread evenly on a logarithmic scale; in the zero bucket and in custom buckets
 * evenly on a linear one.
 */
import { type Histogram, hasCustomBuckets } from '../../model/histogram.ts';
import { type BucketTable, bucketTable, exp2 } from '../../model/histogram-buckets.ts';
import { log2 } from './go-math.ts';
import { addTo, type Sum } from './summation.ts';

/** An answer, and what has to be said about it. */
export interface NativeQuantile {
  readonly value: number;
  readonly note: 'nan_result' | 'nan_skew' | undefined;
}

/** The φ-quantile. Observations of NaN count, but are in no bucket. */
export function nativeQuantile(phi: number, histogram: Histogram): NativeQuantile {
  const plain = (value: number): NativeQuantile => ({ value, note: undefined });
  if (phi < 0) return plain(-Infinity);
  if (phi > 1) return plain(Infinity);
  const { count: total } = histogram;
  if (total === 0 || Number.isNaN(phi)) return plain(NaN);
  const table = bucketTable(histogram);
  const hasNaN = Number.isNaN(histogram.sum);
  const isForward = hasNaN || phi < 0.5;
  const rank = (isForward ? phi : 1 - phi) * total;
  const { at, count } = findRank(table, rank, isForward);
  const found = Math.min(count, total);
  const counted = hasNaN ? totalOf(table) : total;
  if (table.length === 0) return plain(hasNaN ? NaN : 0);
  if (found < rank && hasNaN) return { value: NaN, note: 'nan_result' };
  const note = counted < total ? 'nan_skew' : undefined;
  const [lower, upper] = boundsOf(histogram, table, at);
  if (hasCustomBuckets(histogram)) {
    if (table.lowers[at] === -Infinity && upper <= 0) return { value: upper, note };
    if (upper === Infinity) return { value: lower, note };
  }
  if (found < rank) return { value: upper, note };
  const inside = table.counts[at]!;
  const fraction = (isForward ? rank - (found - inside) : found - rank) / inside;
  return { value: interpolated(histogram, lower, upper, fraction), note };
}

function totalOf({ counts, length }: BucketTable): number {
  let total = 0;
  for (let i = 0; i < length; i++) total += counts[i]!;
  return total;
}

/** The bucket in which the cumulative count reaches the rank, and the count up to its end. */
function findRank(
  { counts, length }: BucketTable,
  rank: number,
  isForward: boolean,
): { readonly at: number; readonly count: number } {
  let count = 0;
  for (let i = 0; i < length; i++) {
    const at = isForward ? i : length - 1 - i;
    count += counts[at]!;
    if (count >= rank) return { at, count };
  }
  return { at: isForward ? length - 1 : 0, count };
}

/** The bounds of a bucket; one that begins or ends beyond what was observed does so at 0. */
function boundsOf(
  histogram: Histogram,
  { lowers, uppers }: BucketTable,
  at: number,
): readonly [number, number] {
  const [lower, upper] = [lowers[at]!, uppers[at]!];
  const { negative, positive } = histogram;
  if (hasCustomBuckets(histogram)) {
    return [lower === -Infinity && upper > 0 ? 0 : lower, upper];
  }
  if (!(lower < 0 && upper > 0)) return [lower, upper];
  if (negative.counts.length === 0 && positive.counts.length > 0) return [0, upper];
  if (positive.counts.length === 0 && negative.counts.length > 0) return [lower, 0];
  return [lower, upper];
}

function isLinear(histogram: Histogram, lower: number, upper: number): boolean {
  return hasCustomBuckets(histogram) || (lower <= 0 && upper >= 0);
}

function interpolated(
  histogram: Histogram,
  lower: number,
  upper: number,
  fraction: number,
): number {
  if (isLinear(histogram, lower, upper)) return lower + (upper - lower) * fraction;
  const logLower = log2(Math.abs(lower));
  const logUpper = log2(Math.abs(upper));
  if (lower > 0) return exp2(logLower + (logUpper - logLower) * fraction);
  return -exp2(logUpper + (logLower - logUpper) * (1 - fraction));
}

/** The share of observations in [lower, upper]; those of NaN are in no range. */
export function nativeFraction(lower: number, upper: number, histogram: Histogram): number {
  const { count: total } = histogram;
  if (total === 0 || Number.isNaN(lower) || Number.isNaN(upper)) return NaN;
  if (lower >= upper) return 0;
  const table = bucketTable(histogram);
  return (rankOf(upper, histogram, table) - rankOf(lower, histogram, table)) / total;
}

/** True when observations of NaN are counted. */
export function hasNaNObservations(histogram: Histogram): boolean {
  return Number.isNaN(histogram.sum) && totalOf(bucketTable(histogram)) < histogram.count;
}

/** How many observations lie below `value`. */
function rankOf(value: number, histogram: Histogram, table: BucketTable): number {
  let rank = 0;
  for (let at = 0; at < table.length; at++) {
    const count = table.counts[at]!;
    const [lower, upper] = boundsOf(histogram, table, at);
    if (lower >= value) return Math.min(rank, histogram.count);
    if (upper > value) {
      if (lower === -Infinity) return Math.min(rank + count, histogram.count);
      const fraction = fractionBelow(value, lower, upper, isLinear(histogram, lower, upper));
      return Math.min(rank + count * fraction, histogram.count);
    }
    rank += count;
  }
  return Number.isNaN(histogram.sum) ? rank : histogram.count;
}

function fractionBelow(value: number, lower: number, upper: number, linear: boolean): number {
  if (linear) return (value - lower) / (upper - lower);
  const logLower = log2(Math.abs(lower));
  const logUpper = log2(Math.abs(upper));
  const logValue = log2(Math.abs(value));
  if (value > 0) return (logValue - logLower) / (logUpper - logLower);
  return 1 - (logValue - logUpper) / (logLower - logUpper);
}

/** The variance, as if all observations of a bucket lay in its middle. */
export function nativeVariance(histogram: Histogram): number {
  const { length, lowers, uppers, counts } = bucketTable(histogram);
  const mean = histogram.sum / histogram.count;
  const squares: Sum = { sum: 0, error: 0 };
  for (let at = 0; at < length; at++) {
    const difference = middleOf(histogram, lowers[at]!, uppers[at]!) - mean;
    addTo(squares, counts[at]! * difference * difference);
  }
  return (squares.sum + squares.error) / histogram.count;
}

function middleOf(histogram: Histogram, lower: number, upper: number): number {
  if (hasCustomBuckets(histogram)) return (upper + lower) / 2;
  if (lower <= 0 && upper >= 0) return 0;
  const middle = Math.sqrt(upper * lower);
  return upper < 0 ? -middle : middle;
}
