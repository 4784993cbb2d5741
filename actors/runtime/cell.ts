/**
 * A cell holds one actor: it counts admission before dispatch, runs the handler inside nact's mailbox,
 * and supervises it. Of nact only mailboxes and the tree are used: a handler's fault never reaches
 * nact's own supervision (whose `resume` and `reset` can run two handlers at once), its ask ids are
 * not used (32 random bits collide), and no cell has more than about a hundred siblings.
 *
 *   running --throw--> restarting --back-off--> running
 *                 too many restarts, or not to be restarted at all: stopped, escalated
 */
import { dispatch, spawn, stop } from 'nact';
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { Clock, Log, Timer } from '../../platform/platform.ts';
import type { Actor, ActorContext, ActorOptions, ActorStatus, Message } from './types.ts';

export const RESTART_BACKOFF_MS = 100;
export const RESTART_BACKOFF_MAX_MS = 10_000;
export const RESTARTS_MAX = 10;
/** Restarts further apart than this are forgiven. */
export const RESTART_WINDOW_MS = 60_000;

/** nact's own reference types are empty; what matters is that only nact makes them. */
export type NactRef = Parameters<typeof stop>[0];

export interface CellSeams {
  readonly clock: Clock;
  readonly log: Log;
  /** The actor failed for good. */
  readonly onEscalate: (path: string, cause: unknown) => void;
}

export class Cell<Own extends Message> {
  readonly options: ActorOptions<Own>;
  readonly #seams: CellSeams;
  readonly #ref: NactRef;
  #actor: Actor<Own> | undefined;
  #timers: Timer[] = [];
  #state: ActorStatus['state'] = 'running';
  #depth = 0;
  #handled = 0;
  #failed = 0;
  #shed = 0;
  #restarts = 0;
  #recentRestarts = 0;
  #lastRestartMs = Number.NEGATIVE_INFINITY;

  constructor(parent: NactRef, options: ActorOptions<Own>, seams: CellSeams) {
    this.options = options;
    this.#seams = seams;
    const name = options.path.slice(options.path.lastIndexOf('/') + 1);
    this.#ref = spawn(parent, (_: number, message: Own) => this.#handle(message), name);
    this.#start();
  }

  get status(): ActorStatus {
    return {
      path: this.options.path,
      depth: this.#depth,
      handled: this.#handled,
      failed: this.#failed,
      shed: this.#shed,
      restarts: this.#restarts,
      state: this.#state,
    };
  }

  /** Admits and dispatches, or throws `node.overloaded` / `node.not_ready`. */
  send(message: Own): void {
    const { path, mailboxMax } = this.options;
    if (this.#state !== 'running') {
      this.#shed++;
      throw new StarlingError('node.not_ready', { why: `the actor ${path} is ${this.#state}` });
    }
    if (this.#depth >= mailboxMax) {
      this.#shed++;
      throw new StarlingError('node.overloaded', {
        what: `the mailbox of ${path}`,
        countMax: mailboxMax,
      });
    }
    this.#depth++;
    dispatch(this.#ref, message);
  }

  stop(): void {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    this.#release();
    stop(this.#ref);
  }

  #start(): void {
    this.#actor = this.options.create(this.#context());
    this.#state = 'running';
  }

  #context(): ActorContext<Own> {
    const { clock } = this.#seams;
    const tellOrDrop = (message: Own): void => {
      try {
        this.send(message);
      } catch {
        this.#failed++; // counted: a completion for an actor that is gone or over its bound
      }
    };
    return {
      path: this.options.path,
      tell: tellOrDrop,
      every: (intervalMs, message) => {
        const slot = this.#timers.length;
        const arm = (): void => {
          this.#timers[slot] = clock.after(intervalMs, () => {
            tellOrDrop(message());
            arm();
          });
        };
        arm();
      },
    };
  }

  /** Inside nact's mailbox. Never throws. */
  #handle(message: Own): number {
    this.#depth--;
    this.#handled++;
    const actor = this.#actor;
    if (this.#state !== 'running' || actor === undefined) {
      failReply(message, new StarlingError('node.not_ready', { why: 'the actor restarts' }));
      return 0;
    }
    try {
      actor.receive(message);
    } catch (error) {
      this.#failed++;
      failReply(message, toStarlingError(error));
      this.#restart(error);
    }
    return 0;
  }

  #restart(cause: unknown): void {
    const { clock, log, onEscalate } = this.#seams;
    const { path } = this.options;
    const nowMs = clock.monotonicMs();
    this.#recentRestarts =
      nowMs - this.#lastRestartMs > RESTART_WINDOW_MS ? 1 : this.#recentRestarts + 1;
    this.#lastRestartMs = nowMs;
    this.#restarts++;
    this.#release();
    log.error('actor failed', {
      path,
      restarts: this.#restarts,
      error: String(cause),
      stack: stackOf(cause),
    });
    if (this.#recentRestarts > RESTARTS_MAX || this.options.canRestart === false) {
      this.#state = 'stopped';
      onEscalate(path, cause);
      return;
    }
    this.#state = 'restarting';
    const delayMs = Math.min(
      RESTART_BACKOFF_MS * 2 ** (this.#recentRestarts - 1),
      RESTART_BACKOFF_MAX_MS,
    );
    this.#timers.push(clock.after(delayMs, () => this.#restarted()));
  }

  #restarted(): void {
    if (this.#state !== 'restarting') return;
    this.#timers = [];
    try {
      this.#start();
    } catch (error) {
      this.#restart(error);
    }
  }

  #release(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers = [];
    const actor = this.#actor;
    this.#actor = undefined;
    try {
      actor?.stop?.();
    } catch (error) {
      this.#seams.log.error('actor failed to stop', {
        path: this.options.path,
        error: String(error),
      });
    }
  }
}

/** Answers the ask that a failed handler left open; one that it answered already stays answered. */
function failReply(message: Message, error: StarlingError): void {
  const reply = (message as { readonly reply?: { failOnce?: (error: StarlingError) => void } })
    .reply;
  reply?.failOnce?.(error);
}

function stackOf(cause: unknown): string | undefined {
  return cause instanceof Error ? cause.stack : undefined;
}
