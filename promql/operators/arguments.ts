/**
 * The operands of a node, with the types the parser has promised. Evaluation goes back to the
 * walker through the context, so that operators do not import it.
 */
import { assert } from '../../model/assert.ts';
import type { Expr, MatrixSelector, Subquery } from '../ast.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import { type Block, occupiedRows, pickRows } from './block.ts';
import { type EvalContext, pinnedMs, subqueryGrid } from './context.ts';
import { columnsOf, withoutStale } from './select.ts';
import type { Trace } from '../trace.ts';
import type { RangeSource } from './range-source.ts';
import { columnsFromBlock } from './windows.ts';

export function evaluateVector(node: Expr, context: EvalContext): Block {
  const value = context.evaluate(node);
  assert(value.kind === 'vector', 'checked by the parser');
  return value.block;
}

export function evaluateScalar(node: Expr, context: EvalContext): Float64Array {
  const value = context.evaluate(node);
  assert(value.kind === 'scalar', 'checked by the parser');
  return value.values;
}

export function evaluateString(node: Expr, context: EvalContext): string {
  const value = context.evaluate(node);
  assert(value.kind === 'string', 'checked by the parser');
  return value.value;
}

/** The node without the parentheses around it. */
export function unwrapped(node: Expr): Expr {
  return node.kind === 'paren' ? unwrapped(node.expr) : node;
}

/** The samples and windows of a range vector. */
export function rangeSource(node: Expr, context: EvalContext): RangeSource {
  const inner = unwrapped(node);
  assert(inner.kind === 'matrix_selector' || inner.kind === 'subquery', 'checked by the parser');
  const { trace } = context.state;
  const startedMs = trace?.nowMs() ?? 0;
  const source =
    inner.kind === 'subquery' ? subquerySource(inner, context) : selectorSource(inner, context);
  if (trace !== undefined) noteSource(inner, source, context, trace, startedMs);
  return source;
}

function noteSource(
  node: MatrixSelector | Subquery,
  { columns, firstEndMs, rangeMs, stepMs }: RangeSource,
  context: EvalContext,
  trace: Trace,
  startedMs: number,
): void {
  const { ends, timestamps } = columns;
  const ms = trace.nowMs() - startedMs;
  trace.note(node, { series: ends.length, samples: timestamps.length, ms });
  if (context.isSubquery) return;
  let start = 0;
  for (const end of ends) {
    let [from, to] = [start, start];
    for (let t = 0; t < context.steps; t++) {
      const endMs = firstEndMs + t * stepMs;
      while (to < end && timestamps[to]! <= endMs) to++;
      while (from < to && timestamps[from]! <= endMs - rangeMs) from++;
      if (to > from) trace.look(t, to - from);
    }
    start = end;
  }
}

function selectorSource({ selector, rangeMs }: MatrixSelector, context: EvalContext): RangeSource {
  const pinned = pinnedMs(selector.at, context.params);
  return {
    columns: withoutStale(columnsOf(selector, context)),
    drop: undefined,
    rangeMs,
    firstEndMs: (pinned ?? context.grid.startMs) - selector.offsetMs,
    stepMs: pinned === undefined ? context.grid.stepMs : 0,
  };
}

function subquerySource(node: Subquery, context: EvalContext): RangeSource {
  const grid = subqueryGrid(node, context.grid, context.params);
  const whole = evaluateVector(node.expr, context.withGrid(grid));
  const block = pickRows(whole, occupiedRows(whole));
  const pinned = pinnedMs(node.at, context.params);
  return {
    columns: withoutStaleHints(columnsFromBlock(block, grid.startMs, grid.stepMs)),
    drop: block.drop,
    rangeMs: node.rangeMs,
    firstEndMs: (pinned ?? context.grid.startMs) - node.offsetMs,
    stepMs: pinned === undefined ? context.grid.stepMs : 0,
  };
}

/**
 * Reset hints tell about the sample before in storage. A subquery repeats samples and leaves some
 * out: of a repeated reset only the first counts, and "no reset" may no longer be true.
 */
function withoutStaleHints(columns: SeriesColumns): SeriesColumns {
  const { ends, histograms } = columns;
  if (histograms === undefined) return columns;
  const kept = histograms.slice();
  let start = 0;
  for (const end of ends) {
    for (let i = start; i < end; i++) {
      const histogram = histograms[i];
      const isRepeated = i > start && histogram === histograms[i - 1];
      if (histogram?.hint === 'not_reset' || (histogram?.hint === 'reset' && isRepeated)) {
        kept[i] = { ...histogram, hint: 'unknown' };
      }
    }
    start = end;
  }
  return { ...columns, histograms: kept };
}
