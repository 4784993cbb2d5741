/**
 * What is known of the rows of a vector before it is evaluated: matchers that all of them satisfy, and
 * the labels that tell any two of them apart.
 *
 *                                   matchers    told apart by
 *   x{a="1"}                        a="1"       all labels but the metric name
 *   {a=~"1|2"}                      a=~"1|2"    nothing known: names may differ
 *   sum by (a, b)(x{a="1",c="2"})   a="1"       a, b
 *   -(x{a="1"} / on(a) y{b="2"})    a="1"       a
 *
 * Facts about labels only, so the same at every step. The metric name, type and unit, which many
 * operators drop, are left out of the matchers.
 */
import { assertNever } from '../../model/assert.ts';
import { isMetricLabel, METRIC_NAME } from '../../model/labels.ts';
import type { Matcher } from '../../model/matchers.ts';
import type { Aggregation, Binary, Call, Expr, VectorMatching } from '../ast.ts';
import type { FunctionName } from '../functions-table.ts';
import { hasOneName, ROWWISE } from './projection.ts';
import { matcherKey } from './sort-matchers.ts';

/** The labels that no two samples of one step agree in. */
export interface RowIdentity {
  /** True: these; false: all others, the metric name not among them. */
  readonly on: boolean;
  readonly names: readonly string[];
}

export const NO_MATCHERS: readonly Matcher[] = [];

/** The facts of one tree; what was found out is remembered. */
export class RowFacts {
  readonly #matchers = new Map<Expr, readonly Matcher[]>();
  readonly #identities = new Map<Expr, RowIdentity | undefined>();

  /** Matchers that every row of the answer satisfies; a label that is absent has the value ''. */
  matchersOf(node: Expr): readonly Matcher[] {
    let known = this.#matchers.get(node);
    if (known === undefined) this.#matchers.set(node, (known = this.#findMatchers(node)));
    return known;
  }

  identityOf(node: Expr): RowIdentity | undefined {
    if (!this.#identities.has(node)) this.#identities.set(node, this.#findIdentity(node));
    return this.#identities.get(node);
  }

  /** Whether at no step two rows agree in all labels that they are matched by. */
  isUnique(node: Expr, { labels, on }: VectorMatching): boolean {
    const identity = this.identityOf(node);
    if (identity === undefined) return false;
    const { names } = identity;
    if (on) return identity.on && names.every((name) => labels.includes(name));
    if (identity.on) return names.every((name) => name !== METRIC_NAME && !labels.includes(name));
    return labels.every((name) => name === METRIC_NAME || names.includes(name));
  }

  /** Whether the rows stay different when their metric names are dropped. */
  canDropNames(node: Expr): boolean {
    const identity = this.identityOf(node);
    return identity !== undefined && !(identity.on && identity.names.some(isMetricLabel));
  }

  #findMatchers(node: Expr): readonly Matcher[] {
    switch (node.kind) {
      case 'aggregation':
        return this.#ofAggregation(node);
      case 'binary':
        return this.#ofBinary(node);
      case 'call':
        return this.#ofCall(node);
      case 'matrix_selector':
        return this.matchersOf(node.selector);
      case 'number':
      case 'string':
        return NO_MATCHERS;
      case 'paren':
      case 'subquery':
      case 'unary':
        return this.matchersOf(node.expr);
      case 'vector_selector':
        return node.matchers.filter(({ name }) => !isMetricLabel(name));
      default:
        return assertNever(node);
    }
  }

