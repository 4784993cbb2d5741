/**
 * Downsamples one series: chunks of samples, or of finer aggregates, go in by time, chunks of aggregates come out.
 *
 *   windows   (k·r, (k+1)·r]      a sample at a border belongs to the window that it ends, as in PromQL
 *   time      min((k+1)·r, last millisecond of the block) of count, sum, min and max; its own of a kept sample
 *
 * Native histograms are not downsampled: their chunks pass through as they are. What comes before one is
 * ended at its last sample, so that chunks never overlap. Memory: one chunk of each aggregate.
 */
import { decodeXor, xorSampleCount } from '../chunk/xor-decode.ts';
import { AGGREGATE, joinAggregates, splitAggregates } from '../chunk/aggregate-chunk.ts';
import { xorChunk } from '../chunk/xor-chunks.ts';
import { CHUNK_AGGREGATES, CHUNK_XOR, type ChunkBytes } from '../block/format.ts';
import { DownsampleWindow, KEPT_MAX } from './window.ts';

/** As in the chunks of samples. */
const WINDOWS_PER_CHUNK_MAX = 120;
/** Whatever they are, a XOR chunk has room for them. A window that is full, and one finer window, have less. */
const KEPT_PER_CHUNK_MAX = 400;
const KEPT_CAPACITY = KEPT_PER_CHUNK_MAX + 3 * KEPT_MAX;
/** A sample takes two bits or more. */
const SAMPLES_PER_BYTE_MAX = 4;
const NO_WINDOW = NaN;

export interface DownsampleOptions {
  readonly resolutionMs: number;
  /** The last millisecond of the block. */
  readonly lastMs: number;
}

/** Samples of a chunk, decoded. */
class Run {
  times = new Float64Array(1024);
  values = new Float64Array(1024);
  words = new Uint32Array(this.values.buffer);
  length = 0;

  /** False for bytes that do not hold. */
  decode(bytes: Uint8Array, from: number, to: number): boolean {
    this.length = 0;
    if (to - from < 2) return to === from;
    const count = xorSampleCount(bytes, from);
    if (count > (to - from) * SAMPLES_PER_BYTE_MAX) return false;
    if (count > this.times.length) {
      this.times = new Float64Array(count * 2);
      this.values = new Float64Array(count * 2);
      this.words = new Uint32Array(this.values.buffer);
    }
    const end = decodeXor(bytes, from, to - from, this.times, this.words, 0);
    for (let i = 0; i < end; i++) {
      if (!Number.isSafeInteger(this.times[i]!)) return false;
      if (i > 0 && this.times[i]! < this.times[i - 1]!) return false;
    }
    this.length = Math.max(0, end);
    return end >= 0;
  }
}

export class SeriesDownsampler {
  /** What is done, oldest first; whoever writes it empties it. */
  readonly ready: ChunkBytes[] = [];
  readonly #options: DownsampleOptions;
  readonly #window = new DownsampleWindow();
  /** The end of the window that is open. */
  #endMs = NO_WINDOW;
  #windowCount = 0;
  readonly #stamps = new Float64Array(WINDOWS_PER_CHUNK_MAX);
  readonly #columns = Array.from({ length: 4 }, () => new Float64Array(WINDOWS_PER_CHUNK_MAX));
  #keptCount = 0;
  readonly #keptTimes = new Float64Array(KEPT_CAPACITY);
  readonly #keptValues = new Float64Array(KEPT_CAPACITY);
  readonly #runs = Array.from({ length: 5 }, () => new Run());
  #decodedCount = 0;

  constructor(options: DownsampleOptions) {
    this.#options = options;
  }

  /** Begins a series. */
  begin(): void {
    this.ready.length = 0;
    this.#window.clear();
    this.#endMs = NO_WINDOW;
    this.#windowCount = 0;
    this.#keptCount = 0;
  }

  /** Takes the next chunk by time. False for bytes that do not hold. */
  add(chunk: ChunkBytes): boolean {
    if (chunk.encoding === CHUNK_XOR) return this.#addSamples(chunk);
    if (chunk.encoding === CHUNK_AGGREGATES) return this.#addAggregates(chunk);
    this.#closeWindow(true);
    this.#closeChunk();
    this.ready.push(chunk);
    return true;
  }

  /** Ends the series: all of it is in `ready` then. */
  finish(): void {
    this.#closeWindow(false);
    this.#closeChunk();
  }

  /** How many samples were decoded since the last call. */
  takeDecoded(): number {
    const count = this.#decodedCount;
    this.#decodedCount = 0;
    return count;
  }

