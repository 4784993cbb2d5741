/**
 * The arithmetic of aggregations that fold a group of rows into one. Rows are added in their order, some at a time or all at
 * once: the answer is the same to the last bit. Inner loops run along the rows, so that both input and output are
 * read in order; each is written out, for it is hot and a call for every cell would cost more than what it does.
 */
import { assertNever } from '../../model/assert.ts';
import { zeroedBytes, zeroedFloats } from '../../model/scratch-memory.ts';
import { nextError } from '../functions/summation.ts';
import { type Block, FLOAT, NONE } from './block.ts';
import { addRowsInScratch } from './sum-kernel.ts';

const FOLDS = ['avg', 'count', 'group', 'max', 'min', 'stddev', 'stdvar', 'sum'] as const;

/** The aggregations that fold. */
export type FoldOp = (typeof FOLDS)[number];

export function isFold(op: string): op is FoldOp {
  return FOLDS.some((one) => one === op);
}

/** A fold on its way. */
export interface Fold {
  /** Adds the rows of a block, each to its group. */
  readonly add: (block: Block, groupOf: Uint32Array) => void;
  /** The groups, once all rows are added. */
  readonly finish: () => Block;
}

/** Folds into a block that is empty, with a row for each group. */
export function foldInto(op: FoldOp, out: Block): Fold {
  switch (op) {
    case 'sum':
      return sums(out);
    case 'avg':
      return means(out);
    case 'count':
      return counts(out);
    case 'group': {
      const { add, finish } = counts(out);
      return { add, finish: () => ({ ...finish(), values: out.values.fill(1) }) };
    }
    case 'max':
    case 'min':
      return extremes(out, op === 'max');
    case 'stddev': {
      const { add, finish } = variances(out);
      return { add, finish: () => ({ ...finish(), values: out.values.map(Math.sqrt) }) };
    }
    case 'stdvar':
      return variances(out);
    default:
      return assertNever(op);
  }
}

/** Compensated sums; the errors are added in at the end. sum-row.wat does the same in scratch memory. */
function sums(out: Block): Fold {
  const errors = zeroedFloats(out.values.length);
  return {
    add: (block, groupOf) => {
      if (!addRowsInScratch(block, groupOf, out, errors)) addRows(block, groupOf, out, errors);
    },
    finish: () => {
      for (let i = 0; i < errors.length; i++) out.values[i] = out.values[i]! + errors[i]!;
      return out;
    },
  };
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

function counts(out: Block): Fold {
  return { add: (block, groupOf) => countRows(block, groupOf, out), finish: () => out };
}

function countRows(block: Block, groupOf: Uint32Array, out: Block): void {
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

function extremes(out: Block, isMax: boolean): Fold {
  return { add: (block, groupOf) => addExtremes(block, groupOf, out, isMax), finish: () => out };
}

/** NaN gives way to any number. */
function addExtremes(block: Block, groupOf: Uint32Array, out: Block, isMax: boolean): void {
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
function means(out: Block): Fold {
  const { values: sums } = out;
  const state: Means = {
    sums,
    errors: zeroedFloats(sums.length),
    counts: zeroedFloats(sums.length),
    isIncremental: zeroedBytes(sums.length),
  };
  return {
    add: (block, groupOf) => addMeans(block, groupOf, out, state),
    finish: () => {
      const { counts, errors, isIncremental } = state;
      for (let i = 0; i < sums.length; i++) {
        if (counts[i] === 0) continue;
        const by = isIncremental[i] === 1 ? 1 : counts[i]!;
        sums[i] = sums[i]! / by + errors[i]! / by;
      }
      return out;
    },
  };
}

interface Means {
  readonly sums: Float64Array;
  readonly errors: Float64Array;
  readonly counts: Float64Array;
  readonly isIncremental: Uint8Array;
}

function addMeans(block: Block, groupOf: Uint32Array, out: Block, state: Means): void {
  const { steps, values, present } = block;
  for (let row = 0; row < groupOf.length; row++) {
    const shift = (groupOf[row]! - row) * steps;
    const end = (row + 1) * steps;
    for (let cell = row * steps; cell < end; cell++) {
      if (present[cell] !== FLOAT) continue;
      const to = cell + shift;
      addToMean(state, to, values[cell]!);
      out.present[to] = 1;
    }
  }
}

function addToMean(
  { counts, errors, isIncremental, sums }: Means,
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
function variances(out: Block): Fold {
  const { values: squares } = out;
  const means = zeroedFloats(squares.length);
  const counts = zeroedFloats(squares.length);
  return {
    add: (block, groupOf) => addSquares(block, groupOf, out, means, counts),
    finish: () => {
      for (let i = 0; i < squares.length; i++) squares[i] = squares[i]! / Math.max(1, counts[i]!);
      return out;
    },
  };
}

function addSquares(
  block: Block,
  groupOf: Uint32Array,
  out: Block,
  means: Float64Array,
  counts: Float64Array,
): void {
  const { steps, values, present } = block;
  const { values: squares } = out;
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
}
