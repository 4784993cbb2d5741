/**
 * Binary operators of which a side is a native histogram. What there is: sums and differences of two,
 * products and quotients with a number, equality. The rest has no answer, and a note says so.
 */
import { equalHistograms, type Histogram } from '../../model/histogram.ts';
import { addHistograms, divideHistogram, scaleHistogram } from '../../model/histogram-math.ts';
import { trimHistogram } from '../../model/histogram-trim.ts';
import type { Binary } from '../ast.ts';
import type { NumberOp } from './arithmetic.ts';
import type { EvalContext } from './context.ts';

export class NativeOp {
  readonly #node: Binary;
  readonly #op: NumberOp;
  readonly #context: EvalContext;

  constructor(node: Binary, op: NumberOp, context: EvalContext) {
    this.#node = node;
    this.#op = op;
    this.#context = context;
  }

  /** The answer for one pair that is no pair of numbers, or for a trim; undefined: none. */
  run(lhs: Histogram | number, rhs: Histogram | number): Histogram | number | undefined {
    const op = this.#op;
    if (typeof lhs === 'number') {
      if (typeof rhs !== 'number' && op === '*') return scaleHistogram(rhs, lhs);
    } else if (typeof rhs === 'number') {
      if (op === '*') return scaleHistogram(lhs, rhs);
      if (op === '/') return divideHistogram(lhs, rhs);
      if (op === '</') return trimHistogram(lhs, 'below', rhs);
      if (op === '>/') return trimHistogram(lhs, 'above', rhs);
    } else {
      if (op === '+') return this.#add(lhs, rhs, 1);
      if (op === '-') return this.#add(lhs, rhs, -1);
      if (op === '==') return this.#filtered(lhs, equalHistograms(lhs, rhs));
      if (op === '!=') return this.#filtered(lhs, !equalHistograms(lhs, rhs));
    }
    const [left, right] = [lhs, rhs].map((side) =>
      typeof side === 'number' ? 'float' : 'histogram',
    );
    const text = `incompatible sample types encountered for binary operator "${op}": ${left} ${op} ${right}`;
    this.#context.info(this.#node, text);
    return undefined;
  }

  #add(lhs: Histogram, rhs: Histogram, sign: -1 | 1): Histogram | undefined {
    const combined = addHistograms(lhs, rhs, sign);
    if (combined === undefined) {
      const text = `incompatible bucket layout encountered for binary operator ${this.#op}`;
      this.#context.warn(this.#node, text);
      return undefined;
    }
    const what = sign === 1 ? 'addition' : 'subtraction';
    if (combined.isCollision) {
      this.#context.warn(this.#node, `conflicting counter resets during histogram ${what}`);
    }
    if (combined.isReconciled) {
      const text = `mismatched custom buckets were reconciled during ${what}`;
      this.#context.info(this.#node, text);
    }
    return sign === 1 ? combined.histogram : { ...combined.histogram, hint: 'gauge' };
  }

  #filtered(histogram: Histogram, isKept: boolean): Histogram | number | undefined {
    if (this.#node.isBool) return isKept ? 1 : 0;
    return isKept ? histogram : undefined;
  }
}
