/**
 * Arithmetic on native histograms: coarser resolutions, wider zero buckets, sums and differences,
 * and whether a counter was reset between two. Results are new histograms, compacted.
 *
 * Two histograms meet at what both can say: the coarser schema, the wider zero bucket, the bounds
 * that both custom layouts have. Sums carry their rounding errors along (see `HistogramSum`).
 */
import {
  type Buckets,
  compact,
  CUSTOM_SCHEMA,
  type Histogram,
  hasCustomBuckets,
  NO_BUCKETS,
  type ResetHint,
  sameNumbers,
} from './histogram.ts';
import { exponentialBound } from './histogram-buckets.ts';

/** The histogram in a coarser schema: 2^(difference) buckets become one. */
export function reduceResolution(histogram: Histogram, schema: number): Histogram {
  if (histogram.schema === schema) return histogram;
  const { positive, negative } = histogram;
  const by = 2 ** (histogram.schema - schema);
  const coarser = (index: number): number => Math.floor((index - 1) / by) + 1;
  return {
    ...histogram,
    schema,
    positive: mapBuckets(positive, coarser),
    negative: mapBuckets(negative, coarser),
  };
}

/** Buckets under new indexes, which must ascend as the old ones do; equal ones become one. */
function mapBuckets({ indexes, counts }: Buckets, target: (index: number) => number): Buckets {
  const newIndexes = new Int32Array(indexes.length);
  const newCounts = new Float64Array(indexes.length);
  let length = 0;
  for (let i = 0; i < indexes.length; i++) {
    const index = target(indexes[i]!);
    if (length === 0 || newIndexes[length - 1] !== index) newIndexes[length++] = index;
    newCounts[length - 1] = newCounts[length - 1]! + counts[i]!;
  }
  return { indexes: newIndexes.slice(0, length), counts: newCounts.slice(0, length) };
}

/**
 * The histogram with a zero bucket at least that wide. A bucket with observations that the new
 * threshold would cut goes in as a whole, so that the result may be wider than asked for.
 */
export function widenZeroBucket(histogram: Histogram, threshold: number): Histogram {
  if (threshold <= histogram.zeroThreshold) return histogram;
  const { positive, negative, schema } = histogram;
  let wanted = threshold;
  for (let before = -1; before !== wanted;) {
    before = wanted;
    wanted = Math.max(cutBound(positive, schema, wanted), cutBound(negative, schema, wanted));
  }
  return withZeroBucket(histogram, wanted);
}

/** The buckets that begin below the threshold go into the zero bucket. */
function withZeroBucket(histogram: Histogram, zeroThreshold: number): Histogram {
  const { positive, negative, schema } = histogram;
  const isOutside = (index: number): boolean =>
    exponentialBound(index - 1, schema) >= zeroThreshold;
  return {
    ...histogram,
    zeroThreshold,
    zeroCount: histogram.zeroCount + totalOf(positive, isOutside) + totalOf(negative, isOutside),
    positive: pickBuckets(positive, isOutside),
    negative: pickBuckets(negative, isOutside),
  };
}

/** The upper bound of the bucket with observations that `threshold` lies in; else `threshold`. */
function cutBound({ indexes, counts }: Buckets, schema: number, threshold: number): number {
  for (let i = 0; i < indexes.length; i++) {
    if (exponentialBound(indexes[i]! - 1, schema) >= threshold) break;
    const upper = exponentialBound(indexes[i]!, schema);
    if (upper > threshold && counts[i] !== 0) return upper;
  }
  return threshold;
}

function totalOf({ indexes, counts }: Buckets, isLeftOut: (index: number) => boolean): number {
  let total = 0;
  for (let i = 0; i < counts.length; i++) if (!isLeftOut(indexes[i]!)) total += counts[i]!;
  return total;
}

function pickBuckets({ indexes, counts }: Buckets, isKept: (index: number) => boolean): Buckets {
  const at = [...indexes.keys()].filter((i) => isKept(indexes[i]!));
  return {
    indexes: Int32Array.from(at, (i) => indexes[i]!),
    counts: Float64Array.from(at, (i) => counts[i]!),
  };
}

