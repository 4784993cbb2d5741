/**
 * `anchored` and `smoothed` over native histograms: as over numbers (`windows-extended.ts`), with a histogram at
 * each edge. Between two histograms every bucket lies on the line between its counts; after a reset
 * the counter began at nothing. Samples of both kinds in one window give no answer but a warning.
 */
import {
  type Histogram,
  compact,
  equalHistograms,
  hasCustomBuckets,
} from '../../model/histogram.ts';
import {
  addHistograms,
  divideHistogram,
  isReset,
  scaleHistogram,
} from '../../model/histogram-math.ts';
import type { FunctionName } from '../functions-table.ts';
import {
  informOfReconciled,
  type SeriesNotes,
  warnOfKind,
  warnOfSchemas,
} from '../functions/native-window.ts';

/** Samples of one series, by time; a place of `histograms` that is undefined stands for a number. */
export interface MixedSamples {
  readonly timestamps: Float64Array;
  readonly values: Float64Array;
  readonly histograms: readonly (Histogram | undefined)[];
}

export type Kind = 'histograms' | 'mixed' | 'numbers';

/** What the samples `[from, to)` are, of which there is at least one. */
export function kindOf({ histograms }: MixedSamples, from: number, to: number): Kind {
  let count = 0;
  for (let i = from; i < to; i++) if (histograms[i] !== undefined) count++;
  return count === 0 ? 'numbers' : count === to - from ? 'histograms' : 'mixed';
}

/** The place of the first sample after `timeMs` among `[from, to)`. */
export function firstAfter(times: Float64Array, from: number, to: number, timeMs: number): number {
  let at = from;
  while (at < to && times[at]! <= timeMs) at++;
  return at;
}

/** changes or resets, of any kind, from the newest sample up to the start on; undefined without one after it. */
export function countExtended(
  { histograms, timestamps, values }: MixedSamples,
  [from, to]: readonly [number, number],
  startMs: number,
  name: FunctionName,
): number | undefined {
  const first = firstAfter(timestamps, from, to, startMs);
  if (first === to) return undefined;
  let count = 0;
  for (let i = Math.max(first, from + 1); i < to; i++) {
    const [before, after] = [histograms[i - 1], histograms[i]];
    if (before !== undefined && after !== undefined) {
      if (name === 'resets' ? isReset(after, before) : !equalHistograms(before, after)) count++;
    } else if (before !== undefined || after !== undefined) {
      count++; // of another kind
    } else {
      const [x, y] = [values[i - 1]!, values[i]!];
      const isChanged = x !== y && !(Number.isNaN(x) && Number.isNaN(y));
      if (name === 'resets' ? y < x : isChanged) count++;
    }
  }
  return count;
}

/** A range and how its function is asked for. */
export interface ExtendedRange {
  readonly startMs: number;
  readonly endMs: number;
  readonly isSmoothed: boolean;
  readonly isCounter: boolean;
  readonly isPerSecond: boolean;
}

/** rate, increase or delta of histograms that lie in the range and up to the lookback beside it. */
export function extendedChange(
  points: Points,
  { endMs, isCounter, isPerSecond, isSmoothed, startMs }: ExtendedRange,
  notes: SeriesNotes,
): Histogram | undefined {
  const { times, histograms } = points;
  const newest = times.length - 1;
  const first = Math.max(0, firstAfter(times, 0, newest, startMs) - 1);
  let last = newest;
  if (isSmoothed) for (last = 0; last < newest && times[last]! < endMs;) last++;
  if (times[last]! <= startMs || (isSmoothed && times[first]! > endMs)) return undefined;
  if (!areOfOneSchema(histograms.slice(first, last + 1), isCounter, notes)) return undefined;
  const isBetween = isSmoothed && times[first]! < startMs;
  const left = isBetween
    ? interpolated(points, first, startMs, isCounter, notes)
    : histograms[first]!;
  const isAfter = isSmoothed && last > 0 && times[last]! > endMs;
  const right = isAfter
    ? interpolated(points, last - 1, endMs, isCounter, notes)
    : histograms[last]!;
  if (left === undefined || right === undefined) return undefined;
  if (!isCounter && (left.hint !== 'gauge' || right.hint !== 'gauge')) warnOfKind(notes, 'gauge');
  let change = combined(right, left, -1, notes);
  if (isCounter) {
    const wasReset = isBetween && isReset(histograms[first + 1]!, histograms[first]!);
    // What the left edge went through already is not seen again.
    const seen = wasReset ? [histograms[first + 1]!] : [left];
    const inner = [...seen, ...histograms.slice(first + (wasReset ? 2 : 1), last)];
    const isSpent = wasReset && last === first + 1;
    if (last > first && !isSpent) change = withResets(change, [...inner, right], notes);
  }
  if (change === undefined) return undefined;
  const perRange = isPerSecond ? divideHistogram(change, (endMs - startMs) / 1000) : change;
  return compact({ ...perRange, hint: 'gauge' });
}

