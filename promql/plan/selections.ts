/**
 * What a query needs from storage: matchers and a time range for every selector in it, in the order
 * of the tree (a node before its children, left to right). Windows are open on the left, as in
 * Prometheus 3: a sample exactly `range` old is outside.
 */
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
} from '../operators/context.ts';
import { childrenOf, gridBelow } from './children.ts';
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

/** A selector of a prepared tree and what it reads. */
export interface Need {
  readonly node: VectorSelector;
  readonly selection: Selection;
}

/** What the selectors of a prepared expression read, in tree order. */
export function needsOf(expr: Expr, params: QueryParams): readonly Need[] {
  const projections = projectionsOf(expr);
  return placedSelectors(expr, params).map(({ node, grid, isInstant, windowMs }) => {
    const edgeMs = node.mode === undefined ? 0 : params.lookbackMs;
    const pinned = pinnedMs(node.at, params);
    const firstMs = (pinned ?? grid.startMs) - node.offsetMs;
    const lastMs = (pinned ?? lastStepMs(grid)) - node.offsetMs;
    const newestOnly =
      isInstant && firstMs === lastMs && node.mode === undefined && !looksBehind(node);
    const selection = {
      matchers: node.matchers,
      minTimeMs: firstMs - windowMs - (isInstant ? 0 : edgeMs) + 1,
      maxTimeMs: lastMs + (node.mode === 'smoothed' ? edgeMs : 0),
      projection: projections.get(node),
      newestOnly,
    };
    return { node, selection };
  });
}

/** `timestamp(x offset -1m @ T)` reads the sample at T of those up to a minute later. */
function looksBehind({ at, offsetMs }: VectorSelector): boolean {
  return at !== undefined && offsetMs < 0;
}

function placedSelectors(expr: Expr, params: QueryParams): PlacedSelector[] {
  const found: PlacedSelector[] = [];
  const walk = (node: Expr, grid: Grid): void => {
    if (node.kind === 'matrix_selector') {
      found.push({ node: node.selector, grid, windowMs: node.rangeMs, isInstant: false });
    } else if (node.kind === 'vector_selector') {
      found.push({ node, grid, windowMs: params.lookbackMs, isInstant: true });
    } else {
      const below = gridBelow(node, grid, params);
      for (const child of childrenOf(node)) walk(child, below);
    }
  };
  walk(expr, queryGrid(params));
  return found;
}
