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

/** In bytes, about. */
export const VERDICTS_COST_MAX = 8 * 1024 * 1024;
const VALUE_COST = 256;
const CHARACTER_COST = 2;
const VERDICT_COST = 48;

interface Verdicts {
  readonly of: WeakMap<Matcher, boolean>;
  cost: number;
}

/** By value, oldest first. */
const known = new Map<string, Verdicts>();
let knownCost = 0;

/** Undefined: not known. */
export function recallVerdict(matcher: Matcher, value: string): boolean | undefined {
  return known.get(value)?.of.get(matcher);
}

export function rememberVerdict(matcher: Matcher, value: string, isAccepted: boolean): void {
  let verdicts = known.get(value);
  if (verdicts === undefined) {
    verdicts = { of: new WeakMap(), cost: VALUE_COST + CHARACTER_COST * value.length };
    known.set(value, verdicts);
    knownCost += verdicts.cost;
  }
  verdicts.of.set(matcher, isAccepted);
  verdicts.cost += VERDICT_COST;
  knownCost += VERDICT_COST;
  for (const [oldest, { cost }] of known) {
    if (knownCost <= VERDICTS_COST_MAX) break;
    known.delete(oldest);
    knownCost -= cost;
  }
}
