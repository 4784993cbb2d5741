/**
 * The currency of the engine: one operator's answer as columns. Row i belongs to `labels[i]`, cell
 * `i * steps + t` to its step t:
 *
 *            t0   t1   t2      present[cell] = NONE: no sample there, values[cell] is garbage
 *   row 0  [ 1.5  1.7   -  ]                   FLOAT: a number, possibly NaN
 *   row 1  [  -    3    H  ]                   HISTOGRAM: histograms[cell], values[cell] is garbage
 *
 * Invariants: a block is written by the operator that made it only; no label set stands twice.
 * `drop[i]` = 1 means that row i loses its metric name when the query ends (delayed name removal);
 * all zero otherwise. Most blocks have no histograms at all: then there is no array of them.
 */
import { StarlingError } from '../../model/errors.ts';
import type { Histogram } from '../../model/histogram.ts';
import { assert } from '../../model/assert.ts';
import { zeroedBytes, zeroedFloats } from '../../model/scratch-memory.ts';
import {
  isMetricLabel,
  type Labels,
  labelsKey,
  labelValue,
  METRIC_NAME,
  METRIC_TYPE,
  METRIC_UNIT,
} from '../../model/labels.ts';

/** What a cell holds: `present[cell]`. */
export const NONE = 0;
export const FLOAT = 1;
export const HISTOGRAM = 2;

const METRIC_LABELS = [METRIC_NAME, METRIC_TYPE, METRIC_UNIT] as const;

/** The histograms of a block by cell. */
export type HistogramCells = (Histogram | undefined)[];

export interface Block {
  readonly labels: readonly Labels[];
  readonly steps: number;
  readonly values: Float64Array;
  readonly present: Uint8Array;
  /** Undefined when no cell holds a histogram. */
  readonly histograms: HistogramCells | undefined;
  readonly drop: Uint8Array;
}

/** An empty block with a row for each label set. */
export function newBlock(
  labels: readonly Labels[],
  steps: number,
  drop?: Uint8Array,
  hasHistograms = false,
): Block {
  return {
    labels,
    steps,
    values: zeroedFloats(labels.length * steps),
    present: zeroedBytes(labels.length * steps),
    histograms: hasHistograms ? new Array<undefined>(labels.length * steps) : undefined,
    drop: drop ?? new Uint8Array(labels.length),
  };
}

/** The label set without its metric name, type and unit. */
export function withoutName(labels: Labels): Labels {
  for (let i = 0; i < labels.length; i += 2) {
    if (!isMetricLabel(labels[i]!)) continue;
    const rest = labels.slice(0, i);
    for (let k = i + 2; k < labels.length; k += 2) {
      if (!isMetricLabel(labels[k]!)) rest.push(labels[k]!, labels[k + 1]!);
    }
    return rest;
  }
  return labels;
}

/** The label set without one label; the same array when it has none. */
export function withoutLabel(labels: Labels, name: string): Labels {
  for (let i = 0; i < labels.length; i += 2) {
    if (labels[i] === name) return [...labels.slice(0, i), ...labels.slice(i + 2)];
  }
  return labels;
}

/** The rows of a block without their metric names, joined where they became equal. */
export function withoutNames(block: Block): Block {
  const labels = block.labels.map(withoutName);
  const bare = { ...block, labels };
  return isOneName(block.labels) ? bare : mergeEqualRows(bare);
}

/** True when all rows have one metric name: then dropping it cannot make two equal. */
export function isOneName(labels: readonly Labels[]): boolean {
  const first = labels[0];
  if (first === undefined) return true;
  return METRIC_LABELS.every((name) => {
    const value = labelValue(first, name);
    return labels.every((set) => labelValue(set, name) === value);
  });
}

/** The rows `rows` of a block, in that order. */
export function pickRows(block: Block, rows: readonly number[]): Block {
  if (rows.length === block.labels.length && rows.every((row, i) => row === i)) return block;
  const { steps } = block;
  const labels = rows.map((row) => block.labels[row]!);
  const picked = newBlock(
    labels,
    steps,
    Uint8Array.from(rows, (row) => block.drop[row]!),
    block.histograms !== undefined,
  );
  for (let i = 0; i < rows.length; i++) {
    const from = rows[i]! * steps;
    picked.values.set(block.values.subarray(from, from + steps), i * steps);
    picked.present.set(block.present.subarray(from, from + steps), i * steps);
    for (let t = 0; picked.histograms !== undefined && t < steps; t++) {
      picked.histograms[i * steps + t] = block.histograms?.[from + t];
    }
  }
  return picked;
}

