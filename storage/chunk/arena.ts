/**
 * Chunk and label bytes of a head, in slabs of shared memory: one writer (the loop), later many
 * readers (workers). A handle is a 32-bit number of 16-byte units, so a head holds at most 64 GiB.
 *
 *   handle = slab << 16 | unit          slab: 1 MiB = 65,536 units
 *
 * Freed ranges are kept in lists by size and reused for the same size; chunks are of few sizes.
 */
import { assert } from '../../model/assert.ts';

export const UNIT_BYTES = 16;
const SLAB_BYTES = 1 << 20;
const UNITS_PER_SLAB = SLAB_BYTES / UNIT_BYTES;
const SLABS_MAX = 1 << 16;

export class Arena {
  readonly #slabs: Uint8Array[] = [];
  readonly #free = new Map<number, number[]>();
  #nextUnit = UNITS_PER_SLAB;
  #usedBytes = 0;

  /** Bytes of all slabs. */
  get reservedBytes(): number {
    return this.#slabs.length * SLAB_BYTES;
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
    if (this.#nextUnit + units > UNITS_PER_SLAB) {
      assert(this.#slabs.length < SLABS_MAX, 'arena: full');
      this.#slabs.push(new Uint8Array(new SharedArrayBuffer(SLAB_BYTES)));
      this.#nextUnit = 0;
    }
    const handle = (((this.#slabs.length - 1) << 16) | this.#nextUnit) >>> 0;
    this.#nextUnit += units;
    return handle;
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

  /** The byte offset of a handle in its slab. */
  offset(handle: number): number {
    return (handle & 0xffff) * UNIT_BYTES;
  }
}
