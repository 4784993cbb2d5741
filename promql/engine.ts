/**
 * Runs a checked expression over decoded series. Columnar: every operator answers for all steps at
 * once, in typed arrays (`operators/block.ts`). Pure: same tree, parameters and series, same answer.
 *
 *   selectionsOf(expr) -> storage -> SeriesColumns[] (same order) -> evaluate -> encodeResult
 */
import { assert } from '../model/assert.ts';
import { compareLabels } from '../model/labels.ts';
import { StarlingError } from '../model/errors.ts';
import type { SeriesColumns } from '../model/series-columns.ts';
import type { Expr } from './ast.ts';
import { applyNameRemoval, type Block, occupiedRows, pickRows } from './operators/block.ts';
import { EvalContext, queryGrid } from './operators/context.ts';
import type { QueryBudget, QueryParams, QueryState, Value } from './operators/context.ts';
import { rangeSource } from './operators/arguments.ts';
import { evaluateNode, tracedNode } from './operators/evaluator.ts';
import type { Trace } from './trace.ts';
import { columnsFromBlock, samplesOfWindow } from './operators/windows.ts';
import { preparedExpr } from './plan/prepare.ts';
import { selectorsOf } from './plan/selections.ts';
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
  data: readonly SeriesColumns[],
  budget: QueryBudget,
  trace?: Trace,
): QueryResult {
  const expr = preparedExpr(written, params);
  const selectors = selectorsOf(expr, params);
  assert(selectors.length === data.length, 'one set of series for each selection');
  const state: QueryState = {
    params,
    budget,
    data: new Map(selectors.map((selector, i) => [selector, data[i]!])),
    warnings: new Map(),
    infos: new Map(),
    trace,
    evaluate:
      trace === undefined ? evaluateNode : (node, context) => tracedNode(node, context, trace),
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
