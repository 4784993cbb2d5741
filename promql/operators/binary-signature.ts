/** Signatures: the labels by which rows of two vectors are matched, as small numbers. */
import { type Labels, labelsKey, METRIC_NAME } from '../../model/labels.ts';
import type { VectorMatching } from '../ast.ts';
import { type Block, NONE } from './block.ts';

/** For each row the number of its signature; equal signatures have equal numbers in both blocks. */
export function signatures(
  blocks: readonly Block[],
  matching: VectorMatching,
): { ids: Uint32Array[]; count: number } {
  const known = new Map<string, number>();
  const names = new Set(matching.labels);
  const ids = blocks.map(({ labels }) => {
    return Uint32Array.from(labels, (set) => {
      const key = labelsKey(signatureOf(set, matching.on, names));
      let id = known.get(key);
      if (id === undefined) known.set(key, (id = known.size));
      return id;
    });
  });
  return { ids, count: known.size };
}

/** The labels of a row that take part in matching. */
export function signatureOf(labels: Labels, on: boolean, names: ReadonlySet<string>): Labels {
  const kept: string[] = [];
  for (let i = 0; i < labels.length; i += 2) {
    const name = labels[i]!;
    const isKept = on ? names.has(name) : name !== METRIC_NAME && !names.has(name);
    if (isKept) kept.push(name, labels[i + 1]!);
  }
  return kept;
}

/** For each signature and step: 1 when a row with it has a sample there. */
export function presence(block: Block, ids: Uint32Array, count: number): Uint8Array {
  const { steps, present } = block;
  const found = new Uint8Array(count * steps);
  for (let row = 0; row < ids.length; row++) {
    for (let t = 0; t < steps; t++) {
      if (present[row * steps + t] !== NONE) found[ids[row]! * steps + t] = 1;
    }
  }
  return found;
}
