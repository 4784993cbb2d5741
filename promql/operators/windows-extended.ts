/**
 * Ranges with values at their edges, instead of extrapolation: `anchored` takes the newest sample
 * before the range as its first value, `smoothed` interpolates between the samples around an edge.
 *
 *   samples      .    |  .   .   .  |   .        the range is (start, end]
 *   anchored          x  .   .   .  x            left: the sample before; right: the last inside
 *   smoothed          x  .   .   .  x            both on the line between their neighbours
 *
 * What native histograms answer is in `windows-extended-native.ts`.
 */
import type { Histogram } from '../../model/histogram.ts';
import { type Labels, METRIC_NAME, labelValue } from '../../model/labels.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import type { FunctionName } from '../functions-table.ts';
import { type SeriesNotes, warnOfMix } from '../functions/native-window.ts';
import type { Expr, MatrixSelector, RangeMode, VectorSelector } from '../ast.ts';
import { type Block, setCell } from './block.ts';
import { type EvalContext, executionError, pinnedMs } from './context.ts';
import { columnsOf, withoutStale } from './select.ts';
import {
  type MixedSamples,
  countExtended,
  extendedChange,
  firstAfter,
  kindOf,
  smoothedAt,
} from './windows-extended-native.ts';
import { hasHistograms } from './windows-native.ts';

const SAFE_FUNCTIONS: Readonly<Record<RangeMode, readonly FunctionName[]>> = {
  anchored: ['changes', 'delta', 'increase', 'rate', 'resets'],
  smoothed: ['delta', 'increase', 'rate'],
};

/** Throws `query.execution` when a function cannot be asked of such a range. */
export function checkMode(mode: RangeMode, name: FunctionName): void {
  const safe = SAFE_FUNCTIONS[mode];
  if (safe.includes(name)) return;
  throw executionError(
    `${mode} modifier can only be used with: ${safe.join(', ')} - not with ${name}`,
  );
}

/** The samples of a range with its edges, in times and values of `count` places. */
interface Edged {
  readonly times: Float64Array;
  readonly values: Float64Array;
  count: number;
}

/** rate, increase, delta, changes or resets of every series and step. */
export function runExtended(
  range: MatrixSelector,
  mode: RangeMode,
  name: FunctionName,
  context: EvalContext,
): Block {
  checkMode(mode, name);
  const { selector, rangeMs } = range;
  const columns = withoutStale(columnsOf(selector, context));
  const { histograms } = columns;
  const { lookbackMs } = context.params;
  const pinned = pinnedMs(selector.at, context.params);
  const firstEndMs = (pinned ?? context.grid.startMs) - selector.offsetMs;
  const stepMs = pinned === undefined ? context.grid.stepMs : 0;
  const block = context.block(columns.labels, undefined, histograms !== undefined);
  const isCounter = name === 'rate' || name === 'increase';
  const floatAt = (from: number, to: number, window: RangeWindow): number | undefined => {
    const edged = withEdges(columns, from, to, window, mode, isCounter);
    if (edged === undefined) return undefined;
    return name === 'rate' ? valueOf(edged, name) / (rangeMs / 1000) : valueOf(edged, name);
  };
  let start = 0;
  for (let row = 0; row < columns.ends.length; row++) {
    context.checkRow(row);
    const end = columns.ends[row]!;
    const isNative = histograms !== undefined && hasHistograms(histograms, start, end);
    const notes = notesOf(columns.labels[row]!, range, context);
    const asked = { mode, name, notes, floatAt };
    for (let t = 0; t < block.steps; t++) {
      const endMs = firstEndMs + t * stepMs;
      const window = { startMs: endMs - rangeMs, endMs, lookbackMs };
      start = firstAfter(columns.timestamps, start, end, window.startMs - lookbackMs);
      const answer = isNative
        ? nativeAt({ ...columns, histograms }, [start, end], window, asked)
        : floatAt(start, end, window);
      setCell(block, row * block.steps + t, answer);
    }
    start = end;
  }
  return block;
}

/** What is asked of a series. */
interface Asked {
  readonly mode: RangeMode;
  readonly name: FunctionName;
  readonly notes: SeriesNotes;
  /** The answer where all samples `[from, to)` are numbers. */
  readonly floatAt: (from: number, to: number, window: RangeWindow) => number | undefined;
}

/** The answer of one step for a series that holds histograms; `from` is the first sample within the lookback. */
function nativeAt(
  samples: MixedSamples,
  [from, end]: readonly [number, number],
  window: RangeWindow,
  { floatAt, mode, name, notes }: Asked,
): Histogram | number | undefined {
  const { histograms, timestamps } = samples;
  const { startMs, endMs, lookbackMs } = window;
  const isSmoothed = mode === 'smoothed';
  const to = firstAfter(timestamps, from, end, isSmoothed ? endMs + lookbackMs : endMs);
  if (from === to) return undefined;
  if (name === 'changes' || name === 'resets')
    return countExtended(samples, [from, to], startMs, name);
  switch (kindOf(samples, from, to)) {
    case 'histograms': {
      const isPerSecond = name === 'rate';
      const isCounter = isPerSecond || name === 'increase';
      const points = {
        times: timestamps.subarray(from, to),
        histograms: histograms.slice(from, to).filter((one) => one !== undefined),
      };
      const wish = { startMs, endMs, isSmoothed, isCounter, isPerSecond };
      return extendedChange(points, wish, notes);
    }
    case 'mixed':
      warnOfMix(notes);
      return undefined;
    case 'numbers':
      return floatAt(from, to, window);
  }
}

