/** Histograms that are encoded anew, as whole chunks: a new one where one must be, or where it is full. */
import type { Histogram } from '../../model/histogram.ts';
import { HistogramChunkWriter } from './histogram-encode.ts';
import type { HistogramColumn } from './merge-runs.ts';

/** A finished chunk. */
export interface HistogramPiece {
  readonly isFloat: boolean;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  readonly bytes: Uint8Array;
}

/** As many samples as a chunk of Prometheus' has. */
const SAMPLES_PER_CHUNK = 120;

/** The histograms `[from, to)` of columns as chunks of float histograms, for readers that want chunks. */
export function histogramChunksOf(
  timestamps: Float64Array,
  histograms: readonly (Histogram | undefined)[],
  from: number,
  to: number,
): readonly HistogramPiece[] {
  const samples = histograms.slice(from, to).map((histogram) => {
    if (histogram === undefined) return undefined;
    return { histogram, isFloat: true, isStale: false };
  });
  const range = { from: 0, to: to - from };
  return encodeHistograms(timestamps.subarray(from, to), samples, range, SAMPLES_PER_CHUNK);
}

/** The samples `[from, to)`, all of them histograms, in chunks of at most `samplesMax`. */
export function encodeHistograms(
  timestamps: ArrayLike<number>,
  histograms: HistogramColumn,
  range: { readonly from: number; readonly to: number },
  samplesMax: number,
): readonly HistogramPiece[] {
  const pieces: HistogramPiece[] = [];
  let writer: HistogramChunkWriter | undefined;
  for (let i = range.from; i < range.to; i++) {
    const sample = histograms[i];
    if (sample === undefined) continue;
    const refusal = writer?.refuses(sample);
    if (writer !== undefined && refusal === undefined && writer.count < samplesMax) {
      writer.append(timestamps[i]!, sample);
      continue;
    }
    if (writer !== undefined) pieces.push(pieceOf(writer));
    const isGauge = sample.histogram.hint === 'gauge';
    const hint = isGauge ? 'gauge' : (refusal ?? (writer === undefined ? 'unknown' : 'not_reset'));
    writer = new HistogramChunkWriter(timestamps[i]!, sample, hint);
  }
  if (writer !== undefined) pieces.push(pieceOf(writer));
  return pieces;
}

function pieceOf(writer: HistogramChunkWriter): HistogramPiece {
  const { isFloat, lastTimeMs: maxTimeMs, minTimeMs } = writer;
  return { isFloat, minTimeMs, maxTimeMs, bytes: writer.copy() };
}
