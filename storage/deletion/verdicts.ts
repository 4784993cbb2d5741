/**
 * Which values the matchers of deletions accept, as far as reads asked for them: dashboards ask for the same values
 * again and again, and requests to delete stay.
 *
 *   value ─► matcher (the object is its identity; it goes with its request) ─► accepted or not
 *
 * Invariants: a verdict follows from matcher and value alone, so that nothing but time tells that it was remembered.
 * All together cost VERDICTS_COST_MAX at most; the values asked first go first.
 */
import type { Matcher } from '../../model/matchers.ts';
import { CompiledSelectors } from './compiled.ts';

/** In bytes, about. */
export const VERDICTS_COST_MAX = 8 * 1024 * 1024;
const VALUE_COST = 256;
const CHARACTER_COST = 2;
const VERDICT_COST = 48;

interface Verdicts {
  readonly of: WeakMap<Matcher, boolean>;
  cost: number;
}

export class MatcherVerdicts {
  /** By value, oldest first. */
  readonly #known = new Map<string, Verdicts>();
  #cost = 0;

  /** Undefined: not known. */
  recall(matcher: Matcher, value: string): boolean | undefined {
    return this.#known.get(value)?.of.get(matcher);
  }

  remember(matcher: Matcher, value: string, isAccepted: boolean): void {
    let verdicts = this.#known.get(value);
    if (verdicts === undefined) {
      verdicts = { of: new WeakMap(), cost: VALUE_COST + CHARACTER_COST * value.length };
      this.#known.set(value, verdicts);
      this.#cost += verdicts.cost;
    }
    verdicts.of.set(matcher, isAccepted);
    verdicts.cost += VERDICT_COST;
    this.#cost += VERDICT_COST;
    for (const [oldest, { cost }] of this.#known) {
      if (this.#cost <= VERDICTS_COST_MAX) break;
      this.#known.delete(oldest);
      this.#cost -= cost;
    }
  }
}

/** What a node remembers of matching deletions: what a read may still do follows from it, so no other node has a part in it. */
export class MatchMemory {
  readonly verdicts = new MatcherVerdicts();
  readonly compiled = new CompiledSelectors();
}
