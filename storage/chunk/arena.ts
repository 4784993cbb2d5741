/**
 * Chunk and label bytes of a head, in slabs of shared memory: one writer (the loop), later many
 * readers (workers). A handle is a 32-bit number of 16-byte units, so a head holds at most 64 GiB.
 *
 *   handle = slab << 16 | unit          slab: 1 MiB = 65,536 units
 *
 * The first slabs are smaller, so that a tenant of a few series costs little.
 * Freed ranges are kept in lists by size and reused for the same size; chunks are of few sizes.
 */
import { assert } from '../../model/assert.ts';

export const UNIT_BYTES = 16;
const SLAB_BYTES = 1 << 20;
/** The first slab has so much, each later one four times the one before, up to `SLAB_BYTES`. */
const FIRST_SLAB_BYTES = 1 << 14;
const SLABS_MAX = 1 << 16;

export class Arena {
  readonly #slabs: Uint8Array[] = [];
  /** The same memory. */
  readonly #words: Int32Array[] = [];
  readonly #free = new Map<number, number[]>();
  #nextUnit = 0;
  /** Units of the newest slab. */
  #unitCount = 0;
  #reservedBytes = 0;
  #usedBytes = 0;

  /** Bytes of all slabs. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /** Bytes handed out and not freed, rounded up to units. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Reserves `byteCount` bytes (at most a slab); their content is whatever was there. */
  allocate(byteCount: number): number {
    assert(byteCount > 0 && byteCount <= SLAB_BYTES, 'arena: size');
    const units = Math.ceil(byteCount / UNIT_BYTES);
    this.#usedBytes += units * UNIT_BYTES;
    const reused = this.#free.get(units)?.pop();
    if (reused !== undefined) return reused;
    if (this.#nextUnit + units > this.#unitCount) this.#addSlab(byteCount);
    const handle = (((this.#slabs.length - 1) << 16) | this.#nextUnit) >>> 0;
    this.#nextUnit += units;
    return handle;
  }

  #addSlab(byteCountMin: number): void {
    assert(this.#slabs.length < SLABS_MAX, 'arena: full');
    let size = Math.min(SLAB_BYTES, FIRST_SLAB_BYTES * 4 ** Math.min(this.#slabs.length, 10));
    while (size < byteCountMin) size *= 4;
    const memory = new SharedArrayBuffer(size);
    this.#slabs.push(new Uint8Array(memory));
    this.#words.push(new Int32Array(memory));
    this.#reservedBytes += size;
    this.#unitCount = size / UNIT_BYTES;
    this.#nextUnit = 0;
  }

  /** Gives a range back; `byteCount` is what it was allocated with. */
  free(handle: number, byteCount: number): void {
    const units = Math.ceil(byteCount / UNIT_BYTES);
    this.#usedBytes -= units * UNIT_BYTES;
    const list = this.#free.get(units);
    if (list === undefined) this.#free.set(units, [handle]);
    else list.push(handle);
  }

  /** The slab of a handle. */
  slab(handle: number): Uint8Array {
    return this.#slabs[handle >>> 16]!;
  }

  /** The slab of a handle in words of four bytes: the handle's is the one at `offset / 4`. */
  words(handle: number): Int32Array {
    return this.#words[handle >>> 16]!;
  }

  /** The byte offset of a handle in its slab. */
  offset(handle: number): number {
    return (handle & 0xffff) * UNIT_BYTES;
  }
}
