/**
 * The PromQL parser: text -> checked syntax tree. A Pratt parser over one token of lookahead:
 *
 *   expression(level) = operand { operator at or above level, expression(higher level) }
 *   operand           = sign operand | primary { [range] | [range:step] | offset | @ }
 *
 *   or < and unless < == != < <= > >= < + - < * / % atan2, sign < ^ (from the right) < [] offset @
 *
 * Invariant: hostile text costs little. Bytes, nodes, nesting (recursion of the parser) and height
 * (recursion of all who walk the tree; a chain a+b+c+… is as high as it is long) are bounded and
 * checked while parsing. Messages and their places are Prometheus'.
 */
import { METRIC_NAME } from '../model/labels.ts';
import { StarlingError } from '../model/errors.ts';
import { compileMatcher, type Matcher } from '../model/matchers.ts';
import type { Aggregation, AggregationOp, Binary, Expr, NumberLiteral } from './ast.ts';
import type { VectorMatching, VectorSelector } from './ast.ts';
import { findFunction, functionTable } from './functions-table.ts';
import { unquote } from './lexer-string.ts';
import { isAggregationOp, isMetricName, type Token, type TokenKind } from './lexer-token.ts';
import { checkTypes } from './parser-check.ts';
import { Cursor, type ParserOptions } from './parser-cursor.ts';
import { parsePositiveDuration, RANGE_PLACE, STEP_PLACE } from './parser-duration.ts';
import {
  isModeWord,
  matrixNode,
  parseAtOf,
  parseModeOf,
  parseOffsetOf,
} from './parser-modifier.ts';
import { parseFill } from './parser-fill.ts';
import { binaryNode, operatorOf, POWER_LEVEL, type WrittenMatching } from './parser-operator.ts';
import { parseError } from './parser-position.ts';
import { parseLabelNames, parseMatchers } from './parser-selector.ts';
import { tokenValue } from './parser-number.ts';
import { quote } from './printer-quote.ts';

export type { ParserOptions } from './parser-cursor.ts';

/** All that is experimental at once. */
export const EXPERIMENTAL_LANGUAGE: ParserOptions = {
  experimentalFunctions: true,
  durationExpressions: true,
  fillModifiers: true,
  extendedRangeSelectors: true,
};

export const EXPR_BYTES_MAX = 16 * 1024;
/** Parentheses, calls, signs and powers inside each other. */
export const EXPR_NESTING_MAX = 100;
/** Nodes on the longest path from the root; more than the nesting, for chains of operators. */
export const EXPR_HEIGHT_MAX = 500;
export const EXPR_NODES_MAX = 5000;

/** Parses and type checks an expression. Throws `query.parse` with Prometheus' message. */
export function parseExpr(text: string, options: ParserOptions = {}): Expr {
  checkLength(text);
  const cursor = new Cursor(text, options);
  const parser = new ExprParser(cursor);
  const expr = parser.parse();
  checkTypes(cursor, expr, parser.written);
  return expr;
}

/**
 * Parses one `match[]` parameter: a selector without range, offset or `@`. At least one matcher
 * must not match the empty string. Throws `query.parse`.
 */
export function parseSelector(text: string): readonly Matcher[] {
  checkLength(text);
  const cursor = new Cursor(text, {});
  const name = isMetricName(cursor.peek().kind) ? cursor.next().text : '';
  if (name === '' && cursor.peek().kind !== '{') throw cursor.unexpected('');
  const written = cursor.peek().kind === '{' ? parseMatchers(cursor).matchers : [];
  if (cursor.peek().kind !== 'eof') throw cursor.unexpected('');
  const matchers = withName(written, name);
  if (matchers.some((matcher) => !compileMatcher(matcher).matchesEmpty)) return matchers;
  const why = 'match[] must contain at least one non-empty matcher';
  throw new StarlingError('query.parse', { text: why });
}

function checkLength(text: string): void {
  if (text.length > EXPR_BYTES_MAX || Buffer.byteLength(text) > EXPR_BYTES_MAX) {
    throw parseError(text, 0, `the expression is longer than ${EXPR_BYTES_MAX} bytes`);
  }
}

function withName(matchers: readonly Matcher[], name: string): readonly Matcher[] {
  return name === '' ? matchers : [...matchers, { name: METRIC_NAME, type: '=', value: name }];
}

interface Arguments {
  readonly args: readonly Expr[];
  readonly end: number;
}

