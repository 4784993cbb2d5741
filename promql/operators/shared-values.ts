/**
 * The values of expressions that stand in a query more than once (`plan/share-expressions.ts`): the
 * first is evaluated and kept until the last of them was asked for. Blocks may be shared because only
 * the operator that made one writes into it.
 */
import type { Expr } from '../ast.ts';
import type { Trace } from '../trace.ts';
import type { EvalContext, Value } from './context.ts';

/** The number of a value, and how many nodes have it. */
export interface SharedUse {
  readonly id: number;
  readonly count: number;
}

interface Kept {
  readonly value: Value;
  readonly node: Expr;
  /** Samples looked at, by step. */
  readonly looks: Float64Array | undefined;
  left: number;
}

type Evaluate = (node: Expr, context: EvalContext) => Value;

export class SharedValues {
  readonly #uses: ReadonlyMap<Expr, SharedUse>;
  readonly #evaluate: Evaluate;
  readonly #trace: Trace | undefined;
  readonly #kept = new Map<number, Kept>();

  constructor(uses: ReadonlyMap<Expr, SharedUse>, evaluate: Evaluate, trace: Trace | undefined) {
    this.#uses = uses;
    this.#evaluate = evaluate;
    this.#trace = trace;
  }

  /** The value of a node: evaluated here, or before in another place. */
  evaluate(node: Expr, context: EvalContext): Value {
    const use = this.#uses.get(node);
    if (use === undefined) return this.#evaluate(node, context);
    const kept = this.#kept.get(use.id);
    if (kept !== undefined) return this.#take(node, use, kept);
    const notesBefore = context.state.notes.count;
    const before = this.#trace?.samplesByStep.slice();
    const value = this.#evaluate(node, context);
    // What was said carries this node's position: the others must say it themselves.
    if (context.state.notes.count > notesBefore) return value;
    const looks = before && this.#trace?.samplesByStep.map((count, t) => count - (before[t] ?? 0));
    this.#kept.set(use.id, { value, node, looks, left: use.count - 1 });
    return value;
  }

  #take(node: Expr, { id }: SharedUse, kept: Kept): Value {
    if (--kept.left === 0) this.#kept.delete(id);
    this.#trace?.noteShared(node, kept.node);
    // Statistics count what a query looks at as if every part of it stood alone.
    kept.looks?.forEach((count, t) => this.#trace?.look(t, count));
    return kept.value;
  }
}
