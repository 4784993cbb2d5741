/**
 * From a decoded write request to one or more WriteBatches per ingester, in two passes over columns:
 *
 *   route   each series -> canonical fingerprint (known, or validated now) -> replica set
 *           each *row* (a series, or a piece of one with very many samples) -> a chunk per replica
 *   fill    each chunk is allocated once, in its wire layout, and its rows are copied in
 *
 * Invariant: every row of a valid series is in exactly `replicas` chunks, and rows of one series
 * reach one ingester in the order of the request. Invalid series become errors, never rows.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import { printLabels } from '../../model/labels.ts';
import type { Limits } from '../../model/limits.ts';
import { type FingerprintKey, fingerprint, viewOf } from '../../model/wire/fingerprint.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import { canonicalLabelBytes } from '../../model/wire/raw-labels.ts';
import type { WriteColumns } from '../../model/wire/remote-write.ts';
import { type EncodedWriteBatch, allocateWriteBatch } from '../../model/wire/write-batch.ts';
import {
  type KnownSeries,
  RING_VERSIONS,
  addKnownSeries,
  findKnownSeries,
} from './known-series.ts';

/** A chunk is one message to an ingester: at most this many samples, so that appending it is short. */
export const SAMPLES_PER_CHUNK_MAX = 4096;
/** A series with its labels is so much more work than one sample, for either end. */
const LABELS_COST = 16;
/** So many series of a chunk come with their labels. */
export const LABELLED_PER_CHUNK_MAX = SAMPLES_PER_CHUNK_MAX / LABELS_COST;
const ERRORS_KEPT_MAX = 10;
/** Of each kind, for each plan in flight. */
const SPARES_MAX = 8;
const SPARE_BATCH_BYTES_MAX = 256 * 1024;

/** Where series go, as one immutable picture of the ring. */
export interface WriteRing {
  /** Changes whenever any replica set may have changed; its remainder by `RING_VERSIONS` is compared. */
  readonly version: number;
  readonly replicationFactor: number;
  /** The place of a hash on the ring; worth remembering while the version stays. */
  positionOf(hash: number): number;
  /** Writes the replica set of a place into `out`: indexes of instances, best first. Returns its size. */
  replicasAt(position: number, out: Uint16Array): number;
}

export interface PushContext {
  readonly tenant: TenantId;
  readonly limits: Limits;
  /** The tenant's key for canonical label bytes. */
  readonly seriesKey: FingerprintKey;
  readonly known: KnownSeries;
  readonly ring: WriteRing;
}

/** One message to one ingester. */
export interface Chunk {
  readonly instance: number;
  seriesCount: number;
  sampleCount: number;
  /** Series that go with their labels. */
  labelledCount: number;
  labelLength: number;
  /** The time of all its samples; NaN when they differ. */
  timeMs: number;
  /** The row of the batch's series i, for i < `seriesCount`; as -row - 1 when its labels go too. */
  readonly rows: Int32Array;
}

/** Columns of a plan; they may be longer than it. Owned by one request at a time; pooled. */
export interface PlanColumns {
  /** Per row: series, first sample, end of samples, replicas found. */
  rowSeries: Uint32Array;
  rowSampleStart: Uint32Array;
  rowSampleEnd: Uint32Array;
  rowReplicas: Uint8Array;
  /** Per row and replica position: the chunk it is in. */
  rowChunks: Uint32Array;
  /** Canonical fingerprints, four words a series. */
  canonical: Uint32Array;
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
    rowChunks: new Uint32Array(0),
    canonical: new Uint32Array(0),
    spareRows: [],
    spareBatches: [],
  };
}

/** The plan of one request; grows while routing. */
export interface PushPlan extends Readonly<PlanColumns> {
  readonly context: PushContext;
  readonly view: DataView;
  readonly columns: WriteColumns;
  nextSeries: number;
  /** The entry of the series before in the table of known series, or -1. */
  previousEntry: number;
  rowCount: number;
  /** Label bytes of series that some replica is not known to hold. */
  readonly labelBytes: Map<number, Uint8Array>;
  readonly chunks: Chunk[];
  /** The open chunk of each instance index. */
  readonly openChunks: (number | undefined)[];
  lastFilled: { readonly chunk: Chunk; readonly encoded: EncodedWriteBatch } | undefined;
  readonly filled: EncodedWriteBatch[];
  readonly scratchReplicas: Uint16Array;
  invalidSamples: number;
  readonly errors: StarlingError[];
}

