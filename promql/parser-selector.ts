/**
 * Label matchers `{job="x", "utf-8 name"=~"y", "metric.name"}` and lists of label names
 * `(job, "utf-8 name")`. Regular expressions are compiled here once, to judge them.
 */
import { METRIC_NAME } from '../model/labels.ts';
import { compileMatcher, type Matcher, type MatcherType } from '../model/matchers.ts';
import { regexCost } from '../model/regex.ts';
import { StarlingError } from '../model/errors.ts';
import { isLabelName, type Token, type TokenKind } from './lexer-token.ts';
import { unquote } from './lexer-string.ts';
import type { Cursor } from './parser-cursor.ts';
import { quote } from './printer-quote.ts';

/** Matchers as written between braces, and the index after the closing one. */
export interface WrittenMatchers {
  readonly matchers: readonly Matcher[];
  readonly end: number;
}

/** Parses from `{` to `}`. Throws `query.parse`. */
export function parseMatchers(cursor: Cursor): WrittenMatchers {
  cursor.next();
  const matchers: Matcher[] = [];
  for (let closing = cursor.accept('}'); ; closing = cursor.accept('}')) {
    if (closing !== undefined) return { matchers, end: closing.end };
    matchers.push(parseMatcher(cursor));
    const separator = cursor.peek().kind;
    if (separator === ',') cursor.next();
    else if (separator !== '}') throw cursor.unexpected('label matching', '"," or "}"');
  }
}

function parseMatcher(cursor: Cursor): Matcher {
  const { kind } = cursor.peek();
  if (kind !== 'identifier' && kind !== 'string') {
    throw cursor.unexpected('label matching', 'identifier or "}"');
  }
  const name = cursor.next();
  const type = matcherType(cursor.peek().kind);
  if (type === undefined) {
    if (kind === 'string') return { name: METRIC_NAME, type: '=', value: unquote(name.text) };
    throw cursor.unexpected('label matching', 'label matching operator');
  }
  cursor.next();
  if (cursor.peek().kind !== 'string') throw cursor.unexpected('label matching', 'string');
  const value = unquote(cursor.next().text);
  return judged(cursor, name, {
    name: kind === 'string' ? unquote(name.text) : name.text,
    type,
    value,
  });
}

function matcherType(kind: TokenKind): MatcherType | undefined {
  return kind === '=' || kind === '!=' || kind === '=~' || kind === '!~' ? kind : undefined;
}

/** Gives the matcher back if its regular expression is valid. */
function judged(cursor: Cursor, at: Token, matcher: Matcher): Matcher {
  if (matcher.type === '=' || matcher.type === '!=') return matcher;
  cursor.chargeRegex(regexCost(matcher.value), at.start);
  try {
    compileMatcher(matcher);
    return matcher;
  } catch (error) {
    if (!(error instanceof StarlingError)) throw error;
    throw cursor.error(at.start, error.message);
  }
}

/** Parses `(label, …)`, from the parenthesis on. Throws `query.parse`. */
export function parseLabelNames(cursor: Cursor): readonly string[] {
  const context = 'grouping opts';
  if (cursor.accept('(') === undefined) throw cursor.unexpected(context, '"("');
  const names: string[] = [];
  for (;;) {
    if (cursor.accept(')') !== undefined) return names;
    const token = cursor.peek();
    if (token.kind !== 'string' && !isLabelName(token.kind)) {
      throw cursor.unexpected(context, 'label');
    }
    cursor.next();
    const name = token.kind === 'string' ? unquote(token.text) : token.text;
    if (name === '') {
      throw cursor.error(token.start, `invalid label name for grouping: ${quote(name)}`);
    }
    names.push(name);
    const separator = cursor.peek().kind;
    if (separator === ',') cursor.next();
    else if (separator !== ')') throw cursor.unexpected(context, '"," or ")"');
  }
}
