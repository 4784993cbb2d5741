/**
 * One push from body to verdict: decode, pass, route, send, count. Runs in short slices between
 * which the loop is free, and owns pooled buffers until the last replica answered or timed out.
 *
 *   body -> snappy -> columns -> rows in chunks -> ingesters -> tally -> stored | refused | error
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { MetricMetadata } from '../../model/metadata.ts';
import { type FingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';
import {
  type WriteColumns,
  beginWriteRequestPass,
  continueWriteRequestPass,
  createWriteColumns,
} from '../../model/wire/remote-write.ts';
import { beginSnappyDecode, continueSnappyDecode, snappyLength } from '../../model/wire/snappy.ts';
import type { EncodedWriteBatch } from '../../model/wire/write-batch.ts';
import type { Probe } from '../../platform/rare.ts';
import type { TurnQueue } from '../../platform/turn-queue.ts';
import { Discards } from './discards.ts';
import { planExemplars } from './exemplar-plan.ts';
import { fillChunk } from './fill-chunk.ts';
import { type MetadataPlan, planMetadata, sendMetadata } from './metadata-push.ts';
import {
  type Chunk,
  type PlanColumns,
  createPlanColumns,
  recyclePlan,
  rowOf,
} from './plan-columns.ts';
import {
  LABELLED_PER_CHUNK_MAX,
  type PushContext,
  type PushPlan,
  beginPushPlan,
  chunkWithLabels,
  continuePushPlan,
  markHeld,
} from './push-plan.ts';
import { type PushTally, countAcks, countAnswer, createTally, pushVerdict } from './quorum.ts';

/** The most bytes a body may decode to, as in Prometheus. */
export const DECODED_BYTES_MAX = 32 * 1024 * 1024;
/** Slices of about a millisecond each. */
const DECODE_BYTES_PER_SLICE = 512 * 1024;
const SMALL_BYTES = 64 * 1024;
const SERIES_PER_SLICE = 2048;

/** An ingester's answer to one batch. */
export interface IngesterPushAnswer {
  /** Indexes of series whose fingerprint it does not know: send them again with labels. */
  readonly unknown: Uint32Array;
  /** Indexes of series of which a sample was refused. */
  readonly rejected: Uint32Array;
  /** The first few reasons. */
  readonly errors: readonly StarlingError[];
}

export interface PushDependencies {
  readonly context: PushContext;
  readonly rawKey: FingerprintKey;
  readonly writeQuorum: number;
  readonly instances: readonly InstanceId[];
  /** Sends one batch to one ingester; rejects with a StarlingError at the latest at its deadline. */
  readonly send: (instance: InstanceId, batch: EncodedWriteBatch) => Promise<IngesterPushAnswer>;
  /** The same for metadata. */
  readonly sendMetadata: (
    instance: InstanceId,
    entries: readonly MetricMetadata[],
  ) => Promise<void>;
  readonly turns: TurnQueue;
  readonly probe?: Probe;
  /** Called with the number of samples, exemplars and metadata once they are checked; throws `limit.ingestion_rate`. */
  readonly admitSamples: (samples: number) => void;
}

export interface PushBuffers {
  /** Grown as needed, at least the decoded length. */
  decoded: Uint8Array;
  readonly columns: WriteColumns;
  readonly plan: PlanColumns;
}

export function createPushBuffers(): PushBuffers {
  return {
    decoded: new Uint8Array(0),
    columns: createWriteColumns(),
    plan: createPlanColumns(),
  };
}

export interface PushResult {
  readonly samplesStored: number;
  readonly refused: StarlingError | undefined;
  readonly exemplarsReceived: number;
  readonly metadataReceived: number;
  readonly discards: Discards;
  /** Resolves when no replica needs the buffers any more. */
  readonly released: Promise<void>;
}