/** The histograms of a window and their times. */
export interface Points {
  readonly times: Float64Array;
  readonly histograms: readonly Histogram[];
}

function areOfOneSchema(
  histograms: readonly Histogram[],
  isCounter: boolean,
  notes: SeriesNotes,
): boolean {
  const isCustom = hasCustomBuckets(histograms[0]!);
  for (const one of histograms) {
    if (hasCustomBuckets(one) !== isCustom) {
      warnOfSchemas(notes);
      return false;
    }
    if (isCounter && one.hint === 'gauge') warnOfKind(notes, 'counter');
  }
  return true;
}

/** The change, and what stood before each reset. */
function withResets(
  change: Histogram | undefined,
  histograms: readonly Histogram[],
  notes: SeriesNotes,
): Histogram | undefined {
  let lost: Histogram | undefined;
  for (let i = 1; i < histograms.length; i++) {
    const before = histograms[i - 1]!;
    if (!isReset(histograms[i]!, before)) continue;
    const sum: Histogram | undefined =
      lost === undefined ? before : combined(lost, before, 1, notes);
    if (sum === undefined) return undefined;
    lost = sum;
  }
  if (change === undefined || lost === undefined) return change;
  return combined(change, lost, 1, notes);
}

function combined(
  a: Histogram,
  b: Histogram,
  sign: -1 | 1,
  notes: SeriesNotes,
): Histogram | undefined {
  const sum = addHistograms(a, b, sign);
  if (sum === undefined) {
    warnOfSchemas(notes);
    return undefined;
  }
  if (sum.isReconciled) informOfReconciled(notes, sign === 1 ? 'addition' : 'subtraction');
  return sum.histogram;
}

/** The histogram at a time between points `i` and `i + 1`. */
function interpolated(
  { histograms, times }: Points,
  i: number,
  atMs: number,
  isCounter: boolean,
  notes: SeriesNotes,
): Histogram | undefined {
  const [before, after] = [histograms[i]!, histograms[i + 1]!];
  const share = (atMs - times[i]!) / (times[i + 1]! - times[i]!);
  if (share === 0) return before;
  if (share === 1) return after;
  if (isCounter && isReset(after, before)) return scaleHistogram(after, share);
  const difference = combined(after, before, -1, notes);
  if (difference === undefined) return undefined;
  return combined(scaleHistogram(difference, share), before, 1, notes);
}

/** `metric smoothed` at a time, out of the samples `[from, to)` that lie up to the lookback beside it. */
export function smoothedAt(
  { histograms, timestamps }: MixedSamples,
  [from, to]: readonly [number, number],
  atMs: number,
  notes: SeriesNotes,
): Histogram | undefined {
  const after = firstAfter(timestamps, from, to, atMs);
  if (after === from) return undefined;
  const before = histograms[after - 1]!;
  if (timestamps[after - 1] === atMs) return before;
  // The hint tells of two samples that stood one after the other.
  if (after === to) return { ...before, hint: 'unknown' };
  const next = histograms[after]!;
  if (hasCustomBuckets(before) !== hasCustomBuckets(next)) {
    warnOfSchemas(notes);
    return undefined;
  }
  const isCounter = before.hint !== 'gauge' || next.hint !== 'gauge';
  const points = { times: timestamps.subarray(after - 1), histograms: [before, next] };
  return interpolated(points, 0, atMs, isCounter, notes);
}