/** Begins a plan of the request in `view` and `columns`, written to `pooled`, which grows as needed. */
export function beginPushPlan(
  context: PushContext,
  view: DataView,
  columns: WriteColumns,
  pooled: PlanColumns = createPlanColumns(),
): PushPlan {
  const rowsMax = columns.seriesCount + Math.ceil(columns.sampleCount / SAMPLES_PER_CHUNK_MAX);
  growPlanColumns(pooled, rowsMax, columns.seriesCount, context.ring.replicationFactor);
  return {
    ...pooled,
    context,
    view,
    columns,
    nextSeries: 0,
    previousEntry: -1,
    rowCount: 0,
    labelBytes: new Map(),
    chunks: [],
    openChunks: [],
    lastFilled: undefined,
    filled: [],
    scratchReplicas: new Uint16Array(context.ring.replicationFactor),
    invalidSamples: 0,
    errors: [],
  };
}

function growPlanColumns(
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
  }
  if (pooled.rowChunks.length < rows * replicas)
    pooled.rowChunks = new Uint32Array(rows * replicas);
  if (pooled.canonical.length < series * 4) pooled.canonical = new Uint32Array(series * 4);
}

/** Routes up to `seriesMax` more series, fewer where some are new. True when all are routed. */
export function continuePushPlan(plan: PushPlan, seriesMax: number): boolean {
  const { columns, labelBytes } = plan;
  let budget = seriesMax;
  while (plan.nextSeries < columns.seriesCount && budget > 0) {
    const series = plan.nextSeries++;
    const start = series === 0 ? 0 : columns.sampleEnds[series - 1]!;
    const end = columns.sampleEnds[series]!;
    const labelled = labelBytes.size;
    try {
      routeSeries(plan, series, start, end);
      budget -= labelBytes.size > labelled ? LABELS_COST : 1;
    } catch (error) {
      plan.invalidSamples += end - start;
      noteError(plan, toStarlingError(error));
      budget -= LABELS_COST;
    }
  }
  return plan.nextSeries === columns.seriesCount;
}

/** Keeps the first few errors of invalid series: the first one becomes the answer. */
function noteError(plan: PushPlan, error: StarlingError): void {
  if (error.http >= 500) throw error; // not about the series: the request fails
  if (plan.errors.length < ERRORS_KEPT_MAX) plan.errors.push(error);
}

/** Hot for known series: finds the fingerprint and replicas, adds rows. Throws for invalid series. */
function routeSeries(plan: PushPlan, series: number, start: number, end: number): void {
  const { columns, canonical, context } = plan;
  const { known, ring } = context;
  let entry = findKnownSeries(known, columns.rawFingerprints, series * 4, plan.previousEntry);
  if (entry < 0) entry = learnSeries(plan, series);
  plan.previousEntry = entry;
  const base = series * 4;
  for (let i = 0; i < 4; i++) canonical[base + i] = known.canonical[entry * 4 + i]!;
  if (columns.histogramCounts[series] !== 0) {
    const error = 'series.histograms_unsupported';
    noteError(plan, new StarlingError(error, { series: describeSeries(plan, series) }));
  }
  if (start === end) return;
  const version = ring.version % RING_VERSIONS;
  if (known.peers[entry]! >>> 8 !== version) {
    known.peers[entry] = version << 8; // what was known of an older ring is void
    known.positions[entry] = ring.positionOf(canonical[base]!);
  }
  const replicas = ring.replicasAt(known.positions[entry]!, plan.scratchReplicas);
  const holders = known.peers[entry]! & 0xff;
  const allHold = holders === (1 << replicas) - 1;
  if (!allHold && !plan.labelBytes.has(series)) {
    plan.labelBytes.set(series, labelBytesOf(plan, series));
  }
  for (let from = start; from < end; from += SAMPLES_PER_CHUNK_MAX) {
    const to = Math.min(from + SAMPLES_PER_CHUNK_MAX, end);
    addRow(plan, series, from, to, replicas, from === start ? holders : 0xff);
  }
}

