/**
 * The closed chunks of a head, as columns: where the bytes are, their time range, and the next older
 * chunk of the same series. Freed numbers are reused.
 */
const CAPACITY_START = 64;

export class ChunkTable {
  minTime = new Float64Array(CAPACITY_START);
  maxTime = new Float64Array(CAPACITY_START);
  handle = new Uint32Array(CAPACITY_START);
  byteLength = new Uint16Array(CAPACITY_START);
  /** The next older chunk of the series, or NO_CHUNK. */
  older = new Uint32Array(CAPACITY_START);
  readonly #free: number[] = [];
  #length = 0;

  get count(): number {
    return this.#length - this.#free.length;
  }

  /** Reserves a number; the caller fills the columns. */
  add(): number {
    const reused = this.#free.pop();
    if (reused !== undefined) return reused;
    if (this.#length === this.minTime.length) this.#grow();
    return this.#length++;
  }

  remove(chunk: number): void {
    this.#free.push(chunk);
  }

  #grow(): void {
    const capacity = this.minTime.length * 2;
    const minTime = new Float64Array(capacity);
    const maxTime = new Float64Array(capacity);
    const handle = new Uint32Array(capacity);
    const byteLength = new Uint16Array(capacity);
    const older = new Uint32Array(capacity);
    minTime.set(this.minTime);
    maxTime.set(this.maxTime);
    handle.set(this.handle);
    byteLength.set(this.byteLength);
    older.set(this.older);
    Object.assign(this, { minTime, maxTime, handle, byteLength, older });
  }
}
