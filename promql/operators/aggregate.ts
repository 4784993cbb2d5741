/**
 * Aggregations that fold a group of rows into one: sum, avg, min, max, count, group, stddev,
 * stdvar. Groups are small integers; `groupOf[row]` is found once per query, and the inner loops
 * run along the rows, so that both input and output are read in order.
 */
import { assertNever } from '../../model/assert.ts';
import { compareUtf8, type Labels } from '../../model/labels.ts';
import { zeroedBytes, zeroedFloats } from '../../model/scratch-memory.ts';
import { nextError } from '../functions/summation.ts';
import type { Aggregation } from '../ast.ts';
import { type Block, FLOAT, NONE } from './block.ts';
import type { EvalContext } from './context.ts';
import { addHistogramsByGroup, informOfIgnored } from './aggregate-native.ts';
import { groupRows } from './grouping.ts';
import { addRowsInScratch } from './sum-kernel.ts';

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

/** The aggregations that fold. */
export type FoldOp = 'avg' | 'count' | 'group' | 'max' | 'min' | 'stddev' | 'stdvar' | 'sum';

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
  switch (op) {
    case 'sum':
      sumByGroup(block, groupOf, out);
      if (addsHistograms) addHistogramsByGroup(node, block, groupOf, out, context);
      return out;
    case 'avg':
      avgByGroup(block, groupOf, out);
      if (addsHistograms) addHistogramsByGroup(node, block, groupOf, out, context);
      return out;
    case 'count':
    case 'group':
      countByGroup(block, groupOf, out);
      if (op === 'group') out.values.fill(1);
      return out;
    case 'max':
    case 'min':
      extremeByGroup(block, groupOf, out, op === 'max');
      return out;
    case 'stddev':
      varianceByGroup(block, groupOf, out);
      return { ...out, values: out.values.map(Math.sqrt) };
    case 'stdvar':
      varianceByGroup(block, groupOf, out);
      return out;
    default:
      return assertNever(op);
  }
}

/** Compensated sums; the errors are added in at the end. sum-row.wat does the same in scratch memory. */
export function sumByGroup(block: Block, groupOf: Uint32Array, out: Block): void {
  const { values: sums } = out;
  const errors = zeroedFloats(sums.length);
  if (!addRowsInScratch(block, groupOf, out, errors)) addRows(block, groupOf, out, errors);
  for (let i = 0; i < errors.length; i++) sums[i] = sums[i]! + errors[i]!;
}

function addRows(block: Block, groupOf: Uint32Array, out: Block, errors: Float64Array): void {
  const { steps, values, present } = block;
  const { values: sums, present: outPresent } = out;
  for (let row = 0; row < groupOf.length; row++) {
    const shift = (groupOf[row]! - row) * steps;
    const end = (row + 1) * steps;
    for (let cell = row * steps; cell < end; cell++) {
      if (present[cell] !== FLOAT) continue;
      const to = cell + shift;
      const value = values[cell]!;
      const sum = sums[to]!;
      const next = sum + value;
      errors[to] = nextError(sum, value, next, errors[to]!);
      sums[to] = next;
      outPresent[to] = 1;
    }
  }
}

export function countByGroup(block: Block, groupOf: Uint32Array, out: Block): void {
  const { steps, present } = block;
  for (let row = 0; row < groupOf.length; row++) {
    const shift = (groupOf[row]! - row) * steps;
    const end = (row + 1) * steps;
    for (let cell = row * steps; cell < end; cell++) {
      if (present[cell] === NONE) continue;
      out.values[cell + shift] = out.values[cell + shift]! + 1;
      out.present[cell + shift] = 1;
    }
  }
}

/** NaN gives way to any number. */
function extremeByGroup(block: Block, groupOf: Uint32Array, out: Block, isMax: boolean): void {
  const { steps, values, present } = block;
  for (let row = 0; row < groupOf.length; row++) {
    const shift = (groupOf[row]! - row) * steps;
    const end = (row + 1) * steps;
    for (let cell = row * steps; cell < end; cell++) {
      if (present[cell] !== FLOAT) continue;
      const to = cell + shift;
      const value = values[cell]!;
      const best = out.values[to]!;
      const isBetter = isMax ? value > best : value < best;
      if (out.present[to] === 0 || isBetter || Number.isNaN(best)) out.values[to] = value;
      out.present[to] = 1;
    }
  }
}

/** The plain mean; a group whose sum overflows goes on with the incremental mean. */
function avgByGroup(block: Block, groupOf: Uint32Array, out: Block): void {
  const { steps, values, present } = block;
  const sums = out.values;
  const errors = zeroedFloats(sums.length);
  const counts = zeroedFloats(sums.length);
  const isIncremental = zeroedBytes(sums.length);
  for (let row = 0; row < groupOf.length; row++) {
    const shift = (groupOf[row]! - row) * steps;
    const end = (row + 1) * steps;
    for (let cell = row * steps; cell < end; cell++) {
      if (present[cell] !== FLOAT) continue;
      const to = cell + shift;
      addToMean(sums, errors, counts, isIncremental, to, values[cell]!);
      out.present[to] = 1;
    }
  }
  for (let i = 0; i < sums.length; i++) {
    if (counts[i] === 0) continue;
    const by = isIncremental[i] === 1 ? 1 : counts[i]!;
    sums[i] = sums[i]! / by + errors[i]! / by;
  }
}

function addToMean(
  sums: Float64Array,
  errors: Float64Array,
  counts: Float64Array,
  isIncremental: Uint8Array,
  to: number,
  value: number,
): void {
  const count = counts[to]! + 1;
  counts[to] = count;
  const sum = sums[to]!;
  if (isIncremental[to] === 0) {
    const next = sum + value;
    if (count === 1 || (next !== Infinity && next !== -Infinity)) {
      errors[to] = nextError(sum, value, next, errors[to]!);
      sums[to] = next;
      return;
    }
    isIncremental[to] = 1;
    sums[to] = sum / (count - 1);
    errors[to] = errors[to]! / (count - 1);
  }
  const weight = (count - 1) / count;
  const mean = weight * sums[to]!;
  const part = value / count;
  const next = mean + part;
  errors[to] = nextError(mean, part, next, weight * errors[to]!);
  sums[to] = next;
}

/** Welford's method. An infinite or NaN first value makes the group NaN. */
function varianceByGroup(block: Block, groupOf: Uint32Array, out: Block): void {
  const { steps, values, present } = block;
  const squares = out.values;
  const means = new Float64Array(squares.length);
  const counts = new Float64Array(squares.length);
  for (let row = 0; row < groupOf.length; row++) {
    const shift = (groupOf[row]! - row) * steps;
    const end = (row + 1) * steps;
    for (let cell = row * steps; cell < end; cell++) {
      if (present[cell] !== FLOAT) continue;
      const to = cell + shift;
      const value = values[cell]!;
      const count = counts[to]! + 1;
      counts[to] = count;
      out.present[to] = 1;
      if (count === 1) {
        means[to] = value;
        squares[to] = Number.isFinite(value) ? 0 : NaN;
        continue;
      }
      const difference = value - means[to]!;
      means[to] = means[to]! + difference / count;
      squares[to] = squares[to]! + difference * (value - means[to]);
    }
  }
  for (let i = 0; i < squares.length; i++) squares[i] = squares[i]! / Math.max(1, counts[i]!);
}
