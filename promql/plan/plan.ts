/**
 * The plan of a query: its tree as it will run, what to fetch for it, and what of it is evaluated once
 * for several places. Pure: the reader and the worker that evaluates make the same plan of the same
 * text and parameters, each for itself.
 *
 *   prepare -> fold constants -> propagate matchers -> project labels -> share fetches and expressions
 */
import type { TimeRange } from '../../model/sample.ts';
import type { Expr, VectorSelector } from '../ast.ts';
import type { QueryParams } from '../operators/context.ts';
import type { SharedUse } from '../operators/shared-values.ts';
import { foldConstants } from './fold-constants.ts';
import { PASSES, type PassName } from './passes.ts';
import { preparedExpr } from './prepare.ts';
import { propagateMatchers } from './propagate-matchers.ts';
import { needsOf, type Selection } from './selections.ts';
import { sharedExpressions } from './share-expressions.ts';
import { separateFetches, sharedFetches } from './share-fetches.ts';
import { sortedMatchers } from './sort-matchers.ts';

/** Which fetch holds what a selector reads. */
export interface Source {
  readonly node: VectorSelector;
  /** Of the fetch, in `selections`. */
  readonly index: number;
  readonly range: TimeRange;
}

export interface Plan {
  readonly expr: Expr;
  /** What to fetch. */
  readonly selections: readonly Selection[];
  /** One for every selector, in tree order. */
  readonly sources: readonly Source[];
  /** The nodes whose value is that of another. */
  readonly shared: ReadonlyMap<Expr, SharedUse>;
}

const NOTHING_SHARED: ReadonlyMap<Expr, SharedUse> = new Map();

/** The plan of a checked expression. Throws `query.execution` for durations that cannot be. */
export function planOf(written: Expr, params: QueryParams): Plan {
  const isOn = (name: PassName): boolean => (params.passes ?? PASSES).includes(name);
  let expr = preparedExpr(written, params);
  if (isOn('fold_constants')) expr = foldConstants(expr, params);
  if (isOn('propagate_matchers')) expr = propagateMatchers(expr);
  const needs = needsOf(expr, params);
  const wanted = needs.map(({ selection }) =>
    isOn('sort_matchers')
      ? { ...selection, matchers: sortedMatchers(selection.matchers) }
      : selection,
  );
  const fetches = isOn('share_fetches') ? sharedFetches(wanted) : separateFetches(wanted);
  const sources = needs.map(({ node, selection: { maxTimeMs, minTimeMs } }, i) => {
    return { node, index: fetches.indexOf[i]!, range: { minTimeMs, maxTimeMs } };
  });
  const shared = isOn('share_expressions') ? sharedExpressions(expr, params) : NOTHING_SHARED;
  return { expr, selections: fetches.selections, sources, shared };
}

/** What to fetch for a checked expression; `evaluate` takes the decoded series in the same order. */
export function selectionsOf(written: Expr, params: QueryParams): readonly Selection[] {
  return planOf(written, params).selections;
}
