/**
 * The currency of the engine: one operator's answer as columns. Row i belongs to `labels[i]`, cell
 * `i * steps + t` to its step t:
 *
 *            t0   t1   t2            present[cell] = 0: no sample there, values[cell] is garbage
 *   row 0  [ 1.5  1.7   -  ]         present[cell] = 1: a sample, possibly NaN
 *   row 1  [  -    3    4  ]
 *
 * Invariants: a block is written by the operator that made it only; no label set stands twice. `drop[i]` = 1 means that row i
 * loses its metric name when the query ends (delayed name removal); all zero otherwise.
 */
import { StarlingError } from '../../model/errors.ts';
import { type Labels, labelsKey, labelValue, METRIC_NAME } from '../../model/labels.ts';

export interface Block {
  readonly labels: readonly Labels[];
  readonly steps: number;
  readonly values: Float64Array;
  readonly present: Uint8Array;
  readonly drop: Uint8Array;
}

/** An empty block with a row for each label set. */
export function newBlock(labels: readonly Labels[], steps: number, drop?: Uint8Array): Block {
  return {
    labels,
    steps,
    values: new Float64Array(labels.length * steps),
    present: new Uint8Array(labels.length * steps),
    drop: drop ?? new Uint8Array(labels.length),
  };
}

/** The label set without its metric name. */
export function withoutName(labels: Labels): Labels {
  return withoutLabel(labels, METRIC_NAME);
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
function isOneName(labels: readonly Labels[]): boolean {
  if (labels.length === 0) return true;
  const name = labelValue(labels[0]!, METRIC_NAME);
  return labels.every((set) => labelValue(set, METRIC_NAME) === name);
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
  );
  for (let i = 0; i < rows.length; i++) {
    const from = rows[i]! * steps;
    picked.values.set(block.values.subarray(from, from + steps), i * steps);
    picked.present.set(block.present.subarray(from, from + steps), i * steps);
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
  );
  for (let row = 0; row < block.labels.length; row++) mergeRow(block, row, merged, target[row]!);
  return merged;
}

function mergeRow(from: Block, row: number, into: Block, targetRow: number): void {
  const { steps } = from;
  for (let t = 0; t < steps; t++) {
    if (from.present[row * steps + t] === 0) continue;
    const cell = targetRow * steps + t;
    if (into.present[cell] === 1) throw sameLabelset();
    into.present[cell] = 1;
    into.values[cell] = from.values[row * steps + t]!;
  }
}

/** At the end of a query: takes the names off that were marked, and joins what became equal. */
export function applyNameRemoval(block: Block): Block {
  if (!block.drop.includes(1)) return block;
  const labels = block.labels.map((set, row) => (block.drop[row] === 1 ? withoutName(set) : set));
  const drop = new Uint8Array(block.drop.length);
  return mergeEqualRows({ ...block, labels, drop });
}
