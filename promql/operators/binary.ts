/**
 * Binary operators. Between vectors the rows are matched once per query by their signature (the
 * matching labels), a pair of rows is then computed along all steps. What Prometheus checks at
 * every step (one partner at most on the "one" side, no result twice) is checked per cell.
 */
import { compareLabels, type Labels, labelsKey, labelValue } from '../../model/labels.ts';
import type { Binary, VectorMatching } from '../ast.ts';
import { withLabel } from './aggregate.ts';
import { isComparisonOp, isTrimOp, keepsNames, type NumberOp, numberOps } from './arithmetic.ts';
import {
  type Block,
  FLOAT,
  HISTOGRAM,
  mergeEqualRows,
  NONE,
  occupiedRows,
  pickRows,
  sampleAt,
  sameLabelset,
  setCell,
  withoutName,
} from './block.ts';
import { withStandIns } from './binary-fill.ts';
import { presence, signatureOf, signatures } from './binary-signature.ts';
import { NativeOp } from './binary-native.ts';
import { type EvalContext, executionError } from './context.ts';

/** scalar op vector, or (`isSwapped`) vector op scalar. */
export function vectorScalar(
  node: Binary,
  op: NumberOp,
  block: Block,
  scalar: Float64Array,
  isSwapped: boolean,
  context: EvalContext,
): Block {
  const out = context.block(block.labels, block.drop, block.histograms !== undefined);
  const compute = numberOps[op];
  const filters = isComparisonOp(op) && !node.isBool;
  const native = new NativeOp(node, op, context);
  const isTrim = isTrimOp(op);
  const { steps, values, present } = block;
  for (let row = 0; row < block.labels.length; row++) {
    for (let t = 0; t < steps; t++) {
      const cell = row * steps + t;
      if (present[cell] === NONE) continue;
      if (present[cell] === HISTOGRAM || isTrim) {
        const x = sampleAt(block, cell);
        const y = scalar[t]!;
        setCell(out, cell, isSwapped ? native.run(x, y) : native.run(y, x));
        continue;
      }
      const value = values[cell]!;
      const result = isSwapped ? compute(value, scalar[t]!) : compute(scalar[t]!, value);
      if (filters && result === 0) continue;
      out.present[cell] = FLOAT;
      out.values[cell] = filters ? value : result;
    }
  }
  return keepsNames(op) && !node.isBool ? out : context.droppingNames(out);
}

/** `and`, `unless`, `or`. */
export function vectorSet(
  op: 'and' | 'or' | 'unless',
  matching: VectorMatching,
  lhs: Block,
  rhs: Block,
  context: EvalContext,
): Block {
  const { ids, count } = signatures([lhs, rhs], matching);
  if (op === 'unless') return masked(lhs, ids[0]!, presence(rhs, ids[1]!, count), false);
  if (op === 'and') {
    const found = masked(lhs, ids[0]!, presence(rhs, ids[1]!, count), true);
    // Rows without partner are gone, as if they had not been fetched (plan/propagate-matchers.ts).
    return pickRows(found, occupiedRows(found));
  }
  const rest = masked(rhs, ids[1]!, presence(lhs, ids[0]!, count), false);
  const both = context.block(
    [...lhs.labels, ...rest.labels],
    Uint8Array.from([...lhs.drop, ...rest.drop]),
    lhs.histograms !== undefined || rest.histograms !== undefined,
  );
  both.values.set(lhs.values);
  both.values.set(rest.values, lhs.values.length);
  both.present.set(lhs.present);
  both.present.set(rest.present, lhs.present.length);
  const cells = both.histograms;
  if (cells !== undefined) {
    lhs.histograms?.forEach((one, cell) => (cells[cell] = one));
    rest.histograms?.forEach((one, cell) => (cells[lhs.values.length + cell] = one));
  }
  return mergeEqualRows(both);
}

/** The cells whose signature is found (`wanted`) or not found at their step. */
function masked(block: Block, ids: Uint32Array, found: Uint8Array, wanted: boolean): Block {
  const { steps } = block;
  const present = block.present.slice();
  for (let row = 0; row < ids.length; row++) {
    for (let t = 0; t < steps; t++) {
      if ((found[ids[row]! * steps + t] === 1) !== wanted) present[row * steps + t] = 0;
    }
  }
  return { ...block, present };
}

