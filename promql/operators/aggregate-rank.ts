/**
 * Aggregations that need all samples of a group at once: topk, bottomk, limitk (which keep rows),
 * quantile and count_values.
 */
import { histogramText } from '../../model/histogram-text.ts';
import type { Labels } from '../../model/labels.ts';
import { labelsKey } from '../../model/labels.ts';
import { isLabelName } from '../functions/labels.ts';
import { labelOffset } from '../functions/label-hash.ts';
import { quantileOf } from '../functions/summation.ts';
import { formatGeneral, formatPlain } from '../../model/number-text.ts';
import { quote } from '../printer-quote.ts';
import type { Aggregation } from '../ast.ts';
import { withLabel } from './aggregate.ts';
import { informOfIgnored } from './aggregate-native.ts';
import { type Block, copyCell, FLOAT, HISTOGRAM, NONE, pickRows } from './block.ts';
import { type EvalContext, executionError } from './context.ts';
import { groupRows } from './grouping.ts';
import { selectTop } from './top-rows.ts';

/** topk, bottomk and limitk: the rows stay, cells that are not chosen lose their sample. */
export function aggregateK(
  node: Aggregation,
  block: Block,
  k: Float64Array,
  context: EvalContext,
): Block {
  for (const value of k) {
    if (Number.isNaN(value)) throw executionError('Parameter value is NaN');
    if (value <= -(2 ** 63)) throw executionError(`Scalar value ${value} underflows int64`);
    if (value >= 2 ** 63) {
      throw executionError(`Scalar value ${formatGeneral(value)} overflows int64`);
    }
  }
  const { groupOf, labels } = groupRows(node, block);
  const rowsOf = rowsByGroup(groupOf, labels.length);
  const out = context.block(block.labels, block.drop, block.histograms !== undefined);
  if (node.op !== 'limitk') informOfIgnored(node, block, context);
  const order: number[] = [];
  const heap = new Uint32Array(block.labels.length);
  for (const rows of rowsOf) {
    for (let t = 0; t < block.steps; t++) {
      const chosen = chooseRows(node, block, rows, t, Math.trunc(k[t]!), heap);
      for (const row of chosen) {
        const cell = row * block.steps + t;
        copyCell(block, cell, out, cell);
      }
      if (context.params.instant && block.steps === 1) order.push(...chosen);
    }
  }
  return context.params.instant && block.steps === 1 ? pickRows(out, order) : out;
}

/** limit_ratio: a share of the rows, picked by the hash of their labels; negative: the others. */
export function aggregateRatio(
  node: Aggregation,
  block: Block,
  ratios: Float64Array,
  context: EvalContext,
): Block {
  const out = context.block(block.labels, block.drop, block.histograms !== undefined);
  const { steps, present } = block;
  const capped = ratios.map((ratio) => cappedRatio(node, ratio, context));
  for (let row = 0; row < block.labels.length; row++) {
    context.checkRow(row);
    const offset = labelOffset(block.labels[row]!);
    for (let t = 0; t < steps; t++) {
      const ratio = capped[t]!;
      const isPicked = ratio >= 0 ? offset < ratio : offset >= 1 + ratio;
      if (isPicked && present[row * steps + t] !== NONE) {
        copyCell(block, row * steps + t, out, row * steps + t);
      }
    }
  }
  return out;
}

function cappedRatio(node: Aggregation, ratio: number, context: EvalContext): number {
  if (Number.isNaN(ratio)) throw executionError('Ratio value is NaN');
  const capped = Math.max(-1, Math.min(1, ratio));
  if (capped !== ratio) {
    const text = `ratio value should be between -1 and 1, got ${formatGeneral(ratio)}, capping to ${capped}`;
    context.warn(node.param ?? node, text);
  }
  return capped;
}

