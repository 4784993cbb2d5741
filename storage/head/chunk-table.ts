/**
 * The closed chunks of a head, as columns: where the bytes are, their time range, and the next older
 * chunk of the same series. Freed numbers are reused.
 */
import { growTable, grown } from '../../model/columns.ts';

const CAPACITY_START = 64;
/** Half a gigabyte of addresses. */
const CHUNKS_ROOM = 1 << 24;

export class ChunkTable {
  minTime = new Float64Array(CAPACITY_START);
  maxTime = new Float64Array(CAPACITY_START);
  handle = new Uint32Array(CAPACITY_START);
  byteLength = new Uint16Array(CAPACITY_START);
  /** The next older chunk of the series, or NO_CHUNK. */
  older = new Uint32Array(CAPACITY_START);
  readonly #free: number[] = [];
  #length = 0;
  #capacity = CAPACITY_START;

  get count(): number {
    return this.#length - this.#free.length;
  }

  /** Reserves a number; the caller fills the columns. */
  add(): number {
    const reused = this.#free.pop();
    if (reused !== undefined) return reused;
    if (this.#length === this.#capacity) {
      this.#capacity = growTable(this.#capacity, CHUNKS_ROOM, this.#grow);
    }
    return this.#length++;
  }

  remove(chunk: number): void {
    this.#free.push(chunk);
  }

  readonly #grow = (capacity: number): void => {
    this.minTime = grown(Float64Array, this.minTime, capacity);
    this.maxTime = grown(Float64Array, this.maxTime, capacity);
    this.handle = grown(Uint32Array, this.handle, capacity);
    this.byteLength = grown(Uint16Array, this.byteLength, capacity);
    this.older = grown(Uint32Array, this.older, capacity);
  };
}
