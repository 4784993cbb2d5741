/**
 * From head to blocks, for one tenant: cuts what is due, drops it from head and log, lets blocks go when
 * they are past the retention, and gives reads one consistent view of head and blocks.
 *
 *   1. nothing older than `endMs` is appended any more      (appendMinMs = endMs)
 *   2. the block is written and durable under its name      (block-writer.ts)
 *   3. in one step: it is listed, and reads take the head only from `endMs` on
 *   4. reads that began before have ended                   (running-reads.ts)
 *   5. the head drops what is older, the log is shortened
 *
 * Invariant: at every moment, and after a crash at any moment, each sample older than `endMs` is in a
 * listed block or in the head's view; a replay leaves out what is older than the newest block's end.
 */
import type { TimeRange } from '../model/sample.ts';
import type { Clock, Disk, Log, Random } from '../platform/platform.ts';
import { type BlockSource, cutBlock } from './block/cut.ts';
import { BlockHealer, type BlockHealing } from './block-healer.ts';
import type { BlockMeta } from './block/meta.ts';
import type { BlockDamage } from './bucket/shipper.ts';
import type { ReaderPool } from './block/reader-pool.ts';
import { type BlockId, newBlockId } from './block/ulid.ts';
import { type BlockWindow, type HeadSpan, dueWindow, oldestWindow } from './cut-plan.ts';
import { DamagedBlocks } from './damaged-blocks.ts';
import type { ChunkFiles } from './head/chunk-files.ts';
import { openHeadSource } from './head/block-source.ts';
import { BLOCK_RANGE_MS, type Head } from './head/head.ts';
import { writeHorizon } from './horizon.ts';
import {
  HINT_OUT_OF_ORDER,
  type LocalBlock,
  LocalBlocks,
  type PinnedBlock,
} from './local-blocks.ts';
import { Pacer } from './pacer.ts';
import { type RunningRead, RunningReads } from './running-reads.ts';
import type { WorkQueue } from './work-queue.ts';

/** A head that took nothing for so long is cut as a whole. */
const IDLE_CUT_MS = 3_600_000;

export interface TenantBlocksOptions {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly random: Random;
  /** The tenant's directory. */
  readonly directory: string;
  readonly readers: ReaderPool;
  /** The node's: one cut at a time. */
  readonly cuts: WorkQueue;
  /** How much later than others this tenant cuts on this node. */
  readonly cutJitterMs: number;
  /** Blocks that end before this much ago go. */
  readonly retentionMs: number;
  /** False while a block is needed here, however old it is: it is not in the bucket yet. */
  readonly mayRemove: (id: BlockId) => boolean;
  /** True while every reader finds all of a block in the bucket: reads that ask for it leave it out. */
  readonly isIndexed: (id: BlockId) => boolean;
  /** The oldest blocks go while all together take more; 0: no limit. */
  readonly retentionBytesMax: number;
  /** How blocks that cannot be read come back; without it they stay, and reads of their time fail. */
  readonly healing?: BlockHealing | undefined;
  /**
   * Something that was durable is gone: samples from `fromMs` on, before `beforeMs` if that is known, else as
   * new as any; `newestMs` is the newest that is left. Waited for before the traces are removed.
   */
  readonly onLoss?: (loss: FoundLoss) => Promise<void>;
}

export interface FoundLoss {
  readonly fromMs: number;
  readonly newestMs: number;
  readonly beforeMs?: number;
}

/** What the TSDB around it does. */
export interface HeadOwner {
  readonly head: Head;
  readonly files: ChunkFiles;
  /** Shortens the log: samples before `minTimeMs` are not wanted any more. */
  checkpoint(minTimeMs: number, pacer: Pacer): Promise<void>;
}

/** Head and blocks as one read sees them, from its beginning to `end`. */
export interface TenantView {
  readonly blocks: readonly PinnedBlock[];
  /** The part of the range that the head has; empty (from after to): none. */
  readonly headRange: TimeRange;
  readonly read: RunningRead;
  end(): void;
}