  #ofAggregation(node: Aggregation): readonly Matcher[] {
    const below = this.matchersOf(node.expr);
    return showsRows(node) ? below : below.filter(({ name }) => isGroupLabel(node, name));
  }

  #ofBinary({ lhs, matching, op, rhs }: Binary): readonly Matcher[] {
    if (matching === undefined) return this.matchersOf(lhs.type === 'vector' ? lhs : rhs);
    if (matching.fill !== undefined) return NO_MATCHERS;
    const [left, right] = [this.matchersOf(lhs), this.matchersOf(rhs)];
    const matched = (all: readonly Matcher[]): readonly Matcher[] =>
      all.filter(({ name }) => isMatchLabel(matching, name));
    if (op === 'or') return common(left, right);
    if (op === 'unless') return left;
    if (op === 'and') return union(left, matched(right));
    const [many, one] = matching.cardinality === 'one-to-many' ? [right, left] : [left, right];
    const isIncluded = ({ name }: Matcher): boolean => matching.include.includes(name);
    if (matching.cardinality === 'one-to-one') return union(matched(many), matched(one));
    const ofMany = union(many, matched(one)).filter((matcher) => !isIncluded(matcher));
    return union(ofMany, one.filter(isIncluded));
  }

  #ofCall(node: Call): readonly Matcher[] {
    const arg = node.args.find(({ type }) => type === 'matrix' || type === 'vector');
    if (arg === undefined) return NO_MATCHERS;
    const below = this.matchersOf(arg);
    if (KEEPS_LABELS.has(node.name)) return below;
    if (node.name === 'histogram_quantile' || node.name === 'histogram_fraction')
      return below.filter(({ name }) => name !== 'le');
    const target = node.args[1];
    const isRelabeled = node.name === 'label_replace' || node.name === 'label_join';
    if (!isRelabeled || target?.kind !== 'string') return NO_MATCHERS;
    return below.filter(({ name }) => name !== target.value);
  }

  #findIdentity(node: Expr): RowIdentity | undefined {
    switch (node.kind) {
      case 'aggregation': {
        const { grouping, op, without } = node;
        if (op === 'count_values') return undefined;
        return showsRows(node) ? this.identityOf(node.expr) : { on: !without, names: grouping };
      }
      case 'binary':
        return this.#identityOfBinary(node);
      case 'call': {
        if (node.name === 'vector') return ONE_ROW;
        const arg = node.args.find(({ type }) => type === 'matrix' || type === 'vector');
        return arg !== undefined && KEEPS_LABELS.has(node.name) ? this.identityOf(arg) : undefined;
      }
      case 'matrix_selector':
        return this.identityOf(node.selector);
      case 'number':
      case 'string':
        return undefined;
      case 'paren':
      case 'subquery':
      case 'unary':
        return this.identityOf(node.expr);
      case 'vector_selector':
        return hasOneName(node) ? { on: false, names: [] } : undefined;
      default:
        return assertNever(node);
    }
  }

  #identityOfBinary({ lhs, matching, op, rhs }: Binary): RowIdentity | undefined {
    if (matching === undefined) return this.identityOf(lhs.type === 'vector' ? lhs : rhs);
    if (matching.fill !== undefined || op === 'or') return undefined;
    if (op === 'and' || op === 'unless') return this.identityOf(lhs);
    const { cardinality, include, labels, on } = matching;
    if (cardinality === 'one-to-one') return { on, names: labels };
    if (include.length > 0) return undefined;
    return this.identityOf(cardinality === 'many-to-one' ? lhs : rhs);
  }
}

const ONE_ROW: RowIdentity = { on: true, names: [] };

/** Functions whose rows have the labels of their argument, but for the name. */
const KEEPS_LABELS: ReadonlySet<FunctionName> = new Set<FunctionName>([
  ...ROWWISE,
  'first_over_time',
  'timestamp',
]);

/** Aggregations that pick rows instead of making new ones. */
export function showsRows({ op }: Aggregation): boolean {
  return op === 'bottomk' || op === 'limit_ratio' || op === 'limitk' || op === 'topk';
}

/** Whether all rows of a group, and its answer, have the same value of a label. */
export function isGroupLabel({ grouping, op, param, without }: Aggregation, name: string): boolean {
  const isCounted = op === 'count_values' && (param?.kind !== 'string' || param.value === name);
  return !isCounted && grouping.includes(name) !== without;
}

/** Whether rows are matched by a label. */
export function isMatchLabel({ labels, on }: VectorMatching, name: string): boolean {
  return labels.includes(name) === on;
}

/** All matchers of both, each once. */
export function union(a: readonly Matcher[], b: readonly Matcher[]): readonly Matcher[] {
  const keys = new Set(a.map(matcherKey));
  const added = b.filter((one) => !keys.has(matcherKey(one)));
  return added.length === 0 ? a : [...a, ...added];
}

function common(a: readonly Matcher[], b: readonly Matcher[]): readonly Matcher[] {
  const keys = new Set(b.map(matcherKey));
  return a.filter((one) => keys.has(matcherKey(one)));
}
