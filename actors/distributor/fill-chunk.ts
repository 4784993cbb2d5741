/**
 * The bytes of a chunk of a push plan: a WriteBatch with its rows copied in. Invariant: the batch has exactly
 * the rows of the chunk, in its order, so that an ingester's answer names them by their index.
 */
import { type EncodedWriteBatch, allocateWriteBatch } from '../../model/wire/write-batch.ts';
import { type Chunk, rowOf } from './plan-columns.ts';
import type { PushPlan } from './push-plan.ts';

/** The filled batch of one chunk; chunks with the same rows, one after another, share theirs. */
export function fillChunk(plan: PushPlan, chunk: Chunk): EncodedWriteBatch {
  const { context, columns, lastFilled } = plan;
  if (lastFilled !== undefined && hasSameRows(lastFilled.chunk, chunk)) return lastFilled.encoded;
  const { exemplarLength, exemplars, histogramLength, labelLength } = chunk;
  const { sampleCount, seriesCount, timeMs } = chunk;
  const hasOneTime = !Number.isNaN(timeMs);
  // A row of floats has a sample at least.
  const hasOneEach = histogramLength === 0 && sampleCount === seriesCount;
  const encoded = allocateWriteBatch(
    {
      tenant: context.tenant,
      seriesCount,
      sampleCount,
      labelLength,
      histogramLength,
      exemplarCount: exemplars.length,
      exemplarLength,
      hasOneTime,
      hasOneEach,
    },
    plan.spareBatches.pop(),
  );
  const { fingerprints, sampleEnds, timestamps, values } = encoded.batch;
  if (hasOneTime) timestamps[0] = timeMs;
  if (labelLength > 0) fillLabels(plan, chunk, encoded.batch);
  if (histogramLength > 0) fillHistograms(plan, chunk, encoded.batch);
  if (exemplars.length > 0) fillExemplars(plan, chunk, encoded.batch);
  let sample = 0;
  for (let i = 0; i < seriesCount; i++) {
    const row = rowOf(chunk, i);
    const word = plan.rowSeries[row]! * 4;
    for (let w = 0; w < 4; w++) fingerprints[i * 4 + w] = plan.canonical[word + w]!;
    const end = plan.rowSampleEnd[row]!;
    for (let from = plan.rowSampleStart[row]!; from < end; from++, sample++) {
      if (!hasOneTime) timestamps[sample] = columns.timestamps[from]!;
      values[sample * 2] = columns.values[from * 2]!;
      values[sample * 2 + 1] = columns.values[from * 2 + 1]!;
    }
    if (!hasOneEach) sampleEnds[i] = sample;
  }
  plan.lastFilled = { chunk, encoded };
  plan.filled.push(encoded);
  return encoded;
}

function fillLabels(
  { labelBytes, rowSeries }: PushPlan,
  chunk: Chunk,
  batch: EncodedWriteBatch['batch'],
): void {
  let label = 0;
  for (let i = 0; i < chunk.seriesCount; i++) {
    if (chunk.rows[i]! < 0) {
      const bytes = labelBytes.get(rowSeries[rowOf(chunk, i)]!);
      if (bytes !== undefined) {
        batch.labelBytes.set(bytes, label);
        label += bytes.length;
      }
    }
    batch.labelEnds[i] = label;
  }
}

function fillHistograms(
  { columns, rowHistogram, view }: PushPlan,
  chunk: Chunk,
  { histogramBytes, histogramEnds }: EncodedWriteBatch['batch'],
): void {
  let at = 0;
  for (let i = 0; i < chunk.seriesCount; i++) {
    const h = rowHistogram[rowOf(chunk, i)]! - 1;
    if (h >= 0) {
      const start = columns.histogramStarts[h]!;
      const length = columns.histogramStops[h]! - start;
      histogramBytes.set(new Uint8Array(view.buffer, view.byteOffset + start, length), at);
      at += length;
    }
    histogramEnds[i] = at;
  }
}

function fillExemplars(
  plan: PushPlan,
  { exemplars }: Chunk,
  batch: EncodedWriteBatch['batch'],
): void {
  let at = 0;
  for (let i = 0; i < exemplars.length; i++) {
    const { fingerprint, labelBytes, timestampMs, valueHigh, valueLow } =
      plan.exemplars[exemplars[i]!]!;
    batch.exemplarFingerprints.set(fingerprint, i * 4);
    batch.exemplarTimestamps[i] = timestampMs;
    batch.exemplarValues[i * 2] = valueLow;
    batch.exemplarValues[i * 2 + 1] = valueHigh;
    batch.exemplarBytes.set(labelBytes, at);
    at += labelBytes.length;
    batch.exemplarEnds[i] = at;
  }
}

/** As it is where every instance is a replica of every series. */
function hasSameRows(a: Chunk, b: Chunk): boolean {
  if (a.seriesCount !== b.seriesCount || a.exemplars.length !== b.exemplars.length) return false;
  for (let i = 0; i < a.exemplars.length; i++) {
    if (a.exemplars[i] !== b.exemplars[i]) return false;
  }
  for (let i = 0; i < a.seriesCount; i++) if (a.rows[i] !== b.rows[i]) return false;
  return true;
}
