/**
 * The syntax tree in the form that the HTTP API answers to `parse_query`: Prometheus' field names
 * and values, so that its user interface can draw the tree. Numbers travel as text (NaN, +Inf).
 */
import { assertNever } from '../model/assert.ts';
import type { Matcher } from '../model/matchers.ts';
import type { AtModifier, Binary, Call, Expr, VectorMatching } from './ast.ts';
import { functionTable } from './functions-table.ts';
import { formatNumber } from './parser-number.ts';
import { wellFormed } from './printer-quote.ts';

/** A value that JSON can carry. */
export type JsonValue =
  boolean | null | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** Converts a tree; keys are in alphabetical order. */
export function astToJson(expr: Expr): JsonValue {
  switch (expr.kind) {
    case 'aggregation':
      return {
        expr: astToJson(expr.expr),
        grouping: expr.grouping,
        op: expr.op,
        param: expr.param === undefined ? null : astToJson(expr.param),
        type: 'aggregation',
        without: expr.without,
      };
    case 'binary':
      return binaryToJson(expr);
    case 'call':
      return { args: expr.args.map(astToJson), func: functionToJson(expr), type: 'call' };
    case 'matrix_selector': {
      const { matchers, name, offsetMs, at } = expr.selector;
      return {
        matchers: matchers.map(matcherToJson),
        name,
        offset: offsetMs,
        range: expr.rangeMs,
        ...atToJson(at),
        type: 'matrixSelector',
      };
    }
    case 'number':
      return { type: 'numberLiteral', val: formatNumber(expr.value) };
    case 'paren':
      return { expr: astToJson(expr.expr), type: 'parenExpr' };
    case 'string':
      return { type: 'stringLiteral', val: wellFormed(expr.value) };
    case 'subquery': {
      const { startOrEnd, timestamp } = atToJson(expr.at);
      return {
        expr: astToJson(expr.expr),
        offset: expr.offsetMs,
        range: expr.rangeMs,
        startOrEnd,
        step: expr.stepMs,
        timestamp,
        type: 'subquery',
      };
    }
    case 'unary':
      return { expr: astToJson(expr.expr), op: expr.op, type: 'unaryExpr' };
    case 'vector_selector':
      return {
        matchers: expr.matchers.map(matcherToJson),
        name: expr.name,
        offset: expr.offsetMs,
        ...atToJson(expr.at),
        type: 'vectorSelector',
      };
    default:
      return assertNever(expr);
  }
}

function binaryToJson(expr: Binary): JsonValue {
  return {
    bool: expr.isBool,
    lhs: astToJson(expr.lhs),
    matching: expr.matching === undefined ? null : matchingToJson(expr.matching),
    op: expr.op,
    rhs: astToJson(expr.rhs),
    type: 'binaryExpr',
  };
}

function matchingToJson({ cardinality, include, labels, on }: VectorMatching): JsonValue {
  return { card: cardinality, include, labels, on };
}

function functionToJson({ name }: Call): JsonValue {
  const { argTypes, returnType, variadic } = functionTable[name];
  return { argTypes, name, returnType, variadic };
}

function matcherToJson({ name, type, value }: Matcher): JsonValue {
  return { name: wellFormed(name), type, value: wellFormed(value) };
}

function atToJson(at: AtModifier | undefined): {
  readonly startOrEnd: string | null;
  readonly timestamp: number | null;
} {
  if (at === undefined) return { startOrEnd: null, timestamp: null };
  if (at.kind === 'timestamp') return { startOrEnd: null, timestamp: at.timestampMs };
  return { startOrEnd: at.kind, timestamp: null };
}
