/**
 * Reads selectors: the newest sample at each step, and windows of samples for range functions.
 * Both walk the sorted samples of a series with moving indexes; nothing is searched twice.
 *
 *   samples  . . . . . . . . . .        (end - range, end]: open on the left, closed on the right
 *   window        [from     to)   ->    both only move right as the steps advance
 */
import type { SeriesColumns } from '../../model/series-columns.ts';
import { scratchFloats } from '../../model/scratch-memory.ts';
import { STALE_NAN_HIGH, STALE_NAN_LOW } from '../../model/sample.ts';
import type { Histogram } from '../../model/histogram.ts';
import { assert } from '../../model/assert.ts';
import type { VectorSelector } from '../ast.ts';
import { type Block, setCell } from './block.ts';
import { type EvalContext, pinnedMs } from './context.ts';

/** The series of a selector. */
export function columnsOf(node: VectorSelector, context: EvalContext): SeriesColumns {
  const columns = context.state.data.get(node);
  assert(columns !== undefined, 'every selector has its data');
  return columns;
}

/** The newest sample of each series at each step. */
export function selectInstant(node: VectorSelector, context: EvalContext): Block {
  const columns = columnsOf(node, context);
  const block = context.block(columns.labels, undefined, columns.histograms !== undefined);
  fillInstant(columns, block, instantsOf(node, context));
  return block;
}

/** The second at which the newest sample of each series was taken, at each step. */
export function selectTimes(node: VectorSelector, context: EvalContext): Block {
  const columns = columnsOf(node, context);
  const block = context.block(columns.labels);
  fillInstant(columns, block, { ...instantsOf(node, context), times: columns.timestamps });
  return block;
}

/**
 * What `timestamp()` reads of a selector. With `@` Prometheus looks at the pinned time itself, but at
 * the samples that were fetched for the offset; so does this.
 */
export function selectTimestamps(node: VectorSelector, context: EvalContext): Block {
  if (node.at === undefined || node.offsetMs === 0) return selectTimes(node, context);
  const columns = columnsOf(node, context);
  const block = context.block(columns.labels);
  const instants = instantsOf(node, context);
  fillInstant(columns, block, {
    firstMs: instants.firstMs + Math.min(0, node.offsetMs),
    stepMs: 0,
    lookbackMs: instants.lookbackMs - Math.abs(node.offsetMs),
    times: columns.timestamps,
  });
  return block;
}

/** The second at which the counter behind the newest sample began; 0: unknown. */
export function selectStartTimes(node: VectorSelector, context: EvalContext): Block {
  const columns = columnsOf(node, context);
  const block = context.block(columns.labels);
  const times = columns.startTimes ?? new Float64Array(columns.timestamps.length);
  fillInstant(columns, block, { ...instantsOf(node, context), times });
  return block;
}

/** The times to look at, and what to show of the samples found there. */
interface Instants {
  readonly firstMs: number;
  readonly stepMs: number;
  readonly lookbackMs: number;
  /** A time for each sample, shown in seconds instead of its value. */
  readonly times?: Float64Array;
}

function instantsOf(node: VectorSelector, { grid, params }: EvalContext): Instants {
  const pinned = pinnedMs(node.at, params);
  const firstMs = (pinned ?? grid.startMs) - node.offsetMs;
  return { firstMs, stepMs: pinned === undefined ? grid.stepMs : 0, lookbackMs: params.lookbackMs };
}

/** For each series and step finds the newest sample not older than the lookback; stale is none. */
export function fillInstant(
  columns: SeriesColumns,
  block: Block,
  { firstMs, stepMs, lookbackMs, times }: Instants,
): void {
  const { ends, timestamps, values, histograms } = columns;
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
  const { steps, present, values: outValues } = block;
  let from = 0;
  for (let row = 0; row < ends.length; row++) {
    const end = ends[row]!;
    let next = from; // the first sample after the step
    for (let t = 0; t < steps; t++) {
      const atMs = firstMs + t * stepMs;
      while (next < end && timestamps[next]! <= atMs) next++;
      const last = next - 1;
      if (last < from || timestamps[last]! <= atMs - lookbackMs) continue;
      if (words[last * 2] === STALE_NAN_LOW && words[last * 2 + 1] === STALE_NAN_HIGH) continue;
      present[row * steps + t] = 1;
      outValues[row * steps + t] = times === undefined ? values[last]! : times[last]! / 1000;
      if (histograms === undefined || times !== undefined) continue;
      if (histograms[last] !== undefined) setCell(block, row * steps + t, histograms[last]);
    }
    from = end;
  }
}

/** The columns without stale markers; the same object when there are none. */
export function withoutStale(columns: SeriesColumns): SeriesColumns {
  if (columns.isStaleFree === true) return columns;
  const { ends, timestamps, values, histograms, startTimes, weights } = columns;
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
  let stale = 0;
  for (let i = 0; i < values.length; i++) {
    if (words[i * 2 + 1] === STALE_NAN_HIGH && words[i * 2] === STALE_NAN_LOW) stale++;
  }
  if (stale === 0) return columns;
  const kept = values.length - stale;
  const live = {
    labels: columns.labels,
    ends: new Uint32Array(ends.length),
    timestamps: scratchFloats(kept),
    values: scratchFloats(kept),
    histograms: histograms === undefined ? undefined : new Array<Histogram | undefined>(kept),
    startTimes: startTimes && new Float64Array(kept),
    weights: weights && new Float64Array(kept),
  };
  let to = 0;
  let at = 0;
  for (let row = 0; row < ends.length; row++) {
    for (; at < ends[row]!; at++) {
      if (words[at * 2 + 1] === STALE_NAN_HIGH && words[at * 2] === STALE_NAN_LOW) continue;
      live.timestamps[to] = timestamps[at]!;
      live.values[to] = values[at]!;
      if (live.histograms !== undefined) live.histograms[to] = histograms?.[at];
      if (live.weights !== undefined) live.weights[to] = weights?.[at] ?? 1;
      if (live.startTimes !== undefined) live.startTimes[to] = startTimes?.[at] ?? 0;
      to++;
    }
    live.ends[row] = to;
  }
  return live;
}
