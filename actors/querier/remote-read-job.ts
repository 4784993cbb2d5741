/** The worker job behind remote read: merge the replicas' frames of each query and encode the answer. */
import snappyjs from 'snappyjs';
import { StarlingError } from '../../model/errors.ts';
import { withScratch } from '../../model/scratch-memory.ts';
import type { TimeRange } from '../../model/sample.ts';
import { mergeSeriesFrames } from '../../storage/index.ts';
import { checkStop, readFrames } from './evaluate-job.ts';
import { type ReadRequest, encodeChunks, encodeSamples } from './remote-read-codec.ts';

export const REMOTE_READ_JOB = 'querier.remote-read';

export interface RemoteReadInput {
  readonly kind: ReadRequest['kind'];
  /** By query: the frames of all replicas, and the range to keep. */
  readonly queries: readonly {
    readonly frames: readonly Uint8Array[];
    readonly range: TimeRange;
  }[];
  readonly samplesMax: number;
  /** Shared; not 0 once nobody waits for the output. */
  readonly stopFlag: Int32Array;
}

export interface RemoteReadOutput {
  /** Snappy for samples, frames as they are for chunks. */
  readonly data: Uint8Array;
}

export function runRemoteReadJob(input: RemoteReadInput): RemoteReadOutput {
  return withScratch(() => answered(input));
}

function answered({ kind, queries, samplesMax, stopFlag }: RemoteReadInput): RemoteReadOutput {
  const check = (): void => checkStop(stopFlag);
  let samples = 0;
  const results = queries.map(({ frames, range }) => {
    check();
    const merged = readFrames(() => mergeSeriesFrames(frames, range));
    samples += merged.timestamps.length;
    if (samples > samplesMax) {
      const facts = { what: 'samples', count: samples, countMax: samplesMax };
      throw new StarlingError('query.too_large', facts);
    }
    return merged;
  });
  if (kind === 'chunks') return { data: encodeChunks(results, check) };
  return { data: snappyjs.compress(encodeSamples(results, check)) };
}
