/**
 * What the story of ages adds to that of compaction: blocks are downsampled, and go when they are old enough. Times are
 * shorter than those of nodes, so that all of it happens in days.
 *
 *   samples ──6 h──► 5 m ──24 h──► 1 h        samples go after 48 h, 5 m after 84 h, 1 h never
 *   series 1: hidden after 36 h, cut out of all blocks a day later
 */
import type { Matcher } from '../../model/matchers.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { type RetentionRule, retentionDeletions } from '../../storage/deletion/retention.ts';
import type { DownsamplingLevel } from '../../storage/compact/plan-downsampling.ts';

const HOUR_MS = 3_600_000;

export const FINE_MS = HOUR_MS / 12;
export const COARSE_MS = HOUR_MS;
export const RAW_RETENTION_MS = 48 * HOUR_MS;
export const FINE_RETENTION_MS = 84 * HOUR_MS;
export const RULE_SERIES = 1;
export const RULE_MS = 36 * HOUR_MS;

export const LEVELS: readonly DownsamplingLevel[] = [
  { resolutionMs: FINE_MS, afterMs: 6 * HOUR_MS },
  { resolutionMs: COARSE_MS, afterMs: 30 * HOUR_MS },
];

export const RULE_MATCHER: Matcher = { name: 'series', type: '=', value: String(RULE_SERIES) };

const RULE: RetentionRule = {
  text: `{series="${RULE_SERIES}"}:36h`,
  matchers: [RULE_MATCHER],
  periodMs: RULE_MS,
};

/** What the rule deletes at a time: hidden from reads, and due to be cut. */
export function ruledOut(nowMs: number): {
  readonly hidden: readonly Deletion[];
  readonly due: readonly Deletion[];
} {
  return retentionDeletions([RULE], nowMs);
}

/** How long blocks stay; 0: for ever. */
export function ageMaxOf(resolutionMs: number): number {
  if (resolutionMs === 0) return RAW_RETENTION_MS;
  return resolutionMs === FINE_MS ? FINE_RETENTION_MS : 0;
}
