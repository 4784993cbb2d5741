/**
 * Which blocks of a tenant become one, and which are not needed any more. Pure: the same blocks give the
 * same plan on every node, in whatever order they come.
 *
 *   2 h     ├─A1─┤├─B1─┤├─C1─┤         A1, A2 overlap: one job. B1, C1 are alone in their ranges.
 *           ├─A2─┤
 *   12 h    ├───────────── D ─────┤    once nothing inside is left to do and the range is past: one job
 *
 * Ranges are aligned to multiples of their length. A block belongs to the ranges that hold all of it; one that
 * lies across a border of the longest range stays as it is. Invariants: no block is in two jobs; no job has
 * a block that is marked; blocks of one job agree in everything that is not time (`group`).
 */
import type { BlockId } from '../block/ulid.ts';

export interface PlannedBlock {
  readonly id: BlockId;
  readonly minTimeMs: number;
  /** The first millisecond after it. */
  readonly maxTimeMs: number;
  readonly level: number;
  /** The level 1 blocks that are in it. */
  readonly sources: readonly BlockId[];
  /** Deletions that it was made without the samples of; absent: none. */
  readonly deletions?: readonly string[] | undefined;
  /** What blocks must agree in to become one; see `groupOf`. */
  readonly group: string;
  readonly sizeBytes: number;
  /** When it was first seen in the bucket. */
  readonly uploadedAtMs: number;
}

export interface PlanOptions {
  /** Rising, each a multiple of the one before. */
  readonly rangesMs: readonly number[];
  /** A block cut from a head waits so long for the blocks of its replicas. */
  readonly waitMs: number;
  readonly nowMs: number;
  /** Blocks that will be deleted: they stay out, and nothing is redundant because of them. */
  readonly deleted: ReadonlySet<BlockId>;
  /** Blocks that stay as they are. */
  readonly noCompact: ReadonlySet<BlockId>;
  readonly jobBlocksMax: number;
  readonly jobBytesMax: number;
}

export interface CompactionJob {
  /** The same on every node: what ownership is decided by. */
  readonly key: string;
  /** Vertical: some of the blocks overlap in time. */
  readonly kind: 'deletion' | 'downsampling' | 'horizontal' | 'vertical';
  /** The aligned range that the blocks are in. */
  readonly range: BlockRange;
  /** By first time, then by name; two or more, but one to be downsampled or to lose what was deleted. */
  readonly blocks: readonly PlannedBlock[];
  /** To what the block is downsampled. */
  readonly resolutionMs?: number;
}

/** `startMs <= t < endMs` */
export interface BlockRange {
  readonly startMs: number;
  readonly endMs: number;
}

/** A range whose blocks are not compacted now. */
export interface HeldRange {
  readonly key: string;
  readonly range: BlockRange;
  readonly blocks: readonly BlockId[];
  readonly why: 'not past' | 'too large' | 'waits for replicas';
}

export interface Plan {
  /** Overlapping blocks first, then short ranges, then old ones. */
  readonly jobs: readonly CompactionJob[];
  readonly held: readonly HeldRange[];
  /** Blocks all of whose samples are in another one, by which. */
  readonly redundant: ReadonlyMap<BlockId, BlockId>;
}

/** What to do with these blocks. */
export function planCompaction(blocks: readonly PlannedBlock[], options: PlanOptions): Plan {
  const { deleted, noCompact } = options;
  const living = blocks.filter(({ id }) => !deleted.has(id)).sort(byTime);
  const redundant = redundantBlocks(living);
  const newestStartMs = living.at(-1)?.minTimeMs ?? 0;
  const jobs: CompactionJob[] = [];
  const held: HeldRange[] = [];
  const eligible = living.filter(({ id }) => !redundant.has(id) && !noCompact.has(id));
  for (const [group, members] of groups(eligible)) {
    const planner = new GroupPlanner(group, members, { ...options, newestStartMs });
    jobs.push(...planner.jobs);
    held.push(...planner.held);
  }
  return { jobs: jobs.sort(byUrgency), held, redundant };
}

/**
 * Blocks all of whose samples are in another one, which was made of them. Of blocks that hold the same (two
 * instances did the same job) the highest level stays, then the one without most deletions, then the first name: all
 * nodes keep the same one.
 */
export function redundantBlocks(blocks: readonly PlannedBlock[]): ReadonlyMap<BlockId, BlockId> {
  const holders = new Map<BlockId, PlannedBlock[]>();
  for (const block of blocks) {
    for (const source of sourcesOf(block)) {
      const known = holders.get(source);
      if (known === undefined) holders.set(source, [block]);
      else known.push(block);
    }
  }
  const redundant = new Map<BlockId, BlockId>();
  for (const block of blocks) {
    const better = holders.get(sourcesOf(block)[0]!)?.filter((other) => isBetter(other, block));
    const keeper = better?.sort(byWorth)[0];
    if (keeper !== undefined) redundant.set(block.id, keeper.id);
  }
  return redundant;
}

/** True when `block` is not needed beside `other`. */
function isBetter(other: PlannedBlock, block: PlannedBlock): boolean {
  if (other.id === block.id || other.group !== block.group) return false;
  if (other.minTimeMs > block.minTimeMs || other.maxTimeMs < block.maxTimeMs) return false;
  const inside = new Set(sourcesOf(other));
  const own = sourcesOf(block);
  if (own.some((source) => !inside.has(source))) return false;
  return byWorth(other, block) < 0;
}

