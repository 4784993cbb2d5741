/**
 * From a decoded write request to one or more WriteBatches per ingester, in two passes over columns:
 *
 *   route   each series -> canonical fingerprint (known, or validated now) -> replica set
 *           each *row* (a series, or a piece of one with very many samples) -> a chunk per replica
 *   fill    each chunk is allocated once, in its wire layout, and its rows are copied in (fill-chunk.ts)
 *
 * A row is a run of float samples, or one histogram, checked here and sent as the bytes that came.
 *
 * Invariant: every row of a valid series is in exactly `replicas` chunks, and rows of one series
 * reach one ingester in the order of the request. Invalid series become errors, never rows.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import { printLabels } from '../../model/labels.ts';
import type { Limits } from '../../model/limits.ts';
import { type FingerprintKey, fingerprint, viewOf } from '../../model/wire/fingerprint.ts';
import type { Exemplar } from '../../model/wire/exemplar-message.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import { decodeHistogramMessage } from '../../model/wire/histogram-message.ts';
import { canonicalLabelBytes } from '../../model/wire/raw-labels.ts';
import type { WriteColumns } from '../../model/wire/remote-write.ts';
import type { EncodedWriteBatch } from '../../model/wire/write-batch.ts';
import {
  type KnownSeries,
  RING_VERSIONS,
  addKnownSeries,
  findKnownSeries,
} from './known-series.ts';
import {
  type Chunk,
  type PlanColumns,
  createPlanColumns,
  emptyChunk,
  growPlanColumns,
  rowOf,
} from './plan-columns.ts';

/** A chunk is one message to an ingester: at most this many samples, so that appending it is short. */
export const SAMPLES_PER_CHUNK_MAX = 4096;
/** A series with its labels is so much more work than one sample, for either end. */
const LABELS_COST = 16;
/** So are a histogram and an exemplar, and a chunk has so many bytes of them. */
const HISTOGRAM_COST = 32;
export const EXEMPLAR_COST = 16;
const RAW_BYTES_PER_CHUNK = 256 * 1024;
/** So many series of a chunk come with their labels. */
export const LABELLED_PER_CHUNK_MAX = SAMPLES_PER_CHUNK_MAX / LABELS_COST;
const ERRORS_KEPT_MAX = 10;
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
  readonly exemplars: PlannedExemplar[];
  readonly errors: StarlingError[];
}

/** An exemplar of a series that is valid. */
export interface PlannedExemplar extends Exemplar {
  readonly series: number;
  readonly fingerprint: Uint32Array;
  /** How many replicas it goes to. */
  readonly replicas: number;
}

/** Begins a plan of the request in `view` and `columns`, written to `pooled`, which grows as needed. */
export function beginPushPlan(
  context: PushContext,
  view: DataView,
  columns: WriteColumns,
  pooled: PlanColumns = createPlanColumns(),
): PushPlan {
  const pieces = Math.ceil(columns.sampleCount / SAMPLES_PER_CHUNK_MAX);
  const rowsMax = columns.seriesCount + pieces + columns.histogramCount;
  pooled.labelRoom.clear();
  growPlanColumns(pooled, rowsMax, columns.seriesCount, context.ring.replicationFactor);
  // Named one by one: what is spread is copied to a hash table, and the loops of a plan read it in every turn.
  return {
    rowSeries: pooled.rowSeries,
    rowSampleStart: pooled.rowSampleStart,
    rowSampleEnd: pooled.rowSampleEnd,
    rowReplicas: pooled.rowReplicas,
    rowHistogram: pooled.rowHistogram,
    rowChunks: pooled.rowChunks,
    canonical: pooled.canonical,
    labelRoom: pooled.labelRoom,
    spareRows: pooled.spareRows,
    spareBatches: pooled.spareBatches,
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
    exemplars: [],
    errors: [],
  };
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
      budget -= histogramsOf(columns, series) * HISTOGRAM_COST;
    } catch (error) {
      plan.invalidSamples += end - start + histogramsOf(columns, series);
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
  const histograms = histogramsOf(columns, series);
  if (start === end && histograms === 0) return;
  placeSeries(context, entry);
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
  if (histograms > 0) addHistograms(plan, series, replicas, start === end ? holders : 0xff);
}

