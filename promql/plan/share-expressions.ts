/**
 * Common sub-expressions: of equal expressions over equal steps one is evaluated, the others are given
 * its answer (`operators/shared-values.ts`).
 *
 *   sum(rate(x[5m])) / (sum(rate(x[5m])) + sum(rate(y[5m])))
 *   ^^^^^^^^^^^^^^^ 1   ^^^^^^^^^^^^^^^ 1, evaluated once
 *
 * Equal to the bit: nothing in the language is random, and no operator writes into what it was given.
 * Parentheses and positions make no difference, the order of matchers and the labels that are fetched do.
 * What an expression says (annotations) carries its position, so one that says something is evaluated
 * again in each place.
 */
import { assertNever } from '../../model/assert.ts';
import type { LabelProjection } from '../../model/projection.ts';
import type { Expr, VectorSelector } from '../ast.ts';
import type { FunctionName } from '../functions-table.ts';
import { type Grid, queryGrid, type QueryParams } from '../operators/context.ts';
import type { SharedUse } from '../operators/shared-values.ts';
import { childrenOf, gridBelow } from './children.ts';
import { projectionsOf } from './projection.ts';

/** The nodes whose value is used more than once: each with the number of its value. */
export function sharedExpressions(expr: Expr, params: QueryParams): ReadonlyMap<Expr, SharedUse> {
  const keys = new ExpressionKeys(projectionsOf(expr));
  const placesOf = new Map<string, Expr[]>();
  const visit = (node: Expr, grid: Grid): void => {
    if (isWork(node)) {
      const key = `${keys.of(node)}@${grid.startMs},${grid.stepMs},${grid.count}`;
      const places = placesOf.get(key);
      if (places !== undefined) {
        places.push(node);
        return; // what is below comes with the value
      }
      placesOf.set(key, [node]);
    }
    const below = gridBelow(node, grid, params);
    for (const child of evaluatedChildren(node)) visit(child, below);
  };
  visit(expr, queryGrid(params));
  const shared = new Map<Expr, SharedUse>();
  let id = 0;
  for (const places of placesOf.values()) {
    if (places.length === 1) continue;
    const use = { id: id++, count: places.length };
    for (const node of places) shared.set(node, use);
  }
  return shared;
}

/** Nodes that answer with a vector or with numbers, and not at once. */
function isWork(node: Expr): boolean {
  switch (node.kind) {
    case 'aggregation':
    case 'binary':
    case 'call':
    case 'unary':
    case 'vector_selector':
      return true;
    case 'matrix_selector':
    case 'number':
    case 'paren':
    case 'string':
    case 'subquery':
      return false;
    default:
      return assertNever(node);
  }
}

/** Functions that look at the samples of a selector instead of its value. */
const OF_SAMPLES: ReadonlySet<FunctionName> = new Set<FunctionName>([
  'info',
  'start_timestamp',
  'timestamp',
]);

function evaluatedChildren(node: Expr): readonly Expr[] {
  const children = childrenOf(node);
  if (node.kind === 'matrix_selector') return [];
  if (node.kind !== 'call' || !OF_SAMPLES.has(node.name)) return children;
  return children.filter((child) => child.kind !== 'vector_selector');
}

/** Numbers for expressions: equal ones, wherever they stand, have equal numbers. */
class ExpressionKeys {
  readonly #projections: ReadonlyMap<VectorSelector, LabelProjection>;
  readonly #numbers = new Map<string, number>();
  readonly #known = new Map<Expr, number>();

  constructor(projections: ReadonlyMap<VectorSelector, LabelProjection>) {
    this.#projections = projections;
  }

  of(node: Expr): number {
    if (node.kind === 'paren') return this.of(node.expr);
    const known = this.#known.get(node);
    if (known !== undefined) return known;
    const below = childrenOf(node).map((child) => this.of(child));
    const labels = node.kind === 'vector_selector' ? this.#projections.get(node) : undefined;
    const key = `${node.kind} ${ownText(node)} ${JSON.stringify(labels)} ${below.join(',')}`;
    const number = this.#numbers.get(key) ?? this.#numbers.size;
    this.#numbers.set(key, number);
    this.#known.set(node, number);
    return number;
  }
}

/** All that a node is without its operands and its place, as a text. */
function ownText(node: Exclude<Expr, { kind: 'paren' }>): string {
  switch (node.kind) {
    case 'aggregation':
      return JSON.stringify([node.op, node.without, node.grouping]);
    case 'binary': {
      const fill = node.matching?.fill;
      const numbers = [fill?.left, fill?.right].map(numberText);
      return JSON.stringify([node.op, node.isBool, { ...node.matching, fill: numbers }]);
    }
    case 'call':
      return node.name;
    case 'matrix_selector':
      return String(node.rangeMs);
    case 'number':
      return numberText(node.value);
    case 'string':
      return JSON.stringify(node.value);
    case 'subquery':
      return JSON.stringify([node.rangeMs, node.stepMs, node.offsetMs, node.at]);
    case 'unary':
      return node.op;
    case 'vector_selector':
      return JSON.stringify([node.matchers, node.offsetMs, node.mode, node.at]);
    default:
      return assertNever(node);
  }
}

function numberText(value: number | undefined): string {
  return Object.is(value, -0) ? '-0' : String(value);
}
