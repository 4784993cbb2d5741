/**
 * Writes records to the segments of one directory, surviving failed writes.
 *
 *   pending ──(batch starts)──► writing ──► file[0..goodBytes) ──► sync
 *
 * Invariants: the file holds whole records up to `goodBytes` and, only while `isTorn`, unknown bytes
 * after it. A record leaves `writing` when the file has it, so what a failed write did not bring down
 * is written again by the next one: first the torn end is cut off, the segment synced and closed
 * (or, when it holds nothing, emptied and used again), then the next segment is opened. Nothing is
 * ever written after torn bytes: a reader could not tell where whole records begin again.
 *
 * `write` is called once at a time; `sync` may run beside it.
 */
import { assert } from '../../model/assert.ts';
import { StarlingError } from '../../model/errors.ts';
import type { Disk, DiskFile, Log } from '../../platform/platform.ts';
import type { CommitTarget } from '../committer.ts';
import { joinPath, segmentName } from '../filenames.ts';
import type { BufferPool } from './buffer-pool.ts';
import { PAGE_BYTES, pageBytesLeft } from './frame.ts';
import { RecordQueue } from './record-queue.ts';
import { encodeSyncMark } from './sync-mark.ts';
import type { SyncedLengths } from './synced-lengths.ts';

export interface SegmentWriterOptions {
  readonly disk: Disk;
  readonly log: Log;
  readonly directory: string;
  readonly buffers: BufferPool;
  /** The number of the first segment to make. */
  readonly segment: number;
  readonly segmentBytesMax: number;
  readonly pendingBytesMax: number;
  /** Is told what is durable; a checkpoint needs none. */
  readonly synced?: SyncedLengths;
}

export class SegmentWriter implements CommitTarget {
  readonly #options: SegmentWriterOptions;
  /** Appended since the running batch started. */
  #pending: RecordQueue;
  /** What the running batch, or a failed one, has not brought down yet. */
  #writing: RecordQueue;
  #segment: number;
  #file: DiskFile | undefined;
  #goodBytes = 0;
  /** Where its last whole record ends; zeros that fill a page may follow. */
  #recordBytes = 0;
  #isTorn = false;
  #isUnsynced = false;
  #isSealWanted = false;
  #syncing: Promise<void> | undefined;

  constructor(options: SegmentWriterOptions) {
    assert(options.segmentBytesMax % PAGE_BYTES === 0, 'wal: a segment is whole pages');
    this.#options = options;
    this.#pending = new RecordQueue(options.buffers);
    this.#writing = new RecordQueue(options.buffers);
    this.#segment = options.segment;
  }

  /** The segment being written, or the next to be made. */
  get segment(): number {
    return this.#segment;
  }

  /** True when nothing was appended since the running batch started. */
  get isPendingEmpty(): boolean {
    return this.#pending.isEmpty;
  }

  /** True when the file has all that was appended. */
  get isWritten(): boolean {
    return this.#pending.isEmpty && this.#writing.isEmpty;
  }

  /** Bytes appended and not yet taken by a `write`. */
  get pendingByteCount(): number {
    return this.#pending.byteCount;
  }

  /** Where the last whole record of the segment ends. */
  get recordByteCount(): number {
    return this.#recordBytes;
  }

  /** Makes the first segment now, not at the first write. */
  async create(): Promise<void> {
    await this.#openNext();
  }

