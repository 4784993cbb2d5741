/**
 * Which blocks are to be downsampled. Pure: the same blocks give the same jobs on every node.
 *
 *   samples ──40 h after the end of the block──► 5 m ──10 d after it──► 1 h
 *
 * A block is downsampled once nothing is left to be done with it: it is not redundant, in no job, held by no range. It has
 * been when a living block of that resolution has all of its sources and covers its time. So a block that is merged anew
 * (samples came late) is downsampled anew, and what was made of its parts becomes redundant as any block does.
 */
import type { BlockId } from '../block/ulid.ts';
import { type CompactionJob, type Plan, type PlannedBlock, sourcesOf } from './plan.ts';

/** Blocks of one resolution. */
export interface DownsamplingLevel {
  readonly resolutionMs: number;
  /** From the end of a block to when it is made. */
  readonly afterMs: number;
}

/** The resolutions there are, finest first: each is made of the one before. */
const MADE_RESOLUTIONS_MS = { fine: 300_000, coarse: 3_600_000 } as const;

const HOUR_MS = 3_600_000;
const FINE_AFTER_MS = 40 * HOUR_MS;
const COARSE_AFTER_MS = 10 * 24 * HOUR_MS;
/** From the last sample that may come for a time to when all of them are in merged blocks. */
const SETTLED_AFTER_MS = 24 * HOUR_MS;

/** Thanos' times, and not before samples out of order are all in. */
export function downsamplingLevels(outOfOrderMs: number): readonly DownsamplingLevel[] {
  const settledMs = outOfOrderMs + SETTLED_AFTER_MS;
  return [
    { resolutionMs: MADE_RESOLUTIONS_MS.fine, afterMs: Math.max(FINE_AFTER_MS, settledMs) },
    { resolutionMs: MADE_RESOLUTIONS_MS.coarse, afterMs: Math.max(COARSE_AFTER_MS, settledMs) },
  ];
}

/** A block as this plan needs it. */
export interface DownsamplableBlock extends PlannedBlock {
  readonly resolutionMs: number;
  readonly isExact: boolean;
  /** Blocks that stand for the same samples agree in it. */
  readonly labelGroup: string;
  readonly unfit: string | undefined;
}

export interface DownsamplingOptions {
  /** Finest first. */
  readonly levels: readonly DownsamplingLevel[];
  readonly nowMs: number;
  readonly deleted: ReadonlySet<BlockId>;
  readonly noCompact: ReadonlySet<BlockId>;
}

/** One job for each block that is due, oldest first. */
export function planDownsampling(
  blocks: readonly DownsamplableBlock[],
  { held, jobs, redundant }: Pick<Plan, 'held' | 'jobs' | 'redundant'>,
  { deleted, levels, noCompact, nowMs }: DownsamplingOptions,
): readonly CompactionJob[] {
  const busy = new Set([
    ...jobs.flatMap((job) => job.blocks.map(({ id }) => id)),
    ...held.flatMap(({ blocks: parts, why }) => (why === 'too large' ? [] : parts)),
  ]);
  const living = blocks.filter(({ id }) => !deleted.has(id) && !redundant.has(id));
  const found: CompactionJob[] = [];
  for (const [i, { afterMs, resolutionMs }] of levels.entries()) {
    const fromMs = i === 0 ? 0 : levels[i - 1]!.resolutionMs;
    const made = living.filter((one) => one.resolutionMs === resolutionMs && one.isExact);
    for (const block of living) {
      if (block.resolutionMs !== fromMs || busy.has(block.id) || noCompact.has(block.id)) continue;
      if (fromMs > 0 ? !block.isExact : block.unfit !== undefined) continue;
      // Parts of a block that was split have the same sources, and who reads an index cannot tell them apart.
      if (block.labelGroup !== '') continue;
      if (block.maxTimeMs + afterMs > nowMs || made.some((one) => standsFor(one, block))) continue;
      const range = { startMs: block.minTimeMs, endMs: block.maxTimeMs };
      const key = `${resolutionMs}ms ${block.id}`;
      found.push({ key, kind: 'downsampling', range, blocks: [block], resolutionMs });
    }
  }
  return found.sort((a, b) => a.range.startMs - b.range.startMs || (a.key < b.key ? -1 : 1));
}

/** All samples of the block are in the other one. */
function standsFor(other: DownsamplableBlock, block: DownsamplableBlock): boolean {
  if (other.labelGroup !== block.labelGroup) return false;
  if (other.minTimeMs > block.minTimeMs || other.maxTimeMs < block.maxTimeMs) return false;
  const inside = new Set(sourcesOf(other));
  return sourcesOf(block).every((source) => inside.has(source));
}
