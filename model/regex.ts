/**
 * Regular expressions with Go's RE2 semantics, anchored at both ends, in linear time (re2js), with fast
 * paths for the shapes that dashboards use: alternatives of literals (a set, which an index can look up),
 * prefixes, suffixes and contained texts, and plain sequences, which the engine of the language runs.
 */
import { RE2JS } from 're2js';
import { StarlingError } from './errors.ts';

export const REGEX_BYTES_MAX = 4096;
/** The bound of `regexCost`, about the number of instructions a regular expression compiles to. */
export const REGEX_COST_MAX = 10_000;

/** A predicate; `literals` lists the only values that can match, when that set is known and small. */
export interface CompiledRegex {
  readonly literals: readonly string[] | undefined;
  readonly matchCost: number;
  matches(value: string): boolean;
}

/** What a pattern compiles to: `newPredicate` gives one with its own memory of values, where `matches` is slow. */
interface Program {
  readonly literals: readonly string[] | undefined;
  readonly cost: number;
  /** About what `matches` costs for each character of a value, in parts; 0: next to nothing. */
  readonly matchCost: number;
  readonly matches: (value: string) => boolean;
  readonly newPredicate: () => (value: string) => boolean;
}

/** Of all programs together; about five of the largest, or a few thousand of those that people write. */
const REMEMBERED_COST_MAX = 5 * REGEX_COST_MAX;
/**
 * The programs of the latest patterns, oldest first: a query is parsed, planned and run, and a dashboard
 * asks again and again. A program follows from its pattern alone, so nothing but time tells that it was
 * remembered.
 */
const remembered = new Map<string, Program>();
let rememberedCost = 0;

/**
 * Compiles an anchored regular expression; `.` matches a newline. `isLasting`: for who keeps it, it remembers no
 * values. Throws `query.parse`.
 */
export function compileRegex(pattern: string, isLasting = false): CompiledRegex {
  const program = remembered.get(pattern) ?? remember(pattern);
  const { literals, matchCost, matches, newPredicate } = program;
  return { literals, matchCost, matches: isLasting ? matches : newPredicate() };
}

function remember(pattern: string): Program {
  const program = compileProgram(pattern);
  remembered.set(pattern, program);
  rememberedCost += program.cost;
  for (const [oldest, { cost }] of remembered) {
    if (rememberedCost <= REMEMBERED_COST_MAX) break;
    remembered.delete(oldest);
    rememberedCost -= cost;
  }
  return program;
}

/** What stands for bytes that are no UTF-8. */
const BAD_UTF8 = /\p{Cs}/gu;
/** A pattern with none of these is a list of texts, which Go compares as they are, whatever their bytes. */
const METACHARACTERS = /[\\.+*?()[\]{}^$]/;

/** The text from the first byte that is no UTF-8 on; undefined: all of it is. */
export function badUtf8In(text: string): string | undefined {
  const at = text.search(BAD_UTF8);
  return at === -1 ? undefined : text.slice(at).replaceAll(BAD_UTF8, '\ufffd');
}

function compileProgram(pattern: string): Program {
  const cost = checkedCost(pattern);
  const bad = METACHARACTERS.test(pattern) ? badUtf8In(pattern) : undefined;
  if (bad !== undefined) {
    const text = `error parsing regexp: invalid UTF-8: \`${bad}\``;
    throw new StarlingError('query.parse', { text });
  }
  const body = withoutAnchors(pattern);
  const literals = literalAlternatives(body);
  if (literals !== undefined) {
    const set = new Set(literals);
    return withoutMemory([...set], cost, (value) => set.has(value));
  }
  const predicate = affixPredicate(body) ?? linearPredicate(body);
  if (predicate !== undefined) return withoutMemory(undefined, cost, predicate);
  const compiled = compileSlowRegex(pattern);
  const matches = (value: string): boolean => compiled.matches(value);
  const newPredicate = (): Program['matches'] => rememberingPredicate(matches);
  return { literals: undefined, cost, matchCost: cost, matches, newPredicate };
}

