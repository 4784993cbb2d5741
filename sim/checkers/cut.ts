/**
 * What the blocks of the bucket hold by themselves, with no request applied to them: nothing that was deleted for good,
 * and everything that was acknowledged and not deleted.
 */
import type { History } from '../history.ts';
import type { Violation } from './answer.ts';

/** Samples by series: time to value. */
export type BlockSamples = ReadonlyMap<number, ReadonlyMap<number, number>>;

/** How many samples blocks have that must be cut out of them. */
export function countUncut(history: History, found: BlockSamples): number {
  let count = 0;
  for (const [series, samples] of found) {
    for (const timestampMs of samples.keys()) {
      if (history.isGone({ series, timestampMs }, Infinity, 0)) count++;
    }
  }
  return count;
}

/** What the blocks lack. */
export function checkKeptInBlocks(history: History, found: BlockSamples): readonly Violation[] {
  const lost = history.acked.filter(
    ({ series, timestampMs, value }) => found.get(series)?.get(timestampMs) !== value,
  );
  const first = lost[0];
  if (first === undefined) return [];
  const what =
    `the blocks of the bucket lack ${lost.length} acknowledged samples, the first ` +
    `of series ${first.series} at ${first.timestampMs}`;
  return [{ invariant: 'cut', what }];
}
