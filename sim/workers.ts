/**
 * Workers without threads: a job runs inline, after a delay, on a copy of its input, as the border
 * between real threads would have it. Buffers that move are detached from the caller.
 */
import { StarlingError, toStarlingError } from '../model/errors.ts';
import type { Workers } from '../platform/platform.ts';
import type { Loop, Owner } from './loop.ts';
import type { SimRandom } from './random.ts';

/** A job by name: plain data in, plain data out. */
export type SimJobs = ReadonlyMap<string, (input: unknown) => { readonly output: unknown }>;

const JOB_MS_MIN = 0.2;
const JOB_MS_MAX = 5;
const QUEUE_MAX = 1000;

export function createSimWorkers(
  loop: Loop,
  owner: Owner,
  options: { readonly jobs: SimJobs; readonly random: SimRandom },
): Workers {
  let waiting = 0;
  let isClosed = false;
  return {
    run: <Output>(
      name: string,
      input: unknown,
      transfer: readonly ArrayBuffer[] = [],
      signal?: AbortSignal,
    ) =>
      new Promise<Output>((resolve, reject) => {
        if (isClosed || waiting >= QUEUE_MAX) {
          const facts = { what: 'the queue of worker jobs', countMax: QUEUE_MAX };
          reject(new StarlingError('node.overloaded', facts));
          return;
        }
        const copy: unknown = structuredClone(input, { transfer: [...transfer] });
        waiting++;
        loop.schedule(owner, options.random.between(JOB_MS_MIN, JOB_MS_MAX), () => {
          waiting--;
          const job = options.jobs.get(name);
          try {
            signal?.throwIfAborted();
            if (job === undefined) throw new Error(`there is no job ${name}`);
            resolve(structuredClone(job(copy).output) as Output);
          } catch (error) {
            reject(toStarlingError(error));
          }
        });
      }),
    close: () => {
      isClosed = true;
      return Promise.resolve();
    },
  };
}