function notesOf(labels: Labels, node: Expr, context: EvalContext): SeriesNotes {
  return {
    name: labelValue(labels, METRIC_NAME),
    info: (message) => context.info(node, message),
    warn: (message) => context.warn(node, message),
  };
}

function valueOf({ values, count }: Edged, name: FunctionName): number {
  if (name === 'changes') return countPairs(values, count, isChange);
  if (name === 'resets') return countPairs(values, count, (before, after) => after < before);
  let total = values[count - 1]! - values[0]!;
  if (name === 'delta') return total;
  for (let i = 1; i < count; i++) if (values[i]! < values[i - 1]!) total += values[i - 1]!;
  return total;
}

function isChange(before: number, after: number): boolean {
  return before !== after && !(Number.isNaN(before) && Number.isNaN(after));
}

function countPairs(
  values: Float64Array,
  count: number,
  counts: (before: number, after: number) => boolean,
): number {
  let total = 0;
  for (let i = 1; i < count; i++) if (counts(values[i - 1]!, values[i]!)) total++;
  return total;
}

interface RangeWindow {
  readonly startMs: number;
  readonly endMs: number;
  readonly lookbackMs: number;
}

/** Undefined when there is no sample after the start of the range. */
function withEdges(
  { timestamps, values }: SeriesColumns,
  from: number,
  to: number,
  { startMs, endMs, lookbackMs }: RangeWindow,
  mode: RangeMode,
  isCounter: boolean,
): Edged | undefined {
  let first = from; // the first sample after the start
  while (first < to && timestamps[first]! <= startMs) first++;
  let after = first; // the first sample after the end
  while (after < to && timestamps[after]! <= endMs) after++;
  const isSmoothed = mode === 'smoothed';
  const hasBefore = first > from && timestamps[first - 1]! > startMs - lookbackMs;
  const hasAfter = isSmoothed && after < to && timestamps[after]! <= endMs + lookbackMs;
  if (first === after && !hasAfter) return undefined;
  const edged: Edged = {
    times: new Float64Array(after - first + 2),
    values: new Float64Array(after - first + 2),
    count: 0,
  };
  const add = (timeMs: number, value: number): void => {
    edged.times[edged.count] = timeMs;
    edged.values[edged.count++] = value;
  };
  const line = (i: number, atMs: number, isLeft: boolean): number =>
    interpolated(timestamps, values, i, atMs, isCounter, isLeft);
  const isLeftSmoothed = isSmoothed && hasBefore && timestamps[first - 1]! < startMs;
  add(
    startMs,
    isLeftSmoothed ? line(first - 1, startMs, true) : values[hasBefore ? first - 1 : first]!,
  );
  for (let i = first; i < after; i++) if (timestamps[i]! < endMs) add(timestamps[i]!, values[i]!);
  const isExact = after > from && timestamps[after - 1] === endMs;
  const isRightSmoothed = hasAfter && !isExact && after > from && (after > first || hasBefore);
  if (isRightSmoothed) add(endMs, line(after - 1, endMs, false));
  else add(endMs, values[after > first ? after - 1 : after]!);
  return edged;
}

/** The value at a time between samples i and i + 1; a counter that was reset begins at 0. */
function interpolated(
  timestamps: Float64Array,
  values: Float64Array,
  i: number,
  atMs: number,
  isCounter: boolean,
  isLeft: boolean,
): number {
  let [y1, y2] = [values[i]!, values[i + 1]!];
  if (isCounter && y2 < y1) {
    if (isLeft) y1 = 0;
    else y2 += y1;
  }
  return y1 + ((y2 - y1) * (atMs - timestamps[i]!)) / (timestamps[i + 1]! - timestamps[i]!);
}

/** `metric smoothed`: the value at each step on the line between the samples around it. */
export function selectSmoothed(selector: VectorSelector, context: EvalContext): Block {
  const columns = withoutStale(columnsOf(selector, context));
  const { timestamps, ends, histograms, labels } = columns;
  const { lookbackMs } = context.params;
  const pinned = pinnedMs(selector.at, context.params);
  const firstMs = (pinned ?? context.grid.startMs) - selector.offsetMs;
  const stepMs = pinned === undefined ? context.grid.stepMs : 0;
  const block = context.block(labels, undefined, histograms !== undefined);
  let start = 0;
  for (let row = 0; row < ends.length; row++) {
    const end = ends[row]!;
    const isNative = histograms !== undefined && hasHistograms(histograms, start, end);
    const notes = notesOf(labels[row]!, selector, context);
    for (let t = 0; t < block.steps; t++) {
      const atMs = firstMs + t * stepMs;
      start = firstAfter(timestamps, start, end, atMs - lookbackMs);
      const to = firstAfter(timestamps, start, end, atMs + lookbackMs);
      if (start === to) continue;
      const kind = isNative ? kindOf({ ...columns, histograms }, start, to) : 'numbers';
      if (kind === 'mixed') warnOfMix(notes);
      const answer =
        kind === 'numbers'
          ? numberAt(columns, [start, to], atMs)
          : kind === 'histograms' && histograms !== undefined
            ? smoothedAt({ ...columns, histograms }, [start, to], atMs, notes)
            : undefined;
      setCell(block, row * block.steps + t, answer);
    }
    start = end;
  }
  return block;
}

/** The value at a time, out of the samples `[from, to)` that lie up to the lookback beside it. */
function numberAt(
  { timestamps, values }: SeriesColumns,
  [from, to]: readonly [number, number],
  atMs: number,
): number | undefined {
  const after = firstAfter(timestamps, from, to, atMs);
  if (after === from) return undefined;
  const last = after - 1;
  const isBetween = after < to && timestamps[last]! < atMs;
  return isBetween ? interpolated(timestamps, values, last, atMs, false, false) : values[last]!;
}
