/**
 * Functions over a window that holds native histograms, alone or among numbers.
 *
 *   floats      . .   .        the two kinds lie in arrays of their own; a function of numbers only
 *   histograms       H   H     answers for the numbers and says that it left something out
 */
import type { Histogram } from '../../model/histogram.ts';
import { equalHistograms, hasCustomBuckets } from '../../model/histogram.ts';
import {
  addHistograms,
  divideHistogram,
  isReset,
  reduceResolution,
  scaleHistogram,
} from '../../model/histogram-math.ts';
import { EMPTY_HISTOGRAM } from '../../model/histogram.ts';
import { HistogramSum } from '../../model/histogram-sum.ts';
import type { FunctionName } from '../functions-table.ts';
import { weightOf } from './over-time.ts';
import type { Window } from './window.ts';

/** Where a function tells about a series. */
export interface SeriesNotes {
  readonly name: string;
  readonly info: (message: string) => void;
  readonly warn: (message: string) => void;
}

/** A window with histograms; `floats.from` and `floats.to` bound its numbers. */
export interface NativeWindow {
  readonly floats: Window;
  readonly times: Float64Array;
  readonly histograms: readonly Histogram[];
  readonly from: number;
  readonly to: number;
}

export type NativeAnswer = Histogram | number | undefined;

/** Called only for windows with at least one histogram. `ofFloats` computes as without them. */
export type NativeFunction = (
  window: NativeWindow,
  notes: SeriesNotes,
  ofFloats: () => number | undefined,
) => NativeAnswer;

function quoted(text: string): string {
  return JSON.stringify(text);
}

export function warnOfMix({ name, warn }: SeriesNotes): void {
  warn(`encountered a mix of histograms and floats for metric name ${quoted(name)}`);
}

export function warnOfSchemas({ name, warn }: SeriesNotes): void {
  warn(
    `vector contains a mix of histograms with exponential and custom buckets schemas for metric name ${quoted(name)}`,
  );
}

export function warnOfKind({ name, warn }: SeriesNotes, kind: 'counter' | 'gauge'): void {
  warn(`this native histogram metric is not a ${kind}: ${quoted(name)}`);
}

export function informOfReconciled({ info }: SeriesNotes, what: string): void {
  info(`mismatched custom buckets were reconciled during ${what}`);
}

/** Functions of numbers: the histograms are left out, which is told where there are numbers. */
function floatsOnly(
  { floats }: NativeWindow,
  { name, info }: SeriesNotes,
  ofFloats: () => number | undefined,
): NativeAnswer {
  if (floats.to === floats.from) return undefined;
  info(
    `ignored histograms in a range containing both floats and histograms for metric name ${quoted(name)}`,
  );
  return ofFloats();
}

function sumOf(
  { floats, histograms, from, to }: NativeWindow,
  notes: SeriesNotes,
): HistogramSum | undefined {
  if (floats.to > floats.from) {
    warnOfMix(notes);
    return;
  }
  const sum = new HistogramSum(histograms[from]!);
  for (let i = from + 1; i < to; i++) {
    const { isDone, isReconciled } = sum.add(histograms[i]!);
    if (!isDone) {
      warnOfSchemas(notes);
      return;
    }
    if (isReconciled) informOfReconciled(notes, 'aggregation');
  }
  if (sum.isCollision) notes.warn('conflicting counter resets during histogram aggregation');
  return sum;
}

/** The last `count` samples of either kind, oldest first, each with its time. */
function newest(window: NativeWindow, count: number): (readonly [number, Histogram | number])[] {
  return inOrder(window).slice(-count);
}

function inOrder({
  floats,
  times,
  histograms,
  from,
  to,
}: NativeWindow): (readonly [number, Histogram | number])[] {
  const all: (readonly [number, Histogram | number])[] = [];
  for (let i = floats.from; i < floats.to; i++) all.push([floats.times[i]!, floats.values[i]!]);
  for (let i = from; i < to; i++) all.push([times[i]!, histograms[i]!]);
  return all.sort(([a], [b]) => a - b);
}

/** How many neighbours `differ`. */
function countPairs(
  window: NativeWindow,
  ofNumbers: (before: number, after: number) => boolean,
  ofHistograms: (before: Histogram, after: Histogram) => boolean,
): number {
  const samples = inOrder(window);
  let count = 0;
  for (let i = 1; i < samples.length; i++) {
    const [before, after] = [samples[i - 1]![1], samples[i]![1]];
    if (typeof before === 'number' && typeof after === 'number') {
      if (ofNumbers(before, after)) count++;
    } else if (typeof before === 'number' || typeof after === 'number') {
      count++;
    } else if (ofHistograms(before, after)) {
      count++;
    }
  }
  return count;
}

