/**
 * What must be settled before a query is planned, because it depends on when and how it runs:
 * durations that name the query's step or range, and the selector that `info()` reads.
 *
 * Pure: the same tree and parameters give the same answer; a tree without any of these is given
 * back as it is, so that its nodes keep their identity.
 */
import { assertNever } from '../../model/assert.ts';
import { StarlingError } from '../../model/errors.ts';
import { METRIC_NAME } from '../../model/labels.ts';
import type { Matcher } from '../../model/matchers.ts';
import type { Call, DurationExpr, Expr, Subquery, VectorSelector } from '../ast.ts';
import type { QueryParams } from '../operators/context.ts';
import { toMs } from '../parser-duration.ts';

/** The tree to plan and to run. Throws `query.execution` for durations that cannot be. */
export function preparedExpr(expr: Expr, params: QueryParams): Expr {
  return new Preparation(params).run(expr);
}

class Preparation {
  readonly #params: QueryParams;

  constructor(params: QueryParams) {
    this.#params = params;
  }

  run(node: Expr): Expr {
    switch (node.kind) {
      case 'aggregation': {
        const param = node.param && this.run(node.param);
        const expr = this.run(node.expr);
        return param === node.param && expr === node.expr ? node : { ...node, param, expr };
      }
      case 'binary': {
        const [lhs, rhs] = [this.run(node.lhs), this.run(node.rhs)];
        return lhs === node.lhs && rhs === node.rhs ? node : { ...node, lhs, rhs };
      }
      case 'call':
        return this.#call(node);
      case 'matrix_selector': {
        const selector = this.#selector(node.selector);
        const rangeMs = this.#positive(node.rangeExpr) ?? node.rangeMs;
        const isSame = selector === node.selector && rangeMs === node.rangeMs;
        return isSame ? node : { ...node, selector, rangeMs };
      }
      case 'number':
      case 'string':
        return node;
      case 'paren':
      case 'unary': {
        const expr = this.run(node.expr);
        return expr === node.expr ? node : { ...node, expr };
      }
      case 'subquery':
        return this.#subquery(node);
      case 'vector_selector':
        return this.#selector(node);
      default:
        return assertNever(node);
    }
  }

  #call(node: Call): Expr {
    const args = node.args.map((arg) => this.run(arg));
    if (node.name === 'info') return { ...node, args: withInfoSelector(args) };
    return args.every((arg, i) => arg === node.args[i]) ? node : { ...node, args };
  }

  #subquery(node: Subquery): Expr {
    const expr = this.run(node.expr);
    const { rangeExpr, stepExpr, offsetExpr } = node;
    if (expr === node.expr && !rangeExpr && !stepExpr && !offsetExpr) return node;
    return {
      ...node,
      expr,
      rangeMs: this.#positive(rangeExpr) ?? node.rangeMs,
      stepMs: this.#positive(stepExpr) ?? node.stepMs,
      offsetMs: this.#milliseconds(offsetExpr) ?? node.offsetMs,
    };
  }

  #selector(node: VectorSelector): VectorSelector {
    const offsetMs = this.#milliseconds(node.offsetExpr);
    return offsetMs === undefined ? node : { ...node, offsetMs };
  }

  #positive(expr: DurationExpr | undefined): number | undefined {
    const ms = this.#milliseconds(expr);
    if (expr === undefined || ms === undefined || ms > 0) return ms;
    throw durationError(expr, 'duration must be greater than 0');
  }

  #milliseconds(expr: DurationExpr | undefined): number | undefined {
    if (expr === undefined) return undefined;
    const seconds = this.#seconds(expr);
    if (Math.abs(seconds) * 1e9 < 2 ** 63) return toMs(seconds);
    throw durationError(expr, 'duration is out of range');
  }

  #seconds(expr: DurationExpr): number {
    const { instant, startMs, endMs, stepMs } = this.#params;
    switch (expr.kind) {
      case 'binary':
        return this.#combined(expr, this.#seconds(expr.lhs), this.#seconds(expr.rhs));
      case 'negative':
        return -this.#seconds(expr.expr);
      case 'number':
        return expr.seconds;
      case 'range':
        return instant ? 0 : (endMs - startMs) / 1000;
      case 'step':
        return instant ? 0 : stepMs / 1000;
      default:
        return assertNever(expr);
    }
  }

  #combined(expr: Extract<DurationExpr, { kind: 'binary' }>, a: number, b: number): number {
    switch (expr.op) {
      case '%':
        if (b === 0) throw durationError(expr, 'modulo by zero');
        return a % b;
      case '*':
        return a * b;
      case '+':
        return a + b;
      case '-':
        return a - b;
      case '/':
        if (b === 0) throw durationError(expr, 'division by zero');
        return a / b;
      case '^':
        return a ** b;
      case 'max':
        return Math.max(a, b);
      case 'min':
        return Math.min(a, b);
      default:
        return assertNever(expr.op);
    }
  }
}

function durationError({ start, end }: DurationExpr, why: string): StarlingError {
  return new StarlingError('query.execution', { text: `${start + 1}:${end + 1}: ${why}` });
}

const INFO_METRIC = 'target_info';

/** The arguments of info() with a selector of info series that is read when its vector is. */
function withInfoSelector([vector, selector]: readonly Expr[]): readonly Expr[] {
  if (vector === undefined) return [];
  const written = selector?.kind === 'vector_selector' ? selector : undefined;
  const first = firstSelector(vector);
  const { start, end } = selector ?? vector;
  const place = { start, end };
  const matchers = infoMatchers(written?.matchers ?? []);
  const at = written?.at ?? first?.at;
  const info: VectorSelector = {
    kind: 'vector_selector',
    type: 'vector',
    name: '',
    matchers,
    offsetMs: first?.offsetMs ?? 0,
    at,
    ...place,
  };
  return [vector, info];
}

function infoMatchers(written: readonly Matcher[]): readonly Matcher[] {
  const names = written.filter(({ name }) => name === METRIC_NAME);
  if (names.length === 0) return [...written, { name: METRIC_NAME, type: '=', value: INFO_METRIC }];
  if (names.some(({ type }) => type === '=' || type === '=~')) return written;
  return [...written, { name: METRIC_NAME, type: '=~', value: '.+_info' }];
}

function firstSelector(node: Expr): VectorSelector | undefined {
  switch (node.kind) {
    case 'aggregation':
    case 'paren':
    case 'subquery':
    case 'unary':
      return firstSelector(node.expr);
    case 'binary':
      return firstSelector(node.lhs) ?? firstSelector(node.rhs);
    case 'call':
      for (const arg of node.args) {
        const found = firstSelector(arg);
        if (found !== undefined) return found;
      }
      return undefined;
    case 'matrix_selector':
      return node.selector;
    case 'number':
    case 'string':
      return undefined;
    case 'vector_selector':
      return node;
    default:
      return assertNever(node);
  }
}
