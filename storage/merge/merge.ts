/**
 * From frames of several replicas to columns: series are joined by fingerprint, equal chunks are
 * decoded once, and where replicas differ the samples are merged by time (chunk/merge-runs.ts).
 */
import { StarlingError } from '../../model/errors.ts';
import type { Histogram } from '../../model/histogram.ts';
import { type Labels, compareLabels } from '../../model/labels.ts';
import { isScratch, scratchFloats } from '../../model/scratch-memory.ts';
import { STALE_NAN_HIGH, STALE_NAN_LOW, type TimeRange } from '../../model/sample.ts';
import type { WindowValue } from '../../model/window-value.ts';
import type { SeriesColumns, SeriesPieces } from '../../model/series-columns.ts';
import { CHUNK_ENCODING_SAMPLE } from '../../model/wire/series-frame.ts';
import { decodeHistogramChunk } from '../chunk/histogram-decode.ts';
import { type HistogramColumn, mergeRuns } from '../chunk/merge-runs.ts';
import { decodeXor, xorSampleCount } from '../chunk/xor-decode.ts';
import { XorDecoder } from '../chunk/xor-kernel.ts';
import { CHUNK_AGGREGATES, CHUNK_FLOAT_HISTOGRAM, CHUNK_XOR } from '../block/format.ts';
import { decodeAggregates } from './decode-aggregates.ts';
import { NO_CHUNK, SeriesJoin } from './join.ts';

export interface MergeOptions {
  /** The frames carry only some labels of their series, so that many may be equal. */
  readonly isProjected: boolean;
  /** What to take of chunks of aggregates; absent: there are none. */
  readonly value?: WindowValue | undefined;
}

/**
 * Joins, decodes and trims to the closed range; rows are sorted by labels. Throws `protobuf.corrupt`
 * for bytes that do not hold.
 */
export function mergeSeriesFrames(
  frames: readonly Uint8Array[],
  range: TimeRange,
  options: MergeOptions = { isProjected: false },
): SeriesColumns {
  const series = joinSeriesFrames(frames, range, options);
  return series.decode(0, series.labels.length);
}

/** The same, decoded when it is read: only the join is made here. */
export function joinSeriesFrames(
  frames: readonly Uint8Array[],
  range: TimeRange,
  { isProjected, value }: MergeOptions = { isProjected: false },
): SeriesPieces {
  const join = new SeriesJoin(frames, isProjected);
  const rows = join.sortedRows();
  const labels = new Array<Labels>(rows.length);
  for (let i = 0; i < rows.length; i++) labels[i] = join.labels[join.labelIds[rows[i]!]!]!;
  const samples = xorSamplesIn(join, range);
  const samplesOf = (row: number): number => xorSamplesOf(join, rows[row]!, range);
  const decode = (from: number, to: number): SeriesColumns => {
    const isAll = from === 0 && to === rows.length;
    let room = isAll ? samples : 0;
    for (let row = from; row < to && !isAll; row++) room += samplesOf(row);
    const output = new ColumnsBuilder(join, rows.subarray(from, to), range, value, room);
    return output.build(isAll ? labels : labels.slice(from, to));
  };
  return { labels, samples, samplesOf, decode };
}

/** The label sets in frames without chunks, sorted, each once. */
export function mergeLabelSets(frames: readonly Uint8Array[]): readonly Labels[] {
  return new SeriesJoin(frames, false).labels.sort(compareLabels);
}

/** By how much columns grow at most, when the first rows have many more samples than the others. */
const GROWTH_MAX = 16;
const SPARE_SAMPLES_MAX = 4 * 2 ** 20;

/**
 * Output columns, with room for what the chunks say they hold; they grow where that is too little. Values are two words
 * each, low first.
 */
class ColumnsBuilder {
  readonly #join: SeriesJoin;
  readonly #rows: Uint32Array;
  readonly #range: TimeRange;
  readonly #ends: Uint32Array;
  #timestamps: Float64Array;
  #values: Uint32Array;
  /** As long as the columns are in scratch memory. */
  #decoder: XorDecoder | undefined;
  /** No stale marker was decoded but by `#decoder`, which counts them. */
  #isAllCounted = true;
  #rowCount = 0;
  #length = 0;
  /** From the first histogram on, as long as the other columns. */
  #histograms: HistogramColumn | undefined;
  /** From the first aggregate on that has any, as long as the other columns. */
  #weights: Float64Array | undefined;
  readonly #value: WindowValue | undefined;
  /** The chunks of the row being read. */
  readonly #scratchChunks: number[] = [];

