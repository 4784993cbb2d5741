/**
 * How much work an expression is, before it is done: for every node its steps, and for a subquery the
 * steps of its own grid and the windows over them. An estimate from above of the time, not of the
 * series: these are known by their bytes.
 */
import { StarlingError } from '../../model/errors.ts';
import { assertNever } from '../../model/assert.ts';
import type { Expr } from '../../promql/index.ts';

/** Prometheus' default evaluation interval, the step of subqueries that name none. */
const SUBQUERY_STEP_MS = 60_000;

export interface WorkloadOptions {
  readonly steps: number;
  /** From the first step to the last. */
  readonly spanMs: number;
  /** No grid may have more steps: each is a sample at least. */
  readonly stepsMax: number;
}

/** Steps times nodes. Throws `query.too_large` for a subquery with too many steps. */
export function estimateSteps(expr: Expr, options: WorkloadOptions): number {
  const { spanMs, steps, stepsMax } = options;
  const sum = (parts: readonly Expr[]): number =>
    parts.reduce((total, part) => total + estimateSteps(part, options), steps);
  switch (expr.kind) {
    case 'aggregation':
      return sum(expr.param === undefined ? [expr.expr] : [expr.expr, expr.param]);
    case 'binary':
      return sum([expr.lhs, expr.rhs]);
    case 'call':
      return sum(expr.args);
    case 'matrix_selector':
    case 'number':
    case 'string':
    case 'vector_selector':
      return steps;
    case 'paren':
    case 'unary':
      return sum([expr.expr]);
    case 'subquery': {
      const stepMs = expr.stepMs === 0 ? SUBQUERY_STEP_MS : expr.stepMs;
      const innerSpanMs = expr.rangeMs + (expr.at === undefined ? spanMs : 0);
      const count = Math.floor(innerSpanMs / stepMs) + 1;
      if (count > stepsMax) {
        const facts = { what: 'steps of a subquery', count, countMax: stepsMax };
        throw new StarlingError('query.too_large', facts);
      }
      const windows = steps * (Math.floor(expr.rangeMs / stepMs) + 1);
      const inner = { steps: count, spanMs: innerSpanMs, stepsMax };
      return windows + estimateSteps(expr.expr, inner);
    }
    default:
      return assertNever(expr);
  }
}
