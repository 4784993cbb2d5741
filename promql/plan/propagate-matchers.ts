/**
 * Matcher propagation: what an operator between two vectors would drop for want of a partner is not
 * even fetched.
 *
 *   x{job="a"} / y                                   ->  x{job="a"} / y{job="a"}
 *   sum by (job)(rate(x_total{job="a"}[5m])) / sum by (job)(rate(y_total[5m]))
 *                                                    ->  the same, with y_total{job="a"}
 *   x and on(job) y{job="a",z="1"}                   ->  x{job="a"} and on(job) y{job="a",z="1"}
 *
 * A matcher crosses from one side to the other on labels that both are matched by; `or` shows rows of
 * both sides and `fill` invents partners, so nothing crosses there, and nothing leaves the right side of
 * `unless`. Below, it passes what answers row by row, or group by group of that label.
 *
 * Equal to the bit: the rows that are gone would have been dropped whole, and those that stay keep their
 * order. It stops where they would have been heard of before: where the side that must have one partner
 * at most is not known to (`RowFacts.isUnique`; a duplicate is an error), where dropping names could join
 * rows, at functions that speak of each row they see. Two things are heard of no more: native histograms
 * that an aggregation or a function warns of, in rows that cannot reach the answer, and two series of
 * such rows that differ in `__type__` or `__unit__` only.
 */
import { assert, assertNever } from '../../model/assert.ts';
import { isMetricLabel, METRIC_NAME } from '../../model/labels.ts';
import type { Matcher } from '../../model/matchers.ts';
import type { Aggregation, Binary, Call, Expr, VectorMatching, VectorSelector } from '../ast.ts';
import type { FunctionName } from '../functions-table.ts';
import { isComparisonOp, isTrimOp } from '../operators/arithmetic.ts';
import { COUNTER_SUFFIX } from '../operators/call.ts';
import { withChildren } from './children.ts';
import { ROWWISE } from './projection.ts';
import { isGroupLabel, isMatchLabel, NO_MATCHERS, RowFacts, union } from './row-facts.ts';

/** The tree with the matchers of each selector that follow from the operators above it. */
export function propagateMatchers(expr: Expr): Expr {
  return new Propagation().narrowed(expr, NO_MATCHERS);
}

/** Most matchers that one selector is given. */
const ADDED_MAX = 16;

class Propagation {
  readonly #facts = new RowFacts();

  /** The node for a reader that drops every row which does not satisfy `wanted`. */
  narrowed(node: Expr, wanted: readonly Matcher[]): Expr {
    switch (node.kind) {
      case 'aggregation':
        return this.#aggregation(node, wanted);
      case 'binary':
        return node.matching === undefined
          ? this.#withScalar(node, wanted)
          : this.#vectors(node, node.matching, wanted);
      case 'call':
        return this.#call(node, wanted);
      case 'matrix_selector':
      case 'paren':
      case 'subquery':
        return withChildren(node, (child) => this.narrowed(child, wanted));
      case 'number':
      case 'string':
        return node;
      case 'unary': {
        const passes = node.op === '+' || this.#facts.canDropNames(node.expr);
        return withChildren(node, (child) => this.narrowed(child, passes ? wanted : NO_MATCHERS));
      }
      case 'vector_selector':
        return narrowedSelector(node, wanted);
      default:
        return assertNever(node);
    }
  }

