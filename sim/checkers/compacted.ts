/** I15: whatever is compacted, a read of the bucket has each sample that was shipped, and no other. */
import type { TimeRange } from '../../model/sample.ts';
import type { Violation } from './answer.ts';

export interface ShippedSample {
  readonly series: number;
  readonly timeMs: number;
  readonly value: number;
  /** Since when every index that a reader may use has it; undefined: not yet. */
  readonly owedSinceMs: number | undefined;
}

const SHOWN_MAX = 3;

/** What is wrong with what a read of a range found. */
export function checkCompacted(
  shipped: readonly ShippedSample[],
  { range, readAtMs }: { readonly range: TimeRange; readonly readAtMs: number },
  found: ReadonlyMap<number, ReadonlyMap<number, number>>,
): readonly Violation[] {
  const wrong: string[] = [];
  const known = new Set<string>();
  for (const { owedSinceMs, series, timeMs, value } of shipped) {
    if (timeMs < range.minTimeMs || timeMs > range.maxTimeMs) continue;
    known.add(`${series} ${timeMs}`);
    const shown = found.get(series)?.get(timeMs);
    const isOwed = owedSinceMs !== undefined && owedSinceMs <= readAtMs;
    if (shown === undefined && isOwed) wrong.push(`series ${series} lacks its sample at ${timeMs}`);
    else if (shown !== undefined && shown !== value) {
      wrong.push(`series ${series} shows ${shown} at ${timeMs}, and ${value} was shipped`);
    }
  }
  for (const [series, samples] of found) {
    for (const timeMs of samples.keys()) {
      if (!known.has(`${series} ${timeMs}`)) wrong.push(`series ${series} has one at ${timeMs}`);
    }
  }
  const more = wrong.length > SHOWN_MAX ? `, and ${wrong.length - SHOWN_MAX} more` : '';
  const what = wrong.slice(0, SHOWN_MAX).join('; ') + more;
  return wrong.length === 0 ? [] : [{ invariant: 'I15', what }];
}
