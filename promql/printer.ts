/**
 * Prints expressions in Prometheus' normal form: `printExpr` on one line (as rules and logs show
 * them), `prettyExpr` split at 100 columns (as `format_query` answers). Parentheses are printed
 * where they were written, never invented; parsing the output gives the same tree.
 */
import { assertNever } from '../model/assert.ts';
import { compareUtf8, METRIC_NAME } from '../model/labels.ts';
import type { Matcher } from '../model/matchers.ts';
import type {
  Aggregation,
  AtModifier,
  Binary,
  DurationExpr,
  Expr,
  FillValues,
  RangeMode,
  VectorMatching,
  VectorSelector,
} from './ast.ts';
import { formatDuration } from './duration.ts';
import { formatFixed, formatNumber } from './parser-number.ts';
import { quote } from './printer-quote.ts';

const LINE_BYTES_MAX = 100;
const INDENT = '  ';
const PLAIN_LABEL_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The one-line form of nodes already printed: splitting asks for every node at every level. */
type Lines = Map<Expr, string>;

/** The expression on one line. */
export function printExpr(expr: Expr): string {
  return lineOf(expr, new Map());
}

function lineOf(expr: Expr, lines: Lines): string {
  const known = lines.get(expr);
  if (known !== undefined) return known;
  const line = makeLine(expr, lines);
  lines.set(expr, line);
  return line;
}

function makeLine(expr: Expr, lines: Lines): string {
  switch (expr.kind) {
    case 'aggregation': {
      const param = expr.param === undefined ? '' : `${lineOf(expr.param, lines)}, `;
      return `${aggregationHead(expr)}(${param}${lineOf(expr.expr, lines)})`;
    }
    case 'binary':
      return `${lineOf(expr.lhs, lines)} ${operatorText(expr)} ${lineOf(expr.rhs, lines)}`;
    case 'call':
      return `${expr.name}(${expr.args.map((arg) => lineOf(arg, lines)).join(', ')})`;
    case 'matrix_selector': {
      const range = `[${durationText(expr.rangeMs, expr.rangeExpr)}]`;
      return selectorText(expr.selector) + range + modifiersText(expr.selector);
    }
    case 'number':
      return expr.isDuration ? formatDuration(expr.value * 1000) : formatNumber(expr.value);
    case 'paren':
      return `(${lineOf(expr.expr, lines)})`;
    case 'string':
      return quote(expr.value);
    case 'subquery':
      return lineOf(expr.expr, lines) + subqueryTail(expr);
    case 'unary':
      return expr.op + lineOf(expr.expr, lines);
    case 'vector_selector':
      return selectorText(expr) + modifiersText(expr);
    default:
      return assertNever(expr);
  }
}

/** The expression split over lines where it is longer than 100 columns. */
export function prettyExpr(expr: Expr): string {
  return pretty(expr, 0, new Map());
}

/** One matcher as written in a selector: `job=~"a|b"`. */
export function printMatcher({ name, type, value }: Matcher): string {
  return labelNameText(name) + type + quote(value);
}

/** A node without its operands: `sum by (job)`, `rate`, `/ on (job)`; of a selector all. */
export function headOf(expr: Expr): string {
  switch (expr.kind) {
    case 'aggregation':
      return aggregationHead(expr).trimEnd();
    case 'binary':
      return operatorText(expr);
    case 'call':
      return expr.name;
    case 'matrix_selector':
    case 'number':
    case 'string':
    case 'vector_selector':
      return printExpr(expr);
    case 'paren':
      return '()';
    case 'subquery':
      return subqueryTail(expr);
    case 'unary':
      return expr.op;
    default:
      return assertNever(expr);
  }
}

function pretty(expr: Expr, level: number, lines: Lines): string {
  const indent = INDENT.repeat(level);
  if (expr.kind === 'unary') return indent + expr.op + pretty(expr.expr, level, lines).trim();
  const line = lineOf(expr, lines);
  const isShort = Buffer.byteLength(line) <= LINE_BYTES_MAX;
  switch (expr.kind) {
    case 'aggregation': {
      if (isShort) return indent + line;
      const param = expr.param === undefined ? '' : `${pretty(expr.param, level + 1, lines)},\n`;
      const body = pretty(expr.expr, level + 1, lines);
      return `${indent}${aggregationHead(expr)}(\n${param}${body}\n${indent})`;
    }
    case 'binary': {
      if (isShort) return indent + line;
      const [lhs, rhs] = [pretty(expr.lhs, level + 1, lines), pretty(expr.rhs, level + 1, lines)];
      return `${lhs}\n${indent}${operatorText(expr)}\n${rhs}`;
    }
    case 'call': {
      if (isShort || expr.args.length === 0) return indent + line;
      const args = expr.args.map((arg) => pretty(arg, level + 1, lines)).join(',\n');
      return `${indent}${expr.name}(\n${args}\n${indent})`;
    }
    case 'matrix_selector':
    case 'number':
    case 'string':
    case 'vector_selector':
      return indent + line;
    case 'paren':
      if (isShort) return indent + line;
      return `${indent}(\n${pretty(expr.expr, level + 1, lines)}\n${indent})`;
    case 'subquery':
      // A short subquery is not indented: that is how Prometheus prints it.
      return isShort ? line : pretty(expr.expr, level, lines) + subqueryTail(expr);
    default:
      return assertNever(expr);
  }
}

