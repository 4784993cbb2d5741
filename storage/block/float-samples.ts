/**
 * Float samples of one series as columns, merged by time: what overlapping chunks are decoded into and
 * encoded from again. Reused from series to series; it grows to the largest cluster.
 *
 * Invariant: times rise strictly. Values are two words a sample, low first.
 */
import { assert } from '../../model/assert.ts';
import { type TimeRange, isStaleWords } from '../../model/sample.ts';
import { decodeXor, xorSampleCount } from '../chunk/xor-decode.ts';
import {
  XOR_SAMPLE_BYTES_MAX,
  appendXor,
  createXorColumns,
  putXorCount,
} from '../chunk/xor-encode.ts';
import { CHUNK_XOR, type ChunkBytes } from './format.ts';

/** What a chunk that is encoded anew aims at. */
export const SAMPLES_PER_CHUNK_TARGET = 120;
/** A sample takes two bits or more. */
const SAMPLES_PER_BYTE_MAX = 4;

export class FloatSamples {
  #times = new Float64Array(1024);
  #values = new Uint32Array(2048);
  #length = 0;
  /** The first and last time of the chunk that was added last; NaN: it was empty. */
  addedMinMs = NaN;
  addedMaxMs = NaN;
  readonly #xor = createXorColumns(1);

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  timeAt(index: number): number {
    return this.#times[index]!;
  }

  /** The value's words, low and high. */
  wordsAt(index: number): readonly [low: number, high: number] {
    return [this.#values[index * 2]!, this.#values[index * 2 + 1]!];
  }

  /** Adds a sample after all others. */
  push(timeMs: number, low: number, high: number): void {
    assert(this.#length === 0 || this.#times[this.#length - 1]! < timeMs, 'block: time must rise');
    this.#reserve(this.#length + 1);
    this.#times[this.#length] = timeMs;
    this.#values[this.#length * 2] = low;
    this.#values[this.#length * 2 + 1] = high;
    this.#length++;
  }

  /** Merges the XOR chunk `bytes[from..to)` in. False for bytes that do not hold. */
  addChunk(bytes: Uint8Array, from: number, to: number): boolean {
    const start = this.#length;
    const count = to - from < 2 ? 0 : xorSampleCount(bytes, from);
    if (count > (to - from) * SAMPLES_PER_BYTE_MAX) return false;
    this.#reserve(start + count);
    const times = this.#times;
    const end = decodeXor(bytes, from, to - from, times, this.#values, start);
    if (end < 0) return false;
    for (let i = start; i < end; i++) {
      if (!Number.isSafeInteger(times[i]!)) return false;
      if (i > start && times[i]! <= times[i - 1]!) return false;
    }
    this.addedMinMs = end > start ? times[start]! : NaN;
    this.addedMaxMs = end > start ? times[end - 1]! : NaN;
    const overlaps = start > 0 && end > start && times[start]! <= times[start - 1]!;
    this.#length = overlaps ? this.#mergeRuns(start, end) : end;
    return true;
  }

  /** Removes what is in a range. */
  remove({ minTimeMs, maxTimeMs }: TimeRange): void {
    const times = this.#times;
    let kept = 0;
    for (let i = 0; i < this.#length; i++) {
      if (times[i]! >= minTimeMs && times[i]! <= maxTimeMs) continue;
      this.#move(i, kept++);
    }
    this.#length = kept;
  }

  /** Appends all samples as XOR chunks of equal counts near the target. The bytes are new. */
  encode(into: ChunkBytes[]): void {
    const pieces = Math.max(1, Math.round(this.#length / SAMPLES_PER_CHUNK_TARGET));
    for (let piece = 0; piece < pieces; piece++) {
      const from = Math.floor((this.#length * piece) / pieces);
      const to = Math.floor((this.#length * (piece + 1)) / pieces);
      if (to > from) into.push(this.#encodePiece(from, to));
    }
  }

  /** How many samples are older than a time. */
  countBefore(timeMs: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#times[middle]! < timeMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Takes the first `count` samples away, as XOR chunks of equal counts that have the target at most. */
  takeFirst(count: number, into: ChunkBytes[]): void {
    const pieces = Math.ceil(count / SAMPLES_PER_CHUNK_TARGET);
    for (let piece = 0; piece < pieces; piece++) {
      const from = Math.floor((count * piece) / pieces);
      const to = Math.floor((count * (piece + 1)) / pieces);
      into.push(this.#encodePiece(from, to));
    }
    this.#times.copyWithin(0, count, this.#length);
    this.#values.copyWithin(0, count * 2, this.#length * 2);
    this.#length -= count;
  }

  #encodePiece(from: number, to: number): ChunkBytes {
    const times = this.#times;
    const values = this.#values;
    const xor = this.#xor;
    const target = new Uint8Array(2 + (to - from) * XOR_SAMPLE_BYTES_MAX);
    xor.count[0] = 0;
    const room = { bytes: target, base: 0, capacity: target.length };
    appendXor(xor, 0, room, { timestamps: times, values }, from, to);
    putXorCount(target, 0, to - from);
    return {
      encoding: CHUNK_XOR,
      minTimeMs: times[from]!,
      maxTimeMs: times[to - 1]!,
      bytes: target,
      from: 0,
      to: (xor.bitLength[0]! + 7) >>> 3,
    };
  }

  /** Merges the runs [0, middle) and [middle, end); returns the new end. */
  #mergeRuns(middle: number, end: number): number {
    const times = this.#times.slice(0, end);
    const words = this.#values.slice(0, end * 2);
    let a = 0;
    let b = middle;
    let at = 0;
    while (a < middle || b < end) {
      const isBoth = a < middle && b < end && times[a] === times[b];
      const takesA = b === end || (a < middle && times[a]! <= times[b]!);
      const from = isBoth ? preferred(words, a, b) : takesA ? a : b;
      this.#times[at] = times[from]!;
      this.#values[at * 2] = words[from * 2]!;
      this.#values[at * 2 + 1] = words[from * 2 + 1]!;
      at++;
      if (takesA) a++;
      if (isBoth || !takesA) b++;
    }
    return at;
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from]!;
    this.#values[to * 2] = this.#values[from * 2]!;
    this.#values[to * 2 + 1] = this.#values[from * 2 + 1]!;
  }

  #reserve(needed: number): void {
    if (needed <= this.#times.length) return;
    const times = new Float64Array(needed * 2);
    const values = new Uint32Array(needed * 4);
    times.set(this.#times.subarray(0, this.#length));
    values.set(this.#values.subarray(0, this.#length * 2));
    this.#times = times;
    this.#values = values;
  }
}

/** Which of two samples of one time is kept: not stale, then the larger bits. */
function preferred(words: Uint32Array, a: number, b: number): number {
  const staleA = isStaleWords(words[a * 2]!, words[a * 2 + 1]!) ? 1 : 0;
  const staleB = isStaleWords(words[b * 2]!, words[b * 2 + 1]!) ? 1 : 0;
  const order =
    staleA - staleB || words[b * 2 + 1]! - words[a * 2 + 1]! || words[b * 2]! - words[a * 2]!;
  return order <= 0 ? a : b;
}