/** Arithmetic and comparisons between two vectors. */
export function vectorVector(
  node: Binary,
  op: NumberOp,
  matching: VectorMatching,
  lhs: Block,
  rhs: Block,
  context: EvalContext,
): Block {
  return new Join(node, op, matching, lhs, rhs, context).run();
}

class Join {
  readonly #node: Binary;
  readonly #op: NumberOp;
  readonly #matching: VectorMatching;
  readonly #context: EvalContext;
  readonly #isSwapped: boolean;
  #many: Block;
  #one: Block;
  readonly #failure: { t: number; error: Error | undefined } = { t: Infinity, error: undefined };
  readonly #dropsName: boolean;
  readonly #native: NativeOp;

  constructor(
    node: Binary,
    op: NumberOp,
    matching: VectorMatching,
    lhs: Block,
    rhs: Block,
    context: EvalContext,
  ) {
    this.#node = node;
    this.#op = op;
    this.#matching = matching;
    this.#context = context;
    this.#isSwapped = matching.cardinality === 'one-to-many';
    this.#many = this.#isSwapped ? rhs : lhs;
    this.#one = this.#isSwapped ? lhs : rhs;
    this.#native = new NativeOp(node, op, context);
    this.#dropsName = node.isBool || !keepsNames(op);
  }

  run(): Block {
    const { ids, count } = signatures([this.#many, this.#one], this.#matching);
    const [manyIds, oneIds] = this.#fill(ids[0]!, ids[1]!, count);
    this.#checkOneSide(oneIds, count);
    const partners: number[][] = Array.from({ length: count }, () => []);
    for (let row = 0; row < oneIds.length; row++) partners[oneIds[row]!]!.push(row);
    const pairs = this.#pairs(manyIds, partners);
    const out = this.#context.block(pairs.labels, pairs.drop, this.#hasHistograms());
    const usedBy = new Int32Array(out.values.length).fill(-1);
    const used = new Uint8Array(count * this.#many.steps);
    const isOneToOne = this.#matching.cardinality === 'one-to-one';
    for (let i = 0; i < pairs.many.length; i++) {
      const id = manyIds[pairs.many[i]!]!;
      this.#computePair(pairs.many[i]!, pairs.one[i]!, out, pairs.target[i]!, (t, cell) => {
        if (isOneToOne && used[id * out.steps + t] === 1) this.#fail(t, manyToOne);
        used[id * out.steps + t] = 1;
        if (out.present[cell] !== NONE) {
          this.#fail(t, usedBy[cell] === id ? notUnique : sameLabelset);
        }
        usedBy[cell] = id;
      });
    }
    if (this.#failure.error !== undefined) throw this.#failure.error;
    return out;
  }

  /** Of several errors Prometheus tells that of the earliest step; there, the first one found. */
  #fail(t: number, makeError: () => Error): void {
    if (t >= this.#failure.t) return;
    this.#failure.t = t;
    this.#failure.error = makeError();
  }

  /** Adds the stand-ins of `fill` to both sides; the signatures of the rows afterwards. */
  #fill(
    manyIds: Uint32Array,
    oneIds: Uint32Array,
    count: number,
  ): readonly [Uint32Array, Uint32Array] {
    const { fill } = this.#matching;
    if (fill === undefined) return [manyIds, oneIds];
    const many = { block: this.#many, ids: manyIds };
    const one = { block: this.#one, ids: oneIds };
    const [ofMany, ofOne] = this.#isSwapped ? [fill.right, fill.left] : [fill.left, fill.right];
    const filledMany = withStandIns(many, one, ofMany, this.#matching, count, this.#context);
    const filledOne = withStandIns(one, many, ofOne, this.#matching, count, this.#context);
    this.#many = filledMany.block;
    this.#one = filledOne.block;
    return [filledMany.ids, filledOne.ids];
  }

  #hasHistograms(): boolean {
    return this.#many.histograms !== undefined || this.#one.histograms !== undefined;
  }

  /** At no step may two rows of the "one" side share a signature, unless the other side is empty. */
  #checkOneSide(ids: Uint32Array, count: number): void {
    const { steps, present, labels } = this.#one;
    const first = new Int32Array(count * steps).fill(-1);
    for (let row = 0; row < ids.length; row++) {
      for (let t = 0; t < steps; t++) {
        if (present[row * steps + t] === NONE) continue;
        const at = ids[row]! * steps + t;
        if (first[at]! < 0) first[at] = row;
        else if (this.#hasMany(t)) {
          this.#fail(t, () => this.#duplicate(labels[row]!, labels[first[at]!]!));
        }
      }
    }
  }

  #hasMany(t: number): boolean {
    const { steps, present } = this.#many;
    for (let cell = t; cell < present.length; cell += steps)
      if (present[cell] !== NONE) return true;
    return false;
  }

  #duplicate(row: Labels, other: Labels): Error {
    const { on, labels } = this.#matching;
    const group = braces(signatureOf(row, on, new Set(labels)));
    const side = this.#isSwapped ? 'left' : 'right';
    const both = [row, other].sort(compareLabels).map(braces).join(', ');
    return executionError(
      `found duplicate series for the match group ${group} on the ${side} hand-side of the operation: [${both}];many-to-many matching not allowed: matching labels must be unique on one side`,
    );
  }

  #pairs(
    manyIds: Uint32Array,
    partners: readonly (readonly number[])[],
  ): { labels: Labels[]; drop: Uint8Array; many: number[]; one: number[]; target: number[] } {
    const targets = new Map<string, number>();
    const labels: Labels[] = [];
    const drop: number[] = [];
    const [many, one, target]: [number[], number[], number[]] = [[], [], []];
    for (let row = 0; row < manyIds.length; row++) {
      for (const partner of partners[manyIds[row]!]!) {
        const set = this.#resultLabels(this.#many.labels[row]!, this.#one.labels[partner]!);
        const key = labelsKey(set);
        let to = targets.get(key);
        if (to === undefined) {
          targets.set(key, (to = labels.length));
          labels.push(set);
          const isDropped = this.#dropsName || this.#many.drop[row] === 1;
          drop.push(this.#context.delaysNames && isDropped ? 1 : 0);
        }
        many.push(row);
        one.push(partner);
        target.push(to);
      }
    }
    return { labels, drop: Uint8Array.from(drop), many, one, target };
  }

  #resultLabels(many: Labels, one: Labels): Labels {
    const { cardinality, on, labels, include } = this.#matching;
    let set = this.#dropsName && !this.#context.delaysNames ? withoutName(many) : many;
    if (cardinality === 'one-to-one') {
      const names = new Set(labels);
      set = set.filter((_, i) => names.has(set[i - (i % 2)]!) === on);
    }
    for (const name of include) set = withLabel(set, name, labelValue(one, name));
    return set;
  }

