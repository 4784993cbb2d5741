/**
 * One push from body to verdict: decode, pass, route, send, count. Runs in short slices between
 * which the loop is free, and owns pooled buffers until the last replica answered or timed out.
 *
 *   body -> snappy -> columns -> rows in chunks -> ingesters -> tally -> stored | refused | error
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import { type FingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';
import {
  type WriteColumns,
  beginWriteRequestPass,
  continueWriteRequestPass,
} from '../../model/wire/remote-write.ts';
import { beginSnappyDecode, continueSnappyDecode, snappyLength } from '../../model/wire/snappy.ts';
import type { EncodedWriteBatch } from '../../model/wire/write-batch.ts';
import {
  type Chunk,
  type PushContext,
  type PushPlan,
  beginPushPlan,
  chunkWithLabels,
  continuePushPlan,
  fillChunk,
  markHeld,
  noteError,
} from './push-plan.ts';
import { type PushTally, countAnswer, createTally, pushVerdict } from './quorum.ts';

/** The most bytes a body may decode to, as in Prometheus. */
export const DECODED_BYTES_MAX = 32 * 1024 * 1024;
/** Work between two turns of the loop: about a millisecond each. */
const DECODE_BYTES_PER_SLICE = 1024 * 1024;
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
  /** Lets the loop turn once. */
  readonly nextTurn: () => Promise<void>;
  /** Called with the number of samples once validation is done; throws `limit.ingestion_rate`. */
  readonly admitSamples: (samples: number) => void;
}

export interface PushBuffers {
  /** Grown as needed, at least the decoded length. */
  decoded: Uint8Array;
  readonly columns: WriteColumns;
}

export interface PushResult {
  readonly samplesStored: number;
  readonly refused: StarlingError | undefined;
  /** Resolves when no replica needs the buffers any more. */
  readonly released: Promise<void>;
}

/** Runs a push. Rejects with the error that answers the whole request. */
export async function runPush(
  dependencies: PushDependencies,
  body: Uint8Array,
  buffers: PushBuffers,
): Promise<PushResult> {
  const plan = await decodeAndRoute(dependencies, body, buffers);
  const samples = plan.columns.sampleCount - plan.invalidSamples;
  dependencies.admitSamples(samples);
  const quorum = dependencies.writeQuorum;
  for (let row = 0; row < plan.rowCount; row++) {
    if (plan.rowReplicas[row]! >= quorum) continue;
    const why = 'too few instances are registered for the replication factor';
    throw new StarlingError('write.no_quorum', {
      acks: plan.rowReplicas[row]!,
      needed: quorum,
      why,
    });
  }
  return sendChunks(dependencies, plan, samples);
}

async function decodeAndRoute(
  dependencies: PushDependencies,
  body: Uint8Array,
  buffers: PushBuffers,
): Promise<PushPlan> {
  const length = snappyLength(body, DECODED_BYTES_MAX);
  if (buffers.decoded.length < length) buffers.decoded = new Uint8Array(length + (length >>> 2));
  const decode = beginSnappyDecode(body, buffers.decoded, length);
  while (!continueSnappyDecode(decode, DECODE_BYTES_PER_SLICE)) await dependencies.nextTurn();
  const { columns } = buffers;
  const pass = beginWriteRequestPass(buffers.decoded, length, dependencies.rawKey, columns);
  while (!continueWriteRequestPass(pass, SERIES_PER_SLICE)) await dependencies.nextTurn();
  const plan = beginPushPlan(dependencies.context, viewOf(buffers.decoded), columns);
  while (!continuePushPlan(plan, SERIES_PER_SLICE)) await dependencies.nextTurn();
  return plan;
}

