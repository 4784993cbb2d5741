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
import { childrenOf } from './children.ts';
import { foldConstants } from './fold-constants.ts';
import { PASSES, type PassName } from './passes.ts';
import { preparedExpr } from './prepare.ts';
import { propagateMatchers } from './propagate-matchers.ts';
import { type Need, needsOf, type Selection } from './selections.ts';
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
  /** The passes that changed something: nodes folded, matchers added, fetches or evaluations saved. */
  readonly applied: readonly AppliedPass[];
}

export interface AppliedPass {
  readonly name: PassName;
  readonly changes: number;
}

const NOTHING_SHARED: ReadonlyMap<Expr, SharedUse> = new Map();

/** The plan of a checked expression. Throws `query.execution` for durations that cannot be. */
export function planOf(written: Expr, params: QueryParams): Plan {
  const isOn = (name: PassName): boolean => (params.passes ?? PASSES).includes(name);
  const applied: AppliedPass[] = [];
  const note = (name: PassName, changes: number): void => {
    if (changes > 0) applied.push({ name, changes });
  };
  let expr = preparedExpr(written, params);
  if (isOn('fold_constants')) {
    const folded = foldConstants(expr, params);
    note('fold_constants', sum(expr, () => 1) - sum(folded, () => 1));
    expr = folded;
  }
  if (isOn('propagate_matchers')) {
    const narrowed = propagateMatchers(expr);
    note('propagate_matchers', sum(narrowed, matcherCount) - sum(expr, matcherCount));
    expr = narrowed;
  }
  const needs = needsOf(expr, params);
  const wanted = isOn('sort_matchers') ? needs.map(withSortedMatchers) : needs;
  note('sort_matchers', wanted.filter((one, i) => one !== needs[i]).length);
  const selections = wanted.map(({ selection }) => selection);
  const fetches = isOn('share_fetches') ? sharedFetches(selections) : separateFetches(selections);
  note('share_fetches', selections.length - fetches.selections.length);
  const sources = needs.map(({ node, selection: { maxTimeMs, minTimeMs } }, i) => {
    return { node, index: fetches.indexOf[i]!, range: { minTimeMs, maxTimeMs } };
  });
  const shared = isOn('share_expressions') ? sharedExpressions(expr, params) : NOTHING_SHARED;
  note('share_expressions', shared.size - new Set(shared.values()).size);
  return { expr, selections: fetches.selections, sources, shared, applied };
}

function sum(node: Expr, count: (node: Expr) => number): number {
  return childrenOf(node).reduce((total, child) => total + sum(child, count), count(node));
}

function matcherCount(node: Expr): number {
  return node.kind === 'vector_selector' ? node.matchers.length : 0;
}

/** The same object when the matchers are sorted already. */
function withSortedMatchers(need: Need): Need {
  const { node, selection } = need;
  const matchers = sortedMatchers(selection.matchers);
  const isSame =
    matchers.length === selection.matchers.length &&
    matchers.every((one, i) => one === selection.matchers[i]);
  return isSame ? need : { node, selection: { ...selection, matchers } };
}

/** What to fetch for a checked expression; `evaluate` takes the decoded series in the same order. */
export function selectionsOf(written: Expr, params: QueryParams): readonly Selection[] {
  return planOf(written, params).selections;
}
