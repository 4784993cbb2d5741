/** The jobs a worker thread can run: names to functions. Loaded by each worker. */
import {
  EVALUATE_JOB,
  type EvaluateInput,
  runEvaluateJob,
} from '../actors/querier/evaluate-job.ts';
import {
  EXEMPLARS_JOB,
  type ExemplarsInput,
  runExemplarsJob,
} from '../actors/querier/exemplars-job.ts';
import { WARM_UP_JOB, runWarmUpJob } from '../actors/querier/warm-up.ts';
import {
  METADATA_JOB,
  type MetadataInput,
  runMetadataJob,
} from '../actors/querier/metadata-job.ts';
import { NAMES_JOB, type NamesInput, runNamesJob } from '../actors/querier/names-job.ts';
import {
  REMOTE_READ_JOB,
  type RemoteReadInput,
  runRemoteReadJob,
} from '../actors/querier/remote-read-job.ts';
import type { Job, JobTable } from '../platform/node/workers.ts';

export const jobs: JobTable = new Map<string, Job>([
  [
    EVALUATE_JOB,
    (input) => {
      const all = input as EvaluateInput; // only the querier posts it
      const output = runEvaluateJob(all, () => performance.now());
      return { ...moved(output), spent: buffersOf(all.selections) };
    },
  ],
  [
    EXEMPLARS_JOB,
    (input) => moved(runExemplarsJob(input as ExemplarsInput)), // likewise
  ],
  [
    METADATA_JOB,
    (input) => moved(runMetadataJob(input as MetadataInput)), // likewise
  ],
  [
    NAMES_JOB,
    (input) => moved(runNamesJob(input as NamesInput)), // likewise
  ],
  [
    REMOTE_READ_JOB,
    (input) => {
      const all = input as RemoteReadInput; // likewise
      return { ...moved(runRemoteReadJob(all)), spent: buffersOf(all.queries) };
    },
  ],
  [
    WARM_UP_JOB,
    () => {
      runWarmUpJob();
      return { output: {} };
    },
  ],
]);

/** An output whose bytes move instead of being copied, unless their buffer is shared with others. */
function moved(output: { readonly data: Uint8Array }): ReturnType<Job> {
  const { buffer, byteLength, byteOffset } = output.data;
  const isOwn = buffer instanceof ArrayBuffer && byteOffset === 0 && byteLength > Buffer.poolSize;
  return { output, transfer: isOwn ? [buffer] : [] };
}

/** Where the frames of an input are. */
function buffersOf(
  inputs: readonly { readonly frames: readonly Uint8Array[] }[],
): readonly ArrayBufferLike[] {
  return inputs.flatMap(({ frames }) => frames.map(({ buffer }) => buffer));
}
