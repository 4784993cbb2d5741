/**
 * From frames of several replicas to columns: series are joined by fingerprint, equal chunks are
 * decoded once, and where replicas differ the samples are merged by time. At one time with different
 * values the pick is deterministic: not stale before stale, then the larger bit pattern.
 */
import { StarlingError } from '../../model/errors.ts';
import { type Labels, compareLabels } from '../../model/labels.ts';
import { type TimeRange, isStaleWords } from '../../model/sample.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import { decodeXor, xorSampleCount } from '../chunk/xor-decode.ts';
import { NO_CHUNK, SeriesJoin } from './join.ts';

export interface MergeOptions {
  /** The frames carry only some labels of their series, so that many may be equal. */
  readonly isProjected: boolean;
}

/**
 * Joins, decodes and trims to the closed range; rows are sorted by labels. Throws `protobuf.corrupt`
 * for bytes that do not hold.
 */
export function mergeSeriesFrames(
  frames: readonly Uint8Array[],
  range: TimeRange,
  { isProjected }: MergeOptions = { isProjected: false },
): SeriesColumns {
  const join = new SeriesJoin(frames, isProjected);
  const rows = join.sortedRows();
  const output = new ColumnsBuilder(join, range);
  for (const row of rows) output.addRow(row);
  return output.finish(Array.from(rows, (row) => join.labels[join.labelIds[row]!]!));
}

/** The label sets in frames without chunks, sorted, each once. */
export function mergeLabelSets(frames: readonly Uint8Array[]): readonly Labels[] {
  return new SeriesJoin(frames, false).labels.sort(compareLabels);
}

/** Room for samples at first: most queries are small. */
const SAMPLES_START = 1024;

/** Growing output columns. Values are two words each, low first. */
class ColumnsBuilder {
  readonly #join: SeriesJoin;
  readonly #range: TimeRange;
  readonly #ends: Uint32Array;
  #timestamps = new Float64Array(SAMPLES_START);
  #values = new Uint32Array(SAMPLES_START * 2);
  #rowCount = 0;
  #length = 0;
  /** The chunks of the row being read. */
  readonly #scratchChunks: number[] = [];

  constructor(join: SeriesJoin, range: TimeRange) {
    this.#join = join;
    this.#range = range;
    this.#ends = new Uint32Array(join.rowCount);
  }

  addRow(row: number): void {
    const chunks = this.#distinctChunks(row);
    const start = this.#length;
    let end = start;
    for (const c of chunks) {
      const from = end;
      end = this.#decode(c, from);
      const overlaps = from > start && from < end;
      if (overlaps && this.#timestamps[from]! <= this.#timestamps[from - 1]!) {
        end = mergeRuns(this.#timestamps, this.#values, start, from, end);
      }
    }
    this.#length = this.#trim(start, end);
    this.#ends[this.#rowCount++] = this.#length;
  }

  finish(labels: readonly Labels[]): SeriesColumns {
    return {
      labels,
      ends: this.#ends,
      timestamps: this.#timestamps.subarray(0, this.#length),
      values: new Float64Array(this.#values.buffer, 0, this.#length),
    };
  }

  /** The row's chunks that touch the range, by time, without copies of an equal one. */
  #distinctChunks(row: number): readonly number[] {
    const { chunkMaxTime, chunkMinTime, firstChunk, nextChunk } = this.#join;
    const { maxTimeMs, minTimeMs } = this.#range;
    const chunks = this.#scratchChunks;
    chunks.length = 0;
    for (let c = firstChunk[row]!; c !== NO_CHUNK; c = nextChunk[c]!) {
      if (chunkMaxTime[c]! < minTimeMs || chunkMinTime[c]! > maxTimeMs) continue;
      let at = chunks.length; // insertion sort: each replica's chunks come sorted
      while (at > 0 && this.#order(chunks[at - 1]!, c) > 0) at--;
      if (at > 0 && this.#isEqual(chunks[at - 1]!, c)) continue;
      chunks.splice(at, 0, c);
    }
    return chunks;
  }

  #order(a: number, b: number): number {
    const { chunkLength, chunkMaxTime, chunkMinTime } = this.#join;
    return (
      chunkMinTime[a]! - chunkMinTime[b]! ||
      chunkMaxTime[a]! - chunkMaxTime[b]! ||
      chunkLength[a]! - chunkLength[b]!
    );
  }

  #isEqual(a: number, b: number): boolean {
    if (this.#order(a, b) !== 0) return false;
    const { chunkFrame, chunkLength, chunkOffset, frames } = this.#join;
    const one = frames[chunkFrame[a]!]!;
    const other = frames[chunkFrame[b]!]!;
    const shift = chunkOffset[b]! - chunkOffset[a]!;
    const end = chunkOffset[a]! + chunkLength[a]!;
    for (let i = chunkOffset[a]!; i < end; i++) if (one[i] !== other[i + shift]) return false;
    return true;
  }

  #decode(c: number, at: number): number {
    const { chunkFrame, chunkLength, chunkOffset, frames } = this.#join;
    const frame = frames[chunkFrame[c]!]!;
    const offset = chunkOffset[c]!;
    const length = chunkLength[c]!;
    const count = length < 2 ? 0 : xorSampleCount(frame, offset);
    if (count > length * SAMPLES_PER_BYTE_MAX) throw corruptChunk(offset);
    this.#reserve(at + count);
    const end = decodeXor(frame, offset, length, this.#timestamps, this.#values, at);
    if (end < 0) throw corruptChunk(offset);
    return end;
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
    }
    return start + to - from;
  }

  #reserve(needed: number): void {
    if (needed <= this.#timestamps.length) return;
    const timestamps = new Float64Array(needed * 2);
    const values = new Uint32Array(needed * 4);
    timestamps.set(this.#timestamps);
    values.set(this.#values);
    this.#timestamps = timestamps;
    this.#values = values;
  }
}

/** Two bits are the least a sample takes. */
const SAMPLES_PER_BYTE_MAX = 4;

function corruptChunk(offset: number): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: 'a corrupt chunk', offset });
}

/**
 * Merges the sorted runs [start, middle) and [middle, end) in place, one sample a time; returns the
 * new end. What replicas that differ need: a sample that one has and another lacks.
 */
function mergeRuns(
  timestamps: Float64Array,
  values: Uint32Array,
  start: number,
  middle: number,
  end: number,
): number {
  const times = timestamps.slice(start, end);
  const words = values.slice(start * 2, end * 2);
  const split = middle - start;
  let a = 0;
  let b = split;
  let at = start;
  while (a < split || b < times.length) {
    const isBoth = a < split && b < times.length && times[a] === times[b];
    const takesA = b === times.length || (a < split && times[a]! <= times[b]!);
    const from = isBoth ? preferred(words, a, b) : takesA ? a : b;
    timestamps[at] = times[from]!;
    values[at * 2] = words[from * 2]!;
    values[at * 2 + 1] = words[from * 2 + 1]!;
    at++;
    if (takesA) a++;
    if (isBoth || !takesA) b++;
  }
  return at;
}

/** Which of two samples of one time is kept. */
function preferred(words: Uint32Array, a: number, b: number): number {
  const staleA = isStaleWords(words[a * 2]!, words[a * 2 + 1]!) ? 1 : 0;
  const staleB = isStaleWords(words[b * 2]!, words[b * 2 + 1]!) ? 1 : 0;
  const order =
    staleA - staleB || words[b * 2 + 1]! - words[a * 2 + 1]! || words[b * 2]! - words[a * 2]!;
  return order <= 0 ? a : b;
}
