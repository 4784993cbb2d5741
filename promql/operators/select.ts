/**
 * Reads selectors: the newest sample at each step, and windows of samples for range functions.
 * Both walk the sorted samples of a series with moving indexes; nothing is searched twice.
 *
 *   samples  . . . . . . . . . .        (end - range, end]: open on the left, closed on the right
 *   window        [from     to)   ->    both only move right as the steps advance
 */
import type { SeriesColumns } from '../../model/series-columns.ts';
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

/** The newest sample of each series at each step, or (`asTimes`) the second it was taken at. */
export function selectInstant(node: VectorSelector, context: EvalContext, asTimes = false): Block {
  const columns = columnsOf(node, context);
  const hasHistograms = columns.histograms !== undefined && !asTimes;
  const block = context.block(columns.labels, undefined, hasHistograms);
  const pinned = pinnedMs(node.at, context.params);
  const firstMs = (pinned ?? context.grid.startMs) - node.offsetMs;
  const stepMs = pinned === undefined ? context.grid.stepMs : 0;
  fillInstant(columns, block, firstMs, stepMs, context.params.lookbackMs, asTimes);
  return block;
}

/** For each series and step finds the newest sample not older than the lookback; stale is none. */
export function fillInstant(
  columns: SeriesColumns,
  block: Block,
  firstMs: number,
  stepMs: number,
  lookbackMs: number,
  asTimes: boolean,
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
      outValues[row * steps + t] = asTimes ? timestamps[last]! / 1000 : values[last]!;
      if (histograms === undefined || asTimes) continue;
      if (histograms[last] !== undefined) setCell(block, row * steps + t, histograms[last]);
    }
    from = end;
  }
}

/** The columns without stale markers; the same object when there are none. */
export function withoutStale(columns: SeriesColumns): SeriesColumns {
  const { ends, timestamps, values, histograms } = columns;
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
    timestamps: new Float64Array(kept),
    values: new Float64Array(kept),
    histograms: histograms === undefined ? undefined : new Array<Histogram | undefined>(kept),
  };
  let to = 0;
  let at = 0;
  for (let row = 0; row < ends.length; row++) {
    for (; at < ends[row]!; at++) {
      if (words[at * 2 + 1] === STALE_NAN_HIGH && words[at * 2] === STALE_NAN_LOW) continue;
      live.timestamps[to] = timestamps[at]!;
      live.values[to] = values[at]!;
      if (live.histograms !== undefined) live.histograms[to] = histograms?.[at];
      to++;
    }
    live.ends[row] = to;
  }
  return live;
}
