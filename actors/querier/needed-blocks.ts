/**
 * Which blocks of the bucket a read needs beside what the ingesters answered. Pure.
 *
 *   ─────────────── oldest time that ingesters promise ───────────────► time
 *      all blocks     │   only blocks whose samples no ingester has:
 *                     │   of a disk that is not registered any more, or made elsewhere
 *
 * So nothing is read twice but the block across the border, and nothing is left out.
 */
import type { TimeRange } from '../../model/sample.ts';
import type { BucketIndex, IndexedBlock } from '../../storage/index.ts';

/**
 * A block that was marked longer ago than this has its replacement in every index that a reader may use;
 * it is deleted much later.
 */
const IGNORE_MARKED_AFTER_MS = 30 * 60_000;

export interface NeededBlocksOptions {
  readonly range: TimeRange;
  /** The oldest time that the ingesters which answered hold. */
  readonly oldestTimeMs: number;
  /** Store ids of the registered instances. */
  readonly stores: ReadonlySet<string>;
}

/** True for a block that was marked long ago: what replaces it is in every index. */
export function isIgnored(index: BucketIndex, { id }: IndexedBlock): boolean {
  const markedAtMs = index.deletions.get(id);
  return markedAtMs !== undefined && index.updatedAtMs - markedAtMs > IGNORE_MARKED_AFTER_MS;
}

export function neededBlocks(
  index: BucketIndex,
  { oldestTimeMs, range, stores }: NeededBlocksOptions,
): readonly IndexedBlock[] {
  const needed = index.blocks.filter((block) => {
    if (block.minTimeMs > range.maxTimeMs || block.maxTimeMs <= range.minTimeMs) return false;
    if (isIgnored(index, block)) return false;
    if (block.minTimeMs < oldestTimeMs && range.minTimeMs < oldestTimeMs) return true;
    return block.stores.length === 0 || block.stores.some((store) => !stores.has(store));
  });
  return needed.filter((block) => !needed.some((other) => isWithin(block, other)));
}

/** True when all of a block is in another one, which was made of it. */
function isWithin(block: IndexedBlock, other: IndexedBlock): boolean {
  if (block === other || other.sources.length <= Math.max(1, block.sources.length)) return false;
  if (other.minTimeMs > block.minTimeMs || other.maxTimeMs < block.maxTimeMs) return false;
  const inside = block.sources.length === 0 ? [block.id] : block.sources;
  return inside.every((source) => other.sources.includes(source));
}
