/**
 * The committer: one per node, it owns durability for the logs of all tenants. It decides when a
 * log is written and synced, how many at once, and what a failed sync means.
 *
 *   commit(log) ──► next batch ──► [queue] ──► write ──► sync (mode batch) ──► everybody acked
 *                   callers join it until it starts; a log has one running batch at a time
 *
 * Group commit: while a batch of a log is on the disk the next one gathers; nobody waits for a timer.
 * Modes: `batch` acks after the sync; `interval` after the write, with a sync every `intervalMs`;
 * `os` after the write, syncing only when a segment ends or a log closes.
 *
 * A failed write fails its batch only: the log keeps the bytes and the next batch writes them again.
 * A failed sync is final: what the kernel holds is unknown from then on, so nothing is retried or
 * trusted, every waiter and every later commit gets `wal.sync_failed`, and `onFatal` is called once.
 */
import { assert } from '../model/assert.ts';
import { StarlingError, toStarlingError } from '../model/errors.ts';
import type { Clock, Log, Timer } from '../platform/platform.ts';
import { BufferPool } from './wal/buffer-pool.ts';

export type CommitMode = 'batch' | 'interval' | 'os';

/** Commits running at once: Node has four threads for the disk, one stays free for readers. */
export const COMMIT_CONCURRENCY_MAX = 3;

export interface CommitterOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly mode: CommitMode;
  /** Between syncs in mode `interval`. */
  readonly intervalMs: number;
  readonly concurrencyMax?: number;
  /** Called after every sync with its duration. */
  readonly onSync?: (seconds: number) => void;
  /** Called once, at the first failed sync: the node must stop acking, drain reads and exit. */
  readonly onFatal: (error: StarlingError) => void;
}

/** A log as the committer sees it. Both throw `wal.write_failed` or `wal.sync_failed`. */
export interface CommitTarget {
  /** Writes all that was appended before the call. Never called twice at once for one target. */
  write(): Promise<void>;
  /** Makes all that was written before the call durable. May run beside `write`. */
  sync(): Promise<void>;
}

/** One batch: its callers share the promise. */
interface Batch {
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: StarlingError) => void;
}

interface TargetState {
  running: Batch | undefined;
  next: Batch | undefined;
}

export class Committer {
  readonly mode: CommitMode;
  /** Buffers shared by all logs, so that an idle one holds none. */
  readonly buffers = new BufferPool();
  readonly #options: CommitterOptions;
  readonly #concurrencyMax: number;
  readonly #states = new Map<CommitTarget, TargetState>();
  readonly #queue: CommitTarget[] = [];
  readonly #unsynced = new Set<CommitTarget>();
  #running = 0;
  #isPumpScheduled = false;
  #timer: Timer | undefined;
  #fatal: StarlingError | undefined;
  /** Writes that failed since the start; their bytes were kept and written again. */
  writeFailures = 0;

