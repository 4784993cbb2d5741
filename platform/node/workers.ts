/**
 * A pool of worker threads. A job is a name plus data; the table of jobs is a module that each thread
 * loads. Invariant: every job settles. The queue is bounded, a running job has a deadline, and a
 * thread that ends (a crash, out of memory, a module that does not load) fails its job; the next job
 * in line starts a new one.
 */
import { Worker } from 'node:worker_threads';
import {
  type ErrorFacts,
  type ErrorId,
  StarlingError,
  errorCatalogue,
  toStarlingError,
} from '../../model/errors.ts';
import type { Workers } from '../platform.ts';
import { giveAwayFirstBuffer } from './first-transfer.ts';

/** A job returns its output, the buffers that may move instead of being copied, and those of its input that are done with. */
export type Job = (input: unknown) => {
  readonly output: unknown;
  readonly transfer?: readonly ArrayBuffer[];
  readonly spent?: readonly ArrayBufferLike[];
};
export type JobTable = ReadonlyMap<string, Job>;

export interface WorkerRequest {
  readonly name: string;
  readonly input: unknown;
}

export interface WorkerAnswer {
  readonly output?: unknown;
  readonly error?: { readonly id: string; readonly facts: unknown };
}

export interface WorkersOptions {
  readonly threads: number;
  /** A module that exports `jobs`. */
  readonly jobsModule: URL;
  /** Jobs that wait for a thread, at most. */
  readonly queueMax: number;
  /** A job that runs longer is stopped with its thread. */
  readonly jobTimeoutMs?: number;
  /** What a job that nobody waits for may still run before it is stopped with its thread. */
  readonly stopTimeoutMs?: number;
}

/** Far above any query's own budget: only a job that hangs meets it. */
const JOB_TIMEOUT_MS = 10 * 60_000;
const STOP_TIMEOUT_MS = 1000;

interface Task {
  readonly request: WorkerRequest;
  readonly transfer: readonly ArrayBuffer[];
  readonly signal: AbortSignal | undefined;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: StarlingError) => void;
}

const entry = new URL('./worker-entry.js', import.meta.url);

export function createNodeWorkers(options: WorkersOptions): Workers {
  giveAwayFirstBuffer();
  const pool = new Pool(options);
  return {
    run: <Output>(
      name: string,
      input: unknown,
      transfer: readonly ArrayBuffer[] = [],
      signal?: AbortSignal,
    ) =>
      new Promise<Output>((resolve, reject) => {
        pool.add({
          request: { name, input },
          transfer,
          signal,
          resolve: (output) => resolve(output as Output), // the caller knows its job
          reject,
        });
      }),
    close: () => pool.close(),
  };
}

