/**
 * The tokens of PromQL, the table of words with a meaning, and how messages name a token. Words
 * are recognised in any case and only outside braces; many may also be metric or label names.
 */
import type { AggregationOp } from './ast.ts';
import { quote, quotePrefix } from './printer-quote.ts';

export type Keyword =
  'bool' | 'by' | 'group_left' | 'group_right' | 'ignoring' | 'offset' | 'on' | 'without';

export type OperatorWord = 'and' | 'atan2' | 'or' | 'unless';

/** The words of `@ start()` and `@ end()`. */
export type Preprocessor = 'end' | 'start';

export type OperatorSign =
  | '!='
  | '!~'
  | '%'
  | '*'
  | '+'
  | '-'
  | '/'
  | '<'
  | '</'
  | '<='
  | '=='
  | '=~'
  | '>'
  | '>/'
  | '>='
  | '@'
  | '^';

export type Punctuation = '(' | ')' | ',' | ':' | '=' | '[' | ']' | '{' | '}';

export type Word = AggregationOp | Keyword | OperatorWord | Preprocessor;

export type TokenKind =
  | OperatorSign
  | Punctuation
  | Word
  | 'duration'
  | 'eof'
  | 'identifier'
  | 'metric_identifier'
  | 'number'
  | 'string';

export interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  readonly end: number;
  /** The characters as written. */
  readonly text: string;
}

export const AGGREGATION_OPS: ReadonlySet<TokenKind> = new Set<AggregationOp>([
  'avg',
  'bottomk',
  'count',
  'count_values',
  'group',
  'limit_ratio',
  'limitk',
  'max',
  'min',
  'quantile',
  'stddev',
  'stdvar',
  'sum',
  'topk',
]);

const KEYWORDS: ReadonlySet<TokenKind> = new Set<Keyword>([
  'bool',
  'by',
  'group_left',
  'group_right',
  'ignoring',
  'offset',
  'on',
  'without',
]);

const OPERATOR_WORDS: ReadonlySet<TokenKind> = new Set<OperatorWord>([
  'and',
  'atan2',
  'or',
  'unless',
]);

const OPERATOR_SIGNS: ReadonlySet<TokenKind> = new Set<OperatorSign>([
  '!=',
  '!~',
  '%',
  '*',
  '+',
  '-',
  '/',
  '<',
  '</',
  '<=',
  '==',
  '=~',
  '>',
  '>/',
  '>=',
  '@',
  '^',
]);

const PREPROCESSORS: ReadonlySet<TokenKind> = new Set<Preprocessor>(['end', 'start']);

/** Every word with a meaning, in lower case; `inf` and `nan` are numbers. */
const WORDS: ReadonlyMap<string, TokenKind> = new Map<string, TokenKind>([
  ...[...AGGREGATION_OPS, ...KEYWORDS, ...OPERATOR_WORDS, ...PREPROCESSORS].map(
    (kind) => [kind, kind] as const,
  ),
  ['inf', 'number'],
  ['nan', 'number'],
]);

/** The token kind of a word outside braces. */
export function wordKind(word: string): TokenKind {
  const kind = WORDS.get(word.toLowerCase());
  if (kind !== undefined) return kind;
  return word.includes(':') ? 'metric_identifier' : 'identifier';
}

/** Words that cannot be metric names although they can be label names. */
const NEVER_METRIC_NAMES: ReadonlySet<TokenKind> = new Set<TokenKind>([
  'atan2',
  'bool',
  'group_left',
  'group_right',
  'ignoring',
  'on',
]);

/** True for tokens that can be label names in `by (…)` and its kin. */
export function isLabelName(kind: TokenKind): boolean {
  return (
    kind === 'identifier' ||
    kind === 'metric_identifier' ||
    AGGREGATION_OPS.has(kind) ||
    KEYWORDS.has(kind) ||
    OPERATOR_WORDS.has(kind) ||
    PREPROCESSORS.has(kind)
  );
}

/** True for tokens that can be metric names, keywords included. */
export function isMetricName(kind: TokenKind): boolean {
  return isLabelName(kind) && !NEVER_METRIC_NAMES.has(kind);
}

export function isAggregationOp(kind: TokenKind): kind is AggregationOp {
  return AGGREGATION_OPS.has(kind);
}

const QUOTED_BYTES_MAX = 10;

/** A token as messages name it: `identifier "b"`, `<op:+>`, `end of input`. */
export function describeToken({ kind, text }: Token): string {
  if (kind === 'eof') return 'end of input';
  if (KEYWORDS.has(kind)) return `<${text}>`;
  if (OPERATOR_SIGNS.has(kind) || OPERATOR_WORDS.has(kind)) return `<op:${text}>`;
  if (isAggregationOp(kind)) return `<aggr:${text}>`;
  if (kind === 'identifier') return `identifier ${quote(text)}`;
  if (kind === 'metric_identifier') return `metric identifier ${quote(text)}`;
  const isLong = Buffer.byteLength(text) > QUOTED_BYTES_MAX;
  const quoted = isLong ? `${quotePrefix(text, QUOTED_BYTES_MAX)}...` : quote(text);
  return kind === 'duration' || kind === 'number' || kind === 'string'
    ? `${kind} ${quoted}`
    : quoted;
}