function addRow(
  plan: PushPlan,
  series: number,
  from: number,
  to: number,
  replicas: number,
  holders: number,
): void {
  const row = plan.rowCount++;
  plan.rowSeries[row] = series;
  plan.rowSampleStart[row] = from;
  plan.rowSampleEnd[row] = to;
  plan.rowReplicas[row] = replicas;
  const rowBase = row * plan.context.ring.replicationFactor;
  const timeMs = timeOfRow(plan.columns, from, to);
  for (let r = 0; r < replicas; r++) {
    const index = openChunk(plan, plan.scratchReplicas[r]!, to - from, timeMs);
    const chunk = plan.chunks[index]!;
    plan.rowChunks[rowBase + r] = index;
    chunk.rows[chunk.seriesCount++] = (holders & (1 << r)) === 0 ? -row - 1 : row;
    chunk.sampleCount += to - from;
    if ((holders & (1 << r)) === 0) {
      chunk.labelledCount++;
      chunk.labelLength += plan.labelBytes.get(series)?.length ?? 0;
    }
    if (timeMs !== chunk.timeMs) chunk.timeMs = Number.NaN;
  }
}

/** The time of all samples of a row, or NaN. */
function timeOfRow({ timestamps }: WriteColumns, from: number, to: number): number {
  const timeMs = timestamps[from]!;
  for (let at = from + 1; at < to; at++) if (timestamps[at]! !== timeMs) return Number.NaN;
  return timeMs;
}

/** The index of the instance's open chunk with room for `samples` more. */
function openChunk(plan: PushPlan, instance: number, samples: number, timeMs: number): number {
  const open = plan.openChunks[instance];
  if (open !== undefined) {
    const { labelledCount, sampleCount } = plan.chunks[open]!;
    const isShort = sampleCount + samples + labelledCount * LABELS_COST <= SAMPLES_PER_CHUNK_MAX;
    if (isShort) return open;
  }
  const index = plan.chunks.length;
  plan.chunks.push({
    instance,
    seriesCount: 0,
    sampleCount: 0,
    labelledCount: 0,
    labelLength: 0,
    timeMs,
    // A row has a sample at least, so a full chunk has no more rows than samples.
    rows: plan.spareRows.pop() ?? new Int32Array(SAMPLES_PER_CHUNK_MAX),
  });
  plan.openChunks[instance] = index;
  return index;
}

/** The slow path of a series whose bytes are new here: validate, canonicalise, remember. */
function learnSeries(plan: PushPlan, series: number): number {
  const { context, columns } = plan;
  const bytes = labelBytesOf(plan, series);
  const canonical = new Uint32Array(4);
  fingerprint(context.seriesKey, viewOf(bytes), 0, bytes.length, canonical, 0);
  plan.labelBytes.set(series, bytes);
  return addKnownSeries(context.known, columns.rawFingerprints, series * 4, canonical);
}

function labelBytesOf({ columns, context, view }: PushPlan, series: number): Uint8Array {
  const start = columns.labelStarts[series]!;
  return canonicalLabelBytes(view, start, columns.labelEnds[series]!, context.limits);
}

/** The label set of a series, printed for an error. */
export function describeSeries(plan: PushPlan, series: number): string {
  return printLabels(decodeLabels(labelBytesOf(plan, series)));
}