/** The one to keep first. Total, so that among equals one stays. */
function byWorth(a: PlannedBlock, b: PlannedBlock): number {
  return (
    sourcesOf(b).length - sourcesOf(a).length ||
    b.level - a.level ||
    (b.deletions?.length ?? 0) - (a.deletions?.length ?? 0) ||
    compareText(a.id, b.id) // all say the same
  );
}

/** The level 1 blocks in a block; one that names none is its own. */
export function sourcesOf({
  id,
  sources,
}: Pick<PlannedBlock, 'id' | 'sources'>): readonly BlockId[] {
  return sources.length === 0 ? [id] : sources;
}

interface GroupOptions extends PlanOptions {
  /** Of all blocks of the tenant. */
  readonly newestStartMs: number;
}

class GroupPlanner {
  readonly jobs: CompactionJob[] = [];
  readonly held: HeldRange[] = [];
  readonly #group: string;
  readonly #options: GroupOptions;
  /** Blocks that a shorter range has something to do with. */
  readonly #taken = new Set<BlockId>();

  constructor(group: string, blocks: readonly PlannedBlock[], options: GroupOptions) {
    this.#group = group;
    this.#options = options;
    for (const rangeMs of options.rangesMs) {
      for (const [startMs, inside] of rangesOf(blocks, rangeMs)) {
        this.#planRange({ startMs, endMs: startMs + rangeMs }, inside);
      }
    }
  }

  #planRange(range: BlockRange, blocks: readonly PlannedBlock[]): void {
    if (blocks.length < 2 || blocks.some(({ id }) => this.#taken.has(id))) return;
    for (const { id } of blocks) this.#taken.add(id);
    const key = `${range.startMs}-${range.endMs}${this.#group === '' ? '' : ` ${this.#group}`}`;
    const hold = (why: HeldRange['why']): void => {
      this.held.push({ key, range, blocks: blocks.map(({ id }) => id), why });
    };
    const { nowMs, waitMs } = this.#options;
    if (!this.#isPast(range)) hold('not past');
    // A time further ahead was noted by a clock that was wrong: nobody waits for that.
    else if (blocks.some((one) => one.level <= 1 && Math.abs(nowMs - one.uploadedAtMs) < waitMs)) {
      hold('waits for replicas');
    } else {
      const fitting = this.#fitting(blocks);
      if (fitting.length < 2) hold('too large');
      else this.jobs.push({ key, kind: kindOf(fitting), range, blocks: fitting });
    }
  }

  /** Nobody cuts blocks of this range any more: there are later ones, or it is long ago. */
  #isPast({ endMs, startMs }: BlockRange): boolean {
    const { newestStartMs, nowMs } = this.#options;
    return newestStartMs >= endMs || nowMs >= endMs + (endMs - startMs);
  }

  /** As many of them, from the oldest on, as one job may have. */
  #fitting(blocks: readonly PlannedBlock[]): readonly PlannedBlock[] {
    const { jobBlocksMax, jobBytesMax } = this.#options;
    let bytes = 0;
    const count = blocks.findIndex(({ sizeBytes }, i) => {
      bytes += sizeBytes;
      return i >= jobBlocksMax || bytes > jobBytesMax;
    });
    return count < 0 ? blocks : blocks.slice(0, count);
  }
}

function groups(blocks: readonly PlannedBlock[]): ReadonlyMap<string, PlannedBlock[]> {
  const byGroup = new Map<string, PlannedBlock[]>();
  for (const block of blocks) {
    const members = byGroup.get(block.group);
    if (members === undefined) byGroup.set(block.group, [block]);
    else members.push(block);
  }
  return byGroup;
}

/** The blocks inside each aligned range of this length, by its start. */
function rangesOf(
  blocks: readonly PlannedBlock[],
  rangeMs: number,
): ReadonlyMap<number, PlannedBlock[]> {
  const found = new Map<number, PlannedBlock[]>();
  for (const block of blocks) {
    const startMs = Math.floor(block.minTimeMs / rangeMs) * rangeMs;
    if (block.maxTimeMs > startMs + rangeMs) continue;
    const inside = found.get(startMs);
    if (inside === undefined) found.set(startMs, [block]);
    else inside.push(block);
  }
  return found;
}

/** `blocks` are sorted by time. */
function kindOf(blocks: readonly PlannedBlock[]): CompactionJob['kind'] {
  let endMs = Number.NEGATIVE_INFINITY;
  for (const { maxTimeMs, minTimeMs } of blocks) {
    if (minTimeMs < endMs) return 'vertical';
    endMs = Math.max(endMs, maxTimeMs);
  }
  return 'horizontal';
}

function byTime(a: PlannedBlock, b: PlannedBlock): number {
  return a.minTimeMs - b.minTimeMs || a.maxTimeMs - b.maxTimeMs || compareText(a.id, b.id);
}

function byUrgency(a: CompactionJob, b: CompactionJob): number {
  return (
    Number(a.kind === 'horizontal') - Number(b.kind === 'horizontal') ||
    lengthOf(a.range) - lengthOf(b.range) ||
    a.range.startMs - b.range.startMs ||
    compareText(a.key, b.key)
  );
}

function lengthOf({ endMs, startMs }: BlockRange): number {
  return endMs - startMs;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