/** irate and idelta: the last two samples. */
function lastTwo(isRate: boolean): NativeFunction {
  return (window, notes) => {
    const [first, second] = newest(window, 2);
    if (first === undefined || second === undefined) return undefined;
    const [before, after] = [first[1], second[1]];
    const seconds = (second[0] - first[0]) / 1000;
    if (typeof before === 'number' && typeof after === 'number') {
      const change = isRate && after < before ? after : after - before;
      return isRate ? change / seconds : change;
    }
    if (typeof before === 'number' || typeof after === 'number') {
      warnOfMix(notes);
      return;
    }
    const areGauges = [before, after].map(({ hint }) => hint === 'gauge');
    if (isRate && areGauges.includes(true)) warnOfKind(notes, 'counter');
    if (!isRate && areGauges.includes(false)) warnOfKind(notes, 'gauge');
    let change = after;
    if (!isRate || !isReset(after, before)) {
      const difference = addHistograms(after, before, -1);
      if (difference === undefined) {
        warnOfSchemas(notes);
        return;
      }
      if (difference.isReconciled) informOfReconciled(notes, 'subtraction');
      change = difference.histogram;
    }
    change = { ...change, hint: 'gauge' };
    return isRate ? divideHistogram(change, seconds) : change;
  };
}

/** What rate, increase and delta extrapolate: the last histogram less the first, plus resets. */
export function histogramChange(
  points: readonly Histogram[],
  isCounter: boolean,
  notes: SeriesNotes,
): Histogram | undefined {
  const last = points[points.length - 1]!;
  let previous = points[0]!;
  const gauges = points.filter(({ hint }) => hint === 'gauge').length;
  if (isCounter && gauges > 0) warnOfKind(notes, 'counter');
  const second = points[1]!;
  if (isCounter && isReset(second, previous)) {
    const { schema, customBounds } = second;
    previous = { ...EMPTY_HISTOGRAM, schema, customBounds };
  }
  const relevant = isCounter ? [previous, ...points.slice(1)] : [previous, last];
  if (relevant.some((one) => hasCustomBuckets(one) !== hasCustomBuckets(previous))) {
    warnOfSchemas(notes);
    return;
  }
  const schema = Math.min(...relevant.map((one) => one.schema));
  const difference = addHistograms(reduceResolution(last, schema), previous, -1);
  if (difference === undefined) {
    warnOfSchemas(notes);
    return;
  }
  if (difference.isReconciled) informOfReconciled(notes, 'subtraction');
  let change = difference.histogram;
  if (!isCounter) {
    const areGauges = points[0]!.hint === 'gauge' && last.hint === 'gauge';
    if (!areGauges) warnOfKind(notes, 'gauge');
    return { ...change, hint: 'gauge' };
  }
  for (let i = 1; i < points.length; i++) {
    if (isReset(points[i]!, previous)) {
      const sum = addHistograms(change, previous);
      if (sum === undefined) {
        warnOfSchemas(notes);
        return;
      }
      if (sum.isReconciled) informOfReconciled(notes, 'addition');
      change = sum.histogram;
    }
    previous = points[i]!;
  }
  return { ...change, hint: 'gauge' };
}

/** As rate extrapolates numbers: over gaps of up to 1.1 mean distances, never below zero. */
export function extrapolated(
  change: Histogram,
  { times, histograms, from, to, floats }: NativeWindow,
  isCounter: boolean,
  isPerSecond: boolean,
): Histogram {
  const sampledS = (times[to - 1]! - times[from]!) / 1000;
  const averageS = sampledS / (to - from - 1);
  let toStartS = (times[from]! - floats.startMs) / 1000;
  if (toStartS >= averageS * 1.1) toStartS = averageS / 2;
  const first = histograms[from]!.count;
  if (isCounter && change.count > 0 && first >= 0) {
    toStartS = Math.min(toStartS, sampledS * (first / change.count));
  }
  let toEndS = (floats.endMs - times[to - 1]!) / 1000;
  if (toEndS >= averageS * 1.1) toEndS = averageS / 2;
  const factor = (sampledS + toStartS + toEndS) / sampledS;
  const perS = isPerSecond ? (floats.endMs - floats.startMs) / 1000 : 1;
  return scaleHistogram(change, factor / perS);
}

const ofAnyKind: Readonly<Partial<Record<FunctionName, NativeFunction>>> = {
  avg_over_time: (window, notes) => sumOf(window, notes)?.mean(),
  changes: (window) =>
    countPairs(
      window,
      (a, b) => a !== b && !(Number.isNaN(a) && Number.isNaN(b)),
      (a, b) => !equalHistograms(a, b),
    ),
  count_over_time: ({ floats, from, to }) => weightOf(floats) + to - from,
  first_over_time: (window) => inOrder(window)[0]?.[1],
  idelta: lastTwo(false),
  irate: lastTwo(true),
  last_over_time: (window) => newest(window, 1)[0]?.[1],
  present_over_time: () => 1,
  resets: (window) =>
    countPairs(
      window,
      (a, b) => b < a,
      (a, b) => isReset(b, a),
    ),
  sum_over_time: (window, notes) => sumOf(window, notes)?.sum(),
  ts_of_first_over_time: (window) => (inOrder(window)[0]?.[0] ?? NaN) / 1000,
  ts_of_last_over_time: (window) => (newest(window, 1)[0]?.[0] ?? NaN) / 1000,
};

/** How a function answers for windows with histograms. */
export function nativeFunction(name: FunctionName): NativeFunction {
  return ofAnyKind[name] ?? floatsOnly;
}
