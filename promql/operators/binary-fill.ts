/**
 * `fill`: a sample without partner gets one with a given number, under the labels they would have
 * been matched by. The stand-ins are rows added to the other side before the join:
 *
 *   many  a . a        rows by signature; where only one side has a sample ('.' = none), the
 *   one   . b b   ->   other side's stand-in row is present:  one + [fill . .], many + [. fill .]
 */
import type { Labels } from '../../model/labels.ts';
import type { VectorMatching } from '../ast.ts';
import { type Block, FLOAT, NONE } from './block.ts';
import { signatureOf, presence } from './binary-signature.ts';
import type { EvalContext } from './context.ts';

/** One side of a join: its rows and their signatures. */
export interface Side {
  readonly block: Block;
  readonly ids: Uint32Array;
}

/** The side with stand-ins (value `fill`) for the samples of `other` that it has no partner for. */
export function withStandIns(
  side: Side,
  other: Side,
  fill: number | undefined,
  matching: VectorMatching,
  signatureCount: number,
  context: EvalContext,
): Side {
  if (fill === undefined) return side;
  const { steps } = side.block;
  const here = presence(side.block, side.ids, signatureCount);
  const there = presence(other.block, other.ids, signatureCount);
  const missing = new Map<number, Labels>();
  const names = new Set(matching.labels);
  for (let row = 0; row < other.ids.length; row++) {
    const id = other.ids[row]!;
    if (missing.has(id)) continue;
    for (let at = id * steps; at < (id + 1) * steps; at++) {
      if (there[at] === 0 || here[at] === 1) continue;
      missing.set(id, signatureOf(other.block.labels[row]!, matching.on, names));
      break;
    }
  }
  if (missing.size === 0) return side;
  return extended(side, missing, (at) => there[at] === 1 && here[at] === 0, fill, context);
}

function extended(
  { block, ids }: Side,
  missing: ReadonlyMap<number, Labels>,
  isMissing: (at: number) => boolean,
  fill: number,
  context: EvalContext,
): Side {
  const { steps } = block;
  const drop = Uint8Array.from([...block.drop, ...new Uint8Array(missing.size)]);
  const labels = [...block.labels, ...missing.values()];
  const out = context.block(labels, drop, block.histograms !== undefined);
  out.values.set(block.values);
  out.present.set(block.present);
  block.histograms?.forEach((one, cell) => {
    if (out.histograms !== undefined) out.histograms[cell] = one;
  });
  let row = block.labels.length;
  for (const id of missing.keys()) {
    for (let t = 0; t < steps; t++) {
      const cell = row * steps + t;
      out.present[cell] = isMissing(id * steps + t) ? FLOAT : NONE;
      out.values[cell] = fill;
    }
    row++;
  }
  return { block: out, ids: Uint32Array.from([...ids, ...missing.keys()]) };
}
