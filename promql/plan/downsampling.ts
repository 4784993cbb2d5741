/**
 * Which selectors may read aggregates instead of samples, and how coarse.
 *
 * A function that asks for sum, count, least, greatest, first, last or increase of a window gets the same answer
 * from aggregates as from samples when each of its windows is whole windows of the aggregates: when
 * all its ends are multiples of the resolution, and its range is. An instant selector at such times gets the same newest
 * sample; of one that may be read before its end (`timestamp(x @ T offset -1m)`) all samples are needed. That is the rule
 * unless the query asks for a resolution by name; then windows that are at least as long as the resolution are
 * enough, and the answer is near.
 */
import { RESOLUTIONS_MS, type WindowValue } from '../../model/window-value.ts';
import type { FunctionName } from '../functions-table.ts';
import { type Downsampling, type Grid, lastStepMs } from '../operators/context.ts';

const VALUES: Readonly<Partial<Record<FunctionName, WindowValue>>> = {
  absent_over_time: 'count',
  avg_over_time: 'average',
  count_over_time: 'count',
  delta: 'rate',
  first_over_time: 'kept',
  increase: 'rate',
  last_over_time: 'kept',
  max_over_time: 'max',
  min_over_time: 'min',
  present_over_time: 'count',
  rate: 'rate',
  sum_over_time: 'sum',
};

/** What a function reads of the windows of its matrix selector; undefined: all samples. */
export function windowValueOf(call: FunctionName | undefined): WindowValue | undefined {
  return call === undefined ? undefined : VALUES[call];
}

/** Where the windows of a selector lie. */
export interface WindowPlaces {
  /** The ends are `firstMs + i * grid.stepMs`, or `firstMs` only. */
  readonly firstMs: number;
  readonly grid: Grid;
  readonly isPinned: boolean;
  readonly windowMs: number;
  readonly isInstant: boolean;
}

/** The coarsest resolution that may be read; 0: samples. */
export function resolutionOf(
  { firstMs, grid, isInstant, isPinned, windowMs }: WindowPlaces,
  { isApproximate, maxResolutionMs }: Downsampling,
): number {
  const isOne = isPinned || lastStepMs(grid) === grid.startMs;
  for (const resolutionMs of RESOLUTIONS_MS) {
    if (resolutionMs > maxResolutionMs) continue;
    const isWhole =
      firstMs % resolutionMs === 0 &&
      (isOne || grid.stepMs % resolutionMs === 0) &&
      (isInstant || windowMs % resolutionMs === 0);
    if (isWhole || (isApproximate && windowMs >= resolutionMs)) return resolutionMs;
  }
  return 0;
}
