/**
 * Cutting observations off a native histogram at a value: what `</` (nothing above stays) and `>/`
 * (nothing below stays) do.
 *
 *   bounds     l ────────┼──────── u      the bucket that the value lies in keeps a share: even on a
 *                     value               logarithmic scale, or on a linear one where the zero bucket
 *                                         or custom bounds are concerned
 *
 * The sum of what is left is unknown; it is estimated from the middle of each bucket. When nothing
 * was cut the histogram is given back as it is.
 */
import { upperBound } from './histogram-buckets.ts';
import { type Buckets, compact, type Histogram, hasCustomBuckets } from './histogram.ts';

export type KeptSide = 'above' | 'below';

interface Bucket {
  readonly lower: number;
  readonly upper: number;
  readonly isLinear: boolean;
}

/** The observations on one side of `value`. NaN cuts everything off. */
export function trimHistogram(histogram: Histogram, side: KeptSide, value: number): Histogram {
  const tally = { count: 0, sum: 0, isCut: false };
  const keep = (bucket: Bucket, count: number): number => {
    const [lower, upper, share] = keptPart(bucket, side, value);
    const kept = count * share;
    if (share < 1 && count !== 0) tally.isCut = true;
    tally.count += kept;
    if (kept !== 0) tally.sum += kept * middle({ ...bucket, lower, upper });
    return kept;
  };
  const isCustom = hasCustomBuckets(histogram);
  const of = (buckets: Buckets, sign: -1 | 1): Buckets => {
    const counts = buckets.counts.map((count, i) => {
      const index = buckets.indexes[i]!;
      const near = upperBound(histogram, index - 1);
      const far = upperBound(histogram, index);
      const [lower, upper] = sign === 1 ? [near, far] : [-far, -near];
      return keep({ lower, upper, isLinear: isCustom }, count);
    });
    return { indexes: buckets.indexes, counts };
  };
  const negative = of(histogram.negative, -1);
  const zeroCount = keep(zeroBucket(histogram), histogram.zeroCount);
  const positive = of(histogram.positive, 1);
  if (!tally.isCut) return histogram;
  const { count, sum } = tally;
  return compact({ ...histogram, count, sum, zeroCount, negative, positive });
}

/** The zero bucket reaches to 0 only on a side where nothing else was observed. */
function zeroBucket({ negative, positive, zeroThreshold }: Histogram): Bucket {
  const [hasNegative, hasPositive] = [negative.counts.length > 0, positive.counts.length > 0];
  return {
    lower: hasPositive && !hasNegative ? 0 : -zeroThreshold,
    upper: hasNegative && !hasPositive ? 0 : zeroThreshold,
    isLinear: true,
  };
}

type Part = readonly [lower: number, upper: number, share: number];

/** The part of a bucket that stays, and its share of the observations. */
function keptPart(bucket: Bucket, side: KeptSide, value: number): Part {
  const { upper } = bucket;
  const lower = bucket.lower === -Infinity && upper > 0 ? 0 : bucket.lower;
  const isBelow = side === 'below';
  if (isBelow ? value >= upper : value <= bucket.lower) return [lower, upper, 1];
  const isInside = value > lower && value < upper;
  if (!isInside || lower === -Infinity || upper === Infinity) {
    // What lies in a bucket without end is taken to lie at its end.
    const staysWhole = isBelow ? lower === -Infinity && value >= upper : upper === Infinity;
    const isReached = isBelow ? value >= upper : isInside || value <= lower;
    return [lower, upper, staysWhole && isReached ? 1 : 0];
  }
  const below = shareBelow({ ...bucket, lower }, value);
  return isBelow ? [lower, value, below] : [value, upper, 1 - below];
}

function shareBelow({ lower, upper, isLinear }: Bucket, value: number): number {
  if (isLinear) return (value - lower) / (upper - lower);
  const low = Math.log2(Math.abs(lower));
  return (Math.log2(Math.abs(value)) - low) / (Math.log2(Math.abs(upper)) - low);
}

/** What an observation in a bucket is taken to be. */
function middle({ lower, upper, isLinear }: Bucket): number {
  if (lower === -Infinity) return upper > 0 ? upper / 2 : upper;
  if (upper === Infinity) return lower;
  if (isLinear) return (lower + upper) / 2;
  const mean = Math.sqrt(Math.abs(lower * upper));
  return upper > 0 ? mean : -mean;
}
