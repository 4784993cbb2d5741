/**
 * A pool of worker threads. A job is a name plus data; the table of jobs is a module that each worker
 * loads. The queue is bounded; a worker that dies fails its job and is replaced.
 */
import { Worker } from 'node:worker_threads';
import {
  type ErrorFacts,
  type ErrorId,
  StarlingError,
  errorCatalogue,
} from '../../model/errors.ts';
import type { Workers } from '../platform.ts';

/** A job returns its output and the buffers that may move instead of being copied. */
export type Job = (input: unknown) => {
  readonly output: unknown;
  readonly transfer?: readonly ArrayBuffer[];
};
export type JobTable = ReadonlyMap<string, Job>;

export interface WorkerRequest {
  readonly id: number;
  readonly name: string;
  readonly input: unknown;
}

export interface WorkerAnswer {
  readonly id: number;
  readonly output?: unknown;
  readonly error?: { readonly id: string; readonly facts: unknown };
}

export interface WorkersOptions {
  readonly threads: number;
  /** A module that exports `jobs`. */
  readonly jobsModule: URL;
  /** Jobs that wait for a thread, at most. */
  readonly queueMax: number;
}

interface Task {
  readonly request: WorkerRequest;
  readonly transfer: readonly ArrayBuffer[];
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: StarlingError) => void;
}

interface Thread {
  readonly worker: Worker;
  task: Task | undefined;
}

const entry = new URL(
  `./worker-entry${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`,
  import.meta.url,
);

export function createNodeWorkers(options: WorkersOptions): Workers {
  const queue: Task[] = [];
  const threads: Thread[] = [];
  let nextId = 1;
  let isClosed = false;

  const start = (): Thread => {
    const worker = new Worker(entry, { workerData: { jobsModule: options.jobsModule.href } });
    const thread: Thread = { worker, task: undefined };
    worker.on('message', (answer: WorkerAnswer) => {
      const { task } = thread;
      thread.task = undefined;
      next(thread);
      if (task === undefined) return;
      if (answer.error === undefined) task.resolve(answer.output);
      else task.reject(revive(answer.error));
    });
    worker.on('error', (error) => replace(thread, error));
    worker.unref();
    return thread;
  };
  const replace = (thread: Thread, error: unknown): void => {
    thread.task?.reject(new StarlingError('internal', undefined, error));
    const at = threads.indexOf(thread);
    if (isClosed || at < 0) return;
    threads[at] = start();
    next(threads[at]);
  };
  const next = (thread: Thread): void => {
    if (thread.task !== undefined) return;
    const task = queue.shift();
    if (task === undefined) {
      thread.worker.unref();
      return;
    }
    thread.task = task;
    thread.worker.ref();
    thread.worker.postMessage(task.request, [...task.transfer]);
  };
  return {
    run: (name, input, transfer = []) =>
      new Promise((resolve, reject) => {
        if (isClosed || queue.length >= options.queueMax) {
          const facts = { what: 'the queue of worker jobs', countMax: options.queueMax };
          reject(new StarlingError('node.overloaded', facts));
          return;
        }
        const request = { id: nextId++, name, input };
        queue.push({ request, transfer, resolve: (output) => resolve(output as never), reject });
        if (threads.length < options.threads) threads.push(start());
        const idle = threads.find((thread) => thread.task === undefined);
        if (idle !== undefined) next(idle);
      }),
    close: async () => {
      isClosed = true;
      for (const task of queue.splice(0))
        task.reject(new StarlingError('request.canceled', undefined));
      await Promise.all(threads.map((thread) => thread.worker.terminate()));
    },
  };
}

function revive(error: NonNullable<WorkerAnswer['error']>): StarlingError {
  if (error.id === 'internal' || !Object.hasOwn(errorCatalogue, error.id)) {
    return new StarlingError('internal', undefined, error.facts);
  }
  return new StarlingError(error.id as ErrorId, error.facts as ErrorFacts<ErrorId>);
}