/** The bounds that both lists have. */
export function commonBounds(a: Float64Array, b: Float64Array): Float64Array {
  const inB = new Set(b);
  return a.filter((bound) => inB.has(bound));
}

/** A custom histogram under fewer bounds, all of which it has. */
function underBounds(histogram: Histogram, bounds: Float64Array): Histogram {
  const { customBounds, positive } = histogram;
  if (sameNumbers(customBounds, bounds)) return histogram;
  const target = (index: number): number => {
    const upper = index < customBounds.length ? customBounds[index]! : Infinity;
    let at = 0;
    while (at < bounds.length && bounds[at]! < upper) at++;
    return at;
  };
  return { ...histogram, customBounds: bounds, positive: mapBuckets(positive, target) };
}

/** The histogram in the coarser layout of another; its own counts do not decide anything. */
export function inLayoutOf(histogram: Histogram, like: Histogram): Histogram {
  if (like.schema === CUSTOM_SCHEMA) return underBounds(histogram, like.customBounds);
  const isWide = histogram.zeroThreshold === like.zeroThreshold;
  const zeroed = isWide ? histogram : withZeroBucket(histogram, like.zeroThreshold);
  return reduceResolution(zeroed, like.schema);
}

/** Two histograms of one layout, made from two of any. */
export interface Aligned {
  readonly a: Histogram;
  readonly b: Histogram;
  /** Custom bounds differed and only the common ones are left. */
  readonly isReconciled: boolean;
}

/** Undefined when one has custom buckets and the other has not. */
export function align(a: Histogram, b: Histogram): Aligned | undefined {
  if (hasCustomBuckets(a) !== hasCustomBuckets(b)) return undefined;
  if (hasCustomBuckets(a)) {
    if (sameNumbers(a.customBounds, b.customBounds)) return { a, b, isReconciled: false };
    const bounds = commonBounds(a.customBounds, b.customBounds);
    return { a: underBounds(a, bounds), b: underBounds(b, bounds), isReconciled: true };
  }
  let [x, y] = [a, b];
  while (x.zeroThreshold !== y.zeroThreshold) {
    const threshold = Math.max(x.zeroThreshold, y.zeroThreshold);
    x = widenZeroBucket(x, threshold);
    y = widenZeroBucket(y, threshold);
  }
  const schema = Math.min(x.schema, y.schema);
  return { a: reduceResolution(x, schema), b: reduceResolution(y, schema), isReconciled: false };
}

export interface Combined {
  readonly histogram: Histogram;
  readonly isReconciled: boolean;
  /** One said that the counter was reset, the other that it was not. */
  readonly isCollision: boolean;
}

/** a + b (or a - b). Undefined when one has custom buckets and the other has not. */
export function addHistograms(a: Histogram, b: Histogram, sign: -1 | 1 = 1): Combined | undefined {
  const aligned = align(a, b);
  if (aligned === undefined) return undefined;
  const { a: x, b: y, isReconciled } = aligned;
  const { hint, isCollision } = joinHints(a.hint, b.hint);
  const histogram: Histogram = {
    ...x,
    hint,
    zeroCount: x.zeroCount + sign * y.zeroCount,
    count: x.count + sign * y.count,
    sum: x.sum + sign * y.sum,
    positive: addBuckets(x.positive, y.positive, sign),
    negative: addBuckets(x.negative, y.negative, sign),
  };
  return { histogram: compact(histogram), isReconciled, isCollision };
}

function addBuckets(a: Buckets, b: Buckets, sign: number): Buckets {
  if (sameNumbers(a.indexes, b.indexes)) {
    const counts = a.counts.slice();
    for (let i = 0; i < counts.length; i++) counts[i] = counts[i]! + sign * b.counts[i]!;
    return { indexes: a.indexes, counts };
  }
  const indexes = unionOf(a.indexes, b.indexes);
  const counts = spread(a, indexes);
  const others = spread(b, indexes);
  for (let i = 0; i < counts.length; i++) counts[i] = counts[i]! + sign * others[i]!;
  return { indexes, counts };
}

