/**
 * The life of one query: its deadline, its client's patience and what it holds. When the deadline
 * passes, the client leaves or the query fails, everything that works for it is told to stop: asks are
 * cancelled, and a job in a worker sees the flag between two steps of its work.
 */
import { StarlingError } from '../../model/errors.ts';
import type { Clock } from '../../platform/platform.ts';
import { type NodeBytes, QueryBytes } from './byte-budget.ts';

export interface TicketOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Tells that nobody waits any more. */
  readonly reply: { onCancel(callback: () => void): void };
  readonly nodeBytes: NodeBytes;
  readonly bytesMax: number;
}

/** Why what nobody waits for any more is stopped: most queries end so, and an error costs more than its text. */
const OVER = new StarlingError('request.canceled', undefined);

export class Ticket {
  readonly bytes: QueryBytes;
  /** Shared with workers: not 0 once the work is to stop. */
  readonly stopFlag = new Int32Array(new SharedArrayBuffer(4));
  #reason: StarlingError | undefined;
  /** Made when somebody asks for its signal: few do, and it costs. */
  #controller: AbortController | undefined;
  readonly #onStop: ((reason: StarlingError) => void)[] = [];
  readonly #deadline: { cancel(): void };

  constructor({ bytesMax, clock, nodeBytes, reply, timeoutMs }: TicketOptions) {
    this.bytes = new QueryBytes(nodeBytes, bytesMax);
    const late = (): void => this.#stop(new StarlingError('query.timeout', { timeoutMs }));
    this.#deadline = clock.after(timeoutMs, late);
    reply.onCancel(() => this.#stop(new StarlingError('request.canceled', undefined)));
  }

  /** Aborts with a StarlingError. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  /** Throws the reason once the ticket is over. */
  check(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }

  onStop(callback: (reason: StarlingError) => void): void {
    if (this.#reason !== undefined) callback(this.#reason);
    else this.#onStop.push(callback);
  }

  /** What `work` resolves to, or the reason to stop, whichever is first. Ends the ticket. */
  async run<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    const stopped = new Promise<never>((_, reject) => {
      this.onStop(reject);
    });
    try {
      return await Promise.race([work(), stopped]);
    } finally {
      this.#deadline.cancel();
      this.#stop(OVER);
      this.bytes.close();
    }
  }

  #stop(reason: StarlingError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    Atomics.store(this.stopFlag, 0, 1);
    this.#controller?.abort(reason);
    for (const callback of this.#onStop.splice(0)) callback(reason);
  }
}