/** Finds the place of a known series on the ring, unless it is known too. */
export function placeSeries({ known, ring }: PushContext, entry: number): void {
  const version = ring.version % RING_VERSIONS;
  if (known.peers[entry]! >>> 8 === version) return;
  known.peers[entry] = version << 8; // what was known of an older ring is void
  known.positions[entry] = ring.positionOf(known.canonical[entry * 4]!);
}

/** How many histograms a series of the request carries. */
function histogramsOf({ histogramEnds }: WriteColumns, series: number): number {
  return histogramEnds[series]! - (series === 0 ? 0 : histogramEnds[series - 1]!);
}

/** Adds a row for each histogram of a series that is valid; notes the others. */
function addHistograms(plan: PushPlan, series: number, replicas: number, holders: number): void {
  const { columns, view } = plan;
  const end = columns.histogramEnds[series]!;
  let rest = holders;
  for (let h = end - histogramsOf(columns, series); h < end; h++) {
    const start = columns.histogramStarts[h]!;
    const stop = columns.histogramStops[h]!;
    try {
      if (stop === start || stop - start > HISTOGRAM_BYTES_MAX) throw badLength(stop - start);
      const bytes = new Uint8Array(view.buffer, view.byteOffset, stop);
      decodeHistogramMessage(bytes, start, stop); // throws what is wrong with it
      addHistogramRow(plan, { series, histogram: h, replicas, holders: rest });
      rest = 0xff;
    } catch (thrown) {
      plan.invalidSamples++;
      noteError(plan, inSeries(plan, series, toStarlingError(thrown)));
    }
  }
}

/** A bound far above what `BUCKETS_MAX` buckets need. */
const HISTOGRAM_BYTES_MAX = 512 * 1024;

function badLength(bytes: number): StarlingError {
  const why = `a message of ${bytes} bytes, 1 to ${HISTOGRAM_BYTES_MAX} are taken`;
  return new StarlingError('histogram.invalid', { why });
}

/** What is wrong with a histogram, with the series it is of. */
function inSeries(plan: PushPlan, series: number, cause: StarlingError): StarlingError {
  if (cause.http >= 500) return cause;
  const facts = { series: describeSeries(plan, series), why: cause.message };
  return new StarlingError('series.invalid_histogram', facts, cause);
}

interface HistogramRow {
  readonly series: number;
  readonly histogram: number;
  readonly replicas: number;
  readonly holders: number;
}