/** Sends every chunk, counts the answers, and settles as soon as the verdict is known. */
function sendChunks(
  dependencies: PushDependencies,
  plan: PushPlan,
  samples: number,
): Promise<PushResult> {
  const replicas = plan.rowReplicas.subarray(0, plan.rowCount);
  const tally = createTally(plan.rowCount, replicas, dependencies.writeQuorum);
  const reasons = new Set<string>();
  return new Promise((resolve, reject) => {
    let isSettled = false;
    const settle = (released: Promise<void>): void => {
      const verdict = pushVerdict(tally);
      if (isSettled || verdict === 'pending') return;
      isSettled = true;
      if (verdict === 'failed') reject(noQuorum(tally, reasons));
      else {
        const refusedSamples = refusedSampleCount(plan, tally);
        const isClean = verdict === 'stored' && plan.errors.length === 0;
        const refused = isClean ? undefined : firstError(plan, tally);
        resolve({ samplesStored: samples - refusedSamples, refused, released });
      }
    };
    const answered = plan.chunks.map(async (chunk) => {
      await sendChunk(dependencies, plan, tally, chunk, reasons);
    });
    const released = Promise.all(answered).then(() => undefined);
    for (const one of answered) void one.then(() => settle(released));
    settle(released);
  });
}

/** Sends one chunk, again with labels where the ingester asks, and counts its rows. Never rejects. */
async function sendChunk(
  dependencies: PushDependencies,
  plan: PushPlan,
  tally: PushTally,
  chunk: Chunk,
  reasons: Set<string>,
): Promise<void> {
  const instance = dependencies.instances[chunk.instance]!;
  try {
    const answer = await dependencies.send(instance, fillChunk(plan, chunk));
    if (answer.unknown.length > 0) {
      const again = chunkWithLabels(plan, chunk, answer.unknown);
      const second = await dependencies.send(instance, fillChunk(plan, again));
      if (second.unknown.length > 0) throw new StarlingError('internal', undefined);
      countChunk(plan, tally, again, second, undefined);
      markHeld(plan, again);
    }
    countChunk(plan, tally, chunk, answer, answer.unknown);
    markHeld(plan, chunk);
  } catch (thrown) {
    const error = toStarlingError(thrown);
    if (reasons.size < 10) reasons.add(`${instance}: ${error.message}`);
    failChunk(tally, chunk);
  }
}

/** Counts an answered chunk; rows in `skipped` are counted by the chunk that sent them again. */
function countChunk(
  plan: PushPlan,
  tally: PushTally,
  chunk: Chunk,
  answer: IngesterPushAnswer,
  skipped: Uint32Array | undefined,
): void {
  for (const error of answer.errors) noteError(plan, error);
  let nextRejected = 0;
  let nextSkipped = 0;
  for (let i = 0; i < chunk.seriesCount; i++) {
    if (skipped?.[nextSkipped] === i) {
      nextSkipped++;
      continue;
    }
    const isRejected = answer.rejected[nextRejected] === i;
    if (isRejected) nextRejected++;
    countAnswer(tally, rowOf(chunk, i), isRejected ? 'reject' : 'ack');
  }
}

function failChunk(tally: PushTally, chunk: Chunk): void {
  for (let i = 0; i < chunk.seriesCount; i++) countAnswer(tally, rowOf(chunk, i), 'fail');
}

function rowOf(chunk: Chunk, index: number): number {
  const marked = chunk.rows[index]!;
  return marked < 0 ? -marked - 1 : marked;
}

function noQuorum(tally: PushTally, reasons: ReadonlySet<string>): StarlingError {
  let row = 0;
  while (tally.decided[row] !== 3) row++;
  const why = [...reasons].join('; ') || 'the replicas disagree';
  return new StarlingError('write.no_quorum', {
    acks: tally.acks[row]!,
    needed: tally.quorum,
    why,
  });
}

function refusedSampleCount(plan: PushPlan, tally: PushTally): number {
  let samples = 0;
  for (let row = 0; row < plan.rowCount; row++) {
    if (tally.decided[row] === 2) samples += plan.rowSampleEnd[row]! - plan.rowSampleStart[row]!;
  }
  return samples;
}

/** The error of the answer. A reject that a quorum overruled is not one. */
function firstError(plan: PushPlan, tally: PushTally): StarlingError | undefined {
  if (plan.invalidSamples === 0 && tally.refusedRows === 0) {
    return plan.errors.find((error) => error.id === 'series.histograms_unsupported');
  }
  return plan.errors[0];
}
