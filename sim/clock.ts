/**
 * A node's clock on virtual time: a wall clock that may be off, and a monotonic one that starts with
 * each life. Callbacks belong to the life that asked for them.
 */
import type { Clock } from '../platform/platform.ts';
import type { Loop, Owner } from './loop.ts';

/** When every run begins, on true wall clocks: 2027-01-01T00:00:00Z. */
export const EPOCH_MS = 1_798_761_600_000;
/** What a turn of the loop costs: time must pass, or a node that polls would stop it. */
export const TURN_MS = 0.01;
/** As the real timers: shorter waits are stretched. */
export const TIMER_MS_MIN = 1;

/** How wrong a machine's wall clock is. Its lives read it, so a change is a step they see. */
export interface WallError {
  offsetMs: number;
  /** How much it gains, parts per million since the run began. */
  driftPpm: number;
}

export class SimClock implements Clock {
  readonly #loop: Loop;
  readonly #owner: Owner;
  readonly #wall: Readonly<WallError>;
  readonly #bornMs: number;

  constructor(loop: Loop, owner: Owner, wall: Readonly<WallError>) {
    this.#loop = loop;
    this.#owner = owner;
    this.#wall = wall;
    this.#bornMs = loop.nowMs;
  }

  wallMs(): number {
    const { driftPpm, offsetMs } = this.#wall;
    return Math.floor(EPOCH_MS + this.#loop.nowMs * (1 + driftPpm / 1e6) + offsetMs);
  }

  monotonicMs(): number {
    return this.#loop.nowMs - this.#bornMs;
  }

  after(delayMs: number, callback: () => void): { cancel(): void } {
    return this.#loop.schedule(this.#owner, Math.max(TIMER_MS_MIN, delayMs), callback);
  }

  nextTurn(callback: () => void): void {
    this.#loop.schedule(this.#owner, TURN_MS, callback);
  }

  afterPromises(callback: () => void): void {
    this.#loop.afterPromises(this.#owner, callback);
  }
}
