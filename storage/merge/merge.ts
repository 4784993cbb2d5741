/**
 * From frames of several replicas to columns: series are joined by fingerprint, equal chunks are
 * decoded once, and where replicas differ the samples are merged by time. At one time with different
 * values the pick is deterministic: not stale before stale, then the larger bit pattern.
 */
import { StarlingError } from '../model/errors.ts';
import { type Labels, compareLabels } from '../model/labels.ts';
import { type TimeRange, isStaleWords } from '../model/sample.ts';
import type { SeriesColumns } from '../model/series-columns.ts';
import { decodeLabels } from '../model/wire/labels-codec.ts';
import { readSeriesFrame } from '../model/wire/series-frame.ts';
import { BitReader, decodeXor, xorSampleCount } from './chunk/xor-decode.ts';

/** A chunk's place: frame, offset, length, and its times. */
interface ChunkPlace {
  readonly frame: Uint8Array;
  readonly offset: number;
  readonly length: number;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
}

interface MergedSeries {
  readonly labels: Labels;
  readonly chunks: ChunkPlace[];
}

/** Joins, decodes and trims to the closed range. Throws `protobuf.corrupt` for bytes that do not hold. */
export function mergeSeriesFrames(frames: readonly Uint8Array[], range: TimeRange): SeriesColumns {
  const series = [...joinByFingerprint(frames).values()];
  series.sort((a, b) => compareLabels(a.labels, b.labels));
  const output = new ColumnsBuilder(series.length);
  const scratch = new Scratch();
  for (const { chunks } of series) {
    scratch.clear();
    decodeChunks(distinctChunks(chunks, range), scratch);
    output.addSeries(scratch, range);
  }
  return output.finish(series.map(({ labels }) => labels));
}

/** The label sets in frames without chunks, sorted, each once. */
export function mergeLabelSets(frames: readonly Uint8Array[]): readonly Labels[] {
  const labels = [...joinByFingerprint(frames).values()].map((one) => one.labels);
  return labels.sort(compareLabels);
}

function joinByFingerprint(frames: readonly Uint8Array[]): Map<string, MergedSeries> {
  const byFingerprint = new Map<string, MergedSeries>();
  for (const frame of frames) {
    const buffer = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
    let current: MergedSeries | undefined;
    readSeriesFrame(frame, {
      onSeries(fingerprintOffset, labelOffset, labelLength) {
        const key = buffer.toString('latin1', fingerprintOffset, fingerprintOffset + 16);
        current = byFingerprint.get(key);
        if (current !== undefined) return;
        current = {
          labels: decodeLabels(frame, labelOffset, labelOffset + labelLength),
          chunks: [],
        };
        byFingerprint.set(key, current);
      },
      onChunk(minTimeMs, maxTimeMs, offset, length) {
        current?.chunks.push({ frame, offset, length, minTimeMs, maxTimeMs });
      },
    });
  }
  return byFingerprint;
}

/** The chunks that touch the range, by time, without copies of an equal one. */
function distinctChunks(chunks: readonly ChunkPlace[], range: TimeRange): readonly ChunkPlace[] {
  const touching = chunks.filter(
    (one) => one.maxTimeMs >= range.minTimeMs && one.minTimeMs <= range.maxTimeMs,
  );
  touching.sort(
    (a, b) => a.minTimeMs - b.minTimeMs || a.maxTimeMs - b.maxTimeMs || a.length - b.length,
  );
  return touching.filter((one, i) => i === 0 || !equalChunks(one, touching[i - 1]!));
}

function equalChunks(a: ChunkPlace, b: ChunkPlace): boolean {
  if (a.minTimeMs !== b.minTimeMs || a.maxTimeMs !== b.maxTimeMs || a.length !== b.length)
    return false;
  const one = a.frame.subarray(a.offset, a.offset + a.length);
  return Buffer.compare(one, b.frame.subarray(b.offset, b.offset + b.length)) === 0;
}

/** Decoded samples of one series; grows, reused for the next one. */
class Scratch {
  timestamps = new Float64Array(4096);
  values = new Uint32Array(8192);
  length = 0;
  readonly reader = new BitReader();

