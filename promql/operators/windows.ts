/**
 * Runs a function over windows of samples: of a matrix selector, or of a subquery, whose answer is
 * turned into sorted samples first. From there on both are the same.
 */
import type { Histogram } from '../../model/histogram.ts';
import type { Labels } from '../../model/labels.ts';
import { scratchFloats } from '../../model/scratch-memory.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import { type FillRow, rateKernel } from '../functions/rate-kernel.ts';
import {
  fillRateRow,
  lastResets,
  type RateFunction,
  type RateShape,
  weightsBefore,
} from '../functions/rate-row.ts';
import type { WindowFunction, Window } from '../functions/window.ts';
import { type Block, NONE } from './block.ts';
import type { RangeSource } from './range-source.ts';
import { hasHistograms, mixedRateRow, mixedRow, type NativeCall } from './windows-native.ts';
import type { EvalContext } from './context.ts';

/** The samples of a block as sorted columns. */
export function columnsFromBlock(block: Block, firstMs: number, stepMs: number): SeriesColumns {
  const { labels, steps, present } = block;
  let count = 0;
  for (let cell = 0; cell < present.length; cell++) if (present[cell] !== NONE) count++;
  const timestamps = scratchFloats(count);
  const values = scratchFloats(count);
  const histograms = block.histograms && new Array<Histogram | undefined>(count);
  const ends = new Uint32Array(labels.length);
  let to = 0;
  for (let row = 0; row < labels.length; row++) {
    for (let t = 0; t < steps; t++) {
      if (present[row * steps + t] === NONE) continue;
      timestamps[to] = firstMs + t * stepMs;
      values[to] = block.values[row * steps + t]!;
      if (histograms !== undefined) histograms[to] = block.histograms?.[row * steps + t];
      to++;
    }
    ends[row] = to;
  }
  return { labels, ends, timestamps, values, histograms };
}

/** One answer per series and step; steps with too few samples stay empty. */
export function runWindows(
  source: RangeSource,
  { kernel, samplesMin, readsStep }: WindowFunction,
  context: EvalContext,
  a: Float64Array | undefined,
  b: Float64Array | undefined,
  native: NativeCall,
): Block {
  const { columns, rangeMs, firstEndMs, stepMs } = source;
  const { ends, timestamps, values, histograms } = columns;
  const block = context.block(columns.labels, source.drop, histograms !== undefined);
  const { steps } = block;
  const window = newWindow(timestamps, values, columns);
  // `@` pins the window: one answer for all steps, unless something else changes with them.
  const isConstant = stepMs === 0 && a === undefined && b === undefined && readsStep !== true;
  let start = 0;
  for (let row = 0; row < ends.length; row++) {
    context.checkRow(row);
    const end = ends[row]!;
    if (histograms !== undefined && hasHistograms(histograms, start, end)) {
      mixedRow(source, row, { kernel, samplesMin }, { a, b }, block, native);
      start = end;
      continue;
    }
    let from = start;
    let to = start;
    for (let t = 0; t < steps; t++) {
      const cell = row * steps + t;
      if (isConstant && t > 0) {
        block.present[cell] = block.present[cell - 1]!;
        block.values[cell] = block.values[cell - 1]!;
        continue;
      }
      const endMs = firstEndMs + t * stepMs;
      const startMs = endMs - rangeMs;
      while (to < end && timestamps[to]! <= endMs) to++;
      while (from < to && timestamps[from]! <= startMs) from++;
      if (to - from < samplesMin) continue;
      window.from = from;
      window.to = to;
      window.startMs = startMs;
      window.endMs = endMs;
      window.stepMs = context.grid.startMs + t * context.grid.stepMs;
      if (a !== undefined) window.a = a[t]!;
      if (b !== undefined) window.b = b[t]!;
      block.present[cell] = 1;
      block.values[cell] = kernel(window);
    }
    start = end;
  }
  return block;
}

/** rate, increase or delta of every series and step. */
export function runRates(
  source: RangeSource,
  rate: RateFunction,
  context: EvalContext,
  native: NativeCall,
): Block {
  const { columns, drop, ...windows } = source;
  const { ends, histograms } = columns;
  const block = context.block(columns.labels, drop, histograms !== undefined);
  const weightBefore = columns.weights && weightsBefore(columns.weights);
  const shape = { ...windows, ...rate, steps: block.steps, weightBefore };
  const fillRow = rateKernel(columns, shape, block) ?? slowRates(columns, shape, block);
  for (let row = 0; row < ends.length; row++) {
    context.checkRow(row);
    if (histograms !== undefined && hasHistograms(histograms, row && ends[row - 1]!, ends[row]!)) {
      mixedRateRow(source, row, shape, block, native);
      continue;
    }
    fillRow(row);
  }
  return block;
}

function slowRates(columns: SeriesColumns, shape: RateShape, block: Block): FillRow {
  const lastReset = shape.isCounter ? lastResets(columns) : NO_RESETS;
  return (row) => fillRateRow(columns, lastReset, row, shape, block);
}

const NO_RESETS = new Uint32Array(0);

/** True for each step whose window holds a sample of any series. */
export function occupiedSteps(source: RangeSource, steps: number): Uint8Array {
  const { ends, timestamps } = source.columns;
  const occupied = new Uint8Array(steps);
  let start = 0;
  for (let row = 0; row < ends.length; row++) {
    let to = start;
    for (let t = 0; t < steps; t++) {
      const endMs = source.firstEndMs + t * source.stepMs;
      while (to < ends[row]! && timestamps[to]! <= endMs) to++;
      if (to > start && timestamps[to - 1]! > endMs - source.rangeMs) occupied[t] = 1;
    }
    start = ends[row]!;
  }
  return occupied;
}

/** The answer of a range vector as a whole query: the samples of the one window. */
export function samplesOfWindow(source: RangeSource): SeriesColumns {
  const { labels, ends, timestamps, values, histograms } = source.columns;
  const startMs = source.firstEndMs - source.rangeMs;
  const keptLabels: Labels[] = [];
  const keptEnds: number[] = [];
  const keptTimes: number[] = [];
  const keptValues: number[] = [];
  const keptHistograms: (Histogram | undefined)[] = [];
  let at = 0;
  for (let row = 0; row < labels.length; row++) {
    const before = keptTimes.length;
    for (; at < ends[row]!; at++) {
      if (timestamps[at]! <= startMs || timestamps[at]! > source.firstEndMs) continue;
      keptTimes.push(timestamps[at]!);
      keptValues.push(values[at]!);
      keptHistograms.push(histograms?.[at]);
    }
    if (keptTimes.length === before) continue;
    keptLabels.push(labels[row]!);
    keptEnds.push(keptTimes.length);
  }
  return {
    labels: keptLabels,
    ends: Uint32Array.from(keptEnds),
    timestamps: Float64Array.from(keptTimes),
    values: Float64Array.from(keptValues),
    histograms: histograms && keptHistograms,
  };
}

function newWindow(
  times: Float64Array,
  values: Float64Array,
  { startTimes, weights }: SeriesColumns,
): Window {
  const places = { from: 0, to: 0, startMs: 0, endMs: 0, stepMs: 0, a: 0, b: 0 };
  return { times, values, startTimes, weights, ...places };
}