export function unionOf(a: Int32Array, b: Int32Array): Int32Array {
  const out = new Int32Array(a.length + b.length);
  let [i, j, to] = [0, 0, 0];
  while (i < a.length || j < b.length) {
    const index = Math.min(a[i] ?? Infinity, b[j] ?? Infinity);
    if (a[i] === index) i++;
    if (b[j] === index) j++;
    out[to++] = index;
  }
  return out.slice(0, to);
}

/** The counts at the places of `indexes`, which has all of the buckets' own. */
export function spread(buckets: Buckets, indexes: Int32Array): Float64Array {
  const counts = new Float64Array(indexes.length);
  let from = 0;
  for (let i = 0; i < indexes.length && from < buckets.indexes.length; i++) {
    if (buckets.indexes[from] === indexes[i]) counts[i] = buckets.counts[from++]!;
  }
  return counts;
}

/** The hint of a sum. */
export function joinHints(
  a: ResetHint,
  b: ResetHint,
): { readonly hint: ResetHint; readonly isCollision: boolean } {
  if (a === b) return { hint: a, isCollision: false };
  if (a === 'gauge' || b === 'gauge') return { hint: 'gauge', isCollision: false };
  const isCollision = a !== 'unknown' && b !== 'unknown';
  return { hint: 'unknown', isCollision };
}

/** Every count and the sum put through `change`; the hint stays. */
export function mapCounts(histogram: Histogram, change: (count: number) => number): Histogram {
  const { positive, negative } = histogram;
  return {
    ...histogram,
    zeroCount: change(histogram.zeroCount),
    count: change(histogram.count),
    sum: change(histogram.sum),
    positive: changed(positive, change),
    negative: changed(negative, change),
  };
}

function changed(buckets: Buckets, change: (count: number) => number): Buckets {
  if (buckets.counts.length === 0) return NO_BUCKETS;
  return { indexes: buckets.indexes, counts: buckets.counts.map(change) };
}

/** All counts and the sum times `factor`; what is negative is no counter but a gauge. */
export function scaleHistogram(histogram: Histogram, factor: number): Histogram {
  const product = mapCounts(histogram, (count) => count * factor);
  return compact(factor < 0 ? { ...product, hint: 'gauge' } : product);
}

/** All counts and the sum divided; by zero nothing is left in the buckets. */
export function divideHistogram(histogram: Histogram, by: number): Histogram {
  const quotient = mapCounts(histogram, (count) => count / by);
  const divided: Histogram = by < 0 ? { ...quotient, hint: 'gauge' } : quotient;
  if (by !== 0) return compact(divided);
  return { ...divided, positive: NO_BUCKETS, negative: NO_BUCKETS };
}

/** True when the counter was reset between `previous` and `current`. */
export function isReset(current: Histogram, previous: Histogram): boolean {
  if (current.hint === 'reset') return true;
  if (current.hint === 'not_reset') return false;
  if (current.count < previous.count) return true;
  if (hasCustomBuckets(current) !== hasCustomBuckets(previous)) return true;
  if (current.schema !== CUSTOM_SCHEMA) {
    if (current.schema > previous.schema) return true;
    if (current.zeroThreshold < previous.zeroThreshold) return true;
    const widened = widenZeroBucket(previous, current.zeroThreshold);
    if (widened.zeroThreshold !== current.zeroThreshold) return true; // it cuts a bucket
    if (current.zeroCount < widened.zeroCount) return true;
  }
  const aligned = align(current, previous);
  if (aligned === undefined) return true;
  const { a, b } = aligned;
  return isAnyLower(a.positive, b.positive) || isAnyLower(a.negative, b.negative);
}

/** True when a bucket counts less than it did. */
function isAnyLower(current: Buckets, previous: Buckets): boolean {
  let at = 0;
  for (let i = 0; i < previous.indexes.length; i++) {
    if (previous.counts[i] === 0) continue;
    const index = previous.indexes[i]!;
    while (at < current.indexes.length && current.indexes[at]! < index) at++;
    if (current.indexes[at] !== index || current.counts[at]! < previous.counts[i]!) return true;
  }
  return false;
}
