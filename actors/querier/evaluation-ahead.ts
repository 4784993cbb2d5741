/**
 * A small query is evaluated by the series of the first instance while digests of the others' are waited for: replicas
 * mostly hold the same, and then the output is there when the last of them has answered. Where more series came it is
 * dropped, and all of them are merged and evaluated as ever.
 *
 *   series for all selections ─► (a turn later) evaluated ─► all answers whole ─► nothing else came: the output | dropped
 */
import type { EvaluateOutput } from './evaluate-job.ts';

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
    } catch {
      this.#output = undefined; // whether it is an error is for all answers to say
    }
  }

  /** By selection, the frames of each whose series came. Undefined: nothing was evaluated, or not by all of them. */
  settle(answers: readonly (readonly Frames[])[]): EvaluateOutput | undefined {
    this.#isOver = true;
    const isAll = answers.every((all, i) => all.length === 1 && all[0] === this.#first[i]);
    return isAll ? this.#output : undefined;
  }
}