function withoutMemory(
  literals: Program['literals'],
  cost: number,
  matches: Program['matches'],
): Program {
  const matchCost = literals === undefined ? 1 : 0;
  return { literals, cost, matchCost, matches, newPredicate: () => matches };
}

/**
 * How much work a regular expression can make: its atoms, repeated ones counted as often as
 * `{n,m}` unrolls them. An upper estimate for any text; exact for nothing.
 */
export function regexCost(pattern: string): number {
  const open: number[] = [];
  let total = 0; // of the group being read
  let last = 0; // of its last atom, which a repetition would multiply
  let classStart = -1; // the total before the `[` being read
  for (let at = 0; at < pattern.length;) {
    const [token = ''] = REGEX_TOKEN.exec(pattern.slice(at, at + REGEX_TOKEN_CHARS_MAX)) ?? [];
    at += Math.max(token.length, 1);
    const isInClass = classStart >= 0;
    if (token === '(' && !isInClass) {
      open.push(total);
      total = 0;
      last = 0;
    } else if (token === ')' && !isInClass) {
      last = total + 1;
      total = (open.pop() ?? 0) + last;
    } else if (token.length > 2 && token.startsWith('{')) {
      const times = Math.max(...token.slice(1, -1).split(',').map(Number));
      total += last * Math.max(times - 1, 0);
      last *= Math.max(times, 1);
    } else {
      if (token === '[' && !isInClass) classStart = total;
      total += /^\\[pP]/.test(token) ? UNICODE_CLASS_COST : 1;
      last = isInClass ? total - classStart : 1;
      if (token === ']') classStart = -1;
    }
  }
  return open.reduce((sum, group) => sum + group, total);
}

const UNICODE_CLASS_COST = 10; // \p{…} has hundreds of ranges
const REGEX_TOKEN_CHARS_MAX = 16;
const REGEX_TOKEN = /^(?:\\[^]|\{[0-9]{1,5}(?:,[0-9]{0,5})?\}|[^])/u;

/** The cost of a pattern, at least its length. Throws `query.parse` for one that is too long or costs too much. */
function checkedCost(pattern: string): number {
  if (Buffer.byteLength(pattern) > REGEX_BYTES_MAX) {
    throw new StarlingError('query.parse', {
      text: `the regular expression is longer than ${REGEX_BYTES_MAX} bytes`,
    });
  }
  const cost = regexCost(pattern);
  if (cost > REGEX_COST_MAX) {
    throw new StarlingError('query.parse', {
      text: `the regular expression unrolls to more than ${REGEX_COST_MAX} parts`,
    });
  }
  return Math.max(cost, pattern.length);
}

/** Anchors at the ends say what holds anyway. */
function withoutAnchors(pattern: string): string {
  const from = pattern.startsWith('^') ? 1 : 0;
  const hasEnd = pattern.endsWith('$') && !/\\+$/.test(pattern.slice(0, -1));
  return pattern.slice(from, hasEnd ? -1 : undefined);
}

const LITERALS_MAX = 1000;
const LITERAL = String.raw`(?:[^\\.+*?()|[\]{}^$]|\\[!-/:-@[-\x60{-~])*`;
const GROUPED = new RegExp(
  `^(${LITERAL})\\((?:\\?:)?(${LITERAL}(?:\\|${LITERAL})*)\\)(${LITERAL})$`,
);
const ALTERNATION = new RegExp(`^${LITERAL}(?:\\|${LITERAL})*$`);
const AFFIX = new RegExp(`^(\\.[*+])?(${LITERAL})(\\.[*+])?$`);

/** `a\.b|c`, `(a|b)`, `pre(a|b)post`: all the values that match; undefined for other shapes. */
function literalAlternatives(body: string): readonly string[] | undefined {
  const grouped = GROUPED.exec(body);
  if (grouped === null && !ALTERNATION.test(body)) return undefined;
  const [, before = '', choices = body, after = ''] = grouped ?? [];
  const alternatives = splitAlternatives(choices);
  if (alternatives.length > LITERALS_MAX) return undefined;
  return alternatives.map((choice) => unescapeLiteral(before + choice + after));
}