/** One parse of one text. */
class ExprParser {
  /** The matching of each binary node as written, which the node itself keeps only for vectors. */
  readonly written = new Map<Binary, WrittenMatching>();
  readonly #cursor: Cursor;
  readonly #heights = new Map<Expr, number>();
  #nodes = 0;
  #nesting = 0;
  /** Aggregations open around the place: an unexpected token is reported as theirs. */
  #aggregationsOpen = 0;

  constructor(cursor: Cursor) {
    this.#cursor = cursor;
  }

  parse(): Expr {
    const first = this.#cursor.peek();
    if (first.kind === 'eof') throw this.#cursor.error(0, 'no expression found in input');
    const expr = this.#parseExpr(0);
    if (this.#cursor.peek().kind !== 'eof') throw this.#unexpected();
    return expr;
  }

  #parseExpr(levelMin: number): Expr {
    let lhs = this.#parseOperand();
    for (;;) {
      const token = this.#cursor.peek();
      const operator = operatorOf(token.kind);
      if (operator === undefined || operator.level < levelMin) return lhs;
      this.#cursor.next();
      const written = this.#parseMatching();
      const isPower = operator.level === POWER_LEVEL;
      if (isPower) this.#enter(token);
      const rhs = this.#parseExpr(isPower ? POWER_LEVEL : operator.level + 1);
      if (isPower) this.#nesting--;
      const node = binaryNode(operator.op, lhs, rhs, written);
      this.written.set(node, written);
      lhs = this.#keep(node, [lhs, rhs]);
    }
  }

