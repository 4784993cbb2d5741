/**
 * Retention of some series only: what matches a rule and is older than its period counts as deleted. Of several rules
 * that match the shortest holds, as all deletions do.
 *
 *   hidden   from all reads, to the millisecond
 *   due      a day later, for blocks that end before that: they are made anew without it, once
 */
import type { Matcher } from '../../model/matchers.ts';
import { type Deletion, NO_DELETIONS } from './deletion.ts';

/** A clock that is wrong for less than this removes nothing early. */
const DUE_AFTER_MS = 24 * 3_600_000;

export interface RetentionRule {
  /** As it was written: what blocks are marked with. Another rule has another text. */
  readonly text: string;
  readonly matchers: readonly Matcher[];
  readonly periodMs: number;
}

/** What the rules delete of every tenant at a time. */
export function retentionDeletions(
  rules: readonly RetentionRule[],
  nowMs: number,
): { readonly hidden: readonly Deletion[]; readonly due: readonly Deletion[] } {
  if (rules.length === 0) return { hidden: NO_DELETIONS, due: NO_DELETIONS }; // fast path
  const before = (lateMs: number): readonly Deletion[] =>
    rules.map(({ matchers, periodMs, text }) => ({
      id: `retention ${text}`,
      selectors: [matchers],
      range: { minTimeMs: Number.MIN_SAFE_INTEGER, maxTimeMs: nowMs - periodMs - lateMs },
      isMoving: true,
    }));
  return { hidden: before(0), due: before(DUE_AFTER_MS) };
}
