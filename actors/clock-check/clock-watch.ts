/**
 * What this node knows of its own wall clock: the last comparison with others, and whether the clock jumped
 * since. Writers are refused for what a clock says only while it is known to be right: a refusal is final for
 * them, they drop the samples; a node that does not know asks them to come again.
 */
import type { Clock } from '../../platform/platform.ts';
import type { ClockVerdict } from './verdict.ts';

/** A comparison holds for so long. */
const FRESH_MS = 60_000;

export class ClockWatch {
  /** A clock that is off by more than this is wrong. */
  readonly limitMs: number;
  readonly #clock: Clock;
  readonly #isAlone: () => boolean;
  #verdict: ClockVerdict = { kind: 'disputed' };
  #atMs = Number.NEGATIVE_INFINITY;
  /** Wall less monotonic, at the last comparison. */
  #differenceMs = 0;

  /**
   * `graceMs`: how far ahead of the clock samples may lie; a clock may be off by half of it. `isAlone`: no other
   * instance is registered, so there is no other clock.
   */
  constructor(clock: Clock, graceMs: number, isAlone: () => boolean) {
    this.#clock = clock;
    this.#isAlone = isAlone;
    this.limitMs = Math.min(Math.max(graceMs / 2, LIMIT_MIN_MS), LIMIT_MAX_MS);
  }

  note(verdict: ClockVerdict): void {
    this.#verdict = verdict;
    this.#atMs = this.#clock.monotonicMs();
    this.#differenceMs = this.#difference();
  }

  /** Whether the clock stepped since the last comparison. */
  get hasJumped(): boolean {
    return Math.abs(this.#difference() - this.#differenceMs) > this.limitMs;
  }

  /** 'disputed' also while nobody compared it, or not since it jumped. */
  get verdict(): ClockVerdict {
    if (this.#isAlone()) return { kind: 'right' };
    const isFresh = this.#clock.monotonicMs() - this.#atMs <= FRESH_MS;
    if (!isFresh || this.hasJumped) return { kind: 'disputed' };
    return this.#verdict;
  }

  /** Why this node takes no writes and is not ready; empty: its clock is as the others'. */
  get reason(): string {
    const { verdict } = this;
    if (verdict.kind !== 'wrong') return '';
    const seconds = Math.round(Math.abs(verdict.byMs) / 1000);
    const side = verdict.byMs > 0 ? 'behind' : 'ahead of';
    return `its clock is ${seconds} s ${side} the clocks of most other nodes: set it (NTP); it takes no writes until then`;
  }

  #difference(): number {
    return this.#clock.wallMs() - this.#clock.monotonicMs();
  }
}

const LIMIT_MIN_MS = 10_000;
const LIMIT_MAX_MS = 5 * 60_000;
