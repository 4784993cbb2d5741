/**
 * What a query needs from storage: matchers and a time range for every selector in it, in the order
 * of the tree (a node before its children, left to right). `evaluate` takes the decoded series in
 * the same order. Windows are open on the left, as in Prometheus 3: a sample exactly `range` old is
 * outside.
 */
import { assertNever } from '../../model/assert.ts';
import type { Matcher } from '../../model/matchers.ts';
import type { LabelProjection } from '../../model/projection.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { Expr, VectorSelector } from '../ast.ts';
import {
  type Grid,
  lastStepMs,
  pinnedMs,
  queryGrid,
  type QueryParams,
  subqueryGrid,
} from '../operators/context.ts';
import { preparedExpr } from './prepare.ts';
import { projectionsOf } from './projection.ts';

/** What to fetch for one selector. */
export interface Selection extends TimeRange {
  readonly matchers: readonly Matcher[];
  /** The labels that the query reads; undefined: all. */
  readonly projection: LabelProjection | undefined;
  /** The query reads only the newest sample of each series in the range. */
  readonly newestOnly: boolean;
}

interface PlacedSelector {
  readonly node: VectorSelector;
  readonly grid: Grid;
  /** How far a step looks back: the range, or the lookback of an instant selector. */
  readonly windowMs: number;
  readonly isInstant: boolean;
}

/** The selections of a checked expression, in tree order. */
export function selectionsOf(written: Expr, params: QueryParams): readonly Selection[] {
  const expr = preparedExpr(written, params);
  const projections = projectionsOf(expr);
  return placedSelectors(expr, params).map(({ node, grid, isInstant, windowMs }) => {
    const edgeMs = node.mode === undefined ? 0 : params.lookbackMs;
    const pinned = pinnedMs(node.at, params);
    const firstMs = (pinned ?? grid.startMs) - node.offsetMs;
    const lastMs = (pinned ?? lastStepMs(grid)) - node.offsetMs;
    return {
      matchers: node.matchers,
      minTimeMs: firstMs - windowMs - (isInstant ? 0 : edgeMs) + 1,
      maxTimeMs: lastMs + (node.mode === 'smoothed' ? edgeMs : 0),
      projection: projections.get(node),
      newestOnly: isInstant && firstMs === lastMs && node.mode === undefined && !looksBehind(node),
    };
  });
}

/** `timestamp(x offset -1m @ T)` reads the sample at T of those up to a minute later. */
function looksBehind({ at, offsetMs }: VectorSelector): boolean {
  return at !== undefined && offsetMs < 0;
}

/** The selectors of a prepared expression, in tree order. */
export function selectorsOf(expr: Expr, params: QueryParams): readonly VectorSelector[] {
  return placedSelectors(expr, params).map(({ node }) => node);
}

function placedSelectors(expr: Expr, params: QueryParams): PlacedSelector[] {
  const found: PlacedSelector[] = [];
  walk(expr, queryGrid(params));
  return found;

  function walk(node: Expr, grid: Grid): void {
    switch (node.kind) {
      case 'aggregation':
        if (node.param !== undefined) walk(node.param, grid);
        walk(node.expr, grid);
        return;
      case 'binary':
        walk(node.lhs, grid);
        walk(node.rhs, grid);
        return;
      case 'call':
        for (const arg of node.args) walk(arg, grid);
        return;
      case 'matrix_selector':
        found.push({ node: node.selector, grid, windowMs: node.rangeMs, isInstant: false });
        return;
      case 'number':
      case 'string':
        return;
      case 'paren':
      case 'unary':
        walk(node.expr, grid);
        return;
      case 'subquery':
        walk(node.expr, subqueryGrid(node, grid, params));
        return;
      case 'vector_selector':
        found.push({ node, grid, windowMs: params.lookbackMs, isInstant: true });
        return;
      default:
        assertNever(node);
    }
  }
}