  #computePair(
    many: number,
    one: number,
    out: Block,
    target: number,
    claim: (t: number, cell: number) => void,
  ): void {
    const { steps } = out;
    const compute = numberOps[this.#op];
    const filters = isComparisonOp(this.#op) && !this.#node.isBool;
    const native = this.#native;
    const isTrim = isTrimOp(this.#op);
    for (let t = 0; t < steps; t++) {
      const manyCell = many * steps + t;
      const oneCell = one * steps + t;
      const kindOfMany = this.#many.present[manyCell];
      const kindOfOne = this.#one.present[oneCell];
      if (kindOfMany === NONE || kindOfOne === NONE) continue;
      const x = this.#many.values[manyCell]!;
      const y = this.#one.values[oneCell]!;
      const cell = target * steps + t;
      claim(t, cell); // before the filter: a match that is filtered away is one too
      if (kindOfMany === HISTOGRAM || kindOfOne === HISTOGRAM || isTrim) {
        const one = sampleAt(this.#one, oneCell);
        const manyOne = sampleAt(this.#many, manyCell);
        const sample = this.#isSwapped ? native.run(one, manyOne) : native.run(manyOne, one);
        setCell(out, cell, sample);
        continue;
      }
      const result = this.#isSwapped ? compute(y, x) : compute(x, y);
      if (filters && result === 0) continue;
      out.present[cell] = FLOAT;
      out.values[cell] = filters ? (this.#isSwapped ? y : x) : result;
    }
  }
}

function manyToOne(): Error {
  return executionError(
    'multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)',
  );
}

function notUnique(): Error {
  return executionError('multiple matches for labels: grouping labels must ensure unique matches');
}

/** A label set with the name among the labels, as Prometheus prints it here. */
function braces(labels: Labels): string {
  const pairs: string[] = [];
  for (let i = 0; i < labels.length; i += 2) {
    pairs.push(`${labels[i]!}=${JSON.stringify(labels[i + 1])}`);
  }
  return `{${pairs.join(', ')}}`;
}