  /** Takes a copy of a record. Throws when too many bytes wait; the record was then not taken. */
  append(record: Uint8Array): void {
    const { pendingBytesMax } = this.#options;
    assert(record.length > 0, 'wal: an empty record');
    const waiting = this.#pending.byteCount + this.#writing.byteCount;
    if (waiting + record.length > pendingBytesMax) {
      if (this.#isTorn) throw writeFailed(`${waiting} bytes wait for the disk to heal`);
      const what = 'bytes waiting for the write-ahead log';
      throw new StarlingError('node.overloaded', { what, countMax: pendingBytesMax });
    }
    this.#pending.append(record);
  }

  /** Makes the next `write` end the segment, so that later records go to a new one. */
  requestSeal(): void {
    this.#isSealWanted = true;
  }

  async write(): Promise<void> {
    if (this.#isTorn) await this.#heal();
    await this.#writeQueue(); // what an earlier batch could not bring down
    this.#markDurable();
    [this.#writing, this.#pending] = [this.#pending, this.#writing];
    await this.#writeQueue();
    if (this.#isSealWanted && this.#file !== undefined && this.#goodBytes > 0) await this.#seal();
    this.#isSealWanted = false;
  }

  /** Says in the batch that is about to be written how far the segment is durable before it. */
  #markDurable(): void {
    const byteCount = this.#recordBytes;
    const isDurable = !this.#isUnsynced && this.#syncing === undefined && byteCount > 0;
    if (this.#options.synced === undefined || !isDurable || this.#pending.isEmpty) return;
    this.#pending.append(encodeSyncMark({ segment: this.#segment, byteCount }));
  }

  async sync(): Promise<void> {
    const file = this.#file;
    if (file === undefined || !this.#isUnsynced) return this.#syncing;
    this.#isUnsynced = false;
    const durable = { segment: this.#segment, byteCount: this.#recordBytes };
    const syncing = syncFile(file);
    this.#syncing = syncing;
    await syncing;
    this.#options.synced?.note(durable.segment, durable.byteCount);
    if (this.#syncing === syncing) this.#syncing = undefined;
  }

  /** Closes the file. What is pending is lost: commit before. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await this.#options.synced?.close();
    if (file !== undefined) await this.#closeFile(file);
  }

  async #writeQueue(): Promise<void> {
    while (!this.#writing.isEmpty) {
      const file = this.#file ?? (await this.#openNext());
      const piece = this.#writing.frame(this.#goodBytes, this.#options.segmentBytesMax);
      if (piece === undefined) {
        await this.#padPage(file);
        await this.#seal();
        continue;
      }
      try {
        await this.#writeBytes(file, piece.buffer.subarray(0, piece.byteCount));
      } finally {
        this.#options.buffers.release(piece.buffer);
      }
      this.#recordBytes = this.#goodBytes;
      this.#writing.advance(piece.recordCount);
    }
  }

  async #writeBytes(file: DiskFile, bytes: Uint8Array): Promise<void> {
    try {
      await file.write(bytes, this.#goodBytes);
    } catch (thrown) {
      this.#isTorn = true;
      this.#options.log.probe?.('wal.write_failed');
      this.#options.log.warn('wal.write_failed', { path: file.path, why: whyOf(thrown) });
      throw writeFailed(whyOf(thrown), thrown);
    }
    this.#goodBytes += bytes.length;
    this.#isUnsynced = true;
  }

  /** Only the last page of a log may be short. */
  async #padPage(file: DiskFile): Promise<void> {
    const left = pageBytesLeft(this.#goodBytes);
    if (left < PAGE_BYTES) await this.#writeBytes(file, new Uint8Array(left));
  }

  /** Cuts off what a failed write left behind. */
  async #heal(): Promise<void> {
    const file = this.#file;
    assert(file !== undefined, 'wal: torn without a file');
    try {
      await file.truncate(this.#goodBytes);
    } catch (thrown) {
      throw writeFailed(whyOf(thrown), thrown);
    }
    this.#options.log.probe?.('wal.healed');
    this.#isTorn = false;
    this.#isUnsynced = true; // the cut too must be durable before anything follows it
    if (this.#goodBytes > 0) await this.#seal();
  }

  /** Ends the segment: durable whatever the mode, before a later segment can hold anything. */
  async #seal(): Promise<void> {
    await this.#syncing;
    await this.sync();
    await this.close();
    this.#segment++;
    this.#goodBytes = 0;
    this.#recordBytes = 0;
  }

  async #openNext(): Promise<DiskFile> {
    const { disk, directory } = this.#options;
    const path = joinPath(directory, segmentName(this.#segment));
    let file: DiskFile;
    try {
      file = await disk.open(path, 'create');
    } catch (thrown) {
      // An earlier attempt may have failed and still have made the file: leave that one empty.
      if (codeOf(thrown) === 'EEXIST') this.#segment++;
      throw writeFailed(whyOf(thrown), thrown);
    }
    this.#file = file;
    try {
      await disk.syncDirectory(directory);
    } catch (thrown) {
      throw syncFailed(thrown);
    }
    await this.#options.synced?.open();
    return file;
  }

  async #closeFile(file: DiskFile): Promise<void> {
    try {
      await file.close();
    } catch (thrown) {
      // Its bytes are synced already; only the handle may leak.
      this.#options.log.warn('wal.close_failed', { path: file.path, why: whyOf(thrown) });
    }
  }
}

async function syncFile(file: DiskFile): Promise<void> {
  try {
    await file.sync();
  } catch (thrown) {
    throw syncFailed(thrown);
  }
}

function writeFailed(why: string, cause?: unknown): StarlingError {
  return new StarlingError('wal.write_failed', { why }, cause);
}

function syncFailed(cause: unknown): StarlingError {
  return new StarlingError('wal.sync_failed', { why: whyOf(cause) }, cause);
}

/** What a failed disk call says. */
export function whyOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function codeOf(thrown: unknown): unknown {
  return thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
}
