/**
 * Chunk and label bytes of a head, in slabs of shared memory: one writer (the loop), later many
 * readers (workers). A handle is a 32-bit number of 16-byte units, so a head holds at most 64 GiB.
 *
 *   handle = slab << 16 | unit          slab: at most 1 MiB = 65,536 units
 *
 *   rooms    `allocate`: labels, and chunks that grow. Freed ones are kept in lists by size and reused for the same
 *            size; they are of few sizes.
 *   queues   `append`: closed chunks, of any size, one after another. They go about in the order in which they came,
 *            so that a slab is empty some time, and begins anew as a whole; what is freed before waits for that.
 *
 * The first slabs of either kind are smaller, so that a tenant of a few series costs little.
 */
import { assert } from '../../model/assert.ts';

export const UNIT_BYTES = 16;
const SLAB_BYTES = 1 << 20;
/** The first slab of a kind has so much, each later one four times the one before, up to `SLAB_BYTES`. */
const FIRST_SLAB_BYTES = 1 << 14;
const SLABS_MAX = 1 << 16;
/** More empty slabs than this are given back to the system. */
const EMPTY_SLABS_MAX = 8;
/** In `liveUnits`: a slab of rooms. */
const ROOMS = -1;
const NO_BYTES = new Uint8Array(0);
const NO_WORDS = new Int32Array(0);

/** Where the next range of a kind begins. */
interface Cursor {
  slab: number;
  nextUnit: number;
  /** Of the slab. */
  unitCount: number;
  /** How many slabs of the kind were made. */
  made: number;
}

export class Arena {
  readonly #slabs: Uint8Array[] = [];
  /** The same memory. */
  readonly #words: Int32Array[] = [];
  /** Of each slab: units of queued ranges that are not freed, or `ROOMS`. */
  readonly #liveUnits: number[] = [];
  /** Numbers of slabs that were given back. */
  readonly #gone: number[] = [];
  /** Slabs of queues in which nothing is left. */
  readonly #empty: number[] = [];
  readonly #free = new Map<number, number[]>();
  readonly #rooms: Cursor = { slab: 0, nextUnit: 0, unitCount: 0, made: 0 };
  readonly #queue: Cursor = { slab: -1, nextUnit: 0, unitCount: 0, made: 0 };
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

  /** Reserves room of `byteCount` bytes (at most a slab); their content is whatever was there. */
  allocate(byteCount: number): number {
    const units = this.#take(byteCount);
    const reused = this.#free.get(units)?.pop();
    if (reused !== undefined) return reused;
    const rooms = this.#rooms;
    if (rooms.nextUnit + units > rooms.unitCount) this.#addSlab(rooms, byteCount, ROOMS);
    return advance(rooms, units);
  }

  /** The same for what is full already, and goes about when its neighbours go. */
  append(byteCount: number): number {
    const units = this.#take(byteCount);
    const queue = this.#queue;
    if (queue.nextUnit + units > queue.unitCount) this.#nextOfQueue(byteCount);
    this.#liveUnits[queue.slab]! += units;
    return advance(queue, units);
  }

  #take(byteCount: number): number {
    assert(byteCount > 0 && byteCount <= SLAB_BYTES, 'arena: size');
    const units = Math.ceil(byteCount / UNIT_BYTES);
    this.#usedBytes += units * UNIT_BYTES;
    return units;
  }

  #nextOfQueue(byteCount: number): void {
    const queue = this.#queue;
    const left = queue.slab;
    const isFit = (slab: number): boolean => this.#slabs[slab]!.length >= byteCount;
    const at = this.#empty.findLastIndex(isFit);
    if (at < 0) this.#addSlab(queue, byteCount, 0);
    else {
      queue.slab = this.#empty.splice(at, 1)[0]!;
      queue.nextUnit = 0;
      queue.unitCount = this.#slabs[queue.slab]!.length / UNIT_BYTES;
    }
    if (left >= 0 && this.#liveUnits[left] === 0) this.#retire(left);
  }

  #addSlab(cursor: Cursor, byteCountMin: number, liveUnits: number): void {
    const slab = this.#gone.pop() ?? this.#slabs.length;
    assert(slab < SLABS_MAX, 'arena: full');
    let size = Math.min(SLAB_BYTES, FIRST_SLAB_BYTES * 4 ** Math.min(cursor.made, 10));
    while (size < byteCountMin) size *= 4;
    const memory = new SharedArrayBuffer(size);
    this.#slabs[slab] = new Uint8Array(memory);
    this.#words[slab] = new Int32Array(memory);
    this.#liveUnits[slab] = liveUnits;
    this.#reservedBytes += size;
    cursor.slab = slab;
    cursor.unitCount = size / UNIT_BYTES;
    cursor.nextUnit = 0;
    cursor.made++;
  }

  /** Gives a range back; `byteCount` is what it was reserved with. */
  free(handle: number, byteCount: number): void {
    const units = Math.ceil(byteCount / UNIT_BYTES);
    this.#usedBytes -= units * UNIT_BYTES;
    const slab = handle >>> 16;
    if (this.#liveUnits[slab] !== ROOMS) {
      const left = (this.#liveUnits[slab]! -= units);
      if (left === 0 && slab !== this.#queue.slab) this.#retire(slab);
      return;
    }
    const list = this.#free.get(units);
    if (list === undefined) this.#free.set(units, [handle]);
    else list.push(handle);
  }

  /** Keeps an empty slab for what comes, or gives it back. */
  #retire(slab: number): void {
    if (this.#empty.length < EMPTY_SLABS_MAX) {
      this.#empty.push(slab);
      return;
    }
    this.#reservedBytes -= this.#slabs[slab]!.length;
    this.#slabs[slab] = NO_BYTES;
    this.#words[slab] = NO_WORDS;
    this.#gone.push(slab);
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

function advance(cursor: Cursor, units: number): number {
  const handle = ((cursor.slab << 16) | cursor.nextUnit) >>> 0;
  cursor.nextUnit += units;
  return handle;
}
