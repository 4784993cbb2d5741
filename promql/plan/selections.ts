/**
 * What a query needs from storage: matchers and a time range for every selector in it, in the order
 * of the tree (a node before its children, left to right). Windows are open on the left, as in
 * Prometheus 3: a sample exactly `range` old is outside.
 */
import type { Matcher } from '../../model/matchers.ts';
import type { LabelProjection } from '../../model/projection.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { WindowValue } from '../../model/window-value.ts';
import type { Expr, VectorSelector } from '../ast.ts';
import type { FunctionName } from '../functions-table.ts';
import {
  type Grid,
  lastStepMs,
  pinnedMs,
  queryGrid,
  type QueryParams,
} from '../operators/context.ts';
import { childrenOf, gridBelow } from './children.ts';
import { resolutionOf, type WindowPlaces, windowValueOf } from './downsampling.ts';
import { projectionsOf } from './projection.ts';

/** What to fetch for one selector. */
export interface Selection extends TimeRange {
  readonly matchers: readonly Matcher[];
  /** The labels that the query reads; undefined: all. */
  readonly projection: LabelProjection | undefined;
  /** The query reads only the newest sample of each series in the range. */
  readonly newestOnly: boolean;
  /** What to read where there are aggregates. Absent: all samples. */
  readonly value?: WindowValue | undefined;
  /** How coarse these may be and the answer the same; absent: there must be samples. */
  readonly resolutionMs?: number | undefined;
}

interface PlacedSelector {
  readonly node: VectorSelector;
  readonly grid: Grid;
  /** How far a step looks back: the range, or the lookback of an instant selector. */
  readonly windowMs: number;
  readonly isInstant: boolean;
  /** What it is an operand of. */
  readonly call: FunctionName | undefined;
}

/** A selector of a prepared tree and what it reads. */
export interface Need {
  readonly node: VectorSelector;
  readonly selection: Selection;
}

/** What the selectors of a prepared expression read, in tree order. */
export function needsOf(expr: Expr, params: QueryParams): readonly Need[] {
  const projections = projectionsOf(expr);
  return placedSelectors(expr, params).map((placed) => {
    const { node, grid, isInstant, windowMs } = placed;
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
    const places = { firstMs, grid, windowMs, isInstant, isPinned: pinned !== undefined };
    return { node, selection: { ...selection, ...coarseness(placed, selection, places, params) } };
  });
}

/** Nothing where there are no aggregates: equal selectors must stay equal, to be fetched once. */
function coarseness(
  { call, isInstant, node }: PlacedSelector,
  { minTimeMs }: TimeRange,
  places: WindowPlaces,
  { downsampling }: QueryParams,
): Pick<Selection, 'resolutionMs' | 'value'> {
  if (downsampling === undefined || minTimeMs >= downsampling.untilMs) return {};
  if (node.mode !== undefined || (isInstant && looksBehind(node))) return {};
  const value = isInstant ? 'kept' : windowValueOf(call);
  if (value === undefined) return {};
  return { value, resolutionMs: resolutionOf(places, downsampling) };
}

/** `timestamp(x offset -1m @ T)` reads the sample at T of those up to a minute later. */
function looksBehind({ at, offsetMs }: VectorSelector): boolean {
  return at !== undefined && offsetMs < 0;
}

function placedSelectors(expr: Expr, params: QueryParams): PlacedSelector[] {
  const found: PlacedSelector[] = [];
  const walk = (node: Expr, grid: Grid, call?: FunctionName): void => {
    if (node.kind === 'matrix_selector') {
      found.push({ node: node.selector, grid, windowMs: node.rangeMs, isInstant: false, call });
    } else if (node.kind === 'vector_selector') {
      found.push({ node, grid, windowMs: params.lookbackMs, isInstant: true, call: undefined });
    } else {
      const below = gridBelow(node, grid, params);
      const name = node.kind === 'call' ? node.name : node.kind === 'paren' ? call : undefined;
      for (const child of childrenOf(node)) walk(child, below, name);
    }
  };
  walk(expr, queryGrid(params));
  return found;
}