  constructor(
    join: SeriesJoin,
    rows: Uint32Array,
    range: TimeRange,
    value: WindowValue | undefined,
    samples: number,
  ) {
    this.#value = value;
    this.#join = join;
    this.#rows = rows;
    this.#range = range;
    this.#ends = new Uint32Array(rows.length);
    const room = Math.min(samples, SPARE_SAMPLES_MAX);
    const decoder = XorDecoder.create();
    this.#timestamps = scratchFloats(room);
    this.#values = wordsOf(scratchFloats(room));
    this.#decoder = isScratch(this.#timestamps) && isScratch(this.#values) ? decoder : undefined;
  }

  /** Once. */
  build(labels: readonly Labels[]): SeriesColumns {
    for (let i = 0; i < this.#rows.length; i++) this.#addRow(this.#rows[i]!);
    return this.#finish(labels);
  }

  #addRow(row: number): void {
    const start = this.#length;
    if (this.#isOneSample(row)) {
      const end = this.#copySample(this.#join.firstChunk[row]!, start);
      this.#length = this.#trim(start, end);
      this.#ends[this.#rowCount++] = this.#length;
      return;
    }
    const count = this.#distinctChunks(row);
    let end = start;
    for (let i = 0; i < count; i++) {
      const from = end;
      end = this.#decode(this.#scratchChunks[i]!, from);
      const overlaps = from > start && from < end;
      if (overlaps && this.#timestamps[from]! <= this.#timestamps[from - 1]!) {
        end = this.#mergeRuns(start, from, end);
      }
    }
    this.#length = this.#trim(start, end);
    this.#ends[this.#rowCount++] = this.#length;
  }

  /** Fast path, of queries for the newest one: all replicas told the same. */
  #isOneSample(row: number): boolean {
    const { chunkEncoding, firstChunk, nextChunk } = this.#join;
    const first = firstChunk[row]!;
    if (first === NO_CHUNK || chunkEncoding[first] !== CHUNK_ENCODING_SAMPLE) return false;
    for (let c = nextChunk[first]!; c !== NO_CHUNK; c = nextChunk[c]!)
      if (!this.#isEqual(first, c)) return false;
    return true;
  }

  #finish(labels: readonly Labels[]): SeriesColumns {
    const { buffer, byteOffset } = this.#values;
    return {
      labels,
      ends: this.#ends,
      timestamps: this.#timestamps.subarray(0, this.#length),
      values: new Float64Array(buffer, byteOffset, this.#length),
      isStaleFree: this.#isAllCounted && this.#decoder?.staleCount === 0,
      ...(this.#histograms === undefined ? {} : { histograms: this.#histogramColumn() }),
      ...(this.#weights && { weights: this.#weights.subarray(0, this.#length) }),
    };
  }

  /**
   * Writes the row's chunks that touch the range to the start of the scratch, by time, without copies of an
   * equal one; returns how many.
   */
  #distinctChunks(row: number): number {
    const { chunkMaxTime, chunkMinTime, firstChunk, nextChunk } = this.#join;
    const { maxTimeMs, minTimeMs } = this.#range;
    const chunks = this.#scratchChunks;
    let count = 0;
    for (let c = firstChunk[row]!; c !== NO_CHUNK; c = nextChunk[c]!) {
      if (chunkMaxTime[c]! < minTimeMs || chunkMinTime[c]! > maxTimeMs) continue;
      let at = count; // insertion sort: each replica's chunks come sorted
      while (at > 0 && this.#order(chunks[at - 1]!, c) > 0) at--;
      if (at > 0 && this.#isEqual(chunks[at - 1]!, c)) continue;
      for (let i = count++; i > at; i--) chunks[i] = chunks[i - 1]!;
      chunks[at] = c;
    }
    return count;
  }

  #order(a: number, b: number): number {
    const { chunkEncoding, chunkLength, chunkMaxTime, chunkMinTime } = this.#join;
    return (
      chunkMinTime[a]! - chunkMinTime[b]! ||
      chunkMaxTime[a]! - chunkMaxTime[b]! ||
      chunkLength[a]! - chunkLength[b]! ||
      chunkEncoding[a]! - chunkEncoding[b]!
    );
  }

  #isEqual(a: number, b: number): boolean {
    if (this.#order(a, b) !== 0) return false;
    const { chunkFrame, chunkLength, chunkOffset, views } = this.#join;
    const one = views[chunkFrame[a]!]!;
    const other = views[chunkFrame[b]!]!;
    const shift = chunkOffset[b]! - chunkOffset[a]!;
    const end = chunkOffset[a]! + chunkLength[a]!;
    let i = chunkOffset[a]!;
    for (; i + 4 <= end; i += 4) if (one.getInt32(i) !== other.getInt32(i + shift)) return false;
    for (; i < end; i++) if (one.getUint8(i) !== other.getUint8(i + shift)) return false;
    return true;
  }

  #decode(c: number, at: number): number {
    const { chunkEncoding, chunkFrame, chunkLength, chunkOffset, frames } = this.#join;
    const frame = frames[chunkFrame[c]!]!;
    const offset = chunkOffset[c]!;
    const length = chunkLength[c]!;
    const encoding = chunkEncoding[c]!;
    if (encoding === CHUNK_ENCODING_SAMPLE) return this.#copySample(c, at);
    if (encoding !== CHUNK_XOR) {
      this.#isAllCounted = false;
      if (encoding === CHUNK_AGGREGATES) return this.#decodeAggregates(frame, offset, length, at);
      return this.#decodeHistograms(frame, offset, length, at, encoding === CHUNK_FLOAT_HISTOGRAM);
    }
    const count = length < 2 ? 0 : xorSampleCount(frame, offset);
    if (count > length * SAMPLES_PER_BYTE_MAX) throw corruptChunk(offset);
    this.#reserve(at + count);
    const end = this.#decodeXor(c, at);
    if (end < 0) throw corruptChunk(offset);
    return this.#numbersUntil(end, at);
  }

  /** What stands beside the columns, where there are numbers now. */
  #numbersUntil(end: number, from: number): number {
    if (this.#histograms !== undefined) clear(this.#histograms, from, end);
    this.#weights?.fill(1, from, end);
    return end;
  }

  #copySample(c: number, at: number): number {
    const { chunkFrame, chunkMinTime, chunkOffset, views } = this.#join;
    const view = views[chunkFrame[c]!]!;
    const low = view.getUint32(chunkOffset[c]!, true);
    const high = view.getUint32(chunkOffset[c]! + 4, true);
    this.#reserve(at + 1);
    this.#timestamps[at] = chunkMinTime[c]!;
    this.#values[at * 2] = low;
    this.#values[at * 2 + 1] = high;
    if (high === STALE_NAN_HIGH && low === STALE_NAN_LOW) this.#isAllCounted = false;
    return this.#numbersUntil(at + 1, at);
  }

