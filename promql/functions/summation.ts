/**
 * Compensated summation (Neumaier's form of Kahan's): the rounding error of each addition is kept
 * beside the sum. Every sum and mean of the engine uses it, because Prometheus' do and answers are
 * compared to the last digit. The hot loops of aggregation have it written out.
 */
export interface Sum {
  sum: number;
  error: number;
}

/** Adds `value`; an infinite sum forgets its error. */
export function addTo(acc: Sum, value: number): void {
  const next = acc.sum + value;
  acc.error = nextError(acc.sum, value, next, acc.error);
  acc.sum = next;
}

/** The error after `next = sum + value`. */
export function nextError(sum: number, value: number, next: number, error: number): number {
  if (next === Infinity || next === -Infinity) return 0;
  if (Math.abs(sum) >= Math.abs(value)) return error + (sum - next + value);
  return error + (value - next + sum);
}

/** True for both infinities; false for NaN. */
export function isInfinite(value: number): boolean {
  return value === Infinity || value === -Infinity;
}

/** The φ-quantile of `values`, which it sorts; NaN counts as the smallest. */
export function quantileOf(phi: number, values: Float64Array): number {
  const n = values.length;
  if (n === 0 || Number.isNaN(phi)) return NaN;
  if (phi < 0) return -Infinity;
  if (phi > 1) return Infinity;
  sortNanFirst(values);
  const rank = phi * (n - 1);
  const lower = Math.max(0, Math.floor(rank));
  const upper = Math.min(n - 1, lower + 1);
  const weight = rank - Math.floor(rank);
  return values[lower]! * (1 - weight) + values[upper]! * weight;
}

/** Sorts ascending with NaN first; a typed array sorts NaN last by itself. */
function sortNanFirst(values: Float64Array): void {
  values.sort();
  let nans = 0;
  while (nans < values.length && Number.isNaN(values[values.length - 1 - nans]!)) nans++;
  if (nans === 0) return;
  values.copyWithin(nans, 0, values.length - nans);
  values.fill(NaN, 0, nans);
}