/** Runs a push. Rejects with the error that answers the whole request. */
export async function runPush(
  dependencies: PushDependencies,
  body: Uint8Array,
  buffers: PushBuffers,
): Promise<PushResult> {
  const discards = new Discards();
  const { metadata, plan } = await decodeAndRoute(dependencies, body, buffers, discards);
  const { histogramCount, sampleCount } = plan.columns;
  const samples = sampleCount + histogramCount - plan.invalidSamples;
  const metadataReceived = metadata?.entries.length ?? 0;
  const exemplarsReceived = plan.exemplars.length;
  dependencies.admitSamples(samples + exemplarsReceived + metadataReceived);
  const replicas = replicasOf(plan);
  checkReplicas(replicas, dependencies.writeQuorum);
  const metadataSent = sendAllMetadata(dependencies, metadata);
  const metadataSettled = metadataSent.catch(() => undefined); // senders repeat it
  if (plan.rowCount + exemplarsReceived === 0) await metadataSent; // nothing else can tell whether the request was taken
  const stored = await sendChunks(dependencies, plan, replicas, samples);
  return {
    ...stored,
    refused: stored.refused ?? metadata?.refused,
    exemplarsReceived,
    metadataReceived,
    discards,
    released: stored.released.then(() => metadataSettled),
  };
}

/** Resolves when the metadata has its quorums. */
async function sendAllMetadata(
  { instances, sendMetadata: send, writeQuorum }: PushDependencies,
  metadata: MetadataPlan | undefined,
): Promise<void> {
  if (metadata === undefined || metadata.entries.length === 0) return;
  await sendMetadata(metadata, { instances, send, writeQuorum });
}

/** How many replicas each row goes to, and after the rows each exemplar. */
function replicasOf({ exemplars, rowCount, rowReplicas }: PushPlan): Uint8Array {
  const rows = rowReplicas.subarray(0, rowCount);
  if (exemplars.length === 0) return rows;
  const all = new Uint8Array(rowCount + exemplars.length);
  all.set(rows);
  exemplars.forEach(({ replicas }, e) => (all[rowCount + e] = replicas));
  return all;
}

function checkReplicas(replicas: Uint8Array, quorum: number): void {
  for (let row = 0; row < replicas.length; row++) {
    if (replicas[row]! >= quorum) continue;
    const why = 'too few instances are registered for the replication factor';
    throw new StarlingError('write.no_quorum', { acks: replicas[row]!, needed: quorum, why });
  }
}

/** What a body holds, checked, and where it goes. */
interface Routed {
  readonly plan: PushPlan;
  /** Absent: there is none. */
  readonly metadata: MetadataPlan | undefined;
}

async function decodeAndRoute(
  dependencies: PushDependencies,
  body: Uint8Array,
  buffers: PushBuffers,
  discards: Discards,
): Promise<Routed> {
  const length = snappyLength(body, DECODED_BYTES_MAX);
  if (buffers.decoded.length < length) buffers.decoded = new Uint8Array(length + (length >>> 2));
  // A small push is one slice, from body to plan.
  const { turns } = dependencies;
  const nextSlice = length <= SMALL_BYTES ? () => undefined : () => turns.again();
  await turns.next();
  const decode = beginSnappyDecode(body, buffers.decoded, length);
  while (!continueSnappyDecode(decode, DECODE_BYTES_PER_SLICE)) await nextSlice();
  await nextSlice();
  const { columns } = buffers;
  const pass = beginWriteRequestPass(buffers.decoded, length, dependencies.rawKey, columns);
  while (!continueWriteRequestPass(pass, SERIES_PER_SLICE)) await nextSlice();
  await nextSlice();
  const view = viewOf(buffers.decoded);
  const plan = beginPushPlan(dependencies.context, view, columns, buffers.plan);
  while (!continuePushPlan(plan, SERIES_PER_SLICE)) await turns.again();
  const { limits } = plan.context;
  if (columns.exemplarCount > 0 && limits.max_global_exemplars_per_user > 0)
    await planExemplars(plan, { discards, turns });
  if (columns.metadataCount === 0) return { plan, metadata: undefined };
  const metadata = await planMetadata(plan.context, view, columns, { discards, turns });
  return { plan, metadata };
}