  clear(): void {
    this.length = 0;
  }

  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.timestamps.length) return;
    const timestamps = new Float64Array(needed * 2);
    const values = new Uint32Array(needed * 4);
    timestamps.set(this.timestamps.subarray(0, this.length));
    values.set(this.values.subarray(0, this.length * 2));
    this.timestamps = timestamps;
    this.values = values;
  }
}

function decodeChunks(chunks: readonly ChunkPlace[], scratch: Scratch): void {
  let isSorted = true;
  for (const { frame, length, offset } of chunks) {
    const from = scratch.length;
    const count = length < 2 ? 0 : xorSampleCount(frame, offset);
    scratch.reserve(count);
    const end = decodeXor(
      scratch.reader,
      frame,
      offset,
      length,
      scratch.timestamps,
      scratch.values,
      from,
    );
    if (end < 0) throw new StarlingError('protobuf.corrupt', { why: 'a corrupt chunk', offset });
    scratch.length = end;
    if (from > 0 && from < end && scratch.timestamps[from]! <= scratch.timestamps[from - 1]!)
      isSorted = false;
  }
  if (!isSorted) sortSamples(scratch);
}

/** The slow path, for replicas that differ: sorts by time and keeps one sample a time. */
function sortSamples(scratch: Scratch): void {
  const { length, timestamps, values } = scratch;
  const order = Array.from({ length }, (_, i) => i);
  order.sort((a, b) => timestamps[a]! - timestamps[b]! || preference(values, a, b));
  const sortedTimes = new Float64Array(length);
  const sortedValues = new Uint32Array(length * 2);
  let kept = 0;
  for (const i of order) {
    if (kept > 0 && sortedTimes[kept - 1] === timestamps[i]) continue;
    sortedTimes[kept] = timestamps[i]!;
    sortedValues[kept * 2] = values[i * 2]!;
    sortedValues[kept * 2 + 1] = values[i * 2 + 1]!;
    kept++;
  }
  timestamps.set(sortedTimes.subarray(0, kept));
  values.set(sortedValues.subarray(0, kept * 2));
  scratch.length = kept;
}

/** Negative when sample a wins over b at the same time. */
function preference(values: Uint32Array, a: number, b: number): number {
  const staleA = isStaleWords(values[a * 2]!, values[a * 2 + 1]!) ? 1 : 0;
  const staleB = isStaleWords(values[b * 2]!, values[b * 2 + 1]!) ? 1 : 0;
  return (
    staleA - staleB || values[b * 2 + 1]! - values[a * 2 + 1]! || values[b * 2]! - values[a * 2]!
  );
}

/** Growing output columns. */
class ColumnsBuilder {
  readonly #ends: Uint32Array;
  #timestamps = new Float64Array(16 * 1024);
  #values = new Uint32Array(32 * 1024);
  #series = 0;
  #length = 0;

  constructor(seriesCount: number) {
    this.#ends = new Uint32Array(seriesCount);
  }

  addSeries(scratch: Scratch, { maxTimeMs, minTimeMs }: TimeRange): void {
    let from = 0;
    let to = scratch.length;
    while (from < to && scratch.timestamps[from]! < minTimeMs) from++;
    while (to > from && scratch.timestamps[to - 1]! > maxTimeMs) to--;
    this.#reserve(to - from);
    this.#timestamps.set(scratch.timestamps.subarray(from, to), this.#length);
    this.#values.set(scratch.values.subarray(from * 2, to * 2), this.#length * 2);
    this.#length += to - from;
    this.#ends[this.#series++] = this.#length;
  }

  finish(labels: readonly Labels[]): SeriesColumns {
    return {
      labels,
      ends: this.#ends,
      timestamps: this.#timestamps.subarray(0, this.#length),
      values: new Float64Array(this.#values.buffer, 0, this.#length),
    };
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#timestamps.length) return;
    const timestamps = new Float64Array(needed * 2);
    const values = new Uint32Array(needed * 4);
    timestamps.set(this.#timestamps.subarray(0, this.#length));
    values.set(this.#values.subarray(0, this.#length * 2));
    this.#timestamps = timestamps;
    this.#values = values;
  }
}
