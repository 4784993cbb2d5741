/**
 * Closed chunks that appends need no more, in files beside the log: memory holds the newest hour of a head, the kernel's
 * cache the rest for as long as it has room.
 *
 *   file    chunk ‖ padding to 4 bytes ‖ u32 CRC-32C of the chunk │ …    by metric name, then series number, once a step
 *   table   `file` names a file, `handle` counts units of 4 bytes in it
 *
 * The log has every sample of these files, and a start removes them: nothing waits for their syncs. They are written
 * while nothing is dropped or cut (tenant-blocks.ts), so that what was copied is still what is linked, but for chunks that took
 * a late sample meanwhile. Those are looked for in memory: only what is older than the window for late samples is filed.
 */
import { METRIC_NAME } from '../../model/labels.ts';
import { StarlingError } from '../../model/errors.ts';
import { crc32c } from '../../model/wire/crc32c.ts';
import { attempt, diskFailed } from '../../platform/durable-file.ts';
import type { Disk, DiskFile, Log } from '../../platform/platform.ts';
import { HEAD_CHUNKS_DIRECTORY, headChunksName, joinPath } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import { FILES_MAX, type FiledChunks, IN_ARENA } from './chunk-table.ts';
import { BLOCK_RANGE_MS, type Head } from './head.ts';
import { NO_CHUNK } from './series-table.ts';

/** When chunks are filed. */
export interface Filing {
  /** A head of less keeps all in memory: files are few. */
  readonly arenaBytesMin: number;
  /** So much stays in memory before the newest sample: what queries ask most, and what late samples may go into. */
  readonly residentMs: (outOfOrderMs: number) => number;
  /** So much later a head is looked through again. */
  readonly stepMs: number;
}

const FILING: Filing = {
  arenaBytesMin: 4 << 20,
  residentMs: (outOfOrderMs) => Math.max(3_600_000, outOfOrderMs),
  stepMs: 15 * 60_000,
};
/** Everything at once; unusual, and right. */
export const FILING_ALL: Filing = { arenaBytesMin: 0, residentMs: () => 0, stepMs: 5000 };
/** Then another one begins. */
const FILE_BYTES_MAX = 1 << 30;
const WRITE_BYTES = 1 << 20;
export const UNIT_BYTES = 4;
export const CRC_BYTES = 4;

export interface ChunkFilesOptions {
  readonly head: Head;
  readonly disk: Disk;
  readonly log: Log;
  /** The tenant's. */
  readonly directory: string;
  /** How late samples are taken. */
  readonly outOfOrderMs: () => number;
  /** Absent: `FILING`. */
  readonly filing?: Filing | undefined;
  /** A chunk in a file is not what was written: a start reads it from the log again. */
  readonly onDamage?: ((why: string) => void) | undefined;
}

interface ChunkFile {
  readonly path: string;
  readonly file: DiskFile;
  /** Of the two hours for which it was begun. */
  readonly period: number;
  sizeBytes: number;
  readsRunning: number;
  isGone: boolean;
}

export class ChunkFiles implements FiledChunks {
  readonly #options: ChunkFilesOptions;
  readonly #directory: string;
  /** By their number in the table of chunks. */
  readonly #files: (ChunkFile | undefined)[] = [];
  #current = IN_ARENA;
  #made = 0;
  /** When the head has a sample of this time it is looked through. */
  #dueMs = Number.NEGATIVE_INFINITY;
  readonly #buffer = new WriteBuffer();

  constructor(options: ChunkFilesOptions) {
    this.#options = options;
    this.#directory = joinPath(options.directory, HEAD_CHUNKS_DIRECTORY);
  }

