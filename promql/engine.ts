/**
 * Runs a checked expression over decoded series. Columnar: every operator answers for all steps at
 * once, in typed arrays (`operators/block.ts`). Pure: same tree, parameters and series, same answer.
 *
 *   selectionsOf(expr) -> storage -> SeriesColumns[] (same order) -> evaluate -> encodeResult
 */
import { assert } from '../model/assert.ts';
import { compareLabels } from '../model/labels.ts';
import { StarlingError } from '../model/errors.ts';
import type { SeriesColumns, SeriesPieces } from '../model/series-columns.ts';
import type { Expr, VectorSelector } from './ast.ts';
import { applyNameRemoval, type Block, occupiedRows, pickRows } from './operators/block.ts';
import { EvalContext, queryGrid } from './operators/context.ts';
import type { QueryBudget, QueryParams, QueryState, Value } from './operators/context.ts';
import { rangeSource } from './operators/arguments.ts';
import { evaluateNode, tracedNode } from './operators/evaluator.ts';
import { rowWiseSelector } from './operators/fold-pieces.ts';
import { isFold } from './operators/folds.ts';
import { partOf } from './operators/part.ts';
import { childrenOf } from './plan/children.ts';
import { SharedValues } from './operators/shared-values.ts';
import type { Trace } from './trace.ts';
import { columnsFromBlock, samplesOfWindow } from './operators/windows.ts';
import { type Plan, planOf } from './plan/plan.ts';
import type { QueryResult, ResultValue } from './result.ts';
import { documentedType } from './types.ts';

/**
 * The answer to a query. `data` holds the series of each selection of `selectionsOf`, in its order.
 * What was done is noted in `trace`.
 * Throws `query.execution`, `query.unsupported` or `query.too_large`.
 */
export function evaluate(
  written: Expr,
  params: QueryParams,
  data: readonly (SeriesColumns | SeriesPieces)[],
  budget: QueryBudget,
  trace?: Trace,
): QueryResult {
  return evaluatePlan(planOf(written, params), params, data, budget, trace);
}

/** The same for a plan made with the same parameters, whose nodes the trace then tells about. */
export function evaluatePlan(
  plan: Plan,
  params: QueryParams,
  data: readonly (SeriesColumns | SeriesPieces)[],
  budget: QueryBudget,
  trace?: Trace,
): QueryResult {
  const { expr } = plan;
  const state: QueryState = {
    params,
    budget,
    ...partsOf(plan, data, trace),
    warnings: new Map(),
    infos: new Map(),
    notes: { count: 0 },
    trace,
    evaluate: walkerOf(plan, trace),
  };
  const context = new EvalContext(state, queryGrid(params));
  if (trace !== undefined) trace.samplesByStep = new Float64Array(context.steps);
  const result = params.instant ? instantResult(expr, context) : rangeResult(expr, context);
  return {
    ...result,
    warnings: shortened(state.warnings, 'warning'),
    infos: shortened(state.infos, 'info'),
  };
}

/**
 * The series of each selector, out of what was fetched: decoded, but for those that are folded in pieces. A value that
 * is shared is evaluated once for all series, and a trace tells about all of them at once.
 */
function partsOf(
  { expr, selections, shared, sources }: Plan,
  fetched: readonly (SeriesColumns | SeriesPieces)[],
  trace: Trace | undefined,
): Pick<QueryState, 'data' | 'pieces'> {
  assert(selections.length === fetched.length, 'one set of series for each selection');
  const folded = shared.size > 0 || trace !== undefined ? NONE_FOLDED : foldedSelectors(expr);
  const data = new Map<VectorSelector, SeriesColumns>();
  const pieces = new Map<VectorSelector, SeriesPieces>();
  const decoded = new Map<number, SeriesColumns>();
  for (const { index, node, range } of sources) {
    const one = fetched[index]!;
    const isOnly = sources.filter((source) => source.index === index).length === 1;
    const { maxTimeMs, minTimeMs } = selections[index]!;
    const isAll = range.minTimeMs === minTimeMs && range.maxTimeMs === maxTimeMs;
    if ('decode' in one && isOnly && isAll && folded.has(node)) {
      pieces.set(node, one);
      continue;
    }
    const all = decoded.get(index) ?? ('decode' in one ? one.decode(0, one.labels.length) : one);
    decoded.set(index, all);
    data.set(node, isAll ? all : partOf(all, range));
  }
  return { data, pieces };
}

const NONE_FOLDED: ReadonlySet<VectorSelector> = new Set();

/** The selectors that aggregations fold row by row. */
function foldedSelectors(node: Expr, found = new Set<VectorSelector>()): Set<VectorSelector> {
  const selector = node.kind === 'aggregation' && isFold(node.op) && rowWiseSelector(node.expr);
  if (typeof selector === 'object') found.add(selector);
  for (const child of childrenOf(node)) foldedSelectors(child, found);
  return found;
}

function walkerOf({ shared }: Plan, trace: Trace | undefined): QueryState['evaluate'] {
  const evaluate =
    trace === undefined
      ? evaluateNode
      : (node: Expr, context: EvalContext): Value => tracedNode(node, context, trace);
  if (shared.size === 0) return evaluate;
  const values = new SharedValues(shared, evaluate, trace);
  return (node, context) => values.evaluate(node, context);
}

const ANNOTATIONS_MAX = 10;

/** As many annotations as Prometheus shows, and how many more there were. */
function shortened(annotations: ReadonlyMap<string, string>, kind: string): readonly string[] {
  const all = [...annotations.values()];
  const left = all.length - ANNOTATIONS_MAX;
  if (left <= 0) return all;
  return [...all.slice(0, ANNOTATIONS_MAX), `${left} more ${kind} annotations omitted`];
}

function instantResult(expr: Expr, context: EvalContext): ResultValue {
  const timestampMs = context.params.startMs;
  if (expr.type === 'matrix') {
    const source = rangeSource(expr, context);
    const series = samplesOfWindow(source);
    return { resultType: 'matrix', series };
  }
  const value = context.evaluate(expr);
  switch (value.kind) {
    case 'scalar':
      return { resultType: 'scalar', timestampMs, value: value.values[0]! };
    case 'string':
      return { resultType: 'string', timestampMs, value: value.value };
    case 'vector': {
      const removed = applyNameRemoval(value.block);
      const block = pickRows(removed, occupiedRows(removed));
      const { labels, values, histograms } = block;
      return { resultType: 'vector', timestampMs, labels, values, histograms };
    }
  }
}

function rangeResult(expr: Expr, context: EvalContext): ResultValue {
  if (expr.type !== 'scalar' && expr.type !== 'vector') {
    const got = JSON.stringify(documentedType(expr.type));
    const text = `invalid expression type ${got} for range query, must be Scalar or instant Vector`;
    throw new StarlingError('query.parse', { text });
  }
  const block = applyNameRemoval(blockOf(context.evaluate(expr), context));
  const rows = occupiedRows(block);
  rows.sort((a, b) => compareLabels(block.labels[a]!, block.labels[b]!));
  const { startMs, stepMs } = context.grid;
  const series = columnsFromBlock(pickRows(block, rows), startMs, stepMs);
  return { resultType: 'matrix', series };
}

function blockOf(value: Value, context: EvalContext): Block {
  if (value.kind === 'vector') return value.block;
  assert(value.kind === 'scalar', 'a string is refused before');
  const block = context.block([[]]);
  block.values.set(value.values);
  block.present.fill(1);
  return block;
}
