/**
 * The series of a head, as columns: element s is series s. Found by fingerprint through an open
 * addressing table; WAL refs are never reused. Numbers are, but not while a read is open that began when
 * the number meant another series: a read keeps numbers across turns of the loop.
 *
 *   slots[]      open addressing: 0 = empty, else series number + 1; probed from fingerprint word 0
 *   chunks       newest closed chunk of a series -> next older -> … (links in the chunk columns)
 *
 * One writer. Columns are replaced when they grow: hold a column only within one call.
 */
import { Bitmap } from './bitmap.ts';
import { type XorColumns, createXorColumns } from '../chunk/xor-encode.ts';
import { RecentSamples } from './recent-samples.ts';

export const NO_CHUNK = 0xffff_ffff;
const FILL_RATIO_MAX = 0.6;
const CAPACITY_START = 64;

export class SeriesTable {
  /** Numbers handed out so far; some may be free. */
  length = 0;
  capacity = CAPACITY_START;
  /** One entry more than the capacity: what came next last time is a guess, and one that reads past the end makes each look-up slower. */
  fingerprints = new Uint32Array((CAPACITY_START + 1) * 4);
  /** The series that exist. */
  alive = new Bitmap(CAPACITY_START);
  /** WAL refs. */
  refs = new Float64Array(CAPACITY_START);
  labelHandle = new Uint32Array(CAPACITY_START);
  labelLength = new Uint32Array(CAPACITY_START);
  /** First time of the open chunk, and where it must be cut. */
  openMinTime = new Float64Array(CAPACITY_START);
  openCutTime = new Float64Array(CAPACITY_START);
  openHandle = new Uint32Array(CAPACITY_START);
  /** 0: no chunk is open. */
  openCapacity = new Uint16Array(CAPACITY_START);
  newestChunk = new Uint32Array(CAPACITY_START);
  xor: XorColumns = createXorColumns(CAPACITY_START);
  readonly recent = new RecentSamples(CAPACITY_START);
  readonly #free: number[] = [];
  /** Numbers that wait for reads to end, with the read that begins next when they were given up. */
  readonly #retired: { readonly s: number; readonly beforeRead: number }[] = [];
  readonly #openReads = new Set<number>();
  #nextRead = 0;
  /** The series that was looked up after this one last time. */
  #next = new Uint32Array(CAPACITY_START);
  #slots = new Uint32Array(CAPACITY_START * 2);
  #used = 0;

  /** Series that exist. */
  get count(): number {
    return this.#used;
  }

  /**
   * Hot: the series with the fingerprint at `words[offset..offset + 4)`, or -1. `previous` is the series
   * found before, or -1: mostly the same one follows it as last time.
   */
  find(words: Uint32Array, offset: number, previous = -1): number {
    const prints = this.fingerprints;
    const a = words[offset]!;
    const b = words[offset + 1]!;
    const c = words[offset + 2]!;
    const d = words[offset + 3]!;
    if (previous >= 0) {
      // Fast path: no random read.
      const s = this.#next[previous]!;
      const at = s * 4;
      const isSame =
        prints[at] === a && prints[at + 1] === b && prints[at + 2] === c && prints[at + 3] === d;
      if (isSame && this.alive.has(s)) return s;
    }
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = a & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const s = slots[slot]! - 1;
      const at = s * 4;
      if (
        prints[at] === a &&
        prints[at + 1] === b &&
        prints[at + 2] === c &&
        prints[at + 3] === d
      ) {
        if (previous >= 0) this.#next[previous] = s;
        return s;
      }
    }
    return -1;
  }

  /** Adds a series whose fingerprint `find` did not find. Its other columns are zero. */
  add(words: Uint32Array, offset: number, ref: number): number {
    if ((this.#used + 1) / this.#slots.length > FILL_RATIO_MAX) this.#growSlots();
    const s = this.#free.pop() ?? this.length++;
    if (s >= this.capacity) this.#growColumns();
    for (let i = 0; i < 4; i++) this.fingerprints[s * 4 + i] = words[offset + i]!;
    this.alive.add(s);
    this.refs[s] = ref;
    this.openCapacity[s] = 0;
    this.newestChunk[s] = NO_CHUNK;
    this.#next[s] = s + 1;
    this.xor.count[s] = 0;
    this.recent.clear(s);
    this.#used++;
    this.#slots[this.#freeSlot(this.#slots, words[offset]!)] = s + 1;
    return s;
  }

  /** Removes a series; its number may be given out again. */
  remove(s: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = this.fingerprints[s * 4]! & mask;
    while (slots[slot] !== s + 1) slot = (slot + 1) & mask;
    // Linear probing without tombstones: later entries that could move up fill the hole.
    for (let next = (slot + 1) & mask; slots[next] !== 0; next = (next + 1) & mask) {
      const home = this.fingerprints[(slots[next]! - 1) * 4]! & mask;
      if (((next - home) & mask) >= ((next - slot) & mask)) {
        slots[slot] = slots[next]!;
        slot = next;
      }
    }
    slots[slot] = 0;
    this.alive.delete(s);
    this.#retired.push({ s, beforeRead: this.#nextRead });
    this.#reclaim();
    this.#used--;
  }

  /** Begins a read: numbers seen from now on keep their meaning, or are dead, until its end. */
  beginRead(): number {
    this.#openReads.add(this.#nextRead);
    return this.#nextRead++;
  }

  endRead(read: number): void {
    this.#openReads.delete(read);
    this.#reclaim();
  }

  /** Frees the numbers that no open read can have seen alive. */
  #reclaim(): void {
    const [oldest = this.#nextRead] = this.#openReads; // in the order of their beginning
    let count = 0;
    while (count < this.#retired.length && this.#retired[count]!.beforeRead <= oldest) {
      this.#free.push(this.#retired[count++]!.s);
    }
    this.#retired.splice(0, count);
  }

  #freeSlot(slots: Uint32Array, firstWord: number): number {
    const mask = slots.length - 1;
    let slot = firstWord & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    return slot;
  }

  #growSlots(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    for (const entry of old) {
      if (entry === 0) continue;
      this.#slots[this.#freeSlot(this.#slots, this.fingerprints[(entry - 1) * 4]!)] = entry;
    }
  }

  #growColumns(): void {
    const capacity = this.capacity * 2;
    this.fingerprints = grown(this.fingerprints, new Uint32Array((capacity + 1) * 4));
    this.alive = this.alive.copy(capacity);
    this.refs = grown(this.refs, new Float64Array(capacity));
    this.labelHandle = grown(this.labelHandle, new Uint32Array(capacity));
    this.labelLength = grown(this.labelLength, new Uint32Array(capacity));
    this.openMinTime = grown(this.openMinTime, new Float64Array(capacity));
    this.openCutTime = grown(this.openCutTime, new Float64Array(capacity));
    this.openHandle = grown(this.openHandle, new Uint32Array(capacity));
    this.openCapacity = grown(this.openCapacity, new Uint16Array(capacity));
    this.newestChunk = grown(this.newestChunk, new Uint32Array(capacity));
    const { xor } = this;
    const fresh = createXorColumns(capacity);
    for (const key of Object.keys(xor) as (keyof XorColumns)[]) fresh[key].set(xor[key]);
    this.xor = fresh;
    this.recent.grow(capacity);
    this.#next = grown(this.#next, new Uint32Array(capacity));
    this.capacity = capacity;
  }
}

function grown<Column extends Float64Array | Uint16Array | Uint32Array | Uint8Array>(
  from: Column,
  to: Column,
): Column {
  to.set(from);
  return to;
}
