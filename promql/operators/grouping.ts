/**
 * Grouping of rows by labels: every row gets a small integer, the number of its group. Done once
 * per query; the loops over samples know only the numbers.
 *
 *   by (a, b):  value of a -> id, (id, value of b) -> id, …   no label set is built per row
 *   without:    the label set that remains is the key
 */
import { isMetricLabel, type Labels, labelsKey, METRIC_NAME } from '../../model/labels.ts';
import type { Aggregation } from '../ast.ts';
import type { Block } from './block.ts';

/** Which group each row belongs to, groups in order of their first row. */
export interface Grouping {
  readonly groupOf: Uint32Array;
  readonly labels: readonly Labels[];
  /** As `drop` of a block, for the groups. */
  readonly drop: Uint8Array;
}

export function groupRows(node: Aggregation, block: Pick<Block, 'drop' | 'labels'>): Grouping {
  const names = new Set(node.grouping);
  const { groupOf, firstRows } = node.without
    ? groupByRest(block.labels, names)
    : groupByValues(block.labels, [...names]);
  const keep = node.without
    ? (name: string): boolean => name !== METRIC_NAME && !names.has(name)
    : (name: string): boolean => names.has(name);
  const labels = firstRows.map((row) => keptLabels(block.labels[row]!, keep));
  const hasName = !node.without && [...names].some(isMetricLabel);
  const drop = Uint8Array.from(firstRows, (row) => (hasName ? block.drop[row]! : 0));
  return { groupOf, labels, drop };
}

interface Groups {
  readonly groupOf: Uint32Array;
  readonly firstRows: readonly number[];
}

/** Most different values of one label; keys of the pairs stay exact integers. */
const VALUES_MAX = 2 ** 26;

function groupByValues(labels: readonly Labels[], names: readonly string[]): Groups {
  let groupOf: Uint32Array = new Uint32Array(labels.length);
  let firstRows: number[] = labels.length > 0 ? [0] : [];
  for (const name of names) {
    const valueOf = valueIds(labels, name);
    const ids = new Map<number, number>();
    const refined = new Uint32Array(labels.length);
    firstRows = [];
    for (let row = 0; row < labels.length; row++) {
      const pair = groupOf[row]! * VALUES_MAX + valueOf[row]!;
      let id = ids.get(pair);
      if (id === undefined) {
        id = firstRows.length;
        ids.set(pair, id);
        firstRows.push(row);
      }
      refined[row] = id;
    }
    groupOf = refined;
  }
  return { groupOf, firstRows };
}

/** A number for the value that each row has for the label; rows without it have the value ''. */
function valueIds(labels: readonly Labels[], name: string): Uint32Array {
  const known = new Map<string, number>();
  const ids = new Uint32Array(labels.length);
  let at = 0; // where the row before had the label: mostly where this one has it
  for (let row = 0; row < labels.length; row++) {
    const set = labels[row]!;
    if (set[at] !== name) {
      at = 0;
      while (at < set.length && set[at] !== name) at += 2;
    }
    const value = at < set.length ? set[at + 1]! : '';
    let id = known.get(value);
    if (id === undefined) {
      id = known.size;
      known.set(value, id);
    }
    ids[row] = id;
  }
  return ids;
}

function groupByRest(labels: readonly Labels[], names: ReadonlySet<string>): Groups {
  const groupOf = new Uint32Array(labels.length);
  const firstRows: number[] = [];
  const ids = new Map<string, number>();
  const keep = (name: string): boolean => name !== METRIC_NAME && !names.has(name);
  for (let row = 0; row < labels.length; row++) {
    const key = labelsKey(keptLabels(labels[row]!, keep));
    let id = ids.get(key);
    if (id === undefined) {
      id = firstRows.length;
      ids.set(key, id);
      firstRows.push(row);
    }
    groupOf[row] = id;
  }
  return { groupOf, firstRows };
}

function keptLabels(labels: Labels, keep: (name: string) => boolean): Labels {
  const kept: string[] = [];
  for (let i = 0; i < labels.length; i += 2) {
    if (keep(labels[i]!)) kept.push(labels[i]!, labels[i + 1]!);
  }
  return kept;
}