/** Splits at each `|` that no backslash precedes. */
function splitAlternatives(choices: string): readonly string[] {
  const parts: string[] = [];
  let from = 0;
  for (let at = 0; at < choices.length; at++) {
    if (choices[at] === '\\') at++;
    else if (choices[at] === '|') {
      parts.push(choices.slice(from, at));
      from = at + 1;
    }
  }
  return [...parts, choices.slice(from)];
}

function unescapeLiteral(literal: string): string {
  return literal.replace(/\\([^])/g, '$1');
}

/** `.*x.*` and its kin; undefined for other shapes. */
function affixPredicate(body: string): ((value: string) => boolean) | undefined {
  const [whole, head, literal = '', tail] = AFFIX.exec(body) ?? [];
  if (whole === undefined) return undefined;
  const middle = unescapeLiteral(literal);
  if (middle === '') {
    // Two wildcards in a row count runes, which the length in UTF-16 does not.
    if (head !== undefined && tail !== undefined) return undefined;
    return (head ?? tail) === '.+' ? (value) => value !== '' : () => true;
  }
  const [from, after] = [head === '.+' ? 1 : 0, tail === '.+' ? 1 : 0];
  const least = middle.length + from + after;
  if (head === undefined) return (value) => value.length >= least && value.startsWith(middle);
  if (tail === undefined) return (value) => value.length >= least && value.endsWith(middle);
  return (value) => {
    const at = value.indexOf(middle, from); // the first one leaves the most room after it
    return at >= 0 && at + middle.length + after <= value.length;
  };
}

const CLASS_CHARACTER = '[0-9A-Za-z_ :.,;/@%=~#!]';
const ATOM = new RegExp(
  String.raw`^(?:(?<literal>[^\\.+*?()|[\]{}^$]|\\[!-/:-@[-\x60{-~])|(?<any>\.)|(?<set>\[\^?(?:[0-9A-Za-z]-[0-9A-Za-z]|${CLASS_CHARACTER})+-?\]))`,
  'u',
);
const OPTIONALS_MAX = 3;

/**
 * Literals, plain classes and `.`, of which one repeats without bound and a few may be left out: means
 * the same to the engine of the language, which then needs linear time too. Undefined for other shapes.
 */
function linearPredicate(body: string): ((value: string) => boolean) | undefined {
  let source = '';
  let optionals = 0;
  let unbounded = 0;
  for (let at = 0; at < body.length;) {
    const atom = ATOM.exec(body.slice(at));
    if (atom === null) return undefined;
    at += atom[0].length;
    const literal = atom.groups?.['literal'];
    source += literal === undefined ? atom[0] : escapeLiteral(unescapeLiteral(literal));
    const quantifier = body[at];
    if (quantifier !== '?' && quantifier !== '*' && quantifier !== '+') continue;
    if (quantifier === '?') optionals++;
    else unbounded++;
    source += quantifier;
    at++;
  }
  if (optionals > OPTIONALS_MAX || unbounded > 1) return undefined;
  try {
    const regex = new RegExp(`^(?:${source})$`, 'su');
    return (value) => regex.test(value);
  } catch {
    return undefined; // a range that falls: the other engine tells why
  }
}

function escapeLiteral(literal: string): string {
  return literal.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}

const CACHED_VALUES_MAX = 10_000;

function compileSlowRegex(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern, RE2JS.DOTALL);
  } catch (error) {
    throw new StarlingError('query.parse', { text: regexErrorText(error) }, error);
  }
}

function rememberingPredicate(matches: Program['matches']): (value: string) => boolean {
  const known = new Map<string, boolean>();
  return (value) => {
    const cached = known.get(value);
    if (cached !== undefined) return cached;
    const matched = matches(value);
    if (known.size >= CACHED_VALUES_MAX) known.clear();
    known.set(value, matched);
    return matched;
  };
}

/** The library speaks Go's sentences, but shows its own flag, and leaves out an empty rest. */
function regexErrorText(error: unknown): string {
  const message = error instanceof Error ? error.message : 'error parsing regexp: invalid';
  const text = message.replace('`(?s)', '`');
  return text.endsWith('trailing backslash at end of expression') ? `${text}: \`\`` : text;
}
