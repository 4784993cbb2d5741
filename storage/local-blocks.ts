/**
 * The blocks in a tenant's directory: which there are, who reads them, and how they go.
 *
 *   add ─► listed ─► remove: unlisted ─► (last pin gone) ─► renamed to a tombstone name ─► removed
 *            └─ damage was read ─► unreadable ─► replaced, or set aside (block-healer.ts)
 *
 * A restored block takes the place of the bad one in steps that a crash may part; `open` goes on with them:
 *
 *   fetched ─► <ULID>.restored, durable ─► <ULID> to its tombstone name ─► <ULID>.restored to <ULID>
 *
 * Invariants: a pinned block's files stay; a block that cannot be read is never missed silently: reads of its
 * time fail by its name. A directory that has a block's name and no readable meta.json hides an unknown range.
 */
import { StarlingError, toStarlingError } from '../model/errors.ts';
import type { TimeRange } from '../model/sample.ts';
import { attempt } from '../platform/durable-file.ts';
import type { Disk, Log } from '../platform/platform.ts';
import { BlockReader, readBlockMeta } from './block/block-reader.ts';
import { removeBlock, removeTemporaryBlocks } from './block/block-writer.ts';
import { diskBlockFiles } from './block/byte-source.ts';
import type { BlockMeta } from './block/meta.ts';
import type { ReaderPool, ReaderUse } from './block/reader-pool.ts';
import { type BlockId, blockIdTimeMs, parseBlockId } from './block/ulid.ts';
import { restoredPath } from './bucket/restore.ts';
import {
  BLOCK_CHUNKS_DIRECTORY,
  blockDeletionName,
  damagedBlockName,
  joinPath,
  parseRestoredBlockName,
  restoredBlockName,
} from './filenames.ts';

export interface LocalBlocksOptions {
  readonly disk: Disk;
  readonly log: Log;
  /** The tenant's directory. */
  readonly directory: string;
  readonly readers: ReaderPool;
}

/** A block and what its files take on disk. */
export interface LocalBlock {
  readonly meta: BlockMeta;
  readonly sizeBytes: number;
}

/** A block that cannot be read, and the times its samples may have. */
export interface UnreadableBlock {
  readonly id: BlockId;
  readonly error: StarlingError;
  readonly range: TimeRange;
}

interface Entry extends LocalBlock {
  pinCount: number;
  /** Called when the last pin goes. */
  onUnpinned: (() => void) | undefined;
}

/** A block that stays while it is read. */
export interface PinnedBlock {
  readonly meta: BlockMeta;
  /** A part of it cannot be read: from now on reads of its time fail, until it is healed. */
  noteDamage(error: StarlingError): void;
  /** Opens it; `done` is called before `unpin`. Throws `block.corrupt`, `block.unsupported`, `disk.failed`. */
  read(): Promise<ReaderUse>;
  unpin(): void;
}

export class LocalBlocks {
  readonly #options: LocalBlocksOptions;
  readonly #entries = new Map<BlockId, Entry>();
  readonly #unreadable = new Map<BlockId, UnreadableBlock>();
  /** Of unreadable blocks: those that were listed, while reads that began before still have them pinned. */
  readonly #leaving = new Map<BlockId, Entry>();

  private constructor(options: LocalBlocksOptions) {
    this.#options = options;
  }

  /** Removes what was left half-made and lists the blocks. Throws `disk.failed`. */
  static async open(options: LocalBlocksOptions): Promise<LocalBlocks> {
    const { directory, disk, log } = options;
    const blocks = new LocalBlocks(options);
    for (const name of await attempt(directory, () => disk.list(directory))) {
      const id = parseBlockId(parseRestoredBlockName(name) ?? '');
      if (id !== undefined) await blocks.#swapIn(id);
    }
    await removeTemporaryBlocks(disk, directory);
    for (const name of await attempt(directory, () => disk.list(directory))) {
      const id = parseBlockId(name);
      if (id === undefined) continue;
      try {
        await blocks.add(await readBlockMeta(diskBlockFiles(disk, directory, id)));
      } catch (thrown) {
        const error = toStarlingError(thrown);
        if (error.id === 'disk.failed') throw error;
        log.error('block.unreadable', { block: id, why: error.message });
        // All that is known of its samples is that they were there when it was made.
        const range = { minTimeMs: 0, maxTimeMs: blockIdTimeMs(id) + MADE_AFTER_MS };
        blocks.#unreadable.set(id, { id, error, range });
      }
    }
    return blocks;
  }

