/**
 * Aggregations that fold a group of rows into one: sum, avg, min, max, count, group, stddev,
 * stdvar. Groups are small integers; `groupOf[row]` is found once per query (folds.ts has the arithmetic).
 */
import { compareUtf8, type Labels } from '../../model/labels.ts';
import type { Aggregation } from '../ast.ts';
import type { Block } from './block.ts';
import type { EvalContext } from './context.ts';
import { addHistogramsByGroup, informOfIgnored } from './aggregate-native.ts';
import { groupRows } from './grouping.ts';
import { type FoldOp, foldInto } from './folds.ts';

/** A label set with one label set (replaced, or inserted in order); an empty value removes it. */
export function withLabel(labels: Labels, name: string, value: string): Labels {
  const result: string[] = [];
  let isPlaced = value === '';
  for (let i = 0; i < labels.length; i += 2) {
    const order = compareUtf8(labels[i]!, name);
    if (order >= 0 && !isPlaced) {
      result.push(name, value);
      isPlaced = true;
    }
    if (order !== 0) result.push(labels[i]!, labels[i + 1]!);
  }
  if (!isPlaced) result.push(name, value);
  return result;
}

/** Runs one of the folding aggregations. */
export function aggregateFold(
  node: Aggregation,
  op: FoldOp,
  block: Block,
  context: EvalContext,
): Block {
  const { groupOf, labels, drop } = groupRows(node, block);
  const addsHistograms = (op === 'sum' || op === 'avg') && block.histograms !== undefined;
  const out = context.block(labels, drop, addsHistograms);
  if (op !== 'count' && op !== 'group' && !addsHistograms) informOfIgnored(node, block, context);
  const fold = foldInto(op, out);
  fold.add(block, groupOf);
  const folded = fold.finish();
  if (addsHistograms) addHistogramsByGroup(node, block, groupOf, folded, context);
  return folded;
}
