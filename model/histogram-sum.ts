/**
 * Sums and means of many native histograms, with the rounding error of every count kept beside it
 * (Neumaier's form of Kahan's sum), as Prometheus adds them.
 *
 * The errors stand in a histogram of the same layout. A mean whose sum overflows goes on as the
 * incremental mean.
 */
import { type Buckets, compact, type Histogram, type ResetHint, sameNumbers } from './histogram.ts';
import {
  align,
  inLayoutOf,
  joinHints,
  mapCounts,
  scaleHistogram,
  spread,
  unionOf,
} from './histogram-math.ts';

/** What became of one addition. */
export interface Added {
  /** False: one has custom buckets and the other has not; nothing was added. */
  readonly isDone: boolean;
  readonly isReconciled: boolean;
}

export class HistogramSum {
  #sum: Histogram;
  #error: Histogram;
  #count = 1;
  #isMean = false;
  #hint: ResetHint;
  #hasReset = false;
  #hasNotReset = false;

  constructor(first: Histogram) {
    this.#sum = first;
    this.#error = mapCounts(first, () => 0);
    this.#hint = first.hint;
    this.#note(first.hint);
  }

  #note(hint: ResetHint): void {
    if (hint === 'reset') this.#hasReset = true;
    if (hint === 'not_reset') this.#hasNotReset = true;
  }

  /** True when some said that the counter was reset, and some that it was not. */
  get isCollision(): boolean {
    return this.#hasReset && this.#hasNotReset;
  }

  add(other: Histogram): Added {
    this.#note(other.hint);
    const sum = align(this.#sum, other);
    if (sum === undefined) return { isDone: false, isReconciled: false };
    this.#error = inLayoutOf(this.#error, sum.a);
    this.#hint = joinHints(this.#hint, other.hint).hint;
    this.#count++;
    this.#addAligned(sum.a, sum.b);
    return { isDone: true, isReconciled: sum.isReconciled };
  }

  #addAligned(sum: Histogram, other: Histogram): void {
    const parts = this.#isMean ? this.#meanParts(sum, other) : { sum, other };
    const [next, error] = addCompensated(parts.sum, this.#error, parts.other);
    if (this.#isMean || !hasOverflow(next) || hasOverflow(sum) || hasOverflow(other)) {
      this.#sum = next;
      this.#error = error;
      return;
    }
    const before = this.#count - 1;
    this.#isMean = true;
    this.#error = mapCounts(this.#error, (count) => count / before);
    this.#addAligned(
      mapCounts(sum, (count) => count / before),
      other,
    );
  }

  #meanParts(mean: Histogram, other: Histogram): { sum: Histogram; other: Histogram } {
    const n = this.#count;
    this.#error = mapCounts(this.#error, (count) => count * ((n - 1) / n));
    return {
      sum: mapCounts(mean, (count) => count * ((n - 1) / n)),
      other: mapCounts(other, (count) => count / n),
    };
  }

  /** The sum. */
  sum(): Histogram {
    const total = this.#isMean ? scaleHistogram(this.#sum, this.#count) : this.#sum;
    const error = this.#isMean ? scaleHistogram(this.#error, this.#count) : this.#error;
    return this.#finish(total, error, 1);
  }

  /** The mean of all that was added. */
  mean(): Histogram {
    return this.#finish(this.#sum, this.#error, this.#isMean ? 1 : this.#count);
  }

  #finish(sum: Histogram, error: Histogram, by: number): Histogram {
    const [total] = addCompensated(
      mapCounts(sum, (count) => count / by),
      mapCounts(error, () => 0),
      mapCounts(error, (count) => count / by),
    );
    return compact({ ...total, hint: this.#hint });
  }
}

/** [a + b, the error of it and of all before]; a and b have one layout but for their buckets. */
function addCompensated(
  a: Histogram,
  error: Histogram,
  b: Histogram,
): readonly [Histogram, Histogram] {
  const positive = addBuckets(a.positive, error.positive, b.positive);
  const negative = addBuckets(a.negative, error.negative, b.negative);
  const [zeroCount, zeroError] = addNumber(a.zeroCount, error.zeroCount, b.zeroCount);
  const [count, countError] = addNumber(a.count, error.count, b.count);
  const [sum, sumError] = addNumber(a.sum, error.sum, b.sum);
  return [
    { ...a, zeroCount, count, sum, positive: positive.sums, negative: negative.sums },
    {
      ...a,
      zeroCount: zeroError,
      count: countError,
      sum: sumError,
      positive: positive.errors,
      negative: negative.errors,
    },
  ];
}

function addBuckets(
  a: Buckets,
  error: Buckets,
  b: Buckets,
): { readonly sums: Buckets; readonly errors: Buckets } {
  const isOneLayout = sameNumbers(a.indexes, b.indexes) && sameNumbers(a.indexes, error.indexes);
  const indexes = isOneLayout ? a.indexes : unionOf(unionOf(a.indexes, b.indexes), error.indexes);
  const sums = isOneLayout ? a.counts.slice() : spread(a, indexes);
  const errors = isOneLayout ? error.counts.slice() : spread(error, indexes);
  const others = isOneLayout ? b.counts : spread(b, indexes);
  for (let i = 0; i < sums.length; i++) {
    const x = sums[i]!;
    const y = others[i]!;
    const next = x + y;
    if (next === Infinity || next === -Infinity) errors[i] = 0;
    else if (Math.abs(x) >= Math.abs(y)) errors[i] = errors[i]! + (x - next + y);
    else errors[i] = errors[i]! + (y - next + x);
    sums[i] = next;
  }
  return { sums: { indexes, counts: sums }, errors: { indexes, counts: errors } };
}

function addNumber(a: number, error: number, b: number): readonly [number, number] {
  const next = a + b;
  if (next === Infinity || next === -Infinity) return [next, 0];
  const lost = Math.abs(a) >= Math.abs(b) ? a - next + b : b - next + a;
  return [next, error + lost];
}

function hasOverflow({ zeroCount, count, sum, positive, negative }: Histogram): boolean {
  const isInfinite = (value: number): boolean => value === Infinity || value === -Infinity;
  if (isInfinite(zeroCount) || isInfinite(count) || isInfinite(sum)) return true;
  return positive.counts.some(isInfinite) || negative.counts.some(isInfinite);
}
