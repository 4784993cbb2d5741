/**
 * Sums and means of native histograms by group, beside those of the numbers (`aggregate.ts`), and
 * the notes about what was left out. A group with both kinds at one step has no answer there.
 */
import { HistogramSum } from '../../model/histogram-sum.ts';
import { labelValue, METRIC_NAME } from '../../model/labels.ts';
import type { Aggregation } from '../ast.ts';
import { type Block, HISTOGRAM, NONE, setCell } from './block.ts';
import type { EvalContext } from './context.ts';

/** Tells once that the histograms of a block take no part. */
export function informOfIgnored(node: Aggregation, block: Block, context: EvalContext): void {
  if (block.histograms === undefined || !block.present.includes(HISTOGRAM)) return;
  context.info(node.expr, `ignored histogram in ${node.op} aggregation`);
}

/** sum or avg of the histograms of each group. `out` has the answers for the numbers already. */
export function addHistogramsByGroup(
  node: Aggregation,
  block: Block,
  groupOf: Uint32Array,
  out: Block,
  context: EvalContext,
): void {
  const { steps, present, histograms } = block;
  const sums = new Map<number, HistogramSum>();
  const isBroken = new Set<number>();
  for (let row = 0; row < groupOf.length; row++) {
    context.checkRow(row);
    for (let t = 0; t < steps; t++) {
      const histogram = histograms?.[row * steps + t];
      if (histogram === undefined || present[row * steps + t] !== HISTOGRAM) continue;
      const to = groupOf[row]! * steps + t;
      const sum = sums.get(to);
      if (sum === undefined) {
        sums.set(to, new HistogramSum(histogram));
        continue;
      }
      if (isBroken.has(to)) continue;
      const { isDone, isReconciled } = sum.add(histogram);
      if (isReconciled) {
        context.info(node.expr, 'mismatched custom buckets were reconciled during aggregation');
      }
      if (isDone) continue;
      isBroken.add(to);
      warnOfMixedSchemas(node, labelValue(block.labels[row]!, METRIC_NAME), context);
    }
  }
  for (const [to, sum] of sums) {
    if (out.present[to] !== NONE) {
      context.warn(node.expr, 'encountered a mix of histograms and floats for aggregation');
      out.present[to] = NONE;
      continue;
    }
    if (isBroken.has(to)) continue;
    if (sum.isCollision) {
      context.warn(node.expr, 'conflicting counter resets during histogram aggregation');
    }
    setCell(out, to, node.op === 'avg' ? sum.mean() : sum.sum());
  }
}

function warnOfMixedSchemas(node: Aggregation, name: string, context: EvalContext): void {
  context.warn(
    node.expr,
    `vector contains a mix of histograms with exponential and custom buckets schemas for metric name ${JSON.stringify(name)}`,
  );
}