  #decodeXor(c: number, at: number): number {
    const { chunkFrame, chunkLength, chunkOffset, frames, views } = this.#join;
    const f = chunkFrame[c]!;
    const offset = chunkOffset[c]!;
    const length = chunkLength[c]!;
    const decoder = this.#decoder;
    if (decoder?.takes(length) === true)
      return decoder.decode(views[f]!, offset, length, this.#timestamps, this.#values, at);
    this.#isAllCounted = false;
    return decodeXor(frames[f]!, offset, length, this.#timestamps, this.#values, at);
  }

  #decodeAggregates(frame: Uint8Array, offset: number, length: number, at: number): number {
    if (this.#value === undefined) throw corruptChunk(offset);
    const run = decodeAggregates(frame, offset, offset + length, this.#value);
    if (run === undefined) throw corruptChunk(offset);
    const end = at + run.timestamps.length;
    this.#reserve(end);
    this.#timestamps.set(run.timestamps, at);
    this.#values.set(run.values, at * 2);
    if (this.#histograms !== undefined) clear(this.#histograms, at, end);
    if (run.weights !== undefined) {
      this.#weights ??= new Float64Array(this.#timestamps.length).fill(1);
      this.#weights.set(run.weights, at);
    }
    return end;
  }

  #decodeHistograms(
    frame: Uint8Array,
    offset: number,
    length: number,
    at: number,
    isFloat: boolean,
  ): number {
    const run = decodeHistogramChunk(frame, offset, offset + length, isFloat);
    if (run === undefined) throw corruptChunk(offset);
    const end = at + run.samples.length;
    this.#reserve(end);
    this.#timestamps.set(run.timestamps, at);
    this.#weights?.fill(1, at, end);
    this.#histograms ??= [];
    if (this.#histograms.length < at) clear(this.#histograms, this.#histograms.length, at);
    for (let i = at; i < end; i++) {
      const sample = run.samples[i - at];
      this.#histograms[i] = sample;
      this.#values[i * 2] = sample?.isStale === true ? STALE_NAN_LOW : 0;
      this.#values[i * 2 + 1] = sample?.isStale === true ? STALE_NAN_HIGH : 0;
    }
    return end;
  }

  #mergeRuns(start: number, middle: number, end: number): number {
    const histograms = this.#histograms;
    const weights = this.#weights;
    const columns = { timestamps: this.#timestamps, values: this.#values, histograms, weights };
    const merged = mergeRuns(columns, start, middle, end);
    if (histograms !== undefined) forgetOrder(histograms, start, merged);
    return merged;
  }

  /** A stale marker is a number here, as of any series. */
  #histogramColumn(): (Histogram | undefined)[] {
    const column = new Array<Histogram | undefined>(this.#length).fill(undefined);
    for (let i = 0; i < column.length; i++) {
      const sample = this.#histograms?.[i];
      if (sample?.isStale === false) column[i] = sample.histogram;
    }
    return column;
  }

  /** Keeps what is in the range of the samples in [start, end); returns the new end. */
  #trim(start: number, end: number): number {
    const { maxTimeMs, minTimeMs } = this.#range;
    const timestamps = this.#timestamps;
    let from = start;
    let to = end;
    while (from < to && timestamps[from]! < minTimeMs) from++;
    while (to > from && timestamps[to - 1]! > maxTimeMs) to--;
    if (from > start) {
      timestamps.copyWithin(start, from, to);
      this.#values.copyWithin(start * 2, from * 2, to * 2);
      this.#histograms?.copyWithin(start, from, to);
      this.#weights?.copyWithin(start, from, to);
    }
    return start + to - from;
  }

  #reserve(needed: number): void {
    if (needed <= this.#timestamps.length) return;
    // As much as all rows take if they are like those so far.
    const likely = Math.ceil((needed / (this.#rowCount + 1)) * this.#ends.length * 1.1);
    const most = Math.min(needed * GROWTH_MAX, needed * 2 + SPARE_SAMPLES_MAX);
    const capacity = Math.max(needed * 2, Math.min(likely, most));
    const timestamps = new Float64Array(capacity);
    const values = new Uint32Array(capacity * 2);
    timestamps.set(this.#timestamps);
    values.set(this.#values);
    if (this.#weights !== undefined) {
      const weights = new Float64Array(capacity).fill(1);
      weights.set(this.#weights);
      this.#weights = weights;
    }
    this.#timestamps = timestamps;
    this.#values = values;
    this.#decoder = undefined;
    this.#isAllCounted = false;
  }
}

/** How many samples the XOR chunks that touch the range say they have, those not believed left out. */
function xorSamplesIn(join: SeriesJoin, range: TimeRange): number {
  let samples = 0;
  for (let c = 0; c < join.chunkCount; c++) samples += xorSamplesOfChunk(join, c, range);
  return samples;
}

/** The same, of one row. */
function xorSamplesOf(join: SeriesJoin, row: number, range: TimeRange): number {
  let samples = 0;
  for (let c = join.firstChunk[row]!; c !== NO_CHUNK; c = join.nextChunk[c]!)
    samples += xorSamplesOfChunk(join, c, range);
  return samples;
}

function xorSamplesOfChunk(
  {
    chunkEncoding,
    chunkFrame,
    chunkLength,
    chunkMaxTime,
    chunkMinTime,
    chunkOffset,
    frames,
  }: SeriesJoin,
  c: number,
  { maxTimeMs, minTimeMs }: TimeRange,
): number {
  if (chunkMaxTime[c]! < minTimeMs || chunkMinTime[c]! > maxTimeMs) return 0;
  if (chunkEncoding[c] === CHUNK_ENCODING_SAMPLE) return 1;
  if (chunkEncoding[c] !== CHUNK_XOR || chunkLength[c]! < 2) return 0;
  const count = xorSampleCount(frames[chunkFrame[c]!]!, chunkOffset[c]!);
  return count <= chunkLength[c]! * SAMPLES_PER_BYTE_MAX ? count : 0;
}

function wordsOf({ buffer, byteOffset, length }: Float64Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length * 2);
}

/** Two bits are the least a sample takes. */
const SAMPLES_PER_BYTE_MAX = 4;

function corruptChunk(offset: number): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: 'a corrupt chunk', offset });
}

/** These places hold numbers. */
function clear(histograms: HistogramColumn, from: number, to: number): void {
  for (let i = from; i < to; i++) histograms[i] = undefined;
}

/** What a chunk knew of resets holds between its own samples only. */
function forgetOrder(histograms: HistogramColumn, from: number, to: number): void {
  for (let i = from; i < to; i++) {
    const sample = histograms[i];
    if (sample?.histogram.hint !== 'not_reset') continue;
    histograms[i] = { ...sample, histogram: { ...sample.histogram, hint: 'unknown' } };
  }
}
