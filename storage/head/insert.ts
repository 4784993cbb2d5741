/**
 * Puts samples that come out of order where they belong: the chunk that covers the time is decoded, the
 * sample put in, and the chunk encoded anew. So the chunks of a series always rise and never overlap, and
 * reads and cuts need to know nothing of the order in which samples came.
 *
 *   chunks   ▐██▌ ▐████▌   ▐███▌ ▐██░  open
 *                ^ t            the chunk after a gap takes it, when it is of the same two hours
 *
 * Cold beside `Head.append`: ten microseconds a sample.
 */
import { assert } from '../../model/assert.ts';
import { StarlingError } from '../../model/errors.ts';
import type { Arena } from '../chunk/arena.ts';
import { decodeXor, xorSampleCount } from '../chunk/xor-decode.ts';
import {
  XOR_SAMPLE_BYTES_MAX,
  type XorColumns,
  appendXor,
  createXorColumns,
  putXorCount,
} from '../chunk/xor-encode.ts';
import { HEAD_CHUNKS_DIRECTORY } from '../filenames.ts';
import { type ChunkTable, IN_ARENA } from './chunk-table.ts';
import { NO_CHUNK, type SeriesTable } from './series-table.ts';

/** Names the open chunk among closed ones. */
const OPEN = -1;
const OPEN_BYTES_STEP = 64;
const UNREADABLE = { path: HEAD_CHUNKS_DIRECTORY, why: 'a chunk cannot be read' };

export interface InserterOptions {
  readonly series: SeriesTable;
  readonly chunks: ChunkTable;
  readonly arena: Arena;
  /** The bytes of a chunk that is in a file; undefined: they cannot be read. */
  readonly readFiled: (chunk: number) => Uint8Array | undefined;
  /** A chunk that would be larger is cut in two. */
  readonly chunkBytesMax: number;
  /** No chunk crosses a border of this grid. */
  readonly rangeMs: number;
}

export class SampleInserter {
  readonly #options: InserterOptions;
  readonly #own = createXorColumns(1);
  #timestamps = new Float64Array(0);
  #values = new Uint32Array(0);
  #bytes = new Uint8Array(0);

  constructor(options: InserterOptions) {
    this.#options = options;
  }

  /**
   * The series is settled, its open chunk whole, its newest sample newer, and it has none at the time. Throws
   * `disk.failed` when the chunk is in a file that cannot be read.
   */
  insert(s: number, timeMs: number, low: number, high: number): void {
    const { arena, chunks, rangeMs, series } = this.#options;
    let target = OPEN;
    let older = series.newestChunk[s]!;
    while (older !== NO_CHUNK && chunks.maxTime[older]! >= timeMs) {
      target = older;
      older = chunks.older[older]!;
    }
    assert(target !== OPEN || series.openCapacity[s]! > 0, 'head: nothing newer to insert before');
    const minTimeMs = target === OPEN ? series.openMinTime[s]! : chunks.minTime[target]!;
    if (Math.floor(timeMs / rangeMs) !== Math.floor(minTimeMs / rangeMs) && timeMs < minTimeMs) {
      this.#begin(1);
      this.#put(0, timeMs, low, high);
      this.#link(s, target, older, 0, 1);
      return;
    }
    if (target !== OPEN && chunks.file[target] !== IN_ARENA) {
      const bytes = this.#options.readFiled(target);
      if (bytes === undefined) throw new StarlingError('disk.failed', UNREADABLE);
      const count = this.#load(bytes, 0, chunks.byteLength[target]!, timeMs, low, high);
      this.#rewriteClosed(s, target, count);
      return;
    }
    const handle = target === OPEN ? series.openHandle[s]! : chunks.handle[target]!;
    const length =
      target === OPEN ? (series.xor.bitLength[s]! + 7) >>> 3 : chunks.byteLength[target]!;
    const count = this.#load(arena.slab(handle), arena.offset(handle), length, timeMs, low, high);
    if (target === OPEN) this.#rewriteOpen(s, count);
    else this.#rewriteClosed(s, target, count);
  }