  constructor(options: CommitterOptions) {
    this.mode = options.mode;
    this.#options = options;
    this.#concurrencyMax = options.concurrencyMax ?? COMMIT_CONCURRENCY_MAX;
    assert(this.#concurrencyMax > 0, 'committer: no concurrency');
  }

  /** The failed sync after which nothing is acked any more. */
  get fatal(): StarlingError | undefined {
    return this.#fatal;
  }

  /**
   * Resolves when all that was appended to the log before the call is down, as the mode defines it.
   * Rejects with `wal.write_failed` (retry) or `wal.sync_failed` (for good). The promise may be
   * shared with other callers.
   */
  commit(target: CommitTarget): Promise<void> {
    if (this.#fatal !== undefined) return Promise.reject(this.#fatal);
    const state = this.#stateOf(target);
    if (state.next === undefined) {
      state.next = newBatch();
      if (state.running === undefined) this.#enqueue(target);
    }
    return state.next.done;
  }

  /** The batch of this log that is on the disk now, if any. */
  running(target: CommitTarget): Promise<void> | undefined {
    return this.#states.get(target)?.running?.done;
  }

  /** Writes and syncs a log whatever the mode: for the end of a log. Then it is forgotten. */
  async finish(target: CommitTarget): Promise<void> {
    await this.commit(target);
    this.#unsynced.delete(target);
    await this.#sync(target);
  }

  /** Syncs what is unsynced and stops the timer. Logs should be closed before. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.#syncAll();
  }

  #stateOf(target: CommitTarget): TargetState {
    let state = this.#states.get(target);
    if (state === undefined) {
      state = { running: undefined, next: undefined };
      this.#states.set(target, state);
    }
    return state;
  }

  #enqueue(target: CommitTarget): void {
    this.#queue.push(target);
    if (this.#isPumpScheduled) return;
    this.#isPumpScheduled = true;
    // The next turn, not now: the other appends of this turn join the batch.
    this.#options.clock.nextTurn(() => {
      this.#isPumpScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#running < this.#concurrencyMax) {
      const target = this.#queue.shift();
      if (target === undefined) return;
      this.#running++;
      void this.#run(target);
    }
  }

  /** Runs one batch. Never rejects. */
  async #run(target: CommitTarget): Promise<void> {
    const state = this.#stateOf(target);
    const batch = state.next;
    state.running = batch;
    state.next = undefined;
    try {
      if (this.#fatal !== undefined) throw this.#fatal;
      await target.write();
      await this.#afterWrite(target);
      batch?.resolve();
    } catch (thrown) {
      batch?.reject(this.#failureOf(thrown));
    }
    this.#running--;
    state.running = undefined;
    this.#settle(target, state);
    this.#pump();
  }

  /** Queues the batch that gathered meanwhile; forgets a log without one. */
  #settle(target: CommitTarget, state: TargetState): void {
    if (state.next === undefined) this.#states.delete(target);
    else this.#queue.push(target);
  }

  async #afterWrite(target: CommitTarget): Promise<void> {
    if (this.mode === 'batch') await this.#sync(target);
    if (this.mode !== 'interval') return;
    this.#unsynced.add(target);
    this.#timer ??= this.#options.clock.after(this.#options.intervalMs, () => {
      this.#timer = undefined;
      // A failure is fatal and told to everybody there; nobody waits for this promise.
      this.#syncAll().catch((thrown: unknown) => this.#failureOf(thrown));
    });
  }

  /** Syncs the unsynced logs, `concurrencyMax` at a time. */
  async #syncAll(): Promise<void> {
    const targets = [...this.#unsynced];
    this.#unsynced.clear();
    const syncInTurn = async (): Promise<void> => {
      for (let target = targets.pop(); target !== undefined; target = targets.pop()) {
        await this.#sync(target);
      }
    };
    await Promise.all(Array.from({ length: this.#concurrencyMax }, syncInTurn));
  }

  async #sync(target: CommitTarget): Promise<void> {
    const { clock, onSync } = this.#options;
    const startedMs = clock.monotonicMs();
    try {
      await target.sync();
      onSync?.((clock.monotonicMs() - startedMs) / 1000);
    } catch (thrown) {
      throw this.#failureOf(thrown);
    }
    if (this.#fatal !== undefined) throw this.#fatal;
  }

  /** The error to tell. A failed sync makes the committer stop for good. */
  #failureOf(thrown: unknown): StarlingError {
    const error = toStarlingError(thrown);
    if (error.id === 'wal.sync_failed') this.#stop(error);
    if (error.id === 'wal.write_failed') this.writeFailures++;
    return this.#fatal ?? error;
  }

  #stop(error: StarlingError): void {
    if (this.#fatal !== undefined) return;
    this.#fatal = error;
    this.#options.log.error('wal.sync_failed', { why: error.message });
    this.#options.log.probe?.('wal.sync_failed');
    for (const { running, next } of this.#states.values()) {
      running?.reject(error);
      next?.reject(error);
    }
    this.#queue.length = 0;
    this.#options.onFatal(error);
  }
}

function newBatch(): Batch {
  let resolve = (): void => undefined;
  let reject = (_error: StarlingError): void => undefined;
  const done = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  done.catch(() => undefined); // a caller may have gone; the next commit tells its error again
  return { done, resolve, reject };
}