  #aggregation(node: Aggregation, wanted: readonly Matcher[]): Expr {
    const isRowwise = node.op === 'limit_ratio'; // each row is picked by its own labels
    const kept = isRowwise ? wanted : wanted.filter(({ name }) => isGroupLabel(node, name));
    return withChildren(node, (child) =>
      this.narrowed(child, child === node.expr ? kept : NO_MATCHERS),
    );
  }

  #withScalar(node: Binary, wanted: readonly Matcher[]): Expr {
    const { isBool, op } = node;
    const keepsNames = isComparisonOp(op) && !isBool;
    return withChildren(node, (child) => {
      const passes = !isTrimOp(op) && (keepsNames || this.#facts.canDropNames(child));
      return this.narrowed(child, passes && child.type === 'vector' ? wanted : NO_MATCHERS);
    });
  }

  #vectors(node: Binary, matching: VectorMatching, wanted: readonly Matcher[]): Expr {
    const { lhs, op, rhs } = node;
    const both = (left: readonly Matcher[], right: readonly Matcher[]): Expr =>
      withSides(node, this.narrowed(lhs, left), this.narrowed(rhs, right));
    if (matching.fill !== undefined) return both(NO_MATCHERS, NO_MATCHERS);
    const matched = (all: readonly Matcher[]): readonly Matcher[] =>
      all.filter(({ name }) => isMatchLabel(matching, name));
    const [ofLeft, ofRight] = [this.#facts.matchersOf(lhs), this.#facts.matchersOf(rhs)];
    // A row on the left that `or` does not see would let its partner through.
    if (op === 'or') return both(matched(wanted), wanted);
    if (op === 'unless') return both(wanted, matched(union(wanted, ofLeft)));
    if (op === 'and') {
      return both(union(wanted, matched(ofRight)), matched(union(wanted, ofLeft)));
    }
    const [many, one] = matching.cardinality === 'one-to-many' ? [rhs, lhs] : [lhs, rhs];
    if (!this.#facts.isUnique(one, matching)) return both(NO_MATCHERS, NO_MATCHERS);
    const above = this.#isFaultless(many, matching) ? wanted : NO_MATCHERS;
    const shown = matching.cardinality === 'one-to-one' ? matched(above) : above;
    const toMany = union(shown, matched(this.#facts.matchersOf(one)));
    const toOne = matched(union(shown, this.#facts.matchersOf(many)));
    return many === lhs ? both(toMany, toOne) : both(toOne, toMany);
  }

  /** Whether no two pairs can give one result, which is an error though nobody wants it. */
  #isFaultless(many: Expr, matching: VectorMatching): boolean {
    if (matching.cardinality === 'one-to-one') return this.#facts.isUnique(many, matching);
    return matching.include.length === 0 && this.#facts.canDropNames(many);
  }

  #call(node: Call, wanted: readonly Matcher[]): Expr {
    return withChildren(node, (child) => {
      const isRows = child.type === 'matrix' || child.type === 'vector';
      return this.narrowed(child, isRows && this.#passes(node, child) ? wanted : NO_MATCHERS);
    });
  }

  /** Whether a call answers row by row and says nothing of rows of numbers. */
  #passes({ name }: Call, arg: Expr): boolean {
    if (!ROWWISE.has(name) || name === 'quantile_over_time') return false;
    if (isCounterFunction(name) && !isCounter(arg)) return false;
    return name === 'last_over_time' || this.#facts.canDropNames(arg);
  }
}

function isCounterFunction(name: FunctionName): boolean {
  return name === 'increase' || name === 'irate' || name === 'rate';
}

/** A selector of a metric that is named as counters are, so that nobody is told it might be none. */
function isCounter(arg: Expr): boolean {
  if (arg.kind === 'paren') return isCounter(arg.expr);
  if (arg.kind !== 'matrix_selector') return false;
  const { matchers } = arg.selector;
  return matchers.some(
    ({ name, type, value }) => name === METRIC_NAME && type === '=' && COUNTER_SUFFIX.test(value),
  );
}

function withSides(node: Binary, lhs: Expr, rhs: Expr): Expr {
  return lhs === node.lhs && rhs === node.rhs ? node : { ...node, lhs, rhs };
}

/** The added ones first: the metric's name stands last. */
function narrowedSelector(node: VectorSelector, wanted: readonly Matcher[]): VectorSelector {
  if (node.mode !== undefined) return node;
  const all = union(node.matchers, wanted);
  const added = all.slice(node.matchers.length, node.matchers.length + ADDED_MAX);
  assert(!added.some(({ name }) => isMetricLabel(name)), 'names do not cross');
  return added.length === 0 ? node : { ...node, matchers: [...added, ...node.matchers] };
}