  /** Decodes a chunk into the scratch columns with one sample more; returns how many there are. */
  #load(
    bytes: Uint8Array,
    offset: number,
    length: number,
    timeMs: number,
    low: number,
    high: number,
  ): number {
    const held = xorSampleCount(bytes, offset);
    this.#begin(held + 1);
    const times = this.#timestamps;
    const end = decodeXor(bytes, offset, length, times, this.#values, 0);
    assert(end === held, 'head: a chunk that does not decode');
    let at = held;
    for (; at > 0 && times[at - 1]! > timeMs; at--) times[at] = times[at - 1]!;
    this.#values.copyWithin((at + 1) * 2, at * 2, held * 2);
    this.#put(at, timeMs, low, high);
    return held + 1;
  }

  #begin(count: number): void {
    if (this.#timestamps.length >= count) return;
    this.#timestamps = new Float64Array(count * 2);
    this.#values = new Uint32Array(count * 4);
  }

  #put(at: number, timeMs: number, low: number, high: number): void {
    this.#timestamps[at] = timeMs;
    this.#values[at * 2] = low;
    this.#values[at * 2 + 1] = high;
  }

  /** Encodes samples `[from, to)` into the scratch bytes with the state of series `s` of `xor`. */
  #encode(xor: XorColumns, s: number, from: number, to: number): number {
    const capacity = 2 + (to - from + 1) * XOR_SAMPLE_BYTES_MAX;
    if (this.#bytes.length < capacity) this.#bytes = new Uint8Array(capacity * 2);
    const room = { bytes: this.#bytes, base: 0, capacity: this.#bytes.length };
    const columns = { timestamps: this.#timestamps, values: this.#values };
    xor.count[s] = 0;
    const end = appendXor(xor, s, room, columns, from, to);
    assert(end === to, 'head: no room to encode a chunk');
    putXorCount(this.#bytes, 0, to - from);
    return (xor.bitLength[s]! + 7) >>> 3;
  }

  /** Copies the scratch bytes to a range of the arena. */
  #store(byteCount: number, handle: number): number {
    const { arena } = this.#options;
    arena.slab(handle).set(this.#bytes.subarray(0, byteCount), arena.offset(handle));
    return handle;
  }

  #rewriteOpen(s: number, count: number): void {
    const { arena, chunkBytesMax, series } = this.#options;
    let from = 0;
    let byteCount = this.#encode(series.xor, s, from, count);
    if (byteCount + XOR_SAMPLE_BYTES_MAX > chunkBytesMax) {
      from = count >>> 1; // the older half is closed
      this.#link(s, OPEN, series.newestChunk[s]!, 0, from);
      byteCount = this.#encode(series.xor, s, from, count);
    }
    const needed = byteCount + XOR_SAMPLE_BYTES_MAX;
    const capacity = Math.ceil(needed / OPEN_BYTES_STEP) * OPEN_BYTES_STEP;
    const handle = this.#store(byteCount, arena.allocate(capacity));
    arena.free(series.openHandle[s]!, series.openCapacity[s]!);
    series.openHandle[s] = handle;
    series.openCapacity[s] = capacity;
    series.openMinTime[s] = this.#timestamps[from]!;
  }

  #rewriteClosed(s: number, target: number, count: number): void {
    const { arena, chunkBytesMax, chunks } = this.#options;
    let from = 0;
    let byteCount = this.#encode(this.#own, 0, from, count);
    if (byteCount > chunkBytesMax) {
      from = count >>> 1;
      this.#link(s, target, chunks.older[target]!, 0, from);
      byteCount = this.#encode(this.#own, 0, from, count);
    }
    const handle = this.#store(byteCount, arena.append(byteCount));
    if (chunks.file[target] === IN_ARENA)
      arena.free(chunks.handle[target]!, chunks.byteLength[target]!);
    chunks.moveToArena(target, handle, byteCount);
    chunks.minTime[target] = this.#timestamps[from]!;
    chunks.maxTime[target] = this.#timestamps[count - 1]!;
  }

  /** Links samples `[from, to)` as a new chunk between `newer` and `older`. */
  #link(s: number, newer: number, older: number, from: number, to: number): void {
    const { arena, chunks, series } = this.#options;
    const byteCount = this.#encode(this.#own, 0, from, to);
    const c = chunks.add();
    chunks.minTime[c] = this.#timestamps[from]!;
    chunks.maxTime[c] = this.#timestamps[to - 1]!;
    chunks.handle[c] = this.#store(byteCount, arena.append(byteCount));
    chunks.byteLength[c] = byteCount;
    chunks.older[c] = older;
    if (newer === OPEN) series.newestChunk[s] = c;
    else chunks.older[newer] = c;
  }
}
