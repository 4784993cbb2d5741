/**
 * The memory of push plans: columns of rows, and chunks, the messages to ingesters. Requests come by the hundred a
 * second, so what one plan made is kept for the next, within bounds, once nobody reads it any more.
 *
 *   chunk   rows of the batch to one instance, by their numbers ──► columns   one entry a row
 */
import { LabelRoom } from '../../model/wire/raw-labels.ts';
import type { EncodedWriteBatch } from '../../model/wire/write-batch.ts';

/** Of each kind, for each plan in flight. */
const SPARES_MAX = 8;
const SPARE_BATCH_BYTES_MAX = 256 * 1024;

/** One message to one ingester. */
export interface Chunk {
  readonly instance: number;
  seriesCount: number;
  sampleCount: number;
  /** Series that go with their labels. */
  labelledCount: number;
  labelLength: number;
  /** Rows that are a histogram, and the bytes of these. */
  histogramCount: number;
  histogramLength: number;
  /** Indexes of the plan's exemplars, rising, and the bytes of their labels. */
  readonly exemplars: number[];
  exemplarLength: number;
  /** The time of all its samples; NaN when they differ. */
  timeMs: number;
  /** The row of the batch's series i, for i < `seriesCount`; as -row - 1 when its labels go too. */
  readonly rows: Int32Array;
}

export function emptyChunk(instance: number, timeMs: number, rows: Int32Array): Chunk {
  return {
    instance,
    seriesCount: 0,
    sampleCount: 0,
    labelledCount: 0,
    labelLength: 0,
    histogramCount: 0,
    histogramLength: 0,
    exemplars: [],
    exemplarLength: 0,
    timeMs,
    rows,
  };
}

/** The row of the chunk's series `i`. */
export function rowOf({ rows }: Chunk, i: number): number {
  const marked = rows[i]!;
  return marked < 0 ? -marked - 1 : marked;
}

/** Columns of a plan; they may be longer than it. Owned by one request at a time; pooled. */
export interface PlanColumns {
  /** Per row: series, first sample, end of samples, replicas found. */
  rowSeries: Uint32Array;
  rowSampleStart: Uint32Array;
  rowSampleEnd: Uint32Array;
  rowReplicas: Uint8Array;
  /** Per row: 1 + the histogram it is, of the request's; 0 for a row of floats. */
  rowHistogram: Uint32Array;
  /** Per row and replica position: the chunk it is in. */
  rowChunks: Uint32Array;
  /** Canonical fingerprints, four words a series. */
  canonical: Uint32Array;
  /** The label bytes of one plan. */
  readonly labelRoom: LabelRoom;
  /** What earlier requests made and nobody reads any more. */
  readonly spareRows: Int32Array[];
  readonly spareBatches: ArrayBuffer[];
}

export function createPlanColumns(): PlanColumns {
  return {
    rowSeries: new Uint32Array(0),
    rowSampleStart: new Uint32Array(0),
    rowSampleEnd: new Uint32Array(0),
    rowReplicas: new Uint8Array(0),
    rowHistogram: new Uint32Array(0),
    rowChunks: new Uint32Array(0),
    canonical: new Uint32Array(0),
    labelRoom: new LabelRoom(),
    spareRows: [],
    spareBatches: [],
  };
}

/** Room for so many rows and series; never shrinks. */
export function growPlanColumns(
  pooled: PlanColumns,
  rows: number,
  series: number,
  replicas: number,
): void {
  if (pooled.rowSeries.length < rows) {
    pooled.rowSeries = new Uint32Array(rows);
    pooled.rowSampleStart = new Uint32Array(rows);
    pooled.rowSampleEnd = new Uint32Array(rows);
    pooled.rowReplicas = new Uint8Array(rows);
    pooled.rowHistogram = new Uint32Array(rows);
  }
  if (pooled.rowChunks.length < rows * replicas)
    pooled.rowChunks = new Uint32Array(rows * replicas);
  if (pooled.canonical.length < series * 4) pooled.canonical = new Uint32Array(series * 4);
}

/** Keeps what the plan made for the next one: when every ingester has answered, so none reads it. */
export function recyclePlan({
  chunks,
  filled,
  spareBatches,
  spareRows,
}: Pick<PlanColumns, 'spareBatches' | 'spareRows'> & {
  readonly chunks: readonly Chunk[];
  readonly filled: readonly EncodedWriteBatch[];
}): void {
  for (const { rows } of chunks) {
    if (spareRows.length < SPARES_MAX) spareRows.push(rows);
  }
  for (const { bytes } of filled) {
    const { buffer } = bytes;
    const isKept = buffer instanceof ArrayBuffer && buffer.byteLength <= SPARE_BATCH_BYTES_MAX;
    if (isKept && spareBatches.length < SPARES_MAX) spareBatches.push(buffer);
  }
}
