/**
 * Matcher sorting: of the matchers of a selection the cheap and the narrow ones first, each once, so
 * that what is dear (a regular expression) is asked of few series.
 *
 *   {path=~".*x.*", job!="a", job=~"b|c", __name__="up"}  ->  __name__="up", job=~"b|c", job!="a", …
 *
 * Equal to the bit: a series is selected when all matchers match, in any order. Only what is asked of
 * storage is sorted; the tree keeps the order as written, which `absent()` reads its labels from.
 */
import type { Matcher } from '../../model/matchers.ts';

/** The matchers in the order to ask them. */
export function sortedMatchers(matchers: readonly Matcher[]): readonly Matcher[] {
  const distinct = new Map(matchers.map((one) => [matcherKey(one), one]));
  const ranked = [...distinct.values()].map((one) => ({ one, rank: rankOf(one) }));
  return ranked.sort((a, b) => a.rank - b.rank).map(({ one }) => one);
}

/** A text that equal matchers share. */
export function matcherKey({ name, type, value }: Matcher): string {
  return JSON.stringify([name, type, value]);
}

/** One value; a few values; absence and its opposite; what must be tried on every value. */
function rankOf(matcher: Matcher): number {
  switch (matcher.type) {
    case '!=':
      return 2;
    case '=':
      return matcher.value === '' ? 2 : 0;
    case '!~':
      return 4;
    case '=~':
      return ALTERNATIVES.test(matcher.value) ? 1 : 3;
  }
}

/** Some literals, and nothing that matches what has no value. */
const ALTERNATIVES = /^[^\\.+*?()[\]{}^$|]+(?:\|[^\\.+*?()[\]{}^$|]+)*$/;
