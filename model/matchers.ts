/**
 * Label matchers: the atoms of a series selector. A matcher is data; `compileMatcher` turns it into
 * a predicate once per query.
 */
import { compileRegex } from './regex.ts';

export type MatcherType = '=' | '!=' | '=~' | '!~';

export interface Matcher {
  readonly name: string;
  readonly type: MatcherType;
  readonly value: string;
}

/** Each inner list is one selector: a series counts when any of them matches. None: every series. */
export type Selectors = readonly (readonly Matcher[])[];

/** A compiled matcher. `literals` lists the only values that can match, when that set is known and small. */
export interface CompiledMatcher {
  readonly matcher: Matcher;
  /** True when a series without the label matches. */
  readonly matchesEmpty: boolean;
  /** The exact values a positive matcher accepts, or undefined when it must be asked per value. */
  readonly literals: readonly string[] | undefined;
  /** About what `matches` costs for each character of a value, in parts of a regular expression; 0: next to nothing. */
  readonly matchCost: number;
  matches(value: string): boolean;
}

/** Compiles a matcher. Throws `query.parse` for an invalid or oversized regular expression. */
export function compileMatcher(matcher: Matcher): CompiledMatcher {
  return compile(matcher, false);
}

/** As `compileMatcher`, for who keeps the result: it remembers no values. */
export function compileLastingMatcher(matcher: Matcher): CompiledMatcher {
  return compile(matcher, true);
}

function compile(matcher: Matcher, isLasting: boolean): CompiledMatcher {
  const { type, value } = matcher;
  if (type === '=' || type === '!=') {
    const equal = type === '=';
    return {
      matcher,
      matchesEmpty: equal === (value === ''),
      literals: equal ? [value] : undefined,
      matchCost: 0,
      matches: (candidate) => (candidate === value) === equal,
    };
  }
  const positive = type === '=~';
  const regex = compileRegex(value, isLasting);
  return {
    matcher,
    matchesEmpty: regex.matches('') === positive,
    literals: positive ? regex.literals : undefined,
    matchCost: regex.matchCost,
    matches: (candidate) => regex.matches(candidate) === positive,
  };
}
