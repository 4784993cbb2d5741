/**
 * Rows of range vectors that hold native histograms: their samples are parted by kind first, then
 * both kinds are walked with moving indexes as in `windows.ts`. Rows of numbers never come here.
 */
import type { Histogram } from '../../model/histogram.ts';
import { labelValue, METRIC_NAME } from '../../model/labels.ts';
import {
  extrapolated,
  histogramChange,
  type NativeFunction,
  type NativeWindow,
  type SeriesNotes,
  warnOfMix,
} from '../functions/native-window.ts';
import { fillRateRow, lastResets, type RateShape, weightsBefore } from '../functions/rate-row.ts';
import type { Window, WindowFunction } from '../functions/window.ts';
import type { Expr } from '../ast.ts';
import { type Block, FLOAT, NONE, setCell } from './block.ts';
import type { EvalContext } from './context.ts';
import type { RangeSource } from './range-source.ts';

/** What a call is for windows with histograms: its function, and where its notes point to. */
export interface NativeCall {
  readonly run: NativeFunction;
  readonly node: Expr;
  readonly context: EvalContext;
}

export function hasHistograms(
  histograms: readonly (Histogram | undefined)[],
  from: number,
  to: number,
): boolean {
  for (let i = from; i < to; i++) if (histograms[i] !== undefined) return true;
  return false;
}

/** The samples of one row, parted. */
interface Parts {
  readonly floatTimes: Float64Array;
  readonly floatValues: Float64Array;
  readonly floatWeights: Float64Array | undefined;
  readonly times: Float64Array;
  readonly histograms: readonly Histogram[];
}

function partsOf({ columns }: RangeSource, row: number): Parts {
  const { ends, timestamps, values } = columns;
  const [floatTimes, floatValues, times]: [number[], number[], number[]] = [[], [], []];
  const floatWeights: number[] = [];
  const histograms: Histogram[] = [];
  for (let i = row === 0 ? 0 : ends[row - 1]!; i < ends[row]!; i++) {
    const histogram = columns.histograms?.[i];
    if (histogram === undefined) {
      floatTimes.push(timestamps[i]!);
      floatValues.push(values[i]!);
      floatWeights.push(columns.weights?.[i] ?? 1);
    } else {
      times.push(timestamps[i]!);
      histograms.push(histogram);
    }
  }
  return {
    floatTimes: Float64Array.from(floatTimes),
    floatValues: Float64Array.from(floatValues),
    floatWeights: columns.weights && Float64Array.from(floatWeights),
    times: Float64Array.from(times),
    histograms,
  };
}

function notesFor(
  { columns }: RangeSource,
  row: number,
  { node, context }: NativeCall,
): SeriesNotes {
  return {
    name: labelValue(columns.labels[row]!, METRIC_NAME),
    info: (message) => context.info(node, message),
    warn: (message) => context.warn(node, message),
  };
}

/** Calls `visit` with the window of each step that holds a sample of either kind. */
function eachWindow(
  { rangeMs, firstEndMs, stepMs }: RangeSource,
  { floatTimes, floatValues, floatWeights, times, histograms }: Parts,
  context: EvalContext,
  visit: (window: NativeWindow, t: number) => void,
): void {
  let [floatFrom, floatTo, from, to] = [0, 0, 0, 0];
  for (let t = 0; t < context.steps; t++) {
    const endMs = firstEndMs + t * stepMs;
    const startMs = endMs - rangeMs;
    while (floatTo < floatTimes.length && floatTimes[floatTo]! <= endMs) floatTo++;
    while (floatFrom < floatTo && floatTimes[floatFrom]! <= startMs) floatFrom++;
    while (to < times.length && times[to]! <= endMs) to++;
    while (from < to && times[from]! <= startMs) from++;
    if (floatFrom === floatTo && from === to) continue;
    const floats: Window = {
      times: floatTimes,
      values: floatValues,
      weights: floatWeights,
      from: floatFrom,
      to: floatTo,
      startMs,
      endMs,
      stepMs: context.stepMsAt(t),
      a: 0,
      b: 0,
    };
    visit({ floats, times, histograms, from, to }, t);
  }
}

/** The answers of a row for a function over windows. */
export function mixedRow(
  source: RangeSource,
  row: number,
  { kernel, samplesMin }: WindowFunction,
  { a, b }: { readonly a: Float64Array | undefined; readonly b: Float64Array | undefined },
  block: Block,
  native: NativeCall,
): void {
  const notes = notesFor(source, row, native);
  eachWindow(source, partsOf(source, row), native.context, (window, t) => {
    const { floats } = window;
    floats.a = a?.[t] ?? 0;
    floats.b = b?.[t] ?? 0;
    const ofFloats = (): number | undefined =>
      floats.to - floats.from < samplesMin ? undefined : kernel(floats);
    const isPlain = window.from === window.to;
    const answer = isPlain ? ofFloats() : native.run(window, notes, ofFloats);
    setCell(block, row * block.steps + t, answer);
  });
}

/** The answers of a row for rate, increase or delta. */
export function mixedRateRow(
  source: RangeSource,
  row: number,
  shape: RateShape,
  block: Block,
  native: NativeCall,
): void {
  const { isCounter, isPerSecond } = shape;
  const notes = notesFor(source, row, native);
  const parts = partsOf(source, row);
  const rates = ratesOfFloats(parts, shape);
  eachWindow(source, parts, native.context, (window, t) => {
    const { floats, from, to, histograms } = window;
    const cell = row * block.steps + t;
    if (from === to) {
      if (rates.present[t] === FLOAT) setCell(block, cell, rates.values[t]);
      else block.present[cell] = NONE;
      return;
    }
    if (floats.from < floats.to) {
      warnOfMix(notes);
      return;
    }
    if (to - from < 2) return;
    const change = histogramChange(histograms.slice(from, to), isCounter, notes);
    if (change === undefined) return;
    setCell(block, cell, extrapolated(change, window, isCounter, isPerSecond));
  });
}

/** The rates of the numbers of a row alone. */
function ratesOfFloats(
  { floatTimes, floatValues, floatWeights }: Parts,
  shape: RateShape,
): { readonly values: Float64Array; readonly present: Uint8Array } {
  const ends = Uint32Array.of(floatTimes.length);
  const columns = { labels: [[]], ends, timestamps: floatTimes, values: floatValues };
  const lastReset = shape.isCounter ? lastResets(columns) : new Uint32Array(0);
  const { steps } = shape;
  const rates = { values: new Float64Array(steps), present: new Uint8Array(steps) };
  const weightBefore = floatWeights && weightsBefore(floatWeights);
  fillRateRow(columns, lastReset, 0, { ...shape, weightBefore }, rates);
  return rates;
}