/** The rows that have a sample anywhere. */
export function occupiedRows(block: Block): number[] {
  const rows: number[] = [];
  const { present, steps } = block;
  for (let row = 0; row < block.labels.length; row++) {
    const end = (row + 1) * steps;
    for (let cell = row * steps; cell < end; cell++) {
      if (present[cell] === 0) continue;
      rows.push(row);
      break;
    }
  }
  return rows;
}

/** Two samples with one label set at one step: Prometheus refuses to answer. */
export function sameLabelset(): StarlingError {
  const text = 'vector cannot contain metrics with the same labelset';
  return new StarlingError('query.execution', { text });
}

/** Joins rows with equal labels. Throws `query.execution` when two have a sample at one step. */
export function mergeEqualRows(block: Block): Block {
  const rowOf = new Map<string, number>();
  const target = new Uint32Array(block.labels.length);
  const kept: number[] = [];
  for (let row = 0; row < block.labels.length; row++) {
    const key = labelsKey(block.labels[row]!);
    let to = rowOf.get(key);
    if (to === undefined) {
      to = kept.length;
      rowOf.set(key, to);
      kept.push(row);
    }
    target[row] = to;
  }
  if (kept.length === block.labels.length) return block;
  const merged = newBlock(
    kept.map((row) => block.labels[row]!),
    block.steps,
    Uint8Array.from(kept, (row) => block.drop[row]!),
    block.histograms !== undefined,
  );
  for (let row = 0; row < block.labels.length; row++) mergeRow(block, row, merged, target[row]!);
  return merged;
}

function mergeRow(from: Block, row: number, into: Block, targetRow: number): void {
  const { steps } = from;
  for (let t = 0; t < steps; t++) {
    if (from.present[row * steps + t] === NONE) continue;
    const cell = targetRow * steps + t;
    if (into.present[cell] !== NONE) throw sameLabelset();
    copyCell(from, row * steps + t, into, cell);
  }
}

/** Copies a sample of either kind. `into` has room for histograms when `from` has any. */
export function copyCell(from: Block, fromCell: number, into: Block, cell: number): void {
  into.present[cell] = from.present[fromCell]!;
  into.values[cell] = from.values[fromCell]!;
  if (from.histograms !== undefined && into.histograms !== undefined) {
    into.histograms[cell] = from.histograms[fromCell];
  }
}

/** Puts a number, a histogram or (undefined) nothing into a cell. */
export function setCell(block: Block, cell: number, sample: Histogram | number | undefined): void {
  if (sample === undefined) {
    block.present[cell] = NONE;
  } else if (typeof sample === 'number') {
    block.present[cell] = FLOAT;
    block.values[cell] = sample;
  } else {
    assert(block.histograms !== undefined, 'the block has room for histograms');
    block.present[cell] = HISTOGRAM;
    block.histograms[cell] = sample;
  }
}

/** The sample of a cell that is not empty. */
export function sampleAt({ present, values, histograms }: Block, cell: number): Histogram | number {
  const histogram = present[cell] === HISTOGRAM ? histograms?.[cell] : undefined;
  return histogram ?? values[cell]!;
}

/** The block with its numbers only. */
export function floatsOnly(block: Block): Block {
  if (block.histograms === undefined) return block;
  const present = block.present.map((kind) => (kind === FLOAT ? FLOAT : NONE));
  return { ...block, present, histograms: undefined };
}

/** Every histogram put through `change`; numbers stay. */
export function mapHistograms(
  { histograms, present }: Block,
  change: (histogram: Histogram) => Histogram,
): HistogramCells | undefined {
  if (histograms === undefined) return undefined;
  return histograms.map((one, cell) =>
    one !== undefined && present[cell] === HISTOGRAM ? change(one) : undefined,
  );
}

/** At the end of a query: takes the names off that were marked, and joins what became equal. */
export function applyNameRemoval(block: Block): Block {
  if (!block.drop.includes(1)) return block;
  const labels = block.labels.map((set, row) => (block.drop[row] === 1 ? withoutName(set) : set));
  const drop = new Uint8Array(block.drop.length);
  return mergeEqualRows({ ...block, labels, drop });
}