/** The push while its chunks are out. */
interface Flight {
  readonly dependencies: PushDependencies;
  readonly plan: PushPlan;
  readonly tally: PushTally;
  /** Why instances failed: the first few. */
  readonly reasons: Set<string>;
  /** The answers that refused rows: the first few. */
  readonly refusals: Refusal[];
  /** A batch without an answer may still be read. */
  isAnswerMissing: boolean;
}

interface Refusal {
  readonly chunk: Chunk;
  readonly answer: IngesterPushAnswer;
}

const REASONS_KEPT_MAX = 10;

/** Sends every chunk, counts the answers, and settles as soon as the verdict is known. */
function sendChunks(
  dependencies: PushDependencies,
  plan: PushPlan,
  replicas: Uint8Array,
  samples: number,
): Promise<Pick<PushResult, 'refused' | 'released' | 'samplesStored'>> {
  const tally = createTally(replicas.length, replicas, dependencies.writeQuorum);
  const flight: Flight = {
    dependencies,
    plan,
    tally,
    reasons: new Set(),
    refusals: [],
    isAnswerMissing: false,
  };
  return new Promise((resolve, reject) => {
    const settle = (released: Promise<void>): void => {
      const verdict = pushVerdict(tally);
      if (verdict === 'pending') return;
      const { probe } = dependencies;
      if (verdict === 'failed') {
        probe?.('push.no_quorum');
        reject(noQuorum(flight));
      } else {
        if (flight.reasons.size > 0) probe?.('push.without_all');
        if (verdict === 'refused') probe?.('push.refused');
        const samplesStored = samples - refusedSampleCount(plan, tally);
        // Validation comes first, then what a quorum refused; an overruled refusal is not an error.
        const refused = plan.errors[0] ?? (verdict === 'refused' ? refusalOf(flight) : undefined);
        resolve({ samplesStored, refused, released });
      }
    };
    const answered = plan.chunks.map((chunk) => sendChunk(flight, chunk));
    const released = Promise.allSettled(answered).then(() => {
      if (!flight.isAnswerMissing) recyclePlan(plan);
    });
    for (const one of answered) one.then(() => settle(released)).catch(reject);
    settle(released);
  });
}

/** Sends one chunk, again with labels where the ingester asks, and counts each of its rows once. */
async function sendChunk(flight: Flight, chunk: Chunk): Promise<void> {
  const { plan } = flight;
  const answer = await trySend(flight, chunk);
  for (const e of chunk.exemplars) {
    countAnswer(flight.tally, plan.rowCount + e, answer === undefined ? 'fail' : 'ack');
  }
  if (answer === undefined) return;
  countChunk(flight, chunk, answer);
  markHeld(plan, chunk);
  if (answer.unknown.length === 0) return;
  flight.dependencies.probe?.('push.labels_again');
  for (let from = 0; from < answer.unknown.length; from += LABELLED_PER_CHUNK_MAX) {
    const indexes = answer.unknown.subarray(from, from + LABELLED_PER_CHUNK_MAX);
    await sendWithLabels(flight, chunkWithLabels(plan, chunk, indexes));
  }
}

async function sendWithLabels(flight: Flight, chunk: Chunk): Promise<void> {
  const answer = await trySend(flight, chunk);
  if (answer === undefined) return;
  countChunk(flight, chunk, answer);
  // It had the labels: what it still does not know is not stored there.
  if (answer.unknown.length > 0) noteReason(flight, chunk, 'it does not know series it was sent');
  for (const index of answer.unknown) countAnswer(flight.tally, rowOf(chunk, index), 'fail');
  markHeld(flight.plan, chunk);
}

