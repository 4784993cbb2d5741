/**
 * Functions of a window that look at pairs of samples: irate and idelta at the last two, changes and
 * resets at all neighbours; and the regressions.
 */
import { startsAnew } from './rate-row.ts';
import type { Window } from './window.ts';
import { addTo, isInfinite, type Sum } from './summation.ts';

export function irate({ times, values, to, startTimes }: Window): number {
  const last = values[to - 1]!;
  const previous = values[to - 2]!;
  const isReset = last < previous || startsAnew(to - 1, times, startTimes);
  const change = isReset ? last : last - previous;
  return change / ((times[to - 1]! - times[to - 2]!) / 1000);
}

export function idelta({ values, to }: Window): number {
  return values[to - 1]! - values[to - 2]!;
}

/** Slope and value at `atMs` of the least squares line through the window. */
function regression(w: Window, atMs: number): { slope: number; intercept: number } {
  const { times, values, from, to } = w;
  const first = values[from]!;
  let isConstant = true;
  const x: Sum = { sum: 0, error: 0 };
  const y: Sum = { sum: 0, error: 0 };
  const xy: Sum = { sum: 0, error: 0 };
  const xx: Sum = { sum: 0, error: 0 };
  for (let i = from; i < to; i++) {
    const value = values[i]!;
    if (i > from && value !== first) isConstant = false;
    const seconds = (times[i]! - atMs) / 1000;
    addTo(x, seconds);
    addTo(y, value);
    addTo(xy, seconds * value);
    addTo(xx, seconds * seconds);
  }
  if (isConstant) {
    if (isInfinite(first)) return { slope: NaN, intercept: NaN };
    return { slope: 0, intercept: first };
  }
  const n = to - from;
  const sumX = x.sum + x.error;
  const sumY = y.sum + y.error;
  const covariance = xy.sum + xy.error - (sumX * sumY) / n;
  const variance = xx.sum + xx.error - (sumX * sumX) / n;
  const slope = covariance / variance;
  return { slope, intercept: sumY / n - (slope * sumX) / n };
}

export function deriv(w: Window): number {
  return regression(w, w.times[w.from]!).slope;
}

/** `a` seconds after the step. */
export function predictLinear(w: Window): number {
  const { slope, intercept } = regression(w, w.stepMs);
  return slope * w.a + intercept;
}

/** Holt's linear smoothing with the factors `a` (level) and `b` (trend). */
export function doubleExponentialSmoothing({ values, from, to, a, b }: Window): number {
  let before = 0;
  let level = values[from]!;
  let trend = values[from + 1]! - values[from]!;
  for (let i = from + 1; i < to; i++) {
    const scaled = a * values[i]!;
    if (i > from + 1) trend = b * (level - before) + (1 - b) * trend;
    const smoothed = (1 - a) * (level + trend);
    before = level;
    level = scaled + smoothed;
  }
  return level;
}

export function changes({ values, from, to }: Window): number {
  let count = 0;
  for (let i = from + 1; i < to; i++) {
    const [previous, value] = [values[i - 1]!, values[i]!];
    if (value !== previous && !(Number.isNaN(value) && Number.isNaN(previous))) count++;
  }
  return count;
}

export function resets({ times, values, from, to, startTimes }: Window): number {
  let count = 0;
  for (let i = from + 1; i < to; i++) {
    if (values[i]! < values[i - 1]! || startsAnew(i, times, startTimes)) count++;
  }
  return count;
}