  /** Removes what another life left. Throws `disk.failed`. */
  async clear(): Promise<void> {
    const { disk } = this.#options;
    await attempt(this.#directory, () => disk.removeTree(this.#directory));
  }

  /** Hot: whether `write` would do something. */
  get isDue(): boolean {
    const { filing = FILING, head } = this.#options;
    return head.maxTimeMs >= this.#dueMs && head.arena.usedBytes >= filing.arenaBytesMin;
  }

  get sizeBytes(): number {
    return this.#files.reduce((sum, file) => sum + (file?.sizeBytes ?? 0), 0);
  }

  /** Takes the chunks that are old enough out of memory. Nothing else may drop or cut meanwhile. Throws `disk.failed`. */
  async write(pacer: Pacer): Promise<void> {
    const { filing = FILING, head, log, outOfOrderMs } = this.#options;
    const limitMs = head.maxTimeMs - filing.residentMs(outOfOrderMs());
    this.#dueMs = head.maxTimeMs + filing.stepMs;
    this.#buffer.begin();
    head.chunks.rewritten.clear();
    for (const name of head.postings.eachValue(METRIC_NAME)) {
      for (const s of head.postings.numbersOf(METRIC_NAME, name)) {
        if (head.series.alive.has(s)) await this.#putSeries(s, limitMs);
        if (pacer.spend(1)) await pacer.pause();
      }
    }
    if (this.#buffer.usedBytes > 0) {
      await this.#flush(limitMs);
      log.probe?.('head.chunks_filed');
    }
  }

  async #putSeries(s: number, limitMs: number): Promise<void> {
    const { chunks, series } = this.#options.head;
    for (let c = series.newestChunk[s]!; c !== NO_CHUNK; c = chunks.older[c]!) {
      if (chunks.file[c] !== IN_ARENA || chunks.maxTime[c]! >= limitMs) continue;
      if (!this.#buffer.hasRoomFor(chunks.byteLength[c]!)) await this.#flush(limitMs);
      this.#buffer.put(this.#options.head, c);
    }
  }

  /** Writes what was gathered, then says where it is. */
  async #flush(limitMs: number): Promise<void> {
    const { head } = this.#options;
    const number = await this.#fileFor(Math.floor(limitMs / BLOCK_RANGE_MS));
    const target = this.#files[number];
    if (target === undefined) {
      this.#buffer.begin(); // they stay in memory
      return;
    }
    const { bytes, chunkNumbers, offsets } = this.#buffer;
    const base = target.sizeBytes;
    await attempt(target.path, () => target.file.write(bytes, base));
    target.sizeBytes += bytes.length;
    for (let i = 0; i < chunkNumbers.length; i++) {
      const c = chunkNumbers[i]!;
      if (head.chunks.rewritten.has(c)) continue;
      head.arena.free(head.chunks.handle[c]!, head.chunks.byteLength[c]!);
      head.chunks.moveToFile(c, number, (base + offsets[i]!) / UNIT_BYTES);
    }
    this.#buffer.begin();
    head.chunks.rewritten.clear();
  }

