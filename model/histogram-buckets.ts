/**
 * The bounds of a native histogram's buckets, and its buckets in order:
 *
 *   negative from the farthest   zero bucket   positive to the farthest
 *   [-4,-2)  [-2,-1)             [-z, z]       (1,2]  (2,4]
 *
 * Bounds are what Prometheus has to the last digit: those of a finer schema that a coarser one has
 * too are taken from there, the others are the one before times 2^(2^-schema).
 */
import { CUSTOM_SCHEMA, type Histogram, SCHEMA_MAX } from './histogram.ts';

const LN2_HIGH = 6.9314718036912381649e-1;
const LN2_LOW = 1.90821492927058770002e-10;

/** 2^x by Sun's published method, as Go computes it; V8 differs in the last digit. */
export function exp2(x: number): number {
  if (Number.isNaN(x) || x === Infinity) return x;
  if (x === -Infinity) return 0;
  if (x > 1024) return Infinity;
  if (x < -1075) return 0;
  const k = x > 0 ? Math.trunc(x + 0.5) : Math.trunc(x - 0.5);
  const high = (x - k) * LN2_HIGH;
  const low = -(x - k) * LN2_LOW;
  const r = high - low;
  const t = r * r;
  const c =
    r -
    t *
      (1.66666666666666657415e-1 +
        t *
          (-2.77777777770155933842e-3 +
            t *
              (6.61375632143793436117e-5 +
                t * (-1.6533902205465251539e-6 + t * 4.13813679705723846039e-8))));
  const y = 1 - (low - (r * c) / (2 - c) - high);
  return scaled(y, k);
}

/** y * 2^exponent, in two steps where one would leave the range. */
function scaled(y: number, exponent: number): number {
  if (exponent > 1000) return y * 2 ** 1000 * 2 ** (exponent - 1000);
  if (exponent < -1000) return y * 2 ** (exponent + 200) * 2 ** -200;
  return y * 2 ** exponent;
}

/** For schema 0 to 8 the bounds in [0.5, 1). */
const FRACTIONS: readonly Float64Array[] = fractions();

function fractions(): Float64Array[] {
  const tables: Float64Array[] = [Float64Array.of(0.5)];
  for (let schema = 1; schema <= SCHEMA_MAX; schema++) {
    const coarser = tables[schema - 1]!;
    const factor = exp2(2 ** -schema);
    const table = new Float64Array(coarser.length * 2);
    for (let i = 0; i < table.length; i += 2) {
      table[i] = coarser[i / 2]!;
      table[i + 1] = coarser[i / 2]! * factor;
    }
    tables.push(table);
  }
  return tables;
}

/** The upper bound of positive bucket `index` of an exponential schema. */
export function exponentialBound(index: number, schema: number): number {
  if (schema < 0) return powerOf2(index * 2 ** -schema);
  const size = 2 ** schema;
  const whole = Math.floor(index / size);
  const part = index - whole * size;
  if (part === 0) return powerOf2(whole);
  return scaled(FRACTIONS[schema]![part]!, whole + 1);
}

/** The last bucket before the one of infinity ends at the largest number. */
function powerOf2(exponent: number): number {
  return exponent === 1024 ? Number.MAX_VALUE : scaled(1, Math.min(exponent, 1025));
}

/** The upper bound of bucket `index` on the positive side; the lower one is that of `index - 1`. */
export function upperBound({ schema, customBounds }: Histogram, index: number): number {
  if (schema !== CUSTOM_SCHEMA) return exponentialBound(index, schema);
  if (index < 0) return -Infinity;
  return index < customBounds.length ? customBounds[index]! : Infinity;
}

/** All buckets in ascending order, empty ones left out. */
export interface BucketTable {
  readonly length: number;
  readonly lowers: Float64Array;
  readonly uppers: Float64Array;
  readonly counts: Float64Array;
}

export function bucketTable(histogram: Histogram): BucketTable {
  const { negative, positive, zeroCount, zeroThreshold } = histogram;
  const lengthMax = negative.counts.length + positive.counts.length + 1;
  const lowers = new Float64Array(lengthMax);
  const uppers = new Float64Array(lengthMax);
  const counts = new Float64Array(lengthMax);
  let length = 0;
  const add = (lower: number, upper: number, count: number): void => {
    if (count === 0) return;
    lowers[length] = lower;
    uppers[length] = upper;
    counts[length] = count;
    length++;
  };
  for (let i = negative.counts.length - 1; i >= 0; i--) {
    const index = negative.indexes[i]!;
    add(-upperBound(histogram, index), -upperBound(histogram, index - 1), negative.counts[i]!);
  }
  add(-zeroThreshold, zeroThreshold, zeroCount);
  for (let i = 0; i < positive.counts.length; i++) {
    const index = positive.indexes[i]!;
    add(upperBound(histogram, index - 1), upperBound(histogram, index), positive.counts[i]!);
  }
  return { length, lowers, uppers, counts };
}

/** Whether the bounds of a bucket of the table belong to it. */
export function inclusions(
  { schema }: Histogram,
  lower: number,
  upper: number,
): { readonly lower: boolean; readonly upper: boolean } {
  if (schema === CUSTOM_SCHEMA) return { lower: lower === -Infinity, upper: true };
  if (lower <= 0 && upper >= 0 && lower === -upper) return { lower: true, upper: true };
  return { lower: lower < 0, upper: upper > 0 };
}