  /** All that can be read, by their first time. */
  list(): readonly LocalBlock[] {
    return [...this.#entries.values()].sort(byTime);
  }

  get sizeBytes(): number {
    let sum = 0;
    for (const { sizeBytes } of this.#entries.values()) sum += sizeBytes;
    return sum;
  }

  /** Where the newest block of samples that came in order ends: nothing older is taken in order. */
  get endMs(): number {
    let endMs = Number.NEGATIVE_INFINITY;
    for (const { meta } of this.#entries.values()) {
      if (!meta.hints.includes(HINT_OUT_OF_ORDER)) endMs = Math.max(endMs, meta.maxTimeMs);
    }
    return endMs;
  }

  /** Lists a block that is whole on disk. */
  async add(meta: BlockMeta): Promise<void> {
    // A size is for the retention only: what cannot be told now counts when the blocks are listed next.
    const sizeBytes = await this.#sizeOf(meta.id).catch(() => 0);
    this.#entries.set(meta.id, { meta, sizeBytes, pinCount: 0, onUnpinned: undefined });
  }

  /** Those that cannot be read. */
  unreadable(): readonly UnreadableBlock[] {
    return [...this.#unreadable.values()];
  }

  /** A part of a block cannot be read: from now on reads of its time fail, until it is healed. Nothing, when it is gone. */
  noteDamage(id: BlockId, error: StarlingError): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const { meta } = entry;
    this.#options.log.error('block.unreadable', { block: id, why: error.message });
    const range = { minTimeMs: meta.minTimeMs, maxTimeMs: meta.maxTimeMs - 1 };
    this.#entries.delete(id);
    this.#leaving.set(id, entry);
    this.#unreadable.set(id, { id, error, range });
  }

  /** Why a block cannot be read; undefined: nothing is known of it. */
  damageOf(id: BlockId): StarlingError | undefined {
    return this.#unreadable.get(id)?.error;
  }

  /**
   * The blocks that touch the closed range, oldest first. Throws the error of an unreadable one that may
   * touch it.
   */
  pin({ maxTimeMs, minTimeMs }: TimeRange): readonly PinnedBlock[] {
    for (const { error, range } of this.#unreadable.values()) {
      if (range.minTimeMs <= maxTimeMs && range.maxTimeMs >= minTimeMs) throw error;
    }
    const found: Entry[] = [];
    for (const entry of this.#entries.values()) {
      const { meta } = entry;
      if (meta.minTimeMs <= maxTimeMs && meta.maxTimeMs > minTimeMs) found.push(entry);
    }
    return found.sort(byTime).map((entry) => this.#pin(entry));
  }

  /** Unlists a block and removes its files: now, or when its last read ends. Throws `disk.failed`. */
  async remove(id: BlockId): Promise<void> {
    const { directory, disk, log, readers } = this.#options;
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    const removeFiles = (): Promise<void> => {
      readers.forget(joinPath(directory, id));
      return removeBlock(disk, directory, id);
    };
    if (entry.pinCount === 0) {
      await removeFiles();
      return;
    }
    log.probe?.('block.removed_in_use');
    entry.onUnpinned = () => {
      removeFiles().catch((thrown: unknown) => {
        log.error('block.not_removed', { block: id, why: toStarlingError(thrown).message });
      });
    };
  }

  /** Puts a restored block in the place of an unreadable one. Throws `disk.failed`. */
  async replace(meta: BlockMeta): Promise<void> {
    const { directory, disk } = this.#options;
    const restored = joinPath(directory, restoredBlockName(meta.id));
    // One that is there already is whole, from a try that failed after it had its name.
    if ((await attempt(restored, () => disk.stat(restored))) === undefined) {
      await attempt(restored, () => disk.rename(restoredPath(directory, meta.id), restored));
    }
    await attempt(directory, () => disk.syncDirectory(directory));
    await this.#swapIn(meta.id);
    await this.add(meta);
    this.#unreadable.delete(meta.id);
    await removeTemporaryBlocks(disk, directory);
  }

  /** From a durable restored block to one that has its name: each step leaves one of the two. */
  async #swapIn(id: BlockId): Promise<void> {
    const { directory, disk } = this.#options;
    await this.#moveAway(id, blockDeletionName(id));
    await attempt(directory, () => disk.syncDirectory(directory));
    const path = joinPath(directory, id);
    await attempt(path, () => disk.rename(joinPath(directory, restoredBlockName(id)), path));
    await attempt(directory, () => disk.syncDirectory(directory));
  }

  /** An unreadable block is not missed any more; its files stay beside the others. Throws `disk.failed`. */
  async setAside(id: BlockId): Promise<void> {
    const { directory, disk } = this.#options;
    await this.#moveAway(id, damagedBlockName(id));
    await attempt(directory, () => disk.syncDirectory(directory));
    this.#unreadable.delete(id);
  }

  /** Renames an unreadable block once nobody reads it. */
  async #moveAway(id: BlockId, name: string): Promise<void> {
    const { directory, disk, readers } = this.#options;
    const entry = this.#leaving.get(id);
    if (entry !== undefined && entry.pinCount > 0) {
      await new Promise<void>((resolve) => (entry.onUnpinned = resolve));
    }
    this.#leaving.delete(id);
    const path = joinPath(directory, id);
    readers.forget(path);
    const aside = joinPath(directory, name);
    if ((await attempt(aside, () => disk.stat(aside))) !== undefined) {
      await attempt(aside, () => disk.removeTree(aside));
    }
    if ((await attempt(path, () => disk.stat(path))) !== undefined) {
      await attempt(path, () => disk.rename(path, aside));
    }
  }

  /** Closes its readers as their uses end. */
  close(): void {
    const { directory, readers } = this.#options;
    for (const id of this.#entries.keys()) readers.forget(joinPath(directory, id));
  }

  #pin(entry: Entry): PinnedBlock {
    const { directory, disk, readers } = this.#options;
    const { meta } = entry;
    entry.pinCount++;
    return {
      meta,
      noteDamage: (error) => {
        if (this.#entries.get(meta.id) === entry) this.noteDamage(meta.id, error);
      },
      read: () =>
        readers.use(joinPath(directory, meta.id), () =>
          BlockReader.open(diskBlockFiles(disk, directory, meta.id)),
        ),
      unpin: () => {
        entry.pinCount--;
        if (entry.pinCount === 0) entry.onUnpinned?.();
      },
    };
  }

  async #sizeOf(id: BlockId): Promise<number> {
    const { directory, disk } = this.#options;
    const path = joinPath(directory, id);
    let sum = 0;
    for (const part of [path, joinPath(path, BLOCK_CHUNKS_DIRECTORY)]) {
      for (const name of await attempt(part, () => disk.list(part))) {
        const found = await attempt(part, () => disk.stat(joinPath(part, name)));
        if (found?.kind === 'file') sum += found.sizeBytes;
      }
    }
    return sum;
  }
}

function byTime(a: LocalBlock, b: LocalBlock): number {
  return a.meta.minTimeMs - b.meta.minTimeMs || (a.meta.id < b.meta.id ? -1 : 1);
}

/** No sample of a block is further after its making: what clocks that differ may amount to. */
const MADE_AFTER_MS = 2 * 3_600_000;

/** What Prometheus notes in meta.json of a block of samples that came out of order. */
export const HINT_OUT_OF_ORDER = 'from-out-of-order';