export class TenantBlocks {
  readonly #options: TenantBlocksOptions;
  readonly #owner: HeadOwner;
  readonly #local: LocalBlocks;
  readonly #healer: BlockHealer | undefined;
  readonly #damaged: DamagedBlocks;
  #healing: Promise<void> | undefined;
  #sweeping: Promise<void> | undefined;
  readonly #reads: RunningReads;
  /** Reads take the head from here on; everything older is in blocks, or dropped. */
  #headMinMs: number;
  /** Appends are taken from here on. */
  appendMinMs: number;
  #horizonMs: number;
  #appendedAtMs: number;
  #work: Promise<unknown> | undefined;
  /** The same, while it is chunks that go to files. */
  #filing: Promise<void> | undefined;
  #isClosed = false;
  /** Blocks cut since the start, and tries that failed. */
  cutCount = 0;
  cutFailures = 0;

  private constructor(
    options: TenantBlocksOptions,
    owner: HeadOwner,
    local: LocalBlocks,
    horizonMs: number,
  ) {
    this.#options = options;
    this.#owner = owner;
    this.#local = local;
    this.#healer = this.#healerOf(options);
    // Without healing nobody knows what is filled: nothing goes.
    const isWhole = (): boolean => options.healing?.isWhole() === true;
    this.#damaged = new DamagedBlocks({ ...options, isWhole });
    this.#reads = new RunningReads(options.clock);
    this.#horizonMs = horizonMs;
    this.#headMinMs = Math.max(local.endMs, horizonMs);
    this.appendMinMs = this.#headMinMs;
    this.#appendedAtMs = options.clock.monotonicMs();
  }

  /** Lists the tenant's blocks; the head is replayed afterwards, from `appendMinMs` on. */
  static async open(
    options: TenantBlocksOptions,
    owner: HeadOwner,
    horizonMs: number,
  ): Promise<TenantBlocks> {
    return new TenantBlocks(options, owner, await LocalBlocks.open(options), horizonMs);
  }

  /** The oldest time that head and blocks promise to hold now. */
  oldestTimeMs(nowMs: number): number {
    return Math.max(nowMs - this.#options.retentionMs, this.#horizonMs);
  }

  /** Nothing older is in the head, or in blocks that are not settled by `beforeMs`. */
  heldFromMs(beforeMs: number): number {
    const fromMs = Math.max(this.#owner.head.minTimeMs, this.#headMinMs);
    return this.#local.list().reduce((min, { meta }) => {
      return this.isSettled(meta, beforeMs) ? min : Math.min(min, meta.minTimeMs);
    }, fromMs);
  }

  /** Every reader finds all of a block in the bucket, and it ends by `beforeMs`. */
  isSettled({ id, maxTimeMs }: BlockMeta, beforeMs: number): boolean {
    return maxTimeMs <= beforeMs && this.#options.isIndexed(id);
  }

  /** The blocks in the tenant's directory, by their first time. */
  list(): readonly LocalBlock[] {
    return this.#local.list();
  }

  /** What they take on disk. */
  get sizeBytes(): number {
    return this.#local.sizeBytes;
  }

  /** Why a block of the directory cannot be read, and where somebody who found that out tells it. */
  get damage(): BlockDamage {
    return {
      of: (id) => this.#local.damageOf(id),
      note: (id, error) => this.#local.noteDamage(id, error),
    };
  }

  get isBusy(): boolean {
    return this.#work !== undefined;
  }