  /** The number of the file that takes chunks of a period; `IN_ARENA`: there are as many as may be. */
  async #fileFor(period: number): Promise<number> {
    const { disk } = this.#options;
    const current = this.#files[this.#current];
    const isFit = current?.period === period && current.sizeBytes + WRITE_BYTES <= FILE_BYTES_MAX;
    if (isFit) return this.#current;
    const free = Array.from({ length: FILES_MAX }, (_, i) => i + 1).find(
      (i) => this.#files[i] === undefined,
    );
    if (free === undefined) return IN_ARENA;
    const path = joinPath(this.#directory, headChunksName(++this.#made));
    const file = await attempt(path, async () => {
      await disk.makeDirectory(this.#directory);
      return disk.open(path, 'create');
    });
    this.#files[free] = { path, file, period, sizeBytes: 0, readsRunning: 0, isGone: false };
    this.#current = free;
    return free;
  }

  async read(number: number, offset: number, byteCount: number): Promise<Uint8Array> {
    const from = this.#fileOf(number);
    from.readsRunning++;
    try {
      return await attempt(from.path, () => from.file.read(offset, byteCount));
    } finally {
      from.readsRunning--;
      if (from.isGone && from.readsRunning === 0) await this.#remove(from);
    }
  }

  readNow(c: number): Uint8Array | undefined {
    const { byteLength, file, handle } = this.#options.head.chunks;
    const length = byteLength[c]!;
    try {
      const from = this.#fileOf(file[c]!);
      const bytes = from.file.readNow(handle[c]! * UNIT_BYTES, filedBytes(length));
      this.check(file[c]!, bytes, 0, length);
      return bytes;
    } catch (thrown) {
      const error = diskFailed(this.#directory, thrown);
      this.#options.log.warn('a chunk of the head cannot be read', { error: error.message });
      return undefined;
    }
  }

  check(number: number, bytes: Uint8Array, from: number, length: number): void {
    const end = from + filedBytes(length) - CRC_BYTES;
    const isWhole = end + CRC_BYTES <= bytes.length;
    if (isWhole && readCrc(bytes, end) === crc32c(bytes, from, from + length)) return;
    const { path } = this.#fileOf(number);
    const why = 'a chunk of the head is not what was written';
    this.#options.onDamage?.(`${why}: ${path}`);
    throw new StarlingError('disk.failed', { path, why });
  }

  /** Removes the files of which nothing is wanted any more, once nobody reads them. */
  async sweep(): Promise<void> {
    const { head } = this.#options;
    for (const [number, file] of this.#files.entries()) {
      if (file === undefined || head.chunks.countIn(number) > 0) continue;
      this.#files[number] = undefined;
      file.isGone = true;
      if (number === this.#current) this.#current = IN_ARENA;
      if (file.readsRunning === 0) await this.#remove(file);
    }
  }

  async #remove({ file, path }: ChunkFile): Promise<void> {
    const { disk, log } = this.#options;
    try {
      await file.close();
      await disk.remove(path);
    } catch (thrown) {
      log.warn('a file of chunks stays', { path, error: String(thrown) }); // until the next start
    }
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file?.file.close().catch(() => undefined); // not wanted again
  }

  #fileOf(number: number): ChunkFile {
    const file = this.#files[number];
    if (file !== undefined) return file;
    const why = 'a file of chunks is gone under a read';
    throw new StarlingError('disk.failed', { path: this.#directory, why });
  }
}

/** What a chunk takes in a file. */
export function filedBytes(length: number): number {
  return Math.ceil(length / UNIT_BYTES) * UNIT_BYTES + CRC_BYTES;
}

function readCrc(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}

/** Chunks on their way to a file. */
class WriteBuffer {
  #words = new Int32Array(0);
  #bytes = new Uint8Array(0);
  usedBytes = 0;
  chunkNumbers: number[] = [];
  offsets: number[] = [];

  /** Empties it. */
  begin(): void {
    this.usedBytes = 0;
    this.chunkNumbers = [];
    this.offsets = [];
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.usedBytes);
  }

  hasRoomFor(length: number): boolean {
    return this.usedBytes + filedBytes(length) <= WRITE_BYTES;
  }

  /** Copies a chunk of the arena. */
  put({ arena, chunks }: Head, c: number): void {
    if (this.#bytes.length === 0) {
      this.#bytes = new Uint8Array(WRITE_BYTES);
      this.#words = new Int32Array(this.#bytes.buffer);
    }
    const handle = chunks.handle[c]!;
    const length = chunks.byteLength[c]!;
    const source = arena.words(handle);
    const from = arena.offset(handle) >>> 2;
    const to = this.usedBytes >>> 2;
    const wordCount = (length + 3) >>> 2;
    for (let i = 0; i < wordCount; i++) this.#words[to + i] = source[from + i]!;
    const crc = crc32c(this.#bytes, this.usedBytes, this.usedBytes + length);
    this.#words[to + wordCount] = crc;
    this.chunkNumbers.push(c);
    this.offsets.push(this.usedBytes);
    this.usedBytes += filedBytes(length);
  }
}