function addHistogramRow(plan: PushPlan, of: HistogramRow): void {
  const { histogramStarts, histogramStops } = plan.columns;
  const row = plan.rowCount++;
  plan.rowSeries[row] = of.series;
  plan.rowSampleStart[row] = 0;
  plan.rowSampleEnd[row] = 0;
  plan.rowReplicas[row] = of.replicas;
  plan.rowHistogram[row] = of.histogram + 1;
  const bytes = histogramStops[of.histogram]! - histogramStarts[of.histogram]!;
  const rowBase = row * plan.context.ring.replicationFactor;
  for (let r = 0; r < of.replicas; r++) {
    const instance = plan.scratchReplicas[r]!;
    const index = openChunk(plan, instance, HISTOGRAM_COST, bytes);
    const chunk = plan.chunks[index]!;
    plan.rowChunks[rowBase + r] = index;
    const isLabelled = (of.holders & (1 << r)) === 0;
    chunk.rows[chunk.seriesCount++] = isLabelled ? -row - 1 : row;
    chunk.histogramCount++;
    chunk.histogramLength += bytes;
    if (!isLabelled) continue;
    chunk.labelledCount++;
    chunk.labelLength += plan.labelBytes.get(of.series)?.length ?? 0;
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
  plan.rowHistogram[row] = 0;
  const rowBase = row * plan.context.ring.replicationFactor;
  for (let r = 0; r < replicas; r++) {
    const index = openChunk(plan, plan.scratchReplicas[r]!, to - from);
    const chunk = plan.chunks[index]!;
    plan.rowChunks[rowBase + r] = index;
    noteTimes(chunk, plan.columns.timestamps, from, to);
    chunk.rows[chunk.seriesCount++] = (holders & (1 << r)) === 0 ? -row - 1 : row;
    chunk.sampleCount += to - from;
    if ((holders & (1 << r)) === 0) {
      chunk.labelledCount++;
      chunk.labelLength += plan.labelBytes.get(series)?.length ?? 0;
    }
  }
}

/** Hot: before samples are added to a chunk. A time is not passed on: a call with a fraction allocates it. */
function noteTimes(chunk: Chunk, timestamps: Float64Array, from: number, to: number): void {
  if (chunk.sampleCount === 0) chunk.timeMs = timestamps[from]!;
  for (let at = from; at < to; at++) {
    if (timestamps[at]! !== chunk.timeMs) chunk.timeMs = Number.NaN;
  }
}

/** The index of the instance's open chunk with room for `samples` more, and bytes of what is raw. */
export function openChunk(plan: PushPlan, instance: number, samples: number, rawBytes = 0): number {
  const open = plan.openChunks[instance];
  if (open !== undefined) {
    const chunk = plan.chunks[open]!;
    const { exemplars, histogramCount, labelledCount, sampleCount } = chunk;
    const cost =
      sampleCount +
      labelledCount * LABELS_COST +
      histogramCount * HISTOGRAM_COST +
      exemplars.length * EXEMPLAR_COST;
    const hasRoom = chunk.histogramLength + chunk.exemplarLength + rawBytes <= RAW_BYTES_PER_CHUNK;
    if (cost + samples <= SAMPLES_PER_CHUNK_MAX && hasRoom) return open;
  }
  const index = plan.chunks.length;
  // A row costs as much as a sample at least, so there are no more rows than samples in a full chunk.
  const rows = plan.spareRows.pop() ?? new Int32Array(SAMPLES_PER_CHUNK_MAX);
  plan.chunks.push(emptyChunk(instance, Number.NaN, rows));
  plan.openChunks[instance] = index;
  return index;
}

/** The slow path of a series whose bytes are new here: validate, canonicalise, remember. */
export function learnSeries(plan: PushPlan, series: number): number {
  const { context, columns } = plan;
  const bytes = labelBytesOf(plan, series);
  const canonical = new Uint32Array(4);
  fingerprint(context.seriesKey, viewOf(bytes), 0, bytes.length, canonical, 0);
  plan.labelBytes.set(series, bytes);
  return addKnownSeries(context.known, columns.rawFingerprints, series * 4, canonical);
}

function labelBytesOf(plan: PushPlan, series: number): Uint8Array {
  const { columns, context, labelRoom, view } = plan;
  const start = columns.labelStarts[series]!;
  return canonicalLabelBytes(view, start, columns.labelEnds[series]!, context.limits, labelRoom);
}

/** The label set of a series, printed for an error. */
export function describeSeries(plan: PushPlan, series: number): string {
  return printLabels(decodeLabels(labelBytesOf(plan, series)));
}

/** The rows of `chunk` at `indexes`, as a chunk of its own that carries their labels. */
export function chunkWithLabels(plan: PushPlan, chunk: Chunk, indexes: Uint32Array): Chunk {
  const again = emptyChunk(chunk.instance, chunk.timeMs, new Int32Array(indexes.length));
  const labelled = new Set<number>();
  for (const index of indexes) {
    const row = rowOf(chunk, index);
    const series = plan.rowSeries[row]!;
    const bytes = plan.labelBytes.get(series) ?? labelBytesOf(plan, series);
    plan.labelBytes.set(series, bytes);
    again.sampleCount += plan.rowSampleEnd[row]! - plan.rowSampleStart[row]!;
    const h = plan.rowHistogram[row]! - 1;
    if (h >= 0) {
      again.histogramCount++;
      again.histogramLength += plan.columns.histogramStops[h]! - plan.columns.histogramStarts[h]!;
    }
    const isFirst = !labelled.has(series); // later rows of a series find it known
    labelled.add(series);
    if (isFirst) again.labelledCount++;
    if (isFirst) again.labelLength += bytes.length;
    again.rows[again.seriesCount++] = isFirst ? -row - 1 : row;
  }
  // They were dropped: their series was not known.
  for (const e of chunk.exemplars) {
    if (!labelled.has(plan.exemplars[e]!.series)) continue;
    again.exemplars.push(e);
    again.exemplarLength += plan.exemplars[e]!.labelBytes.length;
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
