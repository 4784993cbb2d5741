/**
 * Which blocks are to be written anew without what was deleted. Pure, but for what `checked` remembers of them.
 *
 *   a deletion is due ─► blocks of its time, made without it? ─no─► has any of its series samples there?
 *                                                             ─yes─► job ─► the block without them, same sources
 *
 * A block that other jobs have something to do with waits: they leave the same samples out.
 */
import type { BlockId } from '../block/ulid.ts';
import { type Deletion, isFinalFor } from '../deletion/deletion.ts';
import type { DownsamplableBlock } from './plan-downsampling.ts';
import type { CompactionJob, Plan, PlannedBlock } from './plan.ts';

/** What was found in a block: of which deletions it was asked, and of which it has samples. */
export interface CheckedBlock {
  readonly asked: ReadonlySet<string>;
  readonly found: ReadonlySet<string>;
}

export type CheckedBlocks = ReadonlyMap<BlockId, CheckedBlock>;

/** Deletions that a block may have samples of, and be made without. */
export function deletionsOfBlock(
  { deletions: applied = [], maxTimeMs, minTimeMs }: PlannedBlock,
  due: readonly Deletion[],
): readonly Deletion[] {
  return due.filter((deletion) => {
    const { id, range } = deletion;
    const isTouching = range.minTimeMs < maxTimeMs && range.maxTimeMs >= minTimeMs;
    return isTouching && !applied.includes(id) && isFinalFor(deletion, { maxTimeMs });
  });
}

/** Those of which it is not known whether the block has any. */
export function uncheckedDeletions(
  block: PlannedBlock,
  due: readonly Deletion[],
  checked: CheckedBlocks,
): readonly Deletion[] {
  const asked = checked.get(block.id)?.asked;
  return deletionsOfBlock(block, due).filter(({ id }) => asked?.has(id) !== true);
}

/** Living blocks that nothing else is done with, oldest first. */
export function cuttableBlocks<Block extends DownsamplableBlock>(
  blocks: readonly Block[],
  { held, jobs, redundant }: Pick<Plan, 'held' | 'jobs' | 'redundant'>,
  left: { readonly deleted: ReadonlySet<BlockId>; readonly noCompact: ReadonlySet<BlockId> },
): readonly Block[] {
  const busy = new Set([
    ...jobs.flatMap((job) => job.blocks.map(({ id }) => id)),
    ...held.flatMap(({ blocks: parts, why }) => (why === 'too large' ? [] : parts)),
  ]);
  return blocks
    .filter(
      ({ id, isExact, resolutionMs, unfit }) =>
        !left.deleted.has(id) &&
        !left.noCompact.has(id) &&
        !redundant.has(id) &&
        !busy.has(id) &&
        // Aggregates of others are hidden when they are read, and stay as they are.
        (resolutionMs > 0 ? isExact : unfit === undefined),
    )
    .sort((a, b) => a.minTimeMs - b.minTimeMs || (a.id < b.id ? -1 : 1));
}

/** One job for each block that has something of a due deletion. */
export function planDeletions(
  blocks: readonly DownsamplableBlock[],
  due: readonly Deletion[],
  checked: CheckedBlocks,
): readonly CompactionJob[] {
  return blocks
    .filter((block) => {
      const found = checked.get(block.id)?.found;
      return deletionsOfBlock(block, due).some(({ id }) => found?.has(id) === true);
    })
    .map((block) => ({
      key: deletionKey(block.id),
      kind: 'deletion',
      range: { startMs: block.minTimeMs, endMs: block.maxTimeMs },
      blocks: [block],
    }));
}

/** What a block's job is owned by. */
export function deletionKey(id: BlockId): string {
  return `deletion ${id}`;
}

/** Deletions of which no living block has anything, as far as all were asked. */
export function processedDeletions(
  living: readonly PlannedBlock[],
  due: readonly Deletion[],
  checked: CheckedBlocks,
): readonly string[] {
  return due
    .filter(({ isMoving }) => isMoving !== true)
    .filter((deletion) =>
      living.every((block) => {
        if (deletionsOfBlock(block, [deletion]).length === 0) return true;
        const known = checked.get(block.id);
        return known?.asked.has(deletion.id) === true && !known.found.has(deletion.id);
      }),
    )
    .map(({ id }) => id);
}
