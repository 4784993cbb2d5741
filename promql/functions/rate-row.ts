/**
 * rate, increase and delta of one series over all steps: the difference between last and first
 * sample of each window, extrapolated to its edges as Prometheus does.
 *
 *   (start |··first——————————last··| end]   gaps up to 1.1 times the average distance are bridged,
 *                                           longer ones by half of it; a counter never below zero
 *
 * The hottest loop of the engine: the walk over the windows and the arithmetic stand in one
 * function, without an object or a call per window. rate-row.wat does the same, operation by operation, where the samples
 * are in scratch memory (rate-kernel.ts): who changes one changes the other.
 */
import type { FunctionName } from '../functions-table.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';

/** What a rate function asks of a window. */
export interface RateFunction {
  /** False for delta: values may fall, and below zero. */
  readonly isCounter: boolean;
  /** True for rate. */
  readonly isPerSecond: boolean;
}

export const rateFunctions: Readonly<Partial<Record<FunctionName, RateFunction>>> = {
  delta: { isCounter: false, isPerSecond: false },
  increase: { isCounter: true, isPerSecond: false },
  rate: { isCounter: true, isPerSecond: true },
};

/** Where the windows lie, and what is asked of them. */
export interface RateShape extends RateFunction {
  readonly firstEndMs: number;
  readonly stepMs: number;
  readonly rangeMs: number;
  readonly steps: number;
  /** Of `weightsBefore`, where samples stand for several. */
  readonly weightBefore?: Float64Array | undefined;
}

/** For each place the sum of the weights before it: those of `[from, to)` are the difference. */
export function weightsBefore(weights: Float64Array): Float64Array {
  const sums = new Float64Array(weights.length + 1);
  for (let i = 0; i < weights.length; i++) sums[i + 1] = sums[i]! + weights[i]!;
  return sums;
}

/**
 * For each sample the last place up to it, in its series, where the counter began anew:
 * `[from, to)` holds a reset exactly when `lastResets[to - 1] > from`.
 */
export function lastResets({ ends, values, timestamps, startTimes }: SeriesColumns): Uint32Array {
  const found = new Uint32Array(values.length);
  let start = 0;
  for (let row = 0; row < ends.length; row++) {
    let last = start;
    for (let i = start; i < ends[row]!; i++) {
      if (i > start && (values[i]! < values[i - 1]! || startsAnew(i, timestamps, startTimes)))
        last = i;
      found[i] = last;
    }
    start = ends[row]!;
  }
  return found;
}

/** True when sample `i` tells another beginning than the one before it in its series. */
export function startsAnew(
  i: number,
  timestamps: Float64Array,
  startTimes: Float64Array | undefined,
): boolean {
  if (startTimes === undefined) return false;
  const startMs = startTimes[i]!;
  return startMs !== 0 && startMs !== startTimes[i - 1]! && startMs < timestamps[i]!;
}

/**
 * Fills the cells of row `row` from its samples. `lastReset` (of `lastResets`) is read for counters
 * only. Windows of less than two samples stay empty.
 */
export function fillRateRow(
  { timestamps, values, ends, startTimes }: SeriesColumns,
  lastReset: Uint32Array,
  row: number,
  shape: RateShape,
  out: { readonly values: Float64Array; readonly present: Uint8Array },
): void {
  const { firstEndMs, stepMs, rangeMs, steps, isCounter, isPerSecond, weightBefore } = shape;
  const outValues = out.values;
  const outPresent = out.present;
  const end = ends[row]!;
  let from = row === 0 ? 0 : ends[row - 1]!;
  let to = from;
  // Windows of a regular scrape all look alike: then the divisions of the one before still hold.
  let [count, spanMs, startGapMs, endGapMs] = [0, 0, 0, 0];
  let [sampledS, toStartS, toEndS, factor] = [0, 0, 0, 0];
  const perS = isPerSecond ? rangeMs / 1000 : 1;
  const beginnings = startTimes && { timestamps, startTimes };
  for (let t = 0; t < steps; t++) {
    const endMs = firstEndMs + t * stepMs;
    const startMs = endMs - rangeMs;
    while (to < end && timestamps[to]! <= endMs) to++;
    while (from < to && timestamps[from]! <= startMs) from++;
    if (to - from < 2) continue;
    const first = values[from]!;
    let change = values[to - 1]! - first;
    if (isCounter && lastReset[to - 1]! > from)
      change = addResets(values, from, to, change, beginnings);
    const firstMs = timestamps[from]!;
    const lastMs = timestamps[to - 1]!;
    const sampleCount =
      weightBefore === undefined ? to - from : weightBefore[to]! - weightBefore[from]!;
    const isAlike =
      lastMs - firstMs === spanMs &&
      sampleCount === count &&
      firstMs - startMs === startGapMs &&
      endMs - lastMs === endGapMs;
    if (!isAlike) {
      count = sampleCount;
      spanMs = lastMs - firstMs;
      startGapMs = firstMs - startMs;
      endGapMs = endMs - lastMs;
      sampledS = spanMs / 1000;
      const averageS = sampledS / (count - 1);
      toStartS = startGapMs / 1000;
      if (toStartS >= averageS * 1.1) toStartS = averageS / 2;
      toEndS = endGapMs / 1000;
      if (toEndS >= averageS * 1.1) toEndS = averageS / 2;
      factor = (sampledS + toStartS + toEndS) / sampledS / perS;
    }
    let scale = factor;
    // Where zero lies further back than all that was sampled, it is no limit.
    if (isCounter && change > 0 && first >= 0 && (first < change || toStartS > sampledS)) {
      const toZeroS = sampledS * (first / change);
      if (toZeroS < toStartS) scale = (sampledS + toZeroS + toEndS) / sampledS / perS;
    }
    outValues[row * steps + t] = change * scale;
    outPresent[row * steps + t] = 1;
  }
}

/** When samples were taken and their counters began. */
interface Beginnings {
  readonly timestamps: Float64Array;
  readonly startTimes: Float64Array;
}

/** `change` plus the value before each reset inside the window. */
function addResets(
  values: Float64Array,
  from: number,
  to: number,
  change: number,
  beginnings: Beginnings | undefined,
): number {
  let total = change;
  let previous = values[from]!;
  for (let i = from + 1; i < to; i++) {
    const value = values[i]!;
    const isReset =
      value < previous ||
      (beginnings !== undefined && startsAnew(i, beginnings.timestamps, beginnings.startTimes));
    if (isReset) total += previous;
    previous = value;
  }
  return total;
}
