/**
 * A native histogram: counts in exponential buckets (or in custom ones, as classic histograms have
 * them), as one value. Always in float form, counts absolute:
 *
 *   negative            zero bucket           positive
 *   ) [-4,-2)  [-2,-1) [-0.001, 0.001]  (1,2]  (2,4] (…      schema 0: bounds are powers of 2
 *     index 2   index 1                 index 1 index 2      schema n: powers of 2^(2^-n)
 *
 *   custom (schema -53): positive only, bucket i is (bounds[i-1], bounds[i]], from -Inf to +Inf
 *
 * Buckets are sparse: an index and a count for each that is mentioned, indexes ascending; a count of
 * 0 may be mentioned and means the same as none. Invariant: a histogram is never changed once made.
 */
import { assert } from './assert.ts';
import { StarlingError } from './errors.ts';

/** What the writer said about a reset of the counter between the sample before and this one. */
export type ResetHint = 'gauge' | 'not_reset' | 'reset' | 'unknown';

/** Counts by bucket index; both arrays have one length. */
export interface Buckets {
  /** Ascending, none twice. */
  readonly indexes: Int32Array;
  readonly counts: Float64Array;
}

export interface Histogram {
  readonly hint: ResetHint;
  /** -4 to 8, or `CUSTOM_SCHEMA`. */
  readonly schema: number;
  /** The zero bucket is [-zeroThreshold, zeroThreshold]. */
  readonly zeroThreshold: number;
  readonly zeroCount: number;
  /** All observations, NaN ones (which are in no bucket) included. */
  readonly count: number;
  readonly sum: number;
  readonly positive: Buckets;
  readonly negative: Buckets;
  /** The finite upper bounds of custom buckets, ascending; empty for exponential schemas. */
  readonly customBounds: Float64Array;
}

/** A run of buckets as the wire and the chunk formats have it. */
export interface Span {
  /** From the end of the span before; of the first span, its index. */
  readonly offset: number;
  readonly length: number;
}

export const SCHEMA_MIN = -4;
export const SCHEMA_MAX = 8;
export const CUSTOM_SCHEMA = -53;

export const NO_BUCKETS: Buckets = { indexes: new Int32Array(0), counts: new Float64Array(0) };
export const NO_BOUNDS = new Float64Array(0);

/** The histogram that counts nothing. */
export const EMPTY_HISTOGRAM: Histogram = {
  hint: 'unknown',
  schema: 0,
  zeroThreshold: 0,
  zeroCount: 0,
  count: 0,
  sum: 0,
  positive: NO_BUCKETS,
  negative: NO_BUCKETS,
  customBounds: NO_BOUNDS,
};

export function hasCustomBuckets({ schema }: Histogram): boolean {
  return schema === CUSTOM_SCHEMA;
}

/** Buckets from spans and the counts in them. Throws `histogram.invalid` when they do not fit. */
export function bucketsFromSpans(spans: readonly Span[], counts: ArrayLike<number>): Buckets {
  const indexes = new Int32Array(counts.length);
  let at = 0;
  let index = 0;
  for (let i = 0; i < spans.length; i++) {
    const { offset, length } = spans[i]!;
    if (i > 0 && offset < 0) throw invalid(`span ${i} has the negative offset ${offset}`);
    index += offset;
    if (at + length > counts.length) throw invalid('the spans name more buckets than there are');
    for (let n = 0; n < length; n++) indexes[at++] = index++;
  }
  if (at !== counts.length) throw invalid('the spans name fewer buckets than there are');
  return { indexes, counts: Float64Array.from(counts) };
}

/** The spans of buckets: runs of neighbouring indexes. */
export function spansOf({ indexes }: Buckets): readonly Span[] {
  const spans: { offset: number; length: number }[] = [];
  let end = 0;
  for (const index of indexes) {
    const last = spans[spans.length - 1];
    if (last !== undefined && index === end) last.length++;
    else spans.push({ offset: index - end, length: 1 });
    end = index + 1;
  }
  return spans;
}

