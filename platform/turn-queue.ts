/**
 * Turns of the loop for work that is done in slices: each slice has a turn of its own, so that many requests at
 * once make turns more, not longer. Work begins in the order it came; once begun it may go on before what has
 * not, while its memory is warm. A slice is what runs from the promise to the next `await`: a millisecond or
 * two. Whoever waits here is a request that was admitted, so there are no more waiting than its bounds let in.
 */
import type { Clock } from './platform.ts';

export class TurnQueue {
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  /** The first of `#waiting` that still waits. */
  #first = 0;
  /** The work that goes on before them. */
  readonly #begun: (() => void)[] = [];
  #isPlanned = false;
  /** A slice has begun in this turn. */
  #isTaken = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves in a turn in which no other one does, after those that asked before: in this one, if nothing else did. */
  next(): Promise<void> {
    if (!this.#isTaken && this.#isEmpty()) {
      this.#isTaken = true;
      this.#plan();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#plan();
    });
  }

  /** The same for the next slice of short work that `next` began: it comes first. */
  again(): Promise<void> {
    return new Promise((resolve) => {
      this.#begun.push(resolve);
      this.#plan();
    });
  }

  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.#clock.nextTurn(this.#turn);
  }

  readonly #turn = (): void => {
    this.#isPlanned = false;
    this.#isTaken = !this.#isEmpty();
    if (!this.#isTaken) return;
    const resolve = this.#begun.pop() ?? this.#waiting[this.#first++]!;
    if (this.#first === this.#waiting.length) {
      this.#waiting = [];
      this.#first = 0;
    }
    this.#plan(); // after the last slice, to say that its turn is over
    resolve();
  };

  #isEmpty(): boolean {
    return this.#begun.length + this.#waiting.length === 0;
  }
}
