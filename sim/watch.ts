/**
 * Watches every request of the load for promises about availability (I23, I24, I25): it knows which
 * machine is harmed, since when all is whole, and how long pushes take in calm.
 */
import type { Violation } from './checkers/answer.ts';
import { type Harm, NOTICE_MS, type RequestSeen, checkAvailable } from './checkers/available.ts';
import { checkGray } from './checkers/gray.ts';
import { checkRecovered } from './checkers/recovered.ts';

const CALM_COUNT_MAX = 20_000;

export class AvailabilityWatch {
  /** The one machine that is harmed, when the others must do without it. */
  #harm: Harm | undefined;
  #wholeSinceMs = Infinity;
  readonly #calmMs: number[] = [];
  #slowMs: number[] = [];
  readonly #cutsHeads: () => boolean;

  /** `cutsHeads`: whether heads may have been cut before their time. */
  constructor(cutsHeads: () => boolean) {
    this.#cutsHeads = cutsHeads;
  }

  /** One machine is harmed from now on. */
  strike(victim: string, nowMs: number): void {
    this.#harm = { victim, sinceMs: nowMs, untilMs: Infinity };
    this.#slowMs = [];
  }

  /** Something else is wrong from now on: nothing is owed. */
  disturb(): void {
    this.#wholeSinceMs = Infinity;
  }

  /** The fault is over. `isSlowness`: it only made its victim slow. */
  end(isSlowness: boolean): readonly Violation[] {
    const harm = this.#harm;
    this.#harm = undefined;
    if (!isSlowness || harm === undefined) return [];
    return checkGray(this.#calmMs, this.#slowMs, harm.victim);
  }

  /** All is well again. */
  whole(nowMs: number): void {
    this.#wholeSinceMs = nowMs;
  }

  saw(request: RequestSeen): readonly Violation[] {
    const { endMs, kind, node, startMs, why } = request;
    if (kind === 'push' && why === undefined) {
      const harm = this.#harm;
      if (startMs > this.#wholeSinceMs && this.#calmMs.length < CALM_COUNT_MAX) {
        this.#calmMs.push(endMs - startMs);
      } else if (harm !== undefined && node !== harm.victim && startMs > harm.sinceMs + NOTICE_MS) {
        this.#slowMs.push(endMs - startMs);
      }
    }
    return [
      ...checkAvailable(request, this.#harm, this.#cutsHeads()),
      ...checkRecovered(request, this.#wholeSinceMs),
    ];
  }
}
