/**
 * What a query reads of a series where a block has aggregates instead of samples: the word that the plan of a
 * query, the readers of blocks and the decoder share.
 *
 *   value      answers                          a sample of the columns is
 *   sum        sum_over_time                    the sum of a window
 *   average    avg_over_time                    the sum of a window, weighing as much as it had samples
 *   count      count_, present_, absent_…       anything, weighing as much as the window had samples
 *   min, max   min_over_time, max_over_time     the least or greatest sample of a window
 *   kept       instants, first_, last_…         a kept sample: first, last, around resets
 *   rate       rate, increase, delta            the same, with weights that add up to all samples
 *
 * A raw sample is each of these of itself, so that both go through the same loops.
 */

export const WINDOW_VALUES = ['average', 'count', 'kept', 'max', 'min', 'rate', 'sum'] as const;
export type WindowValue = (typeof WINDOW_VALUES)[number];

/** True when a sample says how many it stands for. */
export function hasWeights(value: WindowValue): boolean {
  return value === 'average' || value === 'count' || value === 'rate';
}

/** Resolutions of downsampled blocks, the coarsest first. */
export const RESOLUTIONS_MS = [3_600_000, 300_000] as const;

/** `5m`, `1h`. */
export function resolutionText(resolutionMs: number): string {
  if (resolutionMs === 0) return 'raw';
  return resolutionMs % 3_600_000 === 0
    ? `${resolutionMs / 3_600_000}h`
    : `${Math.round(resolutionMs / 6000) / 10}m`;
}
