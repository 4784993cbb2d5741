/**
 * The closed chunks of a head, as columns: where the bytes are (in the arena, or in a file: chunk-files.ts), their time
 * range, and the next older chunk of the same series. Freed numbers are reused.
 */
import { growTable, grown } from '../../model/columns.ts';

const CAPACITY_START = 64;
/** In the column `file`: no file. */
export const IN_ARENA = 0;
/** Files are numbered from 1. */
export const FILES_MAX = 255;
/** Half a gigabyte of addresses. */
const CHUNKS_ROOM = 1 << 24;

/** The files of a head, as its readers know them. */
export interface FiledChunks {
  /** Bytes of a file of the table. Throws `disk.failed`. */
  read(file: number, offset: number, byteCount: number): Promise<Uint8Array>;
  /** The bytes of one chunk, waited for: for what cannot be asked later. Undefined: they cannot be read. */
  readNow(chunk: number): Uint8Array | undefined;
  /** Throws `disk.failed` unless a chunk of `length` bytes is at `bytes[from]`. */
  check(file: number, bytes: Uint8Array, from: number, length: number): void;
}

export class ChunkTable {
  minTime = new Float64Array(CAPACITY_START);
  maxTime = new Float64Array(CAPACITY_START);
  /** In the arena, or counting units of the file. */
  handle = new Uint32Array(CAPACITY_START);
  /** The file, or `IN_ARENA`. */
  file = new Uint8Array(CAPACITY_START);
  byteLength = new Uint16Array(CAPACITY_START);
  /** The next older chunk of the series, or NO_CHUNK. */
  older = new Uint32Array(CAPACITY_START);
  readonly #free: number[] = [];
  /** No chunk in a file ends later. */
  newestFiledMs = Number.NEGATIVE_INFINITY;
  /** Chunks that were written anew since somebody cleared this: who copies chunks, bit by bit, looks here in the end. */
  readonly rewritten = new Set<number>();
  readonly #countIn = new Uint32Array(FILES_MAX + 1);
  #length = 0;
  #capacity = CAPACITY_START;

  get count(): number {
    return this.#length - this.#free.length;
  }

  /** How many chunks are in a file. */
  countIn(file: number): number {
    return this.#countIn[file]!;
  }

  /** Says that a chunk of the arena is in a file now. */
  moveToFile(chunk: number, file: number, handle: number): void {
    this.file[chunk] = file;
    this.handle[chunk] = handle;
    this.#countIn[file]!++;
    this.newestFiledMs = Math.max(this.newestFiledMs, this.maxTime[chunk]!);
  }

  /** Says that a chunk was written anew, and where in the arena. */
  moveToArena(chunk: number, handle: number, byteLength: number): void {
    if (this.file[chunk] !== IN_ARENA) this.#countIn[this.file[chunk]!]!--;
    this.file[chunk] = IN_ARENA;
    this.handle[chunk] = handle;
    this.byteLength[chunk] = byteLength;
    this.rewritten.add(chunk);
  }

  /** Reserves a number of a chunk in the arena; the caller fills the other columns. */
  add(): number {
    const reused = this.#free.pop();
    if (reused !== undefined) return reused;
    if (this.#length === this.#capacity) {
      this.#capacity = growTable(this.#capacity, CHUNKS_ROOM, this.#grow);
    }
    return this.#length++;
  }

  remove(chunk: number): void {
    if (this.file[chunk] !== IN_ARENA) this.#countIn[this.file[chunk]!]!--;
    this.file[chunk] = IN_ARENA;
    this.#free.push(chunk);
  }

  readonly #grow = (capacity: number): void => {
    this.minTime = grown(Float64Array, this.minTime, capacity);
    this.maxTime = grown(Float64Array, this.maxTime, capacity);
    this.handle = grown(Uint32Array, this.handle, capacity);
    this.file = grown(Uint8Array, this.file, capacity);
    this.byteLength = grown(Uint16Array, this.byteLength, capacity);
    this.older = grown(Uint32Array, this.older, capacity);
  };
}