  /** What may stand between an operator and its right side: bool, on, ignoring, group_…. */
  #parseMatching(): WrittenMatching {
    const isBool = this.#cursor.accept('bool') !== undefined;
    const on = this.#cursor.accept('on') !== undefined;
    const hasLabels = on || this.#cursor.accept('ignoring') !== undefined;
    const labels = hasLabels ? parseLabelNames(this.#cursor) : [];
    const cardinality = hasLabels ? this.#parseCardinality() : 'one-to-one';
    const hasInclude = cardinality !== 'one-to-one' && this.#cursor.peek().kind === '(';
    const isBare = cardinality !== 'one-to-one' && !hasInclude;
    if (isBare && !canStartExpr(this.#cursor.peek().kind)) {
      throw this.#cursor.unexpected('grouping opts', '"("');
    }
    const include = hasInclude ? parseLabelNames(this.#cursor) : [];
    const fill = parseFill(this.#cursor);
    return { isBool, cardinality, on, labels, include, ...(fill && { fill }) };
  }

  #parseCardinality(): VectorMatching['cardinality'] {
    if (this.#cursor.accept('group_left') !== undefined) return 'many-to-one';
    return this.#cursor.accept('group_right') === undefined ? 'one-to-one' : 'one-to-many';
  }

  #parseOperand(): Expr {
    const sign = this.#cursor.peek();
    if (sign.kind !== '+' && sign.kind !== '-') return this.#parsePostfixes(this.#parsePrimary());
    this.#cursor.next();
    this.#enter(sign);
    const expr = this.#parseExpr(POWER_LEVEL);
    this.#nesting--;
    if (expr.kind === 'number') {
      const value = sign.kind === '-' ? -expr.value : expr.value;
      return this.#replace(expr, { ...expr, value, start: sign.start });
    }
    const { start } = sign;
    const type = expr.type === 'scalar' ? 'scalar' : 'vector'; // anything else fails the check
    return this.#keep({ kind: 'unary', type, op: sign.kind, expr, start, end: expr.end }, [expr]);
  }

  #parsePrimary(): Expr {
    const token = this.#cursor.peek();
    const { kind, start, end } = token;
    if (kind === 'number' || kind === 'duration') return this.#parseNumber();
    if (kind === 'string') {
      this.#cursor.next();
      return this.#keep({ kind, type: 'string', value: unquote(token.text), start, end }, []);
    }
    if (kind === '(') return this.#parseParen();
    if (kind === '{') return this.#parseSelector('', start);
    if (!isMetricName(kind)) throw this.#unexpected();
    this.#cursor.next();
    const follower = this.#cursor.peek().kind;
    if (
      isAggregationOp(kind) &&
      (follower === '(' || follower === 'by' || follower === 'without')
    ) {
      return this.#parseAggregation(kind, start);
    }
    if (follower === '(' && this.#isFunctionName(kind)) return this.#parseCall(token);
    if (follower === '{') return this.#parseSelector(token.text, start);
    return this.#selectorNode(token.text, [], { start, end });
  }

  #parseNumber(): NumberLiteral {
    const token = this.#cursor.next();
    const value = tokenValue(this.#cursor, token);
    const { start, end } = token;
    const isDuration = token.kind === 'duration';
    return this.#keep({ kind: 'number', type: 'scalar', value, isDuration, start, end }, []);
  }

  #parseParen(): Expr {
    const { start } = this.#enter(this.#cursor.next());
    const expr = this.#parseExpr(0);
    const closing = this.#cursor.accept(')');
    if (closing === undefined) throw this.#unexpected();
    this.#nesting--;
    return this.#keep({ kind: 'paren', type: expr.type, expr, start, end: closing.end }, [expr]);
  }

  #parseSelector(name: string, start: number): VectorSelector {
    const { matchers, end } = parseMatchers(this.#cursor);
    return this.#selectorNode(name, matchers, { start, end });
  }

  #selectorNode(
    name: string,
    written: readonly Matcher[],
    place: { readonly start: number; readonly end: number },
  ): VectorSelector {
    const matchers = withName(written, name);
    const modifiers = { offsetMs: 0, at: undefined };
    return this.#keep(
      { kind: 'vector_selector', type: 'vector', name, matchers, ...modifiers, ...place },
      [],
    );
  }

  /** `start` and `end` are functions only among the experimental ones. */
  #isFunctionName(kind: TokenKind): boolean {
    if (kind === 'identifier') return true;
    const isWord = kind === 'start' || kind === 'end';
    return isWord && this.#cursor.options.experimentalFunctions === true;
  }

  #parseCall(token: Token): Expr {
    const { args, end } = this.#parseArguments();
    const name = findFunction(token.text);
    if (name === undefined) {
      throw this.#cursor.error(token.start, `unknown function with name ${quote(token.text)}`);
    }
    const { returnType, experimental } = functionTable[name];
    if (experimental && this.#cursor.options.experimentalFunctions !== true) {
      throw this.#cursor.error(token.start, `function ${quote(name)} is not enabled`);
    }
    const { start } = token;
    return this.#keep({ kind: 'call', type: returnType, name, args, start, end }, args);
  }

  #parseArguments(): Arguments {
    this.#enter(this.#cursor.next());
    const args: Expr[] = [];
    let closing = this.#cursor.accept(')');
    while (closing === undefined) {
      args.push(this.#parseExpr(0));
      closing = this.#cursor.accept(')');
      if (closing !== undefined) break;
      const comma = this.#cursor.accept(',');
      if (comma === undefined) throw this.#unexpected();
      if (!canStartExpr(this.#cursor.peek().kind)) {
        throw this.#cursor.error(comma.start, 'trailing commas not allowed in function call args');
      }
    }
    this.#nesting--;
    return { args, end: closing.end };
  }

  #parseAggregation(op: AggregationOp, start: number): Aggregation {
    this.#aggregationsOpen++;
    const before = this.#parseGrouping();
    if (this.#cursor.peek().kind !== '(') throw this.#unexpected();
    const { args, end } = this.#parseArguments();
    const after = before ?? this.#parseGrouping();
    this.#aggregationsOpen--;
    const { grouping, without, end: groupingEnd } = after ?? NO_GROUPING;
    const [param, expr] = this.#splitArguments(op, start, args);
    return this.#keep(
      {
        kind: 'aggregation',
        type: 'vector',
        op,
        expr,
        param,
        grouping,
        without,
        start,
        end: Math.max(end, groupingEnd),
      },
      args,
    );
  }

  #parseGrouping(): Grouping | undefined {
    const without = this.#cursor.accept('without') !== undefined;
    if (!without && this.#cursor.accept('by') === undefined) return undefined;
    const grouping = parseLabelNames(this.#cursor);
    return { grouping, without, end: this.#cursor.endOfLast };
  }

  #splitArguments(
    op: AggregationOp,
    start: number,
    args: readonly Expr[],
  ): readonly [Expr | undefined, Expr] {
    if (args.length === 0) {
      throw this.#cursor.error(start, 'no arguments for aggregate expression provided');
    }
    const isExperimental = op === 'limitk' || op === 'limit_ratio';
    if (isExperimental && this.#cursor.options.experimentalFunctions !== true) {
      throw this.#cursor.error(
        start,
        `${op}() is experimental and must be enabled with --enable-feature=promql-experimental-functions`,
      );
    }
    const wanted = AGGREGATIONS_WITH_PARAM.has(op) ? 2 : 1;
    if (args.length !== wanted) {
      throw this.#cursor.error(
        start,
        `wrong number of arguments for aggregate expression provided, expected ${wanted}, got ${args.length}`,
      );
    }
    return wanted === 2 ? [args[0], args[1]!] : [undefined, args[0]!];
  }

  #parsePostfixes(primary: Expr): Expr {
    let expr = primary;
    for (;;) {
      const { kind } = this.#cursor.peek();
      if (kind === '[') expr = this.#parseRange(expr);
      else if (kind === 'offset') expr = this.#replace(expr, parseOffsetOf(this.#cursor, expr));
      else if (kind === '@') expr = this.#replace(expr, parseAtOf(this.#cursor, expr));
      else if (kind === 'identifier' && isModeWord(this.#cursor)) {
        expr = this.#replace(expr, parseModeOf(this.#cursor, expr));
      } else return expr;
    }
  }

  #parseRange(expr: Expr): Expr {
    const opening = this.#cursor.next();
    const { ms: rangeMs, expr: rangeExpr } = parsePositiveDuration(this.#cursor, RANGE_PLACE);
    if (this.#cursor.accept(']') !== undefined) {
      const range = { rangeMs, rangeExpr, bracketIndex: opening.start };
      return this.#keep(matrixNode(this.#cursor, expr, range), [expr]);
    }
    if (this.#cursor.accept(':') === undefined) {
      throw this.#cursor.unexpected('subquery or range', '":" or "]"');
    }
    const hasStep = this.#cursor.peek().kind !== ']';
    const step = hasStep ? parsePositiveDuration(this.#cursor, STEP_PLACE) : undefined;
    const closing = this.#cursor.accept(']');
    if (closing === undefined) throw this.#cursor.unexpected('subquery selector', '"]"');
    const written = {
      ...(rangeExpr && { rangeExpr }),
      ...(step?.expr && { stepExpr: step.expr }),
    };
    const times = { rangeMs, stepMs: step?.ms ?? 0, ...written, offsetMs: 0, at: undefined };
    const place = { start: expr.start, end: closing.end };
    return this.#keep({ kind: 'subquery', type: 'matrix', expr, ...times, ...place }, [expr]);
  }

  /** Counts a new node and checks the bounds of the tree. */
  #keep<Node extends Expr>(node: Node, children: readonly Expr[]): Node {
    let height = 0;
    for (const child of children) height = Math.max(height, this.#heights.get(child) ?? 0);
    this.#heights.set(node, height + 1);
    if (height + 1 > EXPR_HEIGHT_MAX) {
      throw this.#cursor.error(node.start, `expression of more than ${EXPR_HEIGHT_MAX} levels`);
    }
    this.#nodes++;
    if (this.#nodes > EXPR_NODES_MAX) {
      throw this.#cursor.error(node.start, `expression of more than ${EXPR_NODES_MAX} nodes`);
    }
    return node;
  }

  #replace<Node extends Expr>(old: Expr, node: Node): Node {
    this.#heights.set(node, this.#heights.get(old) ?? 0);
    return node;
  }

  #enter(token: Token): Token {
    this.#nesting++;
    if (this.#nesting > EXPR_NESTING_MAX) {
      const message = `expression nested deeper than ${EXPR_NESTING_MAX} levels`;
      throw this.#cursor.error(token.start, message);
    }
    return token;
  }

  #unexpected(): Error {
    return this.#cursor.unexpected(this.#aggregationsOpen > 0 ? 'aggregation' : '');
  }
}

interface Grouping {
  readonly grouping: readonly string[];
  readonly without: boolean;
  readonly end: number;
}

const NO_GROUPING: Grouping = { grouping: [], without: false, end: 0 };

const AGGREGATIONS_WITH_PARAM: ReadonlySet<AggregationOp> = new Set<AggregationOp>([
  'bottomk',
  'count_values',
  'limit_ratio',
  'limitk',
  'quantile',
  'topk',
]);

const EXPR_OPENERS: ReadonlySet<TokenKind> = new Set<TokenKind>([
  '(',
  '+',
  '-',
  'duration',
  'number',
  'string',
  '{',
]);

function canStartExpr(kind: TokenKind): boolean {
  return EXPR_OPENERS.has(kind) || isMetricName(kind);
}
