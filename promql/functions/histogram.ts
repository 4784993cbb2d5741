/**
 * Quantiles and fractions of classic histograms: cumulative buckets, each with an upper bound `le`.
 *
 *   count   |        ___ +Inf      the rank is found among the cumulative counts, and the value
 *           |   ____|              interpolated linearly inside its bucket; what lies in the last
 *           |__|                   bucket answers with the highest finite bound
 */

export interface Bucket {
  readonly bound: number;
  count: number;
}

export interface BucketAnswer {
  readonly value: number;
  /** True when counts had to be raised to be monotonic by more than rounding errors. */
  readonly isForced: boolean;
}

/** Differences below this share of the values are rounding errors. */
const SMALL_SHARE = 1e-12;
const SMALLEST_NORMAL = 2 ** -1022;

/** The φ-quantile of the buckets, which it sorts and repairs. */
export function bucketQuantile(phi: number, buckets: Bucket[]): BucketAnswer {
  if (Number.isNaN(phi)) return plain(NaN);
  if (phi < 0) return plain(-Infinity);
  if (phi > 1) return plain(Infinity);
  const merged = sortedAndMerged(buckets);
  if (merged[merged.length - 1]?.bound !== Infinity) return plain(NaN);
  const isForced = makeMonotonic(merged);
  if (merged.length < 2) return { value: NaN, isForced };
  const total = merged[merged.length - 1]!.count;
  if (total === 0) return { value: NaN, isForced };
  return { value: interpolated(merged, phi * total), isForced };
}

function interpolated(buckets: readonly Bucket[], rank: number): number {
  const last = buckets.length - 1;
  let at = 0;
  while (at < last && !(buckets[at]!.count >= rank)) at++;
  if (at === last) return buckets[last - 1]!.bound;
  const { bound, count } = buckets[at]!;
  if (at === 0) return bound <= 0 ? bound : bound * (rank / count);
  const below = buckets[at - 1]!;
  return below.bound + (bound - below.bound) * ((rank - below.count) / (count - below.count));
}

/** The share of observations in [lower, upper]. */
export function bucketFraction(lower: number, upper: number, buckets: Bucket[]): number {
  const merged = sortedAndMerged(buckets);
  if (merged[merged.length - 1]?.bound !== Infinity) return NaN;
  const total = merged[merged.length - 1]!.count;
  if (total === 0 || Number.isNaN(lower) || Number.isNaN(upper)) return NaN;
  if (lower >= upper) return 0;
  return (rankOf(upper, merged, total) - rankOf(lower, merged, total)) / total;
}

/** How many observations lie below `value`, interpolated. */
function rankOf(value: number, buckets: readonly Bucket[], total: number): number {
  let rank = 0;
  for (let i = 0; i < buckets.length; i++) {
    const { bound, count } = buckets[i]!;
    const below = i > 0 ? buckets[i - 1]!.bound : bound > 0 ? 0 : -Infinity;
    if (below >= value) return Math.min(rank, total);
    if (bound > value) {
      if (below === -Infinity) return Math.min(count, total); // no width to interpolate in
      const found = rank + ((count - rank) * (value - below)) / (bound - below);
      return found > total ? total : found;
    }
    rank = count;
  }
  return total;
}

/** The same array where nothing is to be done. */
function sortedAndMerged(buckets: Bucket[]): Bucket[] {
  if (isRising(buckets)) return buckets;
  buckets.sort((a, b) => (a.bound < b.bound ? -1 : a.bound > b.bound ? 1 : 0));
  const merged: Bucket[] = [];
  for (const { bound, count } of buckets) {
    const last = merged[merged.length - 1];
    if (last?.bound === bound) last.count += count;
    else merged.push({ bound, count });
  }
  return merged;
}

function isRising(buckets: readonly Bucket[]): boolean {
  for (let i = 1; i < buckets.length; i++) {
    if (!(buckets[i - 1]!.bound < buckets[i]!.bound)) return false;
  }
  return true;
}

/** Raises counts that are below the one before. True when one was by more than rounding. */
function makeMonotonic(buckets: Bucket[]): boolean {
  let isForced = false;
  let previous = buckets[0]!.count;
  for (let i = 1; i < buckets.length; i++) {
    const { count } = buckets[i]!;
    if (count === previous) continue;
    if (isAlmostEqual(previous, count)) {
      buckets[i]!.count = previous;
    } else if (count < previous) {
      buckets[i]!.count = previous;
      isForced = true;
    } else {
      previous = count;
    }
  }
  return isForced;
}

function isAlmostEqual(a: number, b: number): boolean {
  const sum = Math.abs(a) + Math.abs(b);
  const difference = Math.abs(a - b);
  if (a === 0 || b === 0 || sum < SMALLEST_NORMAL) {
    return difference < SMALL_SHARE * SMALLEST_NORMAL;
  }
  return difference / Math.min(sum, Number.MAX_VALUE) < SMALL_SHARE;
}

function plain(value: number): BucketAnswer {
  return { value, isForced: false };
}
