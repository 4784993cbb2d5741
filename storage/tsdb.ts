/**
 * One tenant's TSDB on one node: the head in memory with its write-ahead log, and the blocks that were cut
 * from it (tenant-blocks.ts). Invariant: every sample in the head is in the log, or in `#unlogged`, which
 * goes to the log before anything else is taken; so an acknowledgement that waits for `durable()` covers
 * also what an earlier, failed request left here.
 */
import { assert } from '../model/assert.ts';
import { StarlingError, toStarlingError } from '../model/errors.ts';
import type { Selectors } from '../model/matchers.ts';
import type { TimeRange } from '../model/sample.ts';
import type { WriteBatch } from '../model/wire/write-batch.ts';
import { makeDurableDirectory } from '../platform/durable-directory.ts';
import type { Disk } from '../platform/platform.ts';
import {
  type AppendResult,
  BatchAppender,
  type BatchAppenderOptions,
  type BatchPart,
} from './batch-appender.ts';
import type { BlockSource } from './block/cut.ts';
import type { BlockMeta } from './block/meta.ts';
import type { Committer } from './committer.ts';
import { NO_DELETIONS } from './deletion/deletion.ts';
import { deletionsTouching } from './deletion/touching.ts';
import { MatchMemory } from './deletion/verdicts.ts';
import { TenantExemplars, type TenantExemplarStats } from './exemplar-appender.ts';
import type { SeriesExemplars } from './exemplars.ts';
import { FORMAT_FILE, WAL_DIRECTORY, joinPath } from './filenames.ts';
import { ChunkFiles, type Filing } from './head/chunk-files.ts';
import { Head } from './head/head.ts';
import type { SelectHints } from './head/select.ts';
import { readHorizon } from './horizon.ts';
import type { LocalBlock } from './local-blocks.ts';
import { Pacer } from './pacer.ts';
import { replayInto } from './replay-into.ts';
import type { BlockDamage } from './bucket/shipper.ts';
import { TenantBlocks, type TenantBlocksOptions } from './tenant-blocks.ts';
import {
  type ReadSource,
  type TenantDeletions,
  readFrames,
  readLabelNames,
  readLabelValues,
} from './tenant-read.ts';
import type { ReplaySummary } from './wal/types.ts';
import { Wal } from './wal/wal.ts';

export const TSDB_FORMAT = 1;

export interface TsdbOptions extends BatchAppenderOptions, TenantBlocksOptions {
  readonly committer: Committer;
  readonly walSegmentBytesMax?: number | undefined;
  /** How far ahead of `nowMs` a sample may be. */
  readonly futureMaxMs: number;
  /** What of its samples is not there any more; absent: all are. */
  readonly deletions?: TenantDeletions | undefined;
  /** When chunks of the head leave memory; absent: of more than an hour ago, if they are many. */
  readonly filing?: Filing | undefined;
  /** A file beside the log is not what was written: the next start makes it anew. */
  readonly onDamage?: ((why: string) => void) | undefined;
  /** How many exemplars are kept; 0, and nothing: none. */
  readonly exemplarsMax?: (() => number) | undefined;
}

const NOTHING_DELETED: TenantDeletions = {
  hidden: () => NO_DELETIONS,
  gone: () => NO_DELETIONS,
  memory: new MatchMemory(), // of nothing
};

export interface TsdbStats {
  readonly seriesCount: number;
  readonly chunkCount: number;
  readonly blockCount: number;
  readonly blockBytes: number;
  /** Blocks cut since the start, and tries that failed. */
  readonly cutCount: number;
  readonly cutFailures: number;
  /** Samples that were taken out of order. */
  readonly outOfOrderCount: number;
  readonly arenaBytes: number;
  readonly arenaReservedBytes: number;
  /** Of chunks of the head that are in files. */
  readonly chunkFileBytes: number;
  readonly samplesAppended: number;
  readonly maxTimeMs: number;
  readonly exemplars: TenantExemplarStats;
}

export class Tsdb {
  readonly head = new Head();
  readonly #options: TsdbOptions;
  readonly #appender: BatchAppender;
  readonly #exemplars: TenantExemplars;
  #wal: Wal | undefined;
  /** Records of the last append, in the appender's buffer: it does not begin anew while they wait. */
  readonly #unlogged: Uint8Array[] = [];
  #blocks: TenantBlocks | undefined;
  readonly #files: ChunkFiles;
  replayed: ReplaySummary | undefined;

  private constructor(options: TsdbOptions) {
    this.#options = options;
    this.#appender = new BatchAppender(this.head, options);
    this.#exemplars = new TenantExemplars(this.head, options.exemplarsMax ?? (() => 0));
    this.#files = new ChunkFiles({ ...options, head: this.head });
    this.head.files = this.#files;
  }