  #addSamples({ bytes, from, to }: ChunkBytes): boolean {
    const run = this.#runs[0]!;
    if (!run.decode(bytes, from, to)) return false;
    this.#decodedCount += run.length;
    const { times, values, words } = run;
    const window = this.#window;
    for (let i = 0; i < run.length; i++) {
      this.#enter(times[i]!);
      window.add(times[i]!, values[i]!, words[i * 2]!, words[i * 2 + 1]!);
      if (window.isFull) this.#closeWindow(true);
    }
    return true;
  }

  /** Kept samples and windows by time: each kept sample is before the end of its finer window. */
  #addAggregates({ bytes, from, to }: ChunkBytes): boolean {
    const places = splitAggregates(bytes, from, to);
    if (places === undefined) return false;
    for (let i = 0; i < this.#runs.length; i++) {
      const run = this.#runs[i]!;
      if (!run.decode(bytes, places[i * 2]!, places[i * 2 + 1]!)) return false;
      this.#decodedCount += run.length;
    }
    const [count, sum, min, max, kept] = this.#runs as [Run, Run, Run, Run, Run]; // five are made above
    if (sum.length !== count.length || min.length !== count.length) return false;
    if (max.length !== count.length) return false;
    let k = 0;
    for (let i = 0; i < count.length; i++) {
      const stampMs = count.times[i]!;
      for (; k < kept.length && kept.times[k]! <= stampMs; k++) this.#addKept(kept, k);
      this.#enter(stampMs);
      this.#window.addStatistics(count.values[i]!, sum.values[i]!, min.values[i]!, max.values[i]!);
      if (this.#window.isFull) this.#closeWindow(true);
    }
    for (; k < kept.length; k++) this.#addKept(kept, k);
    return true;
  }

  #addKept({ times, values, words }: Run, k: number): void {
    this.#enter(times[k]!);
    this.#window.addKept(times[k]!, values[k]!, words[k * 2]!, words[k * 2 + 1]!);
    if (this.#window.isFull) this.#closeWindow(true); // others keep more in one window than we do
  }

  /** Closes the window before the one that a time is in. */
  #enter(timeMs: number): void {
    if (timeMs <= this.#endMs) return;
    this.#closeWindow(false);
    const { resolutionMs } = this.#options;
    this.#endMs = Math.ceil(timeMs / resolutionMs) * resolutionMs;
  }

  /** `isEarly`: other samples of the same window follow; it stands at its last sample. */
  #closeWindow(isEarly: boolean): void {
    const window = this.#window;
    if (window.isEmpty) return;
    window.close();
    const kept = window.keptCount;
    const isFull = this.#windowCount === WINDOWS_PER_CHUNK_MAX;
    if (isFull || this.#keptCount + kept > KEPT_PER_CHUNK_MAX) this.#closeChunk();
    if (window.count > 0) {
      const at = this.#windowCount++;
      const endMs = Math.min(this.#endMs, this.#options.lastMs);
      this.#stamps[at] = isEarly ? window.lastMs : Math.max(endMs, window.lastMs);
      this.#columns[AGGREGATE.count]![at] = window.count;
      this.#columns[AGGREGATE.sum]![at] = window.sum;
      this.#columns[AGGREGATE.min]![at] = window.min;
      this.#columns[AGGREGATE.max]![at] = window.max;
    }
    // By words, as all copying of values: doubles would lose the bits of a stale marker.
    wordsOf(this.#keptValues).set(
      wordsOf(window.keptValues).subarray(0, kept * 2),
      this.#keptCount * 2,
    );
    this.#keptTimes.set(window.keptTimes.subarray(0, kept), this.#keptCount);
    this.#keptCount += kept;
    window.clear();
    if (!isEarly) this.#endMs = NO_WINDOW;
  }

  #closeChunk(): void {
    const windows = this.#windowCount;
    const kept = this.#keptCount;
    if (kept === 0) return;
    const parts = this.#columns.map((values) => {
      const column = { timestamps: this.#stamps, values: wordsOf(values) };
      return windows === 0 ? new Uint8Array(0) : xorChunk(column, 0, windows);
    });
    const counter = { timestamps: this.#keptTimes, values: wordsOf(this.#keptValues) };
    const bytes = joinAggregates([...parts, xorChunk(counter, 0, kept)]);
    const lastStampMs = windows === 0 ? Number.NEGATIVE_INFINITY : this.#stamps[windows - 1]!;
    this.ready.push({
      encoding: CHUNK_AGGREGATES,
      minTimeMs: this.#keptTimes[0]!,
      maxTimeMs: Math.max(lastStampMs, this.#keptTimes[kept - 1]!),
      ...{ bytes, from: 0, to: bytes.length },
    });
    this.#windowCount = 0;
    this.#keptCount = 0;
  }
}

function wordsOf(values: Float64Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
}
