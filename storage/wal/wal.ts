/**
 * The write-ahead log of one tenant: segments and checkpoints in Prometheus' own format.
 *
 *   append ─► pending ─► (committer's batch) ─► frames ─► wal/00000012 ─► sync ─► durable() resolves
 *
 * Invariant: when `durable()` resolves, everything appended before the call is down as the
 * committer's mode defines it, also when an earlier write failed and its bytes were kept.
 * Opening replays the newest checkpoint and the segments after it, cuts an unfinished record off the
 * end, and writes go to a new segment, made by the first write (an idle tenant makes none).
 */
import { assert } from '../../model/assert.ts';
import { syncedLengthsPath } from '../filenames.ts';
import { type CheckpointRequest, writeCheckpoint } from './checkpoint.ts';
import { openLog } from './open.ts';
import { SegmentWriter } from './segment-writer.ts';
import { SyncedLengths } from './synced-lengths.ts';
import type { ReplaySummary, WalOptions } from './types.ts';

const SEGMENT_BYTES_MAX = 128 * 1024 * 1024;
/** What a node lets pile up for one tenant while its disk is slow or full. */
const PENDING_BYTES_MAX = 32 * 1024 * 1024;

export interface OpenedWal {
  readonly wal: Wal;
  readonly replayed: ReplaySummary;
}

export class Wal {
  readonly #options: WalOptions;
  readonly #writer: SegmentWriter;
  #isClosed = false;
  #checkpointing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: WalOptions, segment: number) {
    this.#options = options;
    const { directory, disk } = options;
    this.#writer = new SegmentWriter({
      disk,
      directory,
      log: options.log,
      synced: new SyncedLengths(disk, syncedLengthsPath(directory)),
      buffers: options.committer.buffers,
      segment,
      segmentBytesMax: options.segmentBytesMax ?? SEGMENT_BYTES_MAX,
      pendingBytesMax: options.pendingBytesMax ?? PENDING_BYTES_MAX,
    });
  }

  /**
   * Opens the log in `options.directory`, replaying it through `options.handler` first. Throws
   * `disk.failed`, and `wal.corrupt` for a log whose records are compressed with zstd; other damage
   * is told in the summary.
   */
  static async open(options: WalOptions): Promise<OpenedWal> {
    const { replayed, nextSegment } = await openLog(options);
    return { wal: new Wal(options, nextSegment), replayed };
  }

  /** The segment that is written to. Rises; a checkpoint can only replace lower ones. */
  get segment(): number {
    return this.#writer.segment;
  }

  /** True when the segment has all that was appended and no checkpoint is being made. */
  get isQuiet(): boolean {
    return this.#writer.isWritten && this.#checkpointing === undefined;
  }

  /**
   * Appends one record (its bytes are copied). Cheap and never waits. Throws `wal.sync_failed` when
   * the node lost its disk, `wal.write_failed` or `node.overloaded` when too many bytes wait; the
   * record was then not taken.
   */
  append(record: Uint8Array): void {
    assert(!this.#isClosed, 'wal: append after close');
    const { fatal } = this.#options.committer;
    if (fatal !== undefined) throw fatal;
    try {
      this.#writer.append(record);
    } catch (error) {
      // Whoever is refused must still make the log try again: the disk may have healed.
      this.#options.committer.commit(this.#writer).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Resolves when all that was appended until now is durable under the committer's mode. Rejects
   * with `wal.write_failed`, after which the bytes are kept and the next call tries again, or with
   * `wal.sync_failed`, after which nothing is.
   */
  durable(): Promise<void> {
    const { committer } = this.#options;
    if (committer.fatal !== undefined) return Promise.reject(committer.fatal);
    assert(!this.#isClosed, 'wal: durable after close');
    if (this.#writer.isPendingEmpty) {
      const running = committer.running(this.#writer); // it covers all there is
      if (running !== undefined) return running;
      if (this.#writer.isWritten) return Promise.resolve();
    }
    return committer.commit(this.#writer);
  }

  /**
   * Ends the segment, then replaces the older two thirds of the segments by a checkpoint. It keeps
   * the series whose ref `keepSeries` wants and samples at or after `minTimeMs`. A ref must be kept
   * while samples of it may be in segments after `throughSegment`. One at a time.
   */
  checkpoint(
    keepSeries: (ref: number, throughSegment: number) => boolean,
    minTimeMs: number,
  ): Promise<void> {
    assert(!this.#isClosed && this.#checkpointing === undefined, 'wal: one checkpoint at a time');
    const running = this.#checkpoint({
      ...this.#options,
      keepSeries,
      minTimeMs,
      isCancelled: () => this.#isClosed,
    }).finally(() => {
      this.#checkpointing = undefined;
    });
    this.#checkpointing = running;
    return running;
  }

  async #checkpoint(request: CheckpointRequest): Promise<void> {
    this.#writer.requestSeal();
    await this.#options.committer.commit(this.#writer);
    await writeCheckpoint(request, this.#writer.segment);
  }

  /** Writes and syncs what is pending, whatever the mode, and closes. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    await this.#checkpointing?.catch(() => undefined); // told to who asked for it
    try {
      await this.#options.committer.finish(this.#writer);
    } finally {
      await this.#writer.close();
    }
  }
}