function rowsByGroup(groupOf: Uint32Array, count: number): number[][] {
  const rowsOf: number[][] = Array.from({ length: count }, () => []);
  for (let row = 0; row < groupOf.length; row++) rowsOf[groupOf[row]!]!.push(row);
  return rowsOf;
}

function chooseRows(
  node: Aggregation,
  block: Block,
  rows: readonly number[],
  t: number,
  k: number,
  heap: Uint32Array,
): number[] {
  const { present, steps, values } = block;
  if (node.op === 'limitk') {
    return rows.filter((row) => present[row * steps + t] !== NONE).slice(0, Math.max(0, k));
  }
  const sign = node.op === 'topk' ? 1 : -1;
  const countMax = Math.max(0, Math.min(k, rows.length));
  const size = selectTop(rows, values, present, { t, steps, k: countMax, sign }, heap);
  const chosen = Array.from(heap.subarray(0, size));
  return chosen.sort((x, y) => compareRank(values[x * steps + t]!, values[y * steps + t]!, -sign));
}

/** Orders by value (sign -1: largest first); NaN last either way. */
export function compareRank(a: number, b: number, sign: number): number {
  if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : 1;
  if (Number.isNaN(b)) return -1;
  if (a === b) return 0;
  return a < b ? -sign : sign;
}

/** The φ-quantile of each group at each step. */
export function aggregateQuantile(
  node: Aggregation,
  block: Block,
  phi: Float64Array,
  context: EvalContext,
): Block {
  for (const value of new Set(phi)) {
    if (value >= 0 && value <= 1) continue;
    const got = formatGeneral(value);
    context.warn(node.param ?? node, `quantile value should be between 0 and 1, got ${got}`);
  }
  informOfIgnored(node, block, context);
  const { groupOf, labels, drop } = groupRows(node, block);
  const out = context.block(labels, drop);
  const rowsOf = rowsByGroup(groupOf, labels.length);
  const { present, steps, values } = block;
  for (let group = 0; group < rowsOf.length; group++) {
    const rows = rowsOf[group]!;
    const scratch = new Float64Array(rows.length);
    for (let t = 0; t < steps; t++) {
      let count = 0;
      for (const row of rows) {
        if (present[row * steps + t] === FLOAT) scratch[count++] = values[row * steps + t]!;
      }
      if (count === 0) continue;
      out.present[group * steps + t] = 1;
      out.values[group * steps + t] = quantileOf(phi[t]!, scratch.subarray(0, count));
    }
  }
  return out;
}

/** How often each value occurs; the value becomes the label `name`. */
export function countValues(
  node: Aggregation,
  block: Block,
  name: string,
  context: EvalContext,
): Block {
  if (!isLabelName(name)) {
    throw executionError(`invalid label name ${quote(name)}`);
  }
  const { groupOf, labels } = groupRows(node, block);
  const { present, steps, values, histograms } = block;
  const outRow = new Map<string, number>();
  const outLabels: Labels[] = [];
  const rowOfCell = new Int32Array(values.length).fill(-1);
  for (let cell = 0; cell < values.length; cell++) {
    if (present[cell] === NONE) continue;
    const base = labels[groupOf[Math.floor(cell / steps)]!]!;
    const histogram = present[cell] === HISTOGRAM ? histograms?.[cell] : undefined;
    const text = histogram === undefined ? formatPlain(values[cell]!) : histogramText(histogram);
    const full = withLabel(base, name, text);
    const key = labelsKey(full);
    let row = outRow.get(key);
    if (row === undefined) {
      row = outLabels.length;
      outRow.set(key, row);
      outLabels.push(full);
    }
    rowOfCell[cell] = row;
  }
  const out = context.block(outLabels);
  for (let cell = 0; cell < values.length; cell++) {
    if (rowOfCell[cell]! < 0) continue;
    const to = rowOfCell[cell]! * steps + (cell % steps);
    out.values[to] = out.values[to]! + 1;
    out.present[to] = 1;
  }
  return out;
}
