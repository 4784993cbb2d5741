/**
 * Histogram chunks, decoding (the format is drawn in histogram-layout.ts and histogram-encode.ts). Every
 * read is bounded by the chunk's bytes, and what is allocated by their number: hostile bytes give an error.
 *
 * Samples of one chunk share the arrays of their indexes and bounds. All but the first of a counter's say
 * that it was not reset before them; of the first nothing is known, because what came before it may have
 * been left out.
 */
import type { Buckets, Histogram, ResetHint } from '../../model/histogram.ts';
import { type HistogramSample, staleHistogramSample } from '../../model/histogram-sample.ts';
import { isStaleWords } from '../../model/sample.ts';
import { type HistogramLayout, readLayout } from './histogram-layout.ts';
import {
  type XorWindows,
  createXorWindows,
  readVarbitInt,
  readVarbitUint,
  readXorWords,
} from './varbit.ts';
import { BitReader } from './bit-reader.ts';

/** Samples in the order of their times. */
export interface HistogramRun {
  readonly timestamps: number[];
  readonly samples: HistogramSample[];
}

/** Count, zero count and sum stand before the buckets. */
const FIELDS = 3;
const COUNT = 0;
const ZERO_COUNT = 1;
const SUM = 2;
/** Time, count, zero count and sum take a bit each. */
const SAMPLE_BITS_MIN = 4;

/** Decodes the chunk `bytes[from..to)`, or undefined for bytes that do not hold. */
export function decodeHistogramChunk(
  bytes: Uint8Array,
  from: number,
  to: number,
  isFloat: boolean,
): HistogramRun | undefined {
  if (to - from < 3) return undefined;
  const count = (bytes[from]! << 8) | bytes[from + 1]!;
  const bits = (to - from) * 8;
  if (count * SAMPLE_BITS_MIN > bits) return undefined;
  const reader = new BitReader();
  reader.reset(bytes, from + 2, to);
  const layout = readLayout(reader, bits);
  if (layout === undefined) return undefined;
  return new Decoder(reader, layout, isFloat).run(count);
}

class Decoder {
  readonly #reader: BitReader;
  readonly #layout: HistogramLayout;
  readonly #isFloat: boolean;
  readonly #values: Float64Array;
  readonly #words: Uint32Array;
  readonly #deltas: Float64Array;
  readonly #windows: XorWindows;
  #timeMs = 0;
  #deltaMs = 0;

  constructor(reader: BitReader, layout: HistogramLayout, isFloat: boolean) {
    const fields = FIELDS + layout.positive.length + layout.negative.length;
    this.#reader = reader;
    this.#layout = layout;
    this.#isFloat = isFloat;
    this.#values = new Float64Array(fields);
    this.#words = new Uint32Array(this.#values.buffer);
    this.#deltas = new Float64Array(fields);
    this.#windows = createXorWindows(fields);
  }

  run(count: number): HistogramRun | undefined {
    const run: HistogramRun = { timestamps: [], samples: [] };
    for (let i = 0; i < count; i++) {
      const isStale = this.#readSample(i);
      if (isStale === undefined || this.#reader.isOverrun) return undefined;
      if (!Number.isSafeInteger(this.#timeMs) || (i > 0 && this.#deltaMs <= 0)) return undefined;
      run.timestamps.push(this.#timeMs);
      run.samples.push(isStale ? staleHistogramSample(this.#isFloat) : this.#sample(i));
    }
    return run;
  }

  /** Whether the sample is a stale marker; undefined for bytes that do not hold. */
  #readSample(i: number): boolean | undefined {
    const reader = this.#reader;
    const time = readVarbitInt(reader);
    if (i === 0) this.#timeMs = time;
    else this.#timeMs += this.#deltaMs += time;
    const words = this.#words;
    let isStale = false;
    for (let f = 0; f < this.#values.length; f++) {
      const isRead = this.#isFloat || f === SUM ? this.#readXor(i, f) : this.#readInteger(i, f);
      if (!isRead || reader.isOverrun) return undefined;
      if (f !== SUM) continue;
      isStale = isStaleWords(words[SUM * 2]!, words[SUM * 2 + 1]!);
      if (isStale && i > 0) return true; // nothing follows the sum
    }
    return isStale;
  }

  #readXor(i: number, f: number): boolean {
    if (i > 0) return readXorWords(this.#reader, this.#windows, f, this.#words);
    this.#words[f * 2 + 1] = this.#reader.read(32);
    this.#words[f * 2] = this.#reader.read(32);
    return true;
  }

  #readInteger(i: number, f: number): boolean {
    const reader = this.#reader;
    if (i === 0) this.#values[f] = f < SUM ? readVarbitUint(reader) : readVarbitInt(reader);
    else {
      this.#deltas[f]! += readVarbitInt(reader);
      this.#values[f]! += this.#deltas[f]!;
    }
    return true;
  }

  #sample(i: number): HistogramSample {
    const values = this.#values;
    const { customBounds, negative, positive, schema, zeroThreshold } = this.#layout;
    const middle = FIELDS + positive.length;
    const histogram: Histogram = {
      hint: this.#hintOf(i),
      schema,
      zeroThreshold,
      zeroCount: values[ZERO_COUNT]!,
      count: values[COUNT]!,
      sum: values[SUM]!,
      positive: this.#buckets(positive, FIELDS),
      negative: this.#buckets(negative, middle),
      customBounds,
    };
    return { histogram, isFloat: this.#isFloat, isStale: false };
  }

  #hintOf(i: number): ResetHint {
    if (this.#layout.hint === 'gauge') return 'gauge';
    return i === 0 ? 'unknown' : 'not_reset';
  }

  #buckets(indexes: Int32Array, from: number): Buckets {
    const counts = this.#values.slice(from, from + indexes.length);
    if (!this.#isFloat) for (let i = 1; i < counts.length; i++) counts[i]! += counts[i - 1]!;
    return { indexes, counts };
  }
}
