/**
 * What runs inside a worker thread: takes a job by name, runs it, posts its output or its error. An
 * error of the catalogue crosses as its id and facts and is made again on the other side.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { StarlingError } from '../../model/errors.ts';
import { freeBuffers } from './free-buffers.ts';
import { giveAwayFirstBuffer } from './first-transfer.ts';
import type { JobTable, WorkerAnswer, WorkerRequest } from './workers.ts';

giveAwayFirstBuffer();
const port = parentPort;
const { jobs } = (await import((workerData as { readonly jobsModule: string }).jobsModule)) as {
  readonly jobs: JobTable;
};

port?.on('message', (request: WorkerRequest) => {
  try {
    const job = jobs.get(request.name);
    if (job === undefined) throw new Error(`there is no job ${request.name}`);
    const { output, spent = [], transfer = [] } = job(request.input);
    const answer: WorkerAnswer = { output };
    port.postMessage(answer, [...transfer]);
    freeBuffers(spent);
  } catch (error) {
    port.postMessage({ error: describe(error) } satisfies WorkerAnswer);
  }
});

function describe(error: unknown): NonNullable<WorkerAnswer['error']> {
  if (error instanceof StarlingError) return { id: error.id as string, facts: error.facts };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { id: 'internal', facts: text };
}