/** The filled batch of one chunk; chunks with the same rows, one after another, share theirs. */
export function fillChunk(plan: PushPlan, chunk: Chunk): EncodedWriteBatch {
  const { context, columns, lastFilled } = plan;
  if (lastFilled !== undefined && hasSameRows(lastFilled.chunk, chunk)) return lastFilled.encoded;
  const { labelLength, sampleCount, seriesCount, timeMs } = chunk;
  const hasOneTime = !Number.isNaN(timeMs);
  const hasOneEach = sampleCount === seriesCount; // a row has a sample at least
  const encoded = allocateWriteBatch(
    { tenant: context.tenant, seriesCount, sampleCount, labelLength, hasOneTime, hasOneEach },
    plan.spareBatches.pop(),
  );
  const { fingerprints, sampleEnds, timestamps, values } = encoded.batch;
  if (hasOneTime) timestamps[0] = timeMs;
  if (labelLength > 0) fillLabels(plan, chunk, encoded.batch);
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

/** The row of the chunk's series `i`. */
export function rowOf({ rows }: Chunk, i: number): number {
  const marked = rows[i]!;
  return marked < 0 ? -marked - 1 : marked;
}

/** Keeps what the plan made for the next one: when every ingester has answered, so none reads it. */
export function recyclePlan({ chunks, filled, spareBatches, spareRows }: PushPlan): void {
  for (const { rows } of chunks) {
    if (spareRows.length < SPARES_MAX) spareRows.push(rows);
  }
  for (const { bytes } of filled) {
    const { buffer } = bytes;
    const isKept = buffer instanceof ArrayBuffer && buffer.byteLength <= SPARE_BATCH_BYTES_MAX;
    if (isKept && spareBatches.length < SPARES_MAX) spareBatches.push(buffer);
  }
}

/** As it is where every instance is a replica of every series. */
function hasSameRows(a: Chunk, b: Chunk): boolean {
  if (a.seriesCount !== b.seriesCount) return false;
  for (let i = 0; i < a.seriesCount; i++) if (a.rows[i] !== b.rows[i]) return false;
  return true;
}

/** The rows of `chunk` at `indexes`, as a chunk of its own that carries their labels. */
export function chunkWithLabels(plan: PushPlan, chunk: Chunk, indexes: Uint32Array): Chunk {
  const again: Chunk = {
    instance: chunk.instance,
    seriesCount: 0,
    sampleCount: 0,
    labelledCount: 0,
    labelLength: 0,
    timeMs: chunk.timeMs,
    rows: new Int32Array(indexes.length),
  };
  const labelled = new Set<number>();
  for (const index of indexes) {
    const row = rowOf(chunk, index);
    const series = plan.rowSeries[row]!;
    const bytes = plan.labelBytes.get(series) ?? labelBytesOf(plan, series);
    plan.labelBytes.set(series, bytes);
    again.sampleCount += plan.rowSampleEnd[row]! - plan.rowSampleStart[row]!;
    const isFirst = !labelled.has(series); // later rows of a series find it known
    labelled.add(series);
    if (isFirst) again.labelledCount++;
    if (isFirst) again.labelLength += bytes.length;
    again.rows[again.seriesCount++] = isFirst ? -row - 1 : row;
  }
  return again;
}

/** Remembers that the chunk's instance holds the series that it was sent with labels. */
export function markHeld(plan: PushPlan, chunk: Chunk): void {
  const { known, ring } = plan.context;
  const version = ring.version % RING_VERSIONS;
  let entry = -1;
  for (let i = 0; i < chunk.seriesCount; i++) {
    const marked = chunk.rows[i]!;
    if (marked >= 0) continue;
    const row = -marked - 1;
    const series = plan.rowSeries[row]!;
    entry = findKnownSeries(known, plan.columns.rawFingerprints, series * 4, entry);
    if (entry < 0) continue;
    if (known.peers[entry]! >>> 8 !== version) continue; // routed anew since, on another ring
    known.peers[entry]! |= 1 << replicaPosition(plan, row, chunk);
  }
}

function replicaPosition(plan: PushPlan, row: number, chunk: Chunk): number {
  const base = row * plan.context.ring.replicationFactor;
  for (let r = 0; r < plan.rowReplicas[row]!; r++) {
    if (plan.chunks[plan.rowChunks[base + r]!]?.instance === chunk.instance) return r;
  }
  return 7; // a bit that no replica set uses
}
