/**
 * The k largest (or smallest) samples of one step, by a heap of k rows: the worst kept row on top.
 *
 *   heap[0]                 a new row is compared with the top only; if it is better it takes the
 *   /     \                 top's place and sinks. Equal values keep the order that Go's
 *  heap[1] heap[2] …        container/heap leaves them in, so that ties fall as in Prometheus.
 */

import { FLOAT } from './block.ts';

/**
 * Puts the chosen ones of `rows` into `heap[0..n)`, unsorted, and returns n. `sign` is 1 for the
 * largest, -1 for the smallest. NaN loses against every number. `heap` holds at least k rows.
 */
export function selectTop(
  rows: readonly number[],
  values: Float64Array,
  present: Uint8Array,
  at: { readonly t: number; readonly steps: number; readonly k: number; readonly sign: number },
  heap: Uint32Array,
): number {
  const { t, steps, k, sign } = at;
  let size = 0;
  if (k < 1) return 0;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    const cell = row * steps + t;
    if (present[cell] !== FLOAT) continue;
    if (size < k) {
      heap[size] = row;
      rise(heap, size, values, t, steps, sign);
      size++;
      continue;
    }
    const value = values[cell]!;
    const worst = values[heap[0]! * steps + t]!;
    const isBetter = sign * worst < sign * value || (worst !== worst && value === value);
    if (!isBetter) continue;
    heap[0] = row;
    sink(heap, size, values, t, steps, sign);
  }
  return size;
}

/** True when the first is worse. NaN is worse than anything, itself included, as in Prometheus. */
function isWorse(a: number, b: number, sign: number): boolean {
  return a !== a || sign * a < sign * b;
}

function rise(
  heap: Uint32Array,
  from: number,
  values: Float64Array,
  t: number,
  steps: number,
  sign: number,
): void {
  let at = from;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const row = heap[at]!;
    const above = heap[parent]!;
    if (!isWorse(values[row * steps + t]!, values[above * steps + t]!, sign)) return;
    heap[at] = above;
    heap[parent] = row;
    at = parent;
  }
}

function sink(
  heap: Uint32Array,
  size: number,
  values: Float64Array,
  t: number,
  steps: number,
  sign: number,
): void {
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) return;
    const right = child + 1;
    const left = values[heap[child]! * steps + t]!;
    if (right < size && isWorse(values[heap[right]! * steps + t]!, left, sign)) child = right;
    const row = heap[at]!;
    const below = heap[child]!;
    if (!isWorse(values[below * steps + t]!, values[row * steps + t]!, sign)) return;
    heap[at] = below;
    heap[child] = row;
    at = child;
  }
}
