/**
 * Samples of one series as columns, merged by time: what overlapping chunks are decoded into and
 * encoded from again. Reused from series to series; it grows to the largest cluster.
 *
 * Invariant: times rise strictly. Values are two words a sample, low first; a sample that is a histogram
 * stands beside them, in a column that series of numbers do not have.
 */
import { assert } from '../../model/assert.ts';
import type { HistogramSample } from '../../model/histogram-sample.ts';
import type { TimeRange } from '../../model/sample.ts';
import { decodeHistogramChunk } from '../chunk/histogram-decode.ts';
import { encodeHistograms } from '../chunk/histogram-pieces.ts';
import { type HistogramColumn, mergeRuns } from '../chunk/merge-runs.ts';
import { decodeXor, xorSampleCount } from '../chunk/xor-decode.ts';
import {
  XOR_SAMPLE_BYTES_MAX,
  appendXor,
  createXorColumns,
  putXorCount,
} from '../chunk/xor-encode.ts';
import {
  CHUNK_FLOAT_HISTOGRAM,
  CHUNK_HISTOGRAM,
  CHUNK_XOR,
  type ChunkBytes,
  isDecodable,
} from './format.ts';

/** What a chunk that is encoded anew aims at. */
export const SAMPLES_PER_CHUNK_TARGET = 120;
/** A sample takes two bits or more. */
const SAMPLES_PER_BYTE_MAX = 4;

export class SeriesSamples {
  #times = new Float64Array(1024);
  #values = new Uint32Array(2048);
  #length = 0;
  #histograms: HistogramColumn | undefined;
  /** The first and last time of the chunk that was added last; NaN: it was empty. */
  addedMinMs = NaN;
  addedMaxMs = NaN;
  readonly #xor = createXorColumns(1);

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
    this.#histograms = undefined;
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
    if (this.#histograms !== undefined) this.#histograms[this.#length] = undefined;
    this.#length++;
  }

  /** As `push`, of a histogram. */
  pushHistogram(timeMs: number, sample: HistogramSample): void {
    const at = this.#length;
    this.push(timeMs, 0, 0);
    this.#histograms ??= new Array<undefined>(at).fill(undefined);
    this.#histograms[at] = sample;
  }

  /** Undefined: the sample is a number. */
  histogramAt(index: number): HistogramSample | undefined {
    return this.#histograms?.[index];
  }

  /** Merges a chunk in. False for bytes that do not hold. */
  addChunk({ bytes, encoding, from, to }: Omit<ChunkBytes, 'maxTimeMs' | 'minTimeMs'>): boolean {
    if (!isDecodable(encoding)) return false;
    const start = this.#length;
    const end =
      encoding === CHUNK_XOR
        ? this.#addXor(bytes, from, to)
        : this.#addHistograms(bytes, from, to, encoding === CHUNK_FLOAT_HISTOGRAM);
    if (end < 0) return false;
    const times = this.#times;
    this.addedMinMs = end > start ? times[start]! : NaN;
    this.addedMaxMs = end > start ? times[end - 1]! : NaN;
    const overlaps = start > 0 && end > start && times[start]! <= times[start - 1]!;
    this.#length = overlaps ? this.#mergeRuns(start, end) : end;
    return true;
  }

  /** Decodes behind what is there; returns the end, or -1. */
  #addXor(bytes: Uint8Array, from: number, to: number): number {
    const start = this.#length;
    const count = to - from < 2 ? 0 : xorSampleCount(bytes, from);
    if (count > (to - from) * SAMPLES_PER_BYTE_MAX) return -1;
    this.#reserve(start + count);
    const times = this.#times;
    const end = decodeXor(bytes, from, to - from, times, this.#values, start);
    for (let i = start; i < end; i++) {
      if (!Number.isSafeInteger(times[i]!)) return -1;
      if (i > start && times[i]! <= times[i - 1]!) return -1;
    }
    const histograms = this.#histograms;
    if (histograms !== undefined) for (let i = start; i < end; i++) histograms[i] = undefined;
    return end;
  }

  #addHistograms(bytes: Uint8Array, from: number, to: number, isFloat: boolean): number {
    const run = decodeHistogramChunk(bytes, from, to, isFloat);
    if (run === undefined) return -1;
    const start = this.#length;
    const end = start + run.samples.length;
    this.#reserve(end);
    this.#times.set(run.timestamps, start);
    this.#values.fill(0, start * 2, end * 2);
    this.#histograms ??= new Array<undefined>(start).fill(undefined);
    for (let i = start; i < end; i++) this.#histograms[i] = run.samples[i - start];
    return end;
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
    this.#histograms?.splice(kept);
  }

  /** Appends all samples as chunks of equal counts near the target. The bytes are new. */
  encode(into: ChunkBytes[]): void {
    const pieces = Math.max(1, Math.round(this.#length / SAMPLES_PER_CHUNK_TARGET));
    for (let piece = 0; piece < pieces; piece++) {
      const from = Math.floor((this.#length * piece) / pieces);
      const to = Math.floor((this.#length * (piece + 1)) / pieces);
      if (to > from) this.#encodeRange(from, to, into);
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

  /** Takes the first `count` samples away, as chunks of equal counts that have the target at most. */
  takeFirst(count: number, into: ChunkBytes[]): void {
    const pieces = Math.ceil(count / SAMPLES_PER_CHUNK_TARGET);
    for (let piece = 0; piece < pieces; piece++) {
      const from = Math.floor((count * piece) / pieces);
      const to = Math.floor((count * (piece + 1)) / pieces);
      this.#encodeRange(from, to, into);
    }
    this.#histograms?.splice(0, count);
    this.#times.copyWithin(0, count, this.#length);
    this.#values.copyWithin(0, count * 2, this.#length * 2);
    this.#length -= count;
  }

  /** Chunks of `[from, to)`: one, if all samples are numbers. */
  #encodeRange(from: number, to: number, into: ChunkBytes[]): void {
    const histograms = this.#histograms;
    for (let start = from; start < to;) {
      const isHistogram = histograms?.[start] !== undefined;
      let end = start + 1;
      if (histograms === undefined) end = to;
      else while (end < to && (histograms[end] !== undefined) === isHistogram) end++;
      if (histograms === undefined || !isHistogram) into.push(this.#encodePiece(start, end));
      else this.#encodeHistograms(histograms, start, end, into);
      start = end;
    }
  }

  #encodeHistograms(
    histograms: HistogramColumn,
    from: number,
    to: number,
    into: ChunkBytes[],
  ): void {
    const range = { from, to };
    for (const piece of encodeHistograms(
      this.#times,
      histograms,
      range,
      SAMPLES_PER_CHUNK_TARGET,
    )) {
      const { bytes, isFloat, maxTimeMs, minTimeMs } = piece;
      const encoding = isFloat ? CHUNK_FLOAT_HISTOGRAM : CHUNK_HISTOGRAM;
      into.push({ encoding, minTimeMs, maxTimeMs, bytes, from: 0, to: bytes.length });
    }
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
    const columns = {
      timestamps: this.#times,
      values: this.#values,
      histograms: this.#histograms,
    };
    const merged = mergeRuns(columns, 0, middle, end);
    this.#histograms?.splice(merged);
    return merged;
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from]!;
    this.#values[to * 2] = this.#values[from * 2]!;
    this.#values[to * 2 + 1] = this.#values[from * 2 + 1]!;
    if (this.#histograms !== undefined) this.#histograms[to] = this.#histograms[from];
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
