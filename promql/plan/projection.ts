/**
 * Projection: which labels of a selector's series the query reads. Storage then leaves the others
 * out, so that `sum by (job)` over a hundred thousand series moves a few bytes for each.
 *
 *   sum by (job)(x)              x needs job
 *   sum by (job)(rate(x[5m]))    x needs job, and its name for annotations
 *   topk(3, x), x + y, x         x needs everything: its labels are shown or matched
 *
 * Invariant: rows between the selector and the aggregation correspond one to one. What drops metric
 * names could make two rows equal, which is an error that projected labels can no longer show; so
 * there the selector must name one metric.
 */
import { assertNever } from '../../model/assert.ts';
import { METRIC_NAME, METRIC_TYPE, METRIC_UNIT } from '../../model/labels.ts';
import type { LabelProjection } from '../../model/projection.ts';
import type { Aggregation, Expr, VectorSelector } from '../ast.ts';
import { isComparison } from '../parser-operator.ts';
import type { FunctionName } from '../functions-table.ts';

/** The projections of a checked expression's selectors; those without one need every label. */
export function projectionsOf(expr: Expr): ReadonlyMap<VectorSelector, LabelProjection> {
  const found = new Map<VectorSelector, LabelProjection>();
  walk(expr, undefined, found);
  return found;
}

/** What the nodes above read of a row. */
interface Wanted {
  readonly projection: LabelProjection;
  /** Something between drops the metric name or tells it in an annotation. */
  readonly isDerived: boolean;
}

function walk(
  node: Expr,
  wanted: Wanted | undefined,
  found: Map<VectorSelector, LabelProjection>,
): void {
  switch (node.kind) {
    case 'aggregation':
      if (node.param !== undefined) walk(node.param, undefined, found);
      walk(node.expr, wantedByAggregation(node), found);
      return;
    case 'binary': {
      const isRowwise = node.lhs.type === 'scalar' || node.rhs.type === 'scalar';
      const keeps = isComparison(node.op) && !node.isBool;
      const below = !isRowwise ? undefined : keeps ? wanted : derived(wanted);
      walk(node.lhs, below, found);
      walk(node.rhs, below, found);
      return;
    }
    case 'call': {
      const keeps = node.name === 'last_over_time';
      const below = !ROWWISE.has(node.name) ? undefined : keeps ? wanted : derived(wanted);
      for (const arg of node.args) walk(arg, arg.type === 'scalar' ? undefined : below, found);
      return;
    }
    case 'matrix_selector':
      walk(node.selector, wanted, found);
      return;
    case 'number':
    case 'string':
      return;
    case 'paren':
      walk(node.expr, wanted, found);
      return;
    case 'subquery':
      walk(node.expr, undefined, found);
      return;
    case 'unary':
      walk(node.expr, node.op === '+' ? wanted : derived(wanted), found);
      return;
    case 'vector_selector':
      if (wanted === undefined) return;
      if (!wanted.isDerived) found.set(node, wanted.projection);
      else if (hasOneName(node) && !wanted.projection.names.some(isTypeOrUnit))
        found.set(node, withName(wanted.projection));
      return;
    default:
      assertNever(node);
  }
}

function wantedByAggregation({ grouping, op, without }: Aggregation): Wanted | undefined {
  switch (op) {
    case 'avg':
    case 'count':
    case 'count_values':
    case 'group':
    case 'max':
    case 'min':
    case 'quantile':
    case 'stddev':
    case 'stdvar':
    case 'sum': {
      const names = without ? [...grouping, METRIC_NAME] : grouping;
      return { projection: { kind: without ? 'without' : 'only', names }, isDerived: false };
    }
    case 'bottomk':
    case 'limit_ratio':
    case 'limitk':
    case 'topk':
      return undefined; // these show the rows they pick
    default:
      return assertNever(op);
  }
}

function derived(wanted: Wanted | undefined): Wanted | undefined {
  return wanted === undefined ? undefined : { ...wanted, isDerived: true };
}

/** Whether all series of a selector have one name. */
export function hasOneName({ matchers }: VectorSelector): boolean {
  return matchers.some(({ name, type }) => name === METRIC_NAME && type === '=');
}

/** What is derived has neither; a query that names them is given all labels to be sure. */
function isTypeOrUnit(name: string): boolean {
  return name === METRIC_TYPE || name === METRIC_UNIT;
}

function withName({ kind, names }: LabelProjection): LabelProjection {
  if (kind === 'without') {
    const rest = names.filter((name) => name !== METRIC_NAME);
    return { kind, names: [...rest, METRIC_TYPE, METRIC_UNIT] };
  }
  return { kind, names: names.includes(METRIC_NAME) ? names : [METRIC_NAME, ...names] };
}

/** Functions whose rows are those of their argument, one to one, whatever its labels. */
export const ROWWISE: ReadonlySet<FunctionName> = new Set([
  'abs',
  'avg_over_time',
  'ceil',
  'changes',
  'clamp',
  'clamp_max',
  'clamp_min',
  'count_over_time',
  'delta',
  'deriv',
  'exp',
  'floor',
  'idelta',
  'increase',
  'irate',
  'last_over_time',
  'ln',
  'log10',
  'log2',
  'max_over_time',
  'min_over_time',
  'predict_linear',
  'present_over_time',
  'quantile_over_time',
  'rate',
  'resets',
  'round',
  'sgn',
  'sqrt',
  'stddev_over_time',
  'stdvar_over_time',
  'sum_over_time',
]);
