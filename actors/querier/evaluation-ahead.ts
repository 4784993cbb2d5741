/**
 * A small query is evaluated by what the first instance answered while the others are waited for: replicas mostly hold
 * the same (same-series.ts), and then the output is there when the last of them has answered. Where they differ it is
 * dropped, and all answers are merged and evaluated as ever.
 *
 *   first answers to all selections ─► (a turn later) evaluated ─► all answers whole ─► equal: the output | else: dropped
 */
import type { EvaluateOutput } from './evaluate-job.ts';
import { SameSeries } from './same-series.ts';

/** However often replicas differed, one query of so many is tried. */
const PAUSE_MAX = 64;

type Frames = readonly Uint8Array[];

export interface AheadOptions {
  readonly selectionCount: number;
  readonly nextTurn: (work: () => void) => void;
  /** By selection: the frames of one instance. Undefined: it is too much to be tried. May throw. */
  readonly evaluate: (frames: readonly Frames[]) => EvaluateOutput | undefined;
}

/** One query. */
export class EvaluationAhead {
  readonly #options: AheadOptions;
  readonly #first: Frames[] = [];
  #count = 0;
  #output: EvaluateOutput | undefined;
  /** By selection: what the output is of. */
  #series: readonly SameSeries[] = [];
  #isOver = false;

  constructor(options: AheadOptions) {
    this.#options = options;
  }

  /** An instance's whole answer to a selection, while others are waited for. */
  note(selection: number, frames: Frames): void {
    if (this.#isOver || this.#first[selection] !== undefined) return;
    this.#first[selection] = frames;
    if (++this.#count === this.#options.selectionCount)
      this.#options.nextTurn(() => this.#evaluate());
  }

  #evaluate(): void {
    if (this.#isOver) return;
    try {
      this.#output = this.#options.evaluate(this.#first);
      if (this.#output !== undefined) this.#series = this.#first.map((one) => new SameSeries(one));
    } catch {
      this.#output = undefined; // whether it is an error is for all answers to say
    }
  }

  /** By selection, the frames of each that answered. `none`: nothing was evaluated. */
  settle(answers: readonly (readonly Frames[])[]): EvaluateOutput | 'differs' | 'none' {
    this.#isOver = true;
    if (this.#output === undefined) return 'none';
    return this.#isSame(answers) ? this.#output : 'differs';
  }

  #isSame(answers: readonly (readonly Frames[])[]): boolean {
    try {
      return answers.every((all, i) => all.every((one) => this.#series[i]!.isIn(one)));
    } catch {
      return false; // an answer that cannot be read
    }
  }
}

/** Whether it is worth it: each time that replicas differ, more queries than the time before are left alone. */
export class AheadLuck {
  #pause = 0;
  #left = 0;

  mayTry(): boolean {
    if (this.#left === 0) return true;
    this.#left--;
    return false;
  }

  note(isSame: boolean): void {
    this.#pause = isSame ? 0 : Math.min(Math.max(this.#pause * 2, 1), PAUSE_MAX);
    this.#left = this.#pause;
  }
}