/** Throws `histogram.invalid` for what no honest writer sends. */
export function validateHistogram(histogram: Histogram): void {
  const { schema, customBounds, zeroCount, count, sum, positive, negative } = histogram;
  if (schema === CUSTOM_SCHEMA) validateCustom(histogram);
  else {
    if (!(schema >= SCHEMA_MIN && schema <= SCHEMA_MAX)) throw invalid(`schema ${schema}`);
    if (customBounds.length > 0) throw invalid('custom bounds in an exponential schema');
    if (!(histogram.zeroThreshold >= 0)) throw invalid('a negative zero threshold');
  }
  const counted = zeroCount + checkedTotal(positive) + checkedTotal(negative);
  if (!(zeroCount >= 0)) throw invalid('a negative zero count');
  if (!(count >= 0)) throw invalid('a negative count');
  const isFull = counted <= count * (1 + COUNT_SLACK);
  if (!isFull) throw invalid(`${counted} observations in buckets, but a count of ${count}`);
  const isExact = Number.isNaN(sum) || counted >= count * (1 - COUNT_SLACK);
  if (!isExact) throw invalid(`only ${counted} observations in buckets of a count of ${count}`);
}

/** Float counts are sums of many: the last digits of two ways to add may differ. */
const COUNT_SLACK = 1e-9;

function validateCustom({ customBounds, zeroCount, zeroThreshold, ...rest }: Histogram): void {
  if (zeroCount !== 0 || zeroThreshold !== 0) throw invalid('custom buckets with a zero bucket');
  if (rest.negative.counts.length > 0) throw invalid('custom buckets with negative buckets');
  for (let i = 0; i < customBounds.length; i++) {
    if (!Number.isFinite(customBounds[i]!)) throw invalid('a custom bound that is not finite');
    if (i > 0 && !(customBounds[i]! > customBounds[i - 1]!)) {
      throw invalid('custom bounds out of order');
    }
  }
  const { indexes } = rest.positive;
  const isInside = indexes.every((index) => index >= 0 && index <= customBounds.length);
  if (!isInside) throw invalid('a custom bucket beyond the bounds');
}

function checkedTotal({ indexes, counts }: Buckets): number {
  assert(indexes.length === counts.length, 'one count for each index');
  let total = 0;
  for (let i = 0; i < counts.length; i++) {
    if (!(counts[i]! >= 0)) throw invalid(`bucket ${indexes[i]!} has the count ${counts[i]!}`);
    if (i > 0 && indexes[i]! <= indexes[i - 1]!) throw invalid('buckets out of order');
    total += counts[i]!;
  }
  return total;
}

function invalid(why: string): StarlingError {
  return new StarlingError('histogram.invalid', { why });
}

/** The histogram without buckets that count nothing; itself when it has none. */
export function compact(histogram: Histogram): Histogram {
  const positive = withoutEmpty(histogram.positive);
  const negative = withoutEmpty(histogram.negative);
  const isSame = positive === histogram.positive && negative === histogram.negative;
  return isSame ? histogram : { ...histogram, positive, negative };
}

function withoutEmpty(buckets: Buckets): Buckets {
  const { indexes, counts } = buckets;
  if (!counts.includes(0)) return buckets;
  const isKept = (_: number, at: number): boolean => counts[at] !== 0;
  return { indexes: indexes.filter(isKept), counts: counts.filter(isKept) };
}

/** Equal in everything but the hint; both compacted. NaN equals NaN, 0 does not equal -0. */
export function equalHistograms(a: Histogram, b: Histogram): boolean {
  return (
    a.schema === b.schema &&
    Object.is(a.count, b.count) &&
    Object.is(a.sum, b.sum) &&
    a.zeroThreshold === b.zeroThreshold &&
    Object.is(a.zeroCount, b.zeroCount) &&
    sameNumbers(a.customBounds, b.customBounds) &&
    sameBuckets(a.positive, b.positive) &&
    sameBuckets(a.negative, b.negative)
  );
}

function sameBuckets(a: Buckets, b: Buckets): boolean {
  return sameNumbers(a.indexes, b.indexes) && sameNumbers(a.counts, b.counts);
}

/** Two lists of numbers, element by element; NaN equals NaN. */
export function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}