  /** Opens or makes the directory, replaying its log. Throws `disk.format_newer`, `wal.corrupt`, `disk.failed`. */
  static async open(options: TsdbOptions): Promise<Tsdb> {
    const { clock, committer, directory, disk, log } = options;
    await makeDurableDirectory(disk, directory, OWN_LEVELS);
    await checkFormat(disk, directory);
    const tsdb = new Tsdb(options);
    const files = tsdb.#files;
    await files.clear();
    const blocks = await TenantBlocks.open(
      options,
      {
        ...{ head: tsdb.head, files },
        checkpoint: (minTimeMs, pacer) => tsdb.#checkpoint(minTimeMs, pacer),
      },
      await readHorizon(disk, directory),
    );
    tsdb.#blocks = blocks;
    const minTimeMs = blocks.appendMinMs; // what is older is in blocks, or was dropped
    const opened = await Wal.open({
      clock,
      committer,
      disk,
      log,
      directory: joinPath(directory, WAL_DIRECTORY),
      onLoss: async () => {
        await options.onLoss?.({ fromMs: minTimeMs, newestMs: tsdb.head.maxTimeMs });
      },
      segmentBytesMax: options.walSegmentBytesMax,
      afterSlice: () => tsdb.#fileReplayed(),
      handler: replayInto(tsdb.head, tsdb.#appender, tsdb.#exemplars, minTimeMs),
    });
    tsdb.#wal = opened.wal;
    tsdb.replayed = opened.replayed;
    // Series that the log still names and that have no samples.
    for (const _ of tsdb.head.dropBefore(minTimeMs))
      await new Promise<void>((resolve) => clock.nextTurn(resolve));
    return tsdb;
  }

  /** The oldest time that this TSDB promises to hold now. */
  oldestTimeMs(nowMs: number): number {
    return this.#openBlocks.oldestTimeMs(nowMs);
  }

  /** Nothing older is here but what `select` leaves out with the same `settledBeforeMs`. */
  heldFromMs(settledBeforeMs: number): number {
    return this.#openBlocks.heldFromMs(settledBeforeMs);
  }

  /** Series with their chunks as frames. `undefined` is a pause: go on after a turn of the loop. */
  select(
    selectors: Selectors,
    range: TimeRange,
    hints: SelectHints,
  ): AsyncGenerator<Uint8Array | undefined, void> {
    return readFrames(this.#readSource, { selectors, range }, hints);
  }

  /** Label sets of series as frames without chunks. Pauses as `select`; so do the next two. */
  selectLabelSets(
    selectors: Selectors,
    range: TimeRange,
  ): AsyncGenerator<Uint8Array | undefined, void> {
    return readFrames(this.#readSource, { selectors, range }, undefined);
  }

  selectLabelNames(
    selectors: Selectors,
    range: TimeRange,
  ): AsyncGenerator<undefined, readonly string[]> {
    return readLabelNames(this.#readSource, { selectors, range });
  }

  selectLabelValues(
    name: string,
    selectors: Selectors,
    range: TimeRange,
  ): AsyncGenerator<undefined, readonly string[]> {
    return readLabelValues(this.#readSource, { selectors, range }, name);
  }

  /** The blocks in the tenant's directory, by their first time. */
  blocks(): readonly LocalBlock[] {
    return this.#openBlocks.list();
  }

  /** The oldest time of a sample that head or blocks may have; Infinity: there is none. */
  get oldestSampleMs(): number {
    const oldest = this.blocks()[0]?.meta.minTimeMs ?? Number.POSITIVE_INFINITY;
    return Math.min(oldest, this.head.minTimeMs);
  }

  /**
   * Adds a block of the closed range, of samples that others hold; they may overlap what is here. Nothing
   * is promised of before `promisedFromMs`, where the others promised nothing either.
   */
  fill(source: BlockSource, range: TimeRange, promisedFromMs: number): Promise<void> {
    return this.#openBlocks.fill(source, range, promisedFromMs);
  }

  /** Where the blocks are. */
  get directory(): string {
    return this.#options.directory;
  }

  /** Does what is due: cuts blocks, lets old ones go. One run at a time; cheap when nothing is. */
  maintain(nowMs: number): Promise<void> {
    return this.#openBlocks.maintain(nowMs);
  }

  /** Cuts everything the head holds now into blocks, due or not; returns them, oldest first. */
  flush(): Promise<readonly BlockMeta[]> {
    return this.#openBlocks.flush();
  }

  /**
   * Appends a batch, or a part of it, to head and log. Synchronous; acknowledge only after `durable()`. Refused
   * samples are in the result. Throws `wal.write_failed`, `wal.sync_failed` or `node.overloaded` when the log
   * does not take it: then retry the same batch.
   */
  append(
    batch: WriteBatch,
    nowMs: number,
    part: BatchPart = { from: 0, to: batch.seriesCount },
  ): AppendResult {
    this.#flushUnlogged();
    this.#openBlocks.noteAppend();
    const bounds = this.#appendBounds(nowMs);
    const result = this.#appender.append(batch, part, bounds, this.#unlogged);
    this.#flushUnlogged();
    return result;
  }

  /**
   * Appends the exemplars of a batch, after its samples, to memory and log; those of series that are not known
   * here are dropped. Throws as `append`, and `protobuf.corrupt`.
   */
  appendExemplars(batch: WriteBatch, nowMs: number): void {
    this.#flushUnlogged();
    const record = this.#exemplars.append(batch, this.#appendBounds(nowMs));
    if (record === undefined) return;
    this.#unlogged.push(record);
    this.#flushUnlogged();
  }

  /** Exemplars of series that any selector matches, without those of deleted times. `undefined` is a pause, as in `select`. */
  selectExemplars(
    selectors: Selectors,
    range: TimeRange,
  ): Generator<SeriesExemplars | undefined, void> {
    const { hidden, memory } = this.#options.deletions ?? NOTHING_DELETED;
    const deletions = deletionsTouching({ deletions: hidden(), memory }, selectors, range);
    return this.#exemplars.select(selectors, range, { deletions, memory });
  }

  #appendBounds(nowMs: number): TimeRange {
    const blocks = this.#openBlocks;
    return {
      minTimeMs: Math.max(blocks.oldestTimeMs(nowMs), blocks.appendMinMs),
      maxTimeMs: nowMs + this.#options.futureMaxMs,
    };
  }

  /** Resolves when everything appended until now is durable, as the committer's mode defines it. */
  durable(): Promise<void> {
    try {
      this.#flushUnlogged();
    } catch (error) {
      return Promise.reject(toStarlingError(error));
    }
    return this.#openWal.durable();
  }

  /** What is known of its damaged blocks. */
  get damage(): BlockDamage {
    return this.#openBlocks.damage;
  }

  /** True when closing now would leave nothing undone: all is in the log, nothing is being cut. */
  get isQuiet(): boolean {
    const hasWork = this.#openBlocks.isBusy || this.#unlogged.length > 0;
    return !hasWork && this.#openWal.isQuiet;
  }

  stats(): TsdbStats {
    const { head } = this;
    const blocks = this.#openBlocks;
    return {
      seriesCount: head.series.count,
      chunkCount: head.chunks.count + head.histograms.chunkCount,
      blockCount: blocks.list().length,
      blockBytes: blocks.sizeBytes,
      cutCount: blocks.cutCount,
      cutFailures: blocks.cutFailures,
      outOfOrderCount: this.#appender.outOfOrderCount,
      arenaBytes: head.arena.usedBytes,
      arenaReservedBytes: head.arena.reservedBytes,
      chunkFileBytes: this.#files.sizeBytes,
      samplesAppended: head.samplesAppended,
      maxTimeMs: head.maxTimeMs,
      exemplars: this.#exemplars.stats(),
    };
  }

  async close(): Promise<void> {
    await this.#blocks?.close();
    await this.#files.close();
    await this.#wal?.close();
  }

  get #openBlocks(): TenantBlocks {
    assert(this.#blocks !== undefined, 'tsdb: used before it is open');
    return this.#blocks;
  }

  get #readSource(): ReadSource {
    const { clock, deletions = NOTHING_DELETED, fingerprint } = this.#options;
    return { clock, deletions, fingerprint, head: this.head, blocks: this.#openBlocks };
  }

  get #openWal(): Wal {
    assert(this.#wal !== undefined, 'tsdb: used before it is open');
    return this.#wal;
  }

  /** What a replay made does not pile up in memory either. */
  async #fileReplayed(): Promise<void> {
    if (!this.#files.isDue) return;
    try {
      await this.#files.write(new Pacer(this.#options.clock));
    } catch (thrown) {
      this.#options.log.warn('chunks stay in memory', { error: String(thrown) });
    }
  }

  /** Records that the log did not take yet go first; while they cannot, nothing else is taken. */
  #flushUnlogged(): void {
    let done = 0;
    try {
      for (; done < this.#unlogged.length; done++) this.#openWal.append(this.#unlogged[done]!);
    } finally {
      this.#unlogged.splice(0, done);
    }
  }

  /** Shortens the log. A series stays in it while the head has it, or may have got it meanwhile. */
  async #checkpoint(minTimeMs: number, pacer: Pacer): Promise<void> {
    const { series } = this.head;
    const { nextRef } = this.#appender;
    const alive = new Set<number>();
    for (let s = 0; s < series.length; s++) {
      if (series.alive.has(s)) alive.add(series.refs[s]!);
      if (pacer.spend(1)) await pacer.pause();
    }
    await this.#openWal.checkpoint((ref) => ref >= nextRef || alive.has(ref), minTimeMs);
  }
}

/** How many levels of directories this node makes itself: tenant, long names, tenants, data. */
const OWN_LEVELS = 4;

/** Reads or writes the FORMAT file. A newer format is refused before anything is written. */
async function checkFormat(disk: Disk, directory: string): Promise<void> {
  const path = joinPath(directory, FORMAT_FILE);
  if ((await disk.stat(path)) === undefined) {
    const file = await disk.open(path, 'create');
    await file.write(Buffer.from(`${TSDB_FORMAT}\n`), 0);
    await file.sync();
    await file.close();
    await disk.syncDirectory(directory);
    return;
  }
  const found = Buffer.from(await disk.readFile(path))
    .toString('latin1')
    .trim();
  if (found === '' || Number(found) <= TSDB_FORMAT) return; // empty: a crash while it was made
  const facts = { path: directory, found: found.slice(0, 20), supported: String(TSDB_FORMAT) };
  throw new StarlingError('disk.format_newer', facts);
}
