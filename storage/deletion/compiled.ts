/**
 * Selectors of deletions, compiled once however many reads ask for them. Deletions live as long as their tenant, so
 * what is kept remembers no values, all of it together is bounded, and goes with the request whose selector it is.
 *
 *   selector (the array is its identity) ─► compiled ─► older ─► dropped: all together cost COMPILED_COST_MAX at most,
 *   or two selectors
 *
 * Invariant: what is compiled follows from the matchers alone, so that nothing but time tells that it was kept.
 */
import { type CompiledMatcher, type Matcher, compileLastingMatcher } from '../../model/matchers.ts';
import { regexCost } from '../../model/regex.ts';

/** Of all that is kept, in parts of regular expressions, or characters: thousands of those that people write. */
export const COMPILED_COST_MAX = 500_000;
/** Of a matcher beside its name and value. */
const MATCHER_COST = 16;

/** Beside what a value costs to match, a part of a regular expression costs so much to compile. */
const COMPILING_COST = 64;

/** What may still be done at once, in characters matched against one part of a regular expression (some 10 ns each). */
export interface MatchWork {
  left: number;
}

type Selector = readonly Matcher[];

type Kept = WeakMap<Selector, readonly CompiledMatcher[]>;

/** Two generations: when the younger has half of what may be kept, the older goes. */
export class CompiledSelectors {
  #younger: Kept = new WeakMap();
  #older: Kept = new WeakMap();
  #youngerCost = 0;

  /** The same result for the same array; what is done is charged to `work`. Throws `query.parse` for a regular expression that does not hold. */
  get(selector: Selector, work?: MatchWork): readonly CompiledMatcher[] {
    const known = this.#younger.get(selector) ?? this.#older.get(selector);
    if (known !== undefined) return known; // fast path
    const compiled = selector.map(compileLastingMatcher);
    const cost = selector.reduce((sum, matcher) => sum + costOf(matcher), 0);
    if (work !== undefined) work.left -= COMPILING_COST * cost;
    if (this.#youngerCost + cost > COMPILED_COST_MAX / 2) {
      this.#older = this.#younger;
      this.#younger = new WeakMap();
      this.#youngerCost = 0;
    }
    this.#younger.set(selector, compiled);
    this.#youngerCost += cost;
    return compiled;
  }
}

const shared = new CompiledSelectors();

/**
 * The same for who charges nobody: kept for the whole process, which nothing but time tells. Who charges goes by what
 * its own node keeps (`MatchMemory`): what a read may still do must not follow from other nodes of the process.
 */
export function compiledSelector(selector: Selector): readonly CompiledMatcher[] {
  return shared.get(selector);
}

/** As `one.matches(value)`, charged to `work`. */
export function chargedMatch(one: CompiledMatcher, value: string, work: MatchWork): boolean {
  work.left -= 1 + one.matchCost * value.length;
  return one.matches(value);
}

function costOf({ name, type, value }: Matcher): number {
  const parts = type === '=' || type === '!=' ? 0 : regexCost(value);
  return MATCHER_COST + name.length + Math.max(parts, value.length);
}
