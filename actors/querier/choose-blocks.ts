/**
 * Which blocks of the bucket answer a read where some of them hold aggregates instead of samples. Pure.
 *
 *   1 h   ├───────────────┤                            chosen where they are allowed, the coarsest first,
 *   5 m                   ├───────┤                    and where they are alone
 *   raw                           ├─────┤├─────┤       everywhere else
 *
 * Two samples of one time are one sample, two aggregates of one window are not: so a block of aggregates is chosen only
 * if every block of samples that it overlaps is in it (it has all of its sources), and nothing else that is read
 * overlaps it. Where the samples of a block of aggregates are in no other block any more (their retention is over) it
 * is read in any case, and that is told.
 */
import type { TimeRange } from '../../model/sample.ts';
import type { BlockId, BucketIndex, DownsampledBlock, IndexedBlock } from '../../storage/index.ts';

/** `auto`: aggregates where the answer is the same. `5m`, `1h`: up to that, also where it is near. `raw`: none. */
export type SourceResolution = '1h' | '5m' | 'auto' | 'raw';

export interface ChooseOptions {
  readonly range: TimeRange;
  /** The coarsest that may be read instead of samples; 0: none. */
  readonly maxResolutionMs: number;
  /** Blocks of others may be chosen: their windows are a little different ones. */
  readonly isApproximate: boolean;
  /** Nothing older was read elsewhere. */
  readonly heldFromMs: number;
  /** Blocks that are of no use any more, by the age of their marks. */
  readonly isIgnored: (block: IndexedBlock) => boolean;
}

export interface BlockChoice {
  /** Instead of samples. */
  readonly chosen: readonly DownsampledBlock[];
  /** Because there are no samples any more. */
  readonly forced: readonly DownsampledBlock[];
  /** The blocks of samples that are not in those. */
  readonly raw: readonly IndexedBlock[];
}

/** What to read of an index. */
export function chooseBlocks(index: BucketIndex, options: ChooseOptions): BlockChoice {
  const { heldFromMs, isApproximate, isIgnored, maxResolutionMs, range } = options;
  const raw = index.blocks.filter((block) => !isIgnored(block));
  const aggregates = (index.downsampled ?? []).filter(
    (one) => overlaps(one, range) && !isIgnored(one),
  );
  if (aggregates.length === 0) return { chosen: [], forced: [], raw };
  const touching = raw.filter((block) => overlaps(block, range));
  const chosen: DownsampledBlock[] = [];
  for (const block of aggregates.sort(byCoarseness)) {
    if (block.resolutionMs > maxResolutionMs || block.maxTimeMs > heldFromMs) continue;
    if (!(block.isExact || isApproximate)) continue;
    if (chosen.some((other) => isTouching(block, other))) continue;
    const near = touching.filter((other) => isTouching(block, other));
    if (near.every((other) => isIn(other, block))) chosen.push(block);
  }
  const forced = forcedBlocks(aggregates, raw, chosen, touching);
  const used = [...chosen, ...forced];
  return { chosen, forced, raw: raw.filter((block) => !used.some((one) => isIn(block, one))) };
}

/** The finest blocks whose samples are nowhere else. */
function forcedBlocks(
  aggregates: readonly DownsampledBlock[],
  raw: readonly IndexedBlock[],
  chosen: readonly DownsampledBlock[],
  touching: readonly IndexedBlock[],
): readonly DownsampledBlock[] {
  let known: Set<BlockId> | undefined;
  const forced: DownsampledBlock[] = [];
  for (const block of [...aggregates].sort(byFineness)) {
    const isWithin = (other: IndexedBlock): boolean =>
      isTouching(block, other) && isIn(block, other);
    if (chosen.some(isWithin) || touching.some(isWithin)) continue; // nearly all: no set is needed
    known ??= new Set([...raw, ...chosen].flatMap(sourcesOf));
    const sources = sourcesOf(block);
    if (sources.every((source) => known?.has(source))) continue;
    for (const source of sources) known.add(source);
    forced.push(block);
  }
  return forced;
}

/** The end of the newest block of aggregates: what begins later needs no choice. */
export function aggregatesEndMs({ downsampled = [] }: BucketIndex): number {
  return downsampled.reduce((max, block) => Math.max(max, block.maxTimeMs), -Infinity);
}

function overlaps({ maxTimeMs, minTimeMs }: IndexedBlock, range: TimeRange): boolean {
  return minTimeMs <= range.maxTimeMs && maxTimeMs > range.minTimeMs;
}

/** They have a time in common. */
export function isTouching(a: IndexedBlock, b: IndexedBlock): boolean {
  return a.minTimeMs < b.maxTimeMs && b.minTimeMs < a.maxTimeMs;
}

/** All samples of the block are in the other one. Lists in one order, as they are, are walked once. */
function isIn(block: IndexedBlock, other: IndexedBlock): boolean {
  if (other.minTimeMs > block.minTimeMs || other.maxTimeMs < block.maxTimeMs) return false;
  const inside = other.sources;
  let next = 0;
  for (const source of sourcesOf(block)) {
    const at = inside[next] === source ? next : inside.indexOf(source);
    if (at < 0) return false;
    next = at + 1;
  }
  return true;
}

function sourcesOf({ id, sources }: IndexedBlock): IndexedBlock['sources'] {
  return sources.length === 0 ? [id] : sources;
}

function byCoarseness(a: DownsampledBlock, b: DownsampledBlock): number {
  return b.resolutionMs - a.resolutionMs || byWorth(a, b);
}

function byFineness(a: DownsampledBlock, b: DownsampledBlock): number {
  return a.resolutionMs - b.resolutionMs || byWorth(a, b);
}

/** What holds more first; then all nodes take the same one. */
function byWorth(a: DownsampledBlock, b: DownsampledBlock): number {
  return b.sources.length - a.sources.length || (a.id < b.id ? -1 : 1);
}