/** The answer to a chunk, or undefined after its rows were counted as failed. */
async function trySend(flight: Flight, chunk: Chunk): Promise<IngesterPushAnswer | undefined> {
  const { dependencies, plan, tally } = flight;
  try {
    const instance = dependencies.instances[chunk.instance]!;
    const answer = await dependencies.send(instance, fillChunk(plan, chunk));
    if (areIndexes(answer.unknown, chunk) && areIndexes(answer.rejected, chunk)) return answer;
    noteReason(flight, chunk, 'its answer names series that it was not sent');
  } catch (thrown) {
    flight.isAnswerMissing = true;
    noteReason(flight, chunk, toStarlingError(thrown).message);
  }
  for (let i = 0; i < chunk.seriesCount; i++) countAnswer(tally, rowOf(chunk, i), 'fail');
  return undefined;
}

/** Rising indexes of series of the chunk. */
function areIndexes(indexes: Uint32Array, chunk: Chunk): boolean {
  let next = 0;
  for (const index of indexes) {
    if (index < next || index >= chunk.seriesCount) return false;
    next = index + 1;
  }
  return true;
}

function noteReason({ dependencies, reasons }: Flight, chunk: Chunk, why: string): void {
  if (reasons.size >= REASONS_KEPT_MAX) return;
  reasons.add(`${dependencies.instances[chunk.instance]!}: ${why}`);
}

/** Counts an answered chunk; unknown rows are counted when they were sent again. */
function countChunk(flight: Flight, chunk: Chunk, answer: IngesterPushAnswer): void {
  const { rejected, unknown } = answer;
  if (rejected.length > 0 && flight.refusals.length < REASONS_KEPT_MAX) {
    flight.refusals.push({ chunk, answer });
  }
  if (rejected.length + unknown.length === 0) {
    countAcks(flight.tally, chunk.rows, chunk.seriesCount);
    return;
  }
  let nextRejected = 0;
  let nextUnknown = 0;
  for (let i = 0; i < chunk.seriesCount; i++) {
    const isRejected = rejected[nextRejected] === i;
    if (isRejected) nextRejected++;
    if (unknown[nextUnknown] === i) nextUnknown++;
    else countAnswer(flight.tally, rowOf(chunk, i), isRejected ? 'reject' : 'ack');
  }
}

function noQuorum({ dependencies, reasons, refusals, tally }: Flight): StarlingError {
  const row = tally.decided.indexOf(3);
  const refused = refusals.flatMap((refusal) => {
    const error = refusalIn(refusal, (one) => one === row);
    const instance = dependencies.instances[refusal.chunk.instance]!;
    return error === undefined ? [] : [`${instance} refused it: ${error.message}`];
  });
  const why = [...reasons, ...refused].join('; ') || 'the replicas disagree';
  const facts = { acks: tally.acks[row]!, needed: tally.quorum, why };
  return new StarlingError('write.no_quorum', facts);
}

function refusedSampleCount(plan: PushPlan, tally: PushTally): number {
  let samples = 0;
  for (let row = 0; row < plan.rowCount; row++) {
    if (tally.decided[row] !== 2) continue;
    samples += plan.rowSampleEnd[row]! - plan.rowSampleStart[row]!;
    if (plan.rowHistogram[row]! > 0) samples++;
  }
  return samples;
}

/** Why the first row that was refused was. */
function refusalOf({ refusals, tally }: Flight): StarlingError {
  for (const refusal of refusals) {
    const error = refusalIn(refusal, (row) => tally.decided[row] === 2);
    if (error !== undefined && error.http < 500) return error;
  }
  return new StarlingError('sample.refused', undefined);
}

/** Why an ingester refused the first of its rows that is wanted: it lists reasons in the order of the rows. */
function refusalIn(
  { answer, chunk }: Refusal,
  isWanted: (row: number) => boolean,
): StarlingError | undefined {
  const rank = answer.rejected.findIndex((index) => isWanted(rowOf(chunk, index)));
  return answer.errors[Math.min(rank, answer.errors.length - 1)];
}
