/**
 * A histogram chunk being written (its front: histogram-layout.ts). Each sample, in order:
 *
 *   integer   time, count, zero count as varbit deltas of deltas | sum as xor | buckets as varbit deltas of
 *             deltas, where a bucket is its difference from the bucket before
 *   float     time as varbit delta of delta | count, zero count, sum, buckets as xor, each with its window
 *
 * The first sample has the values themselves. Of a stale marker only time, zeros and the sum are there; it
 * is the last of its chunk.
 */
import { assert } from '../../model/assert.ts';
import type { Buckets, ResetHint } from '../../model/histogram.ts';
import { sameNumbers } from '../../model/histogram.ts';
import { isReset } from '../../model/histogram-math.ts';
import { type HistogramSample, putSumWords } from '../../model/histogram-sample.ts';
import {
  type HistogramLayout,
  hasSameBounds,
  layoutOf,
  putCount,
  putLayout,
} from './histogram-layout.ts';
import {
  BitWriter,
  VARBIT_BITS_MAX,
  XOR_BITS_MAX,
  type XorWindows,
  createXorWindows,
} from './varbit.ts';

/** What a chunk's count can say. */
const SAMPLES_MAX = 0xffff;
/** Count, zero count and sum stand before the buckets. */
const FIELDS = 3;
const COUNT = 0;
const ZERO_COUNT = 1;
const SUM = 2;

export class HistogramChunkWriter {
  readonly isFloat: boolean;
  readonly minTimeMs: number;
  readonly #layout: HistogramLayout;
  readonly #writer = new BitWriter();
  /** Of each field the last value (of an integer bucket: its difference from the one before), and its delta. */
  readonly #values: Float64Array;
  readonly #words: Uint32Array;
  readonly #deltas: Float64Array;
  readonly #windows: XorWindows;
  readonly #scratchValues: Float64Array;
  readonly #scratchWords: Uint32Array;
  #lastMs: number;
  #lastDeltaMs = 0;
  #count = 0;
  #last: HistogramSample;

  /** Begins a chunk with its first sample; `hint` is what is known of a reset before it. */
  constructor(timeMs: number, sample: HistogramSample, hint: ResetHint) {
    const { histogram, isFloat } = sample;
    this.isFloat = isFloat;
    this.minTimeMs = timeMs;
    this.#layout = layoutOf(histogram, hint);
    const fields = FIELDS + histogram.positive.counts.length + histogram.negative.counts.length;
    this.#values = new Float64Array(fields);
    this.#words = new Uint32Array(this.#values.buffer);
    this.#deltas = isFloat ? new Float64Array(0) : new Float64Array(fields);
    this.#windows = createXorWindows(isFloat ? fields : FIELDS);
    this.#scratchValues = new Float64Array(fields);
    this.#scratchWords = new Uint32Array(this.#scratchValues.buffer);
    this.#lastMs = timeMs;
    this.#last = sample;
    putLayout(this.#writer, this.#layout);
    this.append(timeMs, sample);
  }

  get count(): number {
    return this.#count;
  }

  get byteLength(): number {
    return this.#writer.byteLength;
  }

  get lastTimeMs(): number {
    return this.#lastMs;
  }

  get lastSample(): HistogramSample {
    return this.#last;
  }

  /**
   * Undefined when the sample can be appended; else what the chunk that it begins says of a reset before it.
   */
  refuses(sample: HistogramSample): ResetHint | undefined {
    const last = this.#last;
    const { histogram } = sample;
    const isGauge = histogram.hint === 'gauge';
    const hint = isGauge ? 'gauge' : 'unknown';
    if (sample.isFloat !== this.isFloat || last.isStale || this.#count === SAMPLES_MAX) return hint;
    if (sample.isStale) return undefined;
    if (isGauge !== (this.#layout.hint === 'gauge')) return hint;
    const isSameLayout =
      hasSameBounds(this.#layout, histogram) &&
      sameNumbers(this.#layout.positive, histogram.positive.indexes) &&
      sameNumbers(this.#layout.negative, histogram.negative.indexes);
    if (isGauge) return isSameLayout ? undefined : 'gauge';
    const isAnew = isReset({ ...histogram, hint: 'unknown' }, last.histogram);
    if (isAnew || histogram.hint === 'reset') return 'reset';
    return isSameLayout ? undefined : 'not_reset';
  }

  /** Appends a sample that is later than the last one and that `refuses` takes. */
  append(timeMs: number, sample: HistogramSample): void {
    const fields = this.#values.length;
    this.#writer.reserve(VARBIT_BITS_MAX + fields * Math.max(VARBIT_BITS_MAX, XOR_BITS_MAX));
    this.#putTime(timeMs);
    this.#fill(sample);
    const end = sample.isStale ? FIELDS : fields;
    if (this.isFloat) this.#putFloat(end);
    else this.#putInteger(end, sample.isStale);
    this.#values.set(this.#scratchValues);
    this.#count++;
    this.#last = sample;
  }

  /** The chunk as it is now, in bytes of its own. */
  copy(): Uint8Array {
    const bytes = this.#writer.copy();
    putCount(bytes, this.#count);
    return bytes;
  }

  #putTime(timeMs: number): void {
    const deltaMs = timeMs - this.#lastMs;
    if (this.#count === 0) this.#writer.varbitInt(timeMs);
    else {
      assert(deltaMs > 0, 'chunk: time must rise');
      this.#writer.varbitInt(deltaMs - this.#lastDeltaMs);
      this.#lastDeltaMs = deltaMs;
    }
    this.#lastMs = timeMs;
  }

  /** Puts what the sample has into the scratch fields; a stale marker keeps what was there. */
  #fill(sample: HistogramSample): void {
    const to = this.#scratchValues;
    const { histogram } = sample;
    if (sample.isStale) to.set(this.#values);
    else {
      to[COUNT] = histogram.count;
      to[ZERO_COUNT] = histogram.zeroCount;
      const middle = fillBuckets(to, FIELDS, histogram.positive, this.isFloat);
      fillBuckets(to, middle, histogram.negative, this.isFloat);
    }
    putSumWords(sample, this.#scratchWords, SUM * 2);
  }

  #putInteger(end: number, isStale: boolean): void {
    const writer = this.#writer;
    const values = this.#scratchValues;
    for (let f = 0; f < end; f++) {
      const value = values[f]!;
      if (f === SUM) this.#putXor(f);
      else if (this.#count > 0) {
        const delta = isStale ? this.#deltas[f]! : value - this.#values[f]!;
        writer.varbitInt(delta - this.#deltas[f]!);
        this.#deltas[f] = delta;
      } else if (f < SUM) writer.varbitUint(value);
      else writer.varbitInt(value);
    }
  }

  #putFloat(end: number): void {
    for (let f = 0; f < end; f++) this.#putXor(f);
  }

  #putXor(f: number): void {
    const words = this.#scratchWords;
    const [low, high] = [words[f * 2]!, words[f * 2 + 1]!];
    if (this.#count === 0) this.#writer.words(low, high);
    else {
      const before = this.#words;
      this.#writer.xor(this.#windows, f, low ^ before[f * 2]!, high ^ before[f * 2 + 1]!);
    }
  }
}

/** Writes counts, or their differences, from `at` on; returns the end. */
function fillBuckets(to: Float64Array, at: number, { counts }: Buckets, isFloat: boolean): number {
  let before = 0;
  for (let i = 0; i < counts.length; i++) {
    to[at + i] = counts[i]! - (isFloat ? 0 : before);
    before = counts[i]!;
  }
  return at + counts.length;
}
