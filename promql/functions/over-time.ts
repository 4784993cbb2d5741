/**
 * The functions over a window of samples: `*_over_time` here, others in `rate.ts`, and the table
 * that names them all but those of `rate-row.ts`.
 */
import type { FunctionName } from '../functions-table.ts';
import {
  changes,
  deriv,
  doubleExponentialSmoothing,
  idelta,
  irate,
  predictLinear,
  resets,
} from './rate.ts';
import { addTo, isInfinite, nextError, quantileOf, type Sum } from './summation.ts';
import type { Window, WindowFunction } from './window.ts';

function sumOverTime({ values, from, to }: Window): number {
  let sum = 0;
  let error = 0;
  for (let i = from; i < to; i++) {
    const value = values[i]!;
    const next = sum + value;
    error = nextError(sum, value, next, error);
    sum = next;
  }
  return isInfinite(sum) ? sum : sum + error;
}

/** The plain mean; when the sum overflows, from there on the incremental one. */
function avgOverTime({ values, from, to }: Window): number {
  let sum = values[from]!;
  let error = 0;
  let isIncremental = false;
  for (let i = from + 1; i < to; i++) {
    const count = i - from + 1;
    if (!isIncremental) {
      const next = sum + values[i]!;
      if (!isInfinite(next)) {
        error = nextError(sum, values[i]!, next, error);
        sum = next;
        continue;
      }
      isIncremental = true;
      sum /= count - 1;
      error /= count - 1;
    }
    const weight = (count - 1) / count;
    const mean = weight * sum;
    const part = values[i]! / count;
    const next = mean + part;
    error = nextError(mean, part, next, weight * error);
    sum = next;
  }
  if (isIncremental) return sum + error;
  return sum / (to - from) + error / (to - from);
}

/** How many samples those of the window stand for. */
export function weightOf({ weights, from, to }: Window): number {
  if (weights === undefined) return to - from;
  let sum = 0;
  for (let i = from; i < to; i++) sum += weights[i]!;
  return sum;
}

function minIndex({ values, from, to }: Window, takesLast: boolean): number {
  let best = from;
  let least = values[from]!;
  for (let i = from + 1; i < to; i++) {
    const value = values[i]!;
    if (value > least || (value === least && !takesLast)) continue; // most samples
    if (value < least || Number.isNaN(least) || value === least) {
      best = i;
      least = value;
    }
  }
  return best;
}

function maxIndex({ values, from, to }: Window, takesLast: boolean): number {
  let best = from;
  let most = values[from]!;
  for (let i = from + 1; i < to; i++) {
    const value = values[i]!;
    if (value < most || (value === most && !takesLast)) continue; // most samples
    if (value > most || Number.isNaN(most) || value === most) {
      best = i;
      most = value;
    }
  }
  return best;
}

function varianceOverTime({ values, from, to }: Window): number {
  const mean: Sum = { sum: 0, error: 0 };
  const squares: Sum = { sum: 0, error: 0 };
  for (let i = from; i < to; i++) {
    const difference = values[i]! - (mean.sum + mean.error);
    addTo(mean, difference / (i - from + 1));
    addTo(squares, difference * (values[i]! - (mean.sum + mean.error)));
  }
  return (squares.sum + squares.error) / (to - from);
}

function madOverTime({ values, from, to }: Window): number {
  const sorted = values.slice(from, to);
  if (sorted.some(Number.isNaN)) return NaN;
  const median = quantileOf(0.5, sorted);
  const distances = values.slice(from, to).map((value) => Math.abs(value - median));
  return quantileOf(0.5, distances);
}

function one(kernel: (window: Window) => number, keepsName = false): WindowFunction {
  return { kernel, samplesMin: 1, keepsName };
}

function two(kernel: (window: Window) => number): WindowFunction {
  return { kernel, samplesMin: 2 };
}

/** The same functions where samples stand for several. */
export const weightedFunctions: Readonly<Partial<Record<FunctionName, WindowFunction>>> = {
  avg_over_time: one((w) => sumOverTime(w) / weightOf(w)),
  count_over_time: one(weightOf),
};

/** Every function of a window with one answer per series. */
export const windowFunctions: Readonly<Partial<Record<FunctionName, WindowFunction>>> = {
  avg_over_time: one(avgOverTime),
  changes: one(changes),
  count_over_time: one((w) => w.to - w.from),
  deriv: two(deriv),
  double_exponential_smoothing: two(doubleExponentialSmoothing),
  first_over_time: one((w) => w.values[w.from]!, true),
  idelta: two(idelta),
  irate: two(irate),
  last_over_time: one((w) => w.values[w.to - 1]!, true),
  mad_over_time: one(madOverTime),
  max_over_time: one((w) => w.values[maxIndex(w, false)]!),
  min_over_time: one((w) => w.values[minIndex(w, false)]!),
  predict_linear: { kernel: predictLinear, samplesMin: 2, readsStep: true },
  present_over_time: one(() => 1),
  quantile_over_time: one((w) => quantileOf(w.a, w.values.slice(w.from, w.to))),
  resets: one(resets),
  stddev_over_time: one((w) => Math.sqrt(varianceOverTime(w))),
  stdvar_over_time: one(varianceOverTime),
  sum_over_time: one(sumOverTime),
  ts_of_first_over_time: one((w) => w.times[w.from]! / 1000),
  ts_of_last_over_time: one((w) => w.times[w.to - 1]! / 1000),
  ts_of_max_over_time: one((w) => w.times[maxIndex(w, true)]! / 1000),
  ts_of_min_over_time: one((w) => w.times[minIndex(w, true)]! / 1000),
};
