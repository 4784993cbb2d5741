/**
 * Selectors of deletions, compiled once however many reads ask for them. Deletions live as long as their tenant, so
 * what is kept remembers no values, and all of it together is bounded.
 *
 *   selector (the array is its identity) ─► compiled, kept until the cost of all is over COMPILED_COST_MAX
 *
 * Invariant: what is compiled follows from the matchers alone, so that nothing but time tells that it was kept.
 */
import { type CompiledMatcher, type Matcher, compileLastingMatcher } from '../../model/matchers.ts';
import { regexCost } from '../../model/regex.ts';

/** Of all that is kept, in parts of regular expressions: thousands of those that people write. */
const COMPILED_COST_MAX = 500_000;

type Selector = readonly Matcher[];

/** Oldest first. */
const kept = new Map<
  Selector,
  { readonly compiled: readonly CompiledMatcher[]; readonly cost: number }
>();
let keptCost = 0;

/** The same result for the same array. Throws `query.parse` for a regular expression that does not hold. */
export function compiledSelector(selector: Selector): readonly CompiledMatcher[] {
  const known = kept.get(selector);
  if (known !== undefined) return known.compiled; // fast path
  const compiled = selector.map(compileLastingMatcher);
  const cost = selector.reduce((sum, matcher) => sum + costOf(matcher), 0);
  kept.set(selector, { compiled, cost });
  keptCost += cost;
  for (const [oldest, { cost: oldestCost }] of kept) {
    if (keptCost <= COMPILED_COST_MAX) break;
    kept.delete(oldest);
    keptCost -= oldestCost;
  }
  return compiled;
}

function costOf({ type, value }: Matcher): number {
  return type === '=' || type === '!=' ? 1 : Math.max(regexCost(value), value.length);
}
