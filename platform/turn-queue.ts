/**
 * Turns of the loop for work that is done in slices: each slice has a turn of its own, in the order asked for,
 * so that many requests at once make turns more, not longer. A slice is what runs from the promise to the next
 * `await`: a millisecond or two. Whoever waits here is a request that was admitted, so there are no more
 * waiting than its bounds let in.
 */
import type { Clock } from './platform.ts';

export class TurnQueue {
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  /** The first of `#waiting` that still waits. */
  #next = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves in a turn in which no other one does. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === this.#next + 1) this.#clock.nextTurn(this.#turn);
    });
  }

  readonly #turn = (): void => {
    const resolve = this.#waiting[this.#next++]!;
    if (this.#next < this.#waiting.length) {
      this.#clock.nextTurn(this.#turn);
    } else {
      this.#waiting = [];
      this.#next = 0;
    }
    resolve();
  };
}