class Pool {
  readonly #options: WorkersOptions;
  readonly #queue: Task[] = [];
  readonly #threads = new Set<Thread>();
  #isClosed = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  add(task: Task): void {
    const { queueMax, threads } = this.#options;
    if (task.signal?.aborted === true) {
      task.reject(toStarlingError(task.signal.reason));
      return;
    }
    task.signal?.addEventListener('abort', () => this.#drop(task), { once: true });
    const idle = [...this.#threads].find((thread) => thread.isIdle);
    if (this.#isClosed) task.reject(new StarlingError('request.canceled', undefined));
    else if (idle !== undefined) idle.start(task);
    else if (this.#threads.size < threads) this.#open().start(task);
    else if (this.#queue.length < queueMax) this.#queue.push(task);
    else {
      const facts = { what: 'the queue of worker jobs', countMax: queueMax };
      task.reject(new StarlingError('node.overloaded', facts));
    }
  }

  #drop(task: Task): void {
    const at = this.#queue.indexOf(task);
    if (at >= 0) this.#queue.splice(at, 1);
    task.reject(toStarlingError(task.signal?.reason)); // does nothing once it is settled
    for (const thread of this.#threads) thread.stopSoon(task);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const task of this.#queue.splice(0)) {
      task.reject(new StarlingError('request.canceled', undefined));
    }
    await Promise.all([...this.#threads].map((thread) => thread.close()));
  }

  #open(): Thread {
    const thread: Thread = new Thread(this.#options, {
      onIdle: () => {
        const task = this.#queue.shift();
        if (task !== undefined) thread.start(task);
      },
      onEnd: () => {
        this.#threads.delete(thread);
        const task = this.#queue.shift();
        if (task !== undefined) this.#open().start(task);
      },
    });
    this.#threads.add(thread);
    return thread;
  }
}

interface ThreadCallbacks {
  readonly onIdle: () => void;
  /** The thread is gone, its job rejected. */
  readonly onEnd: () => void;
}

/** One worker thread and the job it runs. An idle thread does not keep the process alive. */
class Thread {
  readonly #worker: Worker;
  readonly #timeoutMs: number;
  readonly #callbacks: ThreadCallbacks;
  #task: Task | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #stopTimeoutMs: number;
  #isEnding = false;

  constructor(options: WorkersOptions, callbacks: ThreadCallbacks) {
    this.#callbacks = callbacks;
    this.#timeoutMs = options.jobTimeoutMs ?? JOB_TIMEOUT_MS;
    this.#stopTimeoutMs = options.stopTimeoutMs ?? STOP_TIMEOUT_MS;
    this.#worker = new Worker(entry, { workerData: { jobsModule: options.jobsModule.href } });
    this.#worker.unref();
    let cause: unknown = 'the worker thread ended';
    this.#worker.on('message', (answer: WorkerAnswer) => this.#finish(answer));
    this.#worker.on('messageerror', (error) =>
      this.#finish({ error: { id: 'internal', facts: error.message } }),
    );
    this.#worker.on('error', (error) => (cause = error));
    this.#worker.on('exit', () => {
      this.#isEnding = true;
      const task = this.#settle();
      const job = task?.request.name ?? '';
      task?.reject(new StarlingError('node.worker_ended', { job }, cause));
      callbacks.onEnd();
    });
  }

  get isIdle(): boolean {
    return this.#task === undefined && !this.#isEnding;
  }

  start(task: Task): void {
    try {
      this.#worker.postMessage(task.request, [...task.transfer]);
    } catch (error) {
      // The input cannot be copied: the job is at fault, the thread is not.
      task.reject(new StarlingError('internal', undefined, error));
      this.#callbacks.onIdle();
      return;
    }
    this.#task = task;
    this.#worker.ref();
    this.#timer = setTimeout(() => this.#stopHanging(), this.#timeoutMs);
  }

  /** Nobody waits for the task any more: when it runs here, it ends soon, by itself or with the thread. */
  stopSoon(task: Task): void {
    if (this.#task !== task) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stopHanging(), this.#stopTimeoutMs);
  }

  async close(): Promise<void> {
    this.#isEnding = true;
    this.#settle()?.reject(new StarlingError('request.canceled', undefined));
    await this.#worker.terminate();
  }

  #finish(answer: WorkerAnswer): void {
    const task = this.#settle();
    if (answer.error === undefined) task?.resolve(answer.output);
    else task?.reject(revive(answer.error));
    if (this.isIdle) this.#callbacks.onIdle();
  }

  #stopHanging(): void {
    const facts = { what: `the job ${this.#task?.request.name ?? ''}`, timeoutMs: this.#timeoutMs };
    this.#isEnding = true;
    this.#settle()?.reject(new StarlingError('request.deadline', facts));
    void this.#worker.terminate(); // 'exit' follows
  }

  /** Takes the running task: it is settled once. */
  #settle(): Task | undefined {
    clearTimeout(this.#timer);
    this.#worker.unref();
    const task = this.#task;
    this.#task = undefined;
    return task;
  }
}

function revive(error: NonNullable<WorkerAnswer['error']>): StarlingError {
  if (error.id === 'internal' || !Object.hasOwn(errorCatalogue, error.id)) {
    return new StarlingError('internal', undefined, error.facts);
  }
  return new StarlingError(error.id as ErrorId, error.facts as ErrorFacts<ErrorId>);
}