  /** Notes that the head took samples. */
  noteAppend(): void {
    this.#appendedAtMs = this.#options.clock.monotonicMs();
    if (this.#owner.files.isDue && this.#work === undefined && !this.#isClosed) this.#fileChunks();
  }

  /** Takes old chunks of the head out of memory, in the background. */
  #fileChunks(): void {
    const { clock, log } = this.#options;
    const pacer = new Pacer(clock, () => this.#isClosed);
    this.#filing = this.#exclusive(() => this.#owner.files.write(pacer))
      .catch((thrown: unknown) => {
        if (!this.#isClosed) log.warn('chunks stay in memory', { error: String(thrown) }); // until later
      })
      .finally(() => (this.#filing = undefined));
  }

  /** One consistent view of a closed range. Throws for a block that cannot be read. */
  view(range: TimeRange): TenantView {
    const blocks = this.#local.pin(range);
    const read = this.#reads.begin();
    return {
      blocks,
      headRange: { ...range, minTimeMs: Math.max(range.minTimeMs, this.#headMinMs) },
      read,
      end: () => {
        for (const block of blocks) block.unpin();
        this.#reads.end(read);
      },
    };
  }

  /** Does what is due: blocks cut, unreadable ones healed, old ones let go. One run at a time; cheap when nothing is. */
  maintain(nowMs: number): Promise<void> {
    if (this.#filing !== undefined) return this.#filing.then(() => this.maintain(nowMs));
    if (this.#work !== undefined || this.#isClosed) return Promise.resolve();
    const done = this.#exclusive(async () => {
      for (;;) {
        const window = this.#isIdle() ? oldestWindow(this.#span()) : this.#due();
        if (window === undefined) break;
        await this.#cut(window);
      }
      await this.#retain(nowMs);
    });
    return done.then(() => this.#heal()).then(() => this.#sweep());
  }

  async #sweep(): Promise<void> {
    if (this.#isClosed) return;
    this.#sweeping = this.#damaged.sweep();
    await this.#sweeping;
  }

  /** Beside cuts, because to fetch a block may take long: one at a time. */
  async #heal(): Promise<void> {
    if (this.#healer === undefined || this.#healing !== undefined || this.#isClosed) return;
    this.#healing = this.#healer.heal().finally(() => (this.#healing = undefined));
    await this.#healing;
  }

  /** Cuts everything the head holds. Returns the new blocks. */
  async flush(): Promise<readonly BlockMeta[]> {
    return this.#inTurn(async () => {
      const metas: BlockMeta[] = [];
      const endMs = this.#owner.head.maxTimeMs; // what comes meanwhile stays
      for (;;) {
        const window = oldestWindow(this.#span());
        if (window === undefined || window.minTimeMs > endMs) return metas;
        const meta = await this.#cut(window);
        if (meta !== undefined) metas.push(meta);
      }
    });
  }

  /**
   * Adds a block of what others hold, beside what is here: it overlaps other blocks and the head, as one of
   * samples that came out of order does, and moves no border.
   */
  async fill(source: BlockSource, range: TimeRange, promisedFromMs: number): Promise<void> {
    await this.#inTurn(async () => {
      const { clock, cuts, directory, disk, log, random } = this.#options;
      if (promisedFromMs > this.#horizonMs && promisedFromMs > range.minTimeMs) {
        await writeHorizon(disk, directory, promisedFromMs);
        this.#horizonMs = promisedFromMs;
      }
      const pacer = new Pacer(clock, () => this.#isClosed);
      const id = newBlockId({ clock, random });
      const options = { disk, directory, id, pacer, hints: [HINT_OUT_OF_ORDER] };
      const meta = await cuts.run(() => cutBlock(options, source, range));
      if (meta === undefined) return;
      await this.#local.add(meta);
      log.probe?.('block.filled');
      log.info('block filled', { block: id, ...range, ...meta.stats });
    });
  }

  /** Stops what runs. Its files stay whole. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#reads.expireAll();
    await this.#work?.catch(() => undefined); // told to who began it
    await this.#healing;
    await this.#sweeping;
    this.#local.close();
  }

  /** The same when what runs is done. */
  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.#work !== undefined) await this.#work.catch(() => undefined); // told to who began it
    return this.#exclusive(work);
  }

  #healerOf({ clock, healing, log, onLoss }: TenantBlocksOptions): BlockHealer | undefined {
    if (healing === undefined || onLoss === undefined) return undefined;
    return new BlockHealer({
      ...{ clock, log, blocks: this.#local, healing },
      exclusively: (change) => this.#inTurn(change),
      isClosed: () => this.#isClosed,
      onLoss: ({ beforeMs, fromMs }) => onLoss({ fromMs, beforeMs, newestMs: beforeMs }),
    });
  }

  #exclusive<Result>(work: () => Promise<Result>): Promise<Result> {
    const running = work().finally(() => {
      this.#work = undefined;
    });
    this.#work = running;
    return running;
  }

  #span(): HeadSpan {
    const { maxTimeMs, minTimeMs } = this.#owner.head;
    return { minTimeMs: Math.max(minTimeMs, this.#headMinMs), maxTimeMs, cutMs: this.#headMinMs };
  }

  #due(): BlockWindow | undefined {
    return dueWindow(this.#span(), this.#options.cutJitterMs);
  }

  #isIdle(): boolean {
    const { clock, cutJitterMs } = this.#options;
    return clock.monotonicMs() - this.#appendedAtMs > IDLE_CUT_MS + cutJitterMs;
  }

  /** Makes one block of a window, and drops it from the head. Undefined: there was nothing in it. */
  async #cut(window: BlockWindow): Promise<BlockMeta | undefined> {
    const pacer = new Pacer(this.#options.clock, () => this.#isClosed);
    const before = this.appendMinMs;
    this.appendMinMs = Math.max(before, window.endMs);
    if (window.endMs % BLOCK_RANGE_MS !== 0) this.#owner.head.cutOpenChunks(window.endMs);
    let meta: BlockMeta | undefined;
    try {
      meta = await this.#options.cuts.run(() => this.#write(window, pacer));
      if (meta !== undefined) await this.#local.add(meta);
    } catch (thrown) {
      this.appendMinMs = before;
      this.cutFailures++;
      this.#options.log.probe?.('block.cut_failed');
      throw thrown;
    }
    this.#headMinMs = window.endMs;
    if (meta !== undefined) this.cutCount++;
    await this.#reads.drain();
    await this.#drop(window.endMs, pacer);
    return meta;
  }

  async #write(window: BlockWindow, pacer: Pacer): Promise<BlockMeta | undefined> {
    const { clock, directory, disk, log, random } = this.#options;
    const startedMs = clock.monotonicMs();
    await pacer.pause();
    const range = { minTimeMs: window.minTimeMs, maxTimeMs: window.endMs - 1 };
    const source = await openHeadSource(this.#owner.head, range, pacer);
    const id = newBlockId({ clock, random });
    const meta = await cutBlock({ disk, directory, id, pacer }, source, range);
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    if (meta !== undefined) log.info('block cut', { block: id, ...window, ...meta.stats, tookMs });
    return meta;
  }

  async #drop(endMs: number, pacer: Pacer): Promise<void> {
    for (const _ of this.#owner.head.dropBefore(endMs)) await pacer.pause();
    await this.#owner.files.sweep();
    await this.#owner.checkpoint(endMs, pacer);
  }

  /** Lets go of the oldest blocks that are past the retention by time, or over it by bytes. */
  async #retain(nowMs: number): Promise<void> {
    const { directory, disk, log, mayRemove, retentionBytesMax, retentionMs } = this.#options;
    const oldestFirst = [...this.#local.list()].sort((a, b) => a.meta.maxTimeMs - b.meta.maxTimeMs);
    let sizeBytes = this.#local.sizeBytes;
    for (const block of oldestFirst) {
      const { id, maxTimeMs } = block.meta;
      const isOld = maxTimeMs <= nowMs - retentionMs;
      const isTooMuch = retentionBytesMax > 0 && sizeBytes > retentionBytesMax;
      if (!isOld && !isTooMuch) return;
      if (!mayRemove(id)) return; // nor what is newer: the promise reaches back without gaps
      if (maxTimeMs > this.#horizonMs) {
        this.#horizonMs = maxTimeMs;
        await writeHorizon(disk, directory, maxTimeMs);
      }
      log.info('block removed', { block: id, maxTimeMs, why: isOld ? 'age' : 'space' });
      await this.#local.remove(id);
      sizeBytes -= block.sizeBytes;
    }
  }
}