function aggregationHead({ op, grouping, without }: Aggregation): string {
  if (without) return `${op} without (${labelNamesText(grouping)}) `;
  return grouping.length === 0 ? op : `${op} by (${labelNamesText(grouping)}) `;
}

function operatorText({ op, isBool, matching }: Binary): string {
  return op + (isBool ? ' bool' : '') + matchingText(matching) + fillText(matching?.fill);
}

function fillText(fill: FillValues | undefined): string {
  if (fill === undefined) return '';
  const { left, right } = fill;
  if (left !== undefined && Object.is(left, right)) return ` fill (${formatNumber(left)})`;
  const onLeft = left === undefined ? '' : ` fill_left (${formatNumber(left)})`;
  return onLeft + (right === undefined ? '' : ` fill_right (${formatNumber(right)})`);
}

/** A duration as written: milliseconds, or arithmetic. */
function durationText(ms: number, expr: DurationExpr | undefined): string {
  if (expr === undefined) return formatDuration(ms);
  switch (expr.kind) {
    case 'binary': {
      const [lhs, rhs] = [durationText(0, expr.lhs), durationText(0, expr.rhs)];
      if (expr.op === 'max' || expr.op === 'min') return `${expr.op}(${lhs}, ${rhs})`;
      return `(${lhs} ${expr.op} ${rhs})`;
    }
    case 'negative':
      return `-${durationText(0, expr.expr)}`;
    case 'number':
      return formatNumber(expr.seconds);
    case 'range':
    case 'step':
      return `${expr.kind}()`;
    default:
      return assertNever(expr);
  }
}

function matchingText(matching: VectorMatching | undefined): string {
  if (matching === undefined) return '';
  const { cardinality, on, labels, include } = matching;
  const isGrouped = cardinality === 'many-to-one' || cardinality === 'one-to-many';
  if (!on && labels.length === 0 && !isGrouped) return '';
  const match = ` ${on ? 'on' : 'ignoring'} (${labelNamesText(labels)})`;
  if (!isGrouped) return match;
  const side = cardinality === 'many-to-one' ? 'group_left' : 'group_right';
  return `${match} ${side} (${labelNamesText(include)})`;
}

function subqueryTail(expr: Extract<Expr, { kind: 'subquery' }>): string {
  const hasStep = expr.stepMs !== 0 || expr.stepExpr !== undefined;
  const step = hasStep ? durationText(expr.stepMs, expr.stepExpr) : '';
  return `[${durationText(expr.rangeMs, expr.rangeExpr)}:${step}]${modifiersText(expr)}`;
}

function modifiersText(selector: {
  readonly at: AtModifier | undefined;
  readonly offsetMs: number;
  readonly offsetExpr?: DurationExpr | undefined;
  readonly mode?: RangeMode | undefined;
}): string {
  const { offsetMs, offsetExpr, mode } = selector;
  const hasOffset = offsetMs !== 0 || offsetExpr !== undefined;
  const offset = hasOffset ? ` offset ${durationText(offsetMs, offsetExpr)}` : '';
  return (mode === undefined ? '' : ` ${mode}`) + atText(selector.at) + offset;
}

function atText(at: AtModifier | undefined): string {
  if (at === undefined) return '';
  if (at.kind === 'timestamp') return ` @ ${formatFixed(at.timestampMs / 1000, 3)}`;
  return ` @ ${at.kind}()`;
}

/** Name and matchers, these sorted by their text. */
function selectorText({ name, matchers }: VectorSelector): string {
  const shown = matchers.filter((matcher) => !isNameMatcher(matcher, name)).map(printMatcher);
  if (shown.length === 0) return name === '' ? '{}' : name;
  return `${name}{${shown.sort(compareUtf8).join(',')}}`;
}

function isNameMatcher(matcher: Matcher, name: string): boolean {
  const isEqual = matcher.name === METRIC_NAME && matcher.type === '=';
  return isEqual && name !== '' && matcher.value === name;
}

function labelNamesText(names: readonly string[]): string {
  return names.map(labelNameText).join(', ');
}

function labelNameText(name: string): string {
  return PLAIN_LABEL_NAME.test(name) ? name : quote(name);
}
