/**
 * Label matchers: the atoms of a series selector. A matcher is data; `compileMatcher` turns it into
 * a predicate once per query. Regular expressions have Go's RE2 semantics, anchored at both ends,
 * in linear time (re2js), with fast paths for the shapes that dashboards use.
 */
import { RE2JS } from 're2js';
import { StarlingError } from './errors.ts';

export type MatcherType = '=' | '!=' | '=~' | '!~';

export interface Matcher {
  readonly name: string;
  readonly type: MatcherType;
  readonly value: string;
}

/** A compiled matcher. `literals` lists the only values that can match, when that set is known and small. */
export interface CompiledMatcher {
  readonly matcher: Matcher;
  /** True when a series without the label matches. */
  readonly matchesEmpty: boolean;
  /** The exact values a positive matcher accepts, or undefined when it must be asked per value. */
  readonly literals: readonly string[] | undefined;
  matches(value: string): boolean;
}

export const REGEX_BYTES_MAX = 4096;

/** Compiles a matcher. Throws `query.parse` for an invalid or oversized regular expression. */
export function compileMatcher(matcher: Matcher): CompiledMatcher {
  const { type, value } = matcher;
  if (type === '=' || type === '!=') {
    const equal = type === '=';
    return {
      matcher,
      matchesEmpty: equal === (value === ''),
      literals: equal ? [value] : undefined,
      matches: (candidate) => (candidate === value) === equal,
    };
  }
  const positive = type === '=~';
  const regex = compileRegex(value);
  return {
    matcher,
    matchesEmpty: regex.matches('') === positive,
    literals: positive ? regex.literals : undefined,
    matches: (candidate) => regex.matches(candidate) === positive,
  };
}

interface CompiledRegex {
  readonly literals: readonly string[] | undefined;
  matches(value: string): boolean;
}

/** Compiles an anchored regular expression. Results are cached per value, up to a bound. */
export function compileRegex(pattern: string): CompiledRegex {
  if (Buffer.byteLength(pattern) > REGEX_BYTES_MAX) {
    throw new StarlingError('query.parse', {
      text: `the regular expression is longer than ${REGEX_BYTES_MAX} bytes`,
    });
  }
  const literals = literalAlternatives(pattern);
  if (literals !== undefined) {
    const set = new Set(literals);
    return { literals, matches: (value) => set.has(value) };
  }
  const slow = compileSlowRegex(pattern);
  const simple = /^(\.[*+])?([A-Za-z0-9_:/ -]*)(\.[*+])?$/.exec(pattern);
  if (simple !== null) {
    return { literals: undefined, matches: affixPredicate(simple[1], simple[2] ?? '', simple[3]) };
  }
  return { literals: undefined, matches: slow };
}

/** `a|b|c` without any metacharacter: the set of its alternatives. */
function literalAlternatives(pattern: string): readonly string[] | undefined {
  return /^[A-Za-z0-9_:/ |-]*$/.test(pattern) ? [...new Set(pattern.split('|'))] : undefined;
}

/** `.*x.*` and its kin. `.` does not match a newline in Go unless (?s); Prometheus compiles with (?s). */
function affixPredicate(
  head: string | undefined,
  middle: string,
  tail: string | undefined,
): (value: string) => boolean {
  const least = middle.length + (head === '.+' ? 1 : 0) + (tail === '.+' ? 1 : 0);
  return (value) => {
    if (value.length < least) return false;
    if (head === undefined) return value.startsWith(middle);
    if (tail === undefined) return value.endsWith(middle);
    const from = head === '.+' ? 1 : 0;
    const at = value.indexOf(middle, from);
    if (at < 0) return false;
    return tail === '.*' || value.lastIndexOf(middle, value.length - middle.length - 1) >= from;
  };
}

const CACHED_VALUES_MAX = 10_000;

function compileSlowRegex(pattern: string): (value: string) => boolean {
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(`^(?s:${pattern})$`);
  } catch (error) {
    throw new StarlingError(
      'query.parse',
      { text: `error parsing regexp: ${error instanceof Error ? error.message : 'invalid'}` },
      error,
    );
  }
  const known = new Map<string, boolean>();
  return (value) => {
    const cached = known.get(value);
    if (cached !== undefined) return cached;
    const matched = compiled.matches(value);
    if (known.size >= CACHED_VALUES_MAX) known.clear();
    known.set(value, matched);
    return matched;
  };
}
