/**
 * The series of a head, as columns: element s is series s. Found by fingerprint; WAL refs are never reused. Numbers are, but not while a read is open that began when
 * the number meant another series: a read keeps numbers across turns of the loop.
 *

 *   chunks       newest closed chunk of a series -> next older -> … (links in the chunk columns)
 *
 * One writer. Columns are replaced when they grow: hold a column only within one call.
 */
import { Bitmap } from './bitmap.ts';
import { type XorColumns, createXorColumns } from '../chunk/xor-encode.ts';
import { growTable, grown } from '../../model/columns.ts';
import { FingerprintIndex } from '../../model/fingerprint-index.ts';
import { RecentSamples } from './recent-samples.ts';

export const NO_CHUNK = 0xffff_ffff;
const CAPACITY_START = 64;
/** About a gigabyte of addresses; memory is taken by the series that come. */
const SERIES_ROOM = 1 << 22;

export class SeriesTable {
  /** Numbers handed out so far; some may be free. */
  length = 0;
  /** How often a number was handed out again. */
  reuses = 0;
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
  readonly #index = new FingerprintIndex();

  /** Series that exist. */
  get count(): number {
    return this.#index.count;
  }

  /**
   * Hot: the series with the fingerprint at `words[offset..offset + 4)`, or -1. `previous` is the series
   * found before, or -1: mostly the same one follows it as last time.
   */
  find(words: Uint32Array, offset: number, previous = -1): number {
    const prints = this.fingerprints;
    if (previous >= 0) {
      // Fast path: no random read.
      const s = this.#next[previous]!;
      const at = s * 4;
      const isSame =
        prints[at] === words[offset] &&
        prints[at + 1] === words[offset + 1] &&
        prints[at + 2] === words[offset + 2] &&
        prints[at + 3] === words[offset + 3];
      if (isSame && this.alive.has(s)) return s;
    }
    const s = this.#index.find(prints, words, offset);
    if (s >= 0 && previous >= 0) this.#next[previous] = s;
    return s;
  }

  /** Adds a series whose fingerprint `find` did not find. Its other columns are zero. Throws `RangeError`. */
  add(words: Uint32Array, offset: number, ref: number): number {
    const s = this.#free.at(-1) ?? this.length;
    // What may find no memory comes first: until it is there, there is no series.
    if (s >= this.capacity) this.capacity = growTable(this.capacity, SERIES_ROOM, this.#grow);
    for (let i = 0; i < 4; i++) this.fingerprints[s * 4 + i] = words[offset + i]!;
    this.#index.add(this.fingerprints, s);
    if (this.#free.pop() === undefined) this.length++;
    else this.reuses++;
    this.alive.add(s);
    this.refs[s] = ref;
    this.openCapacity[s] = 0;
    this.newestChunk[s] = NO_CHUNK;
    this.#next[s] = s + 1;
    this.xor.count[s] = 0;
    this.recent.clear(s);
    return s;
  }

  /** Removes a series; its number may be given out again. */
  remove(s: number): void {
    this.#index.remove(this.fingerprints, s);
    this.alive.delete(s);
    this.#retired.push({ s, beforeRead: this.#nextRead });
    this.#reclaim();
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

  /** Replaces each column as it goes: one that is longer than the others does no harm, and is cut when less is tried. */
  readonly #grow = (capacity: number): void => {
    this.fingerprints = grown(Uint32Array, this.fingerprints, (capacity + 1) * 4);
    this.alive = this.alive.copy(capacity);
    this.refs = grown(Float64Array, this.refs, capacity);
    this.labelHandle = grown(Uint32Array, this.labelHandle, capacity);
    this.labelLength = grown(Uint32Array, this.labelLength, capacity);
    this.openMinTime = grown(Float64Array, this.openMinTime, capacity);
    this.openCutTime = grown(Float64Array, this.openCutTime, capacity);
    this.openHandle = grown(Uint32Array, this.openHandle, capacity);
    this.openCapacity = grown(Uint16Array, this.openCapacity, capacity);
    this.newestChunk = grown(Uint32Array, this.newestChunk, capacity);
    this.xor = grownXorColumns(this.xor, capacity);
    this.recent.grow(capacity);
    this.#next = grown(Uint32Array, this.#next, capacity);
  };
}

function grownXorColumns(xor: XorColumns, capacity: number): XorColumns {
  return {
    lastDelta: grown(Float64Array, xor.lastDelta, capacity),
    bitLength: grown(Uint16Array, xor.bitLength, capacity),
    count: grown(Uint16Array, xor.count, capacity),
    leading: grown(Uint8Array, xor.leading, capacity),
    trailing: grown(Uint8Array, xor.trailing, capacity),
  };
}
