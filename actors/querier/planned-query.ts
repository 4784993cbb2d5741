/**
 * A query, parsed and planned. Where it is evaluated on the loop the plan by which it was gathered is used; a worker
 * makes the same one again, because trees do not travel.
 */
import {
  type Downsampling,
  EXPERIMENTAL_LANGUAGE,
  type Expr,
  type Plan,
  type QueryParams,
  parseExpr,
  planOf,
} from '../../promql/index.ts';

/** What the plan depends on. */
export interface PlanInput {
  readonly query: string;
  readonly startMs: number;
  readonly endMs: number;
  /** 0: an instant query. */
  readonly stepMs: number;
  readonly lookbackMs: number;
  /** All of the experimental language is on. */
  readonly isExperimental?: boolean;
  readonly delayedNameRemoval?: boolean;
  /** What may be read instead of samples. */
  readonly downsampling?: Downsampling | undefined;
}

export interface PlannedQuery {
  readonly params: QueryParams;
  readonly plan: Plan;
}

const REMEMBERED_MAX = 256;
const REMEMBERED_CHARS_MAX = 1024;
/** The trees of the latest short queries, oldest first: dashboards ask the same text again and again. Nobody changes a tree. */
const remembered = new Map<string, Expr>();

/** Throws `query.parse`. */
export function parsedQuery({
  isExperimental = false,
  query,
}: Pick<PlanInput, 'isExperimental' | 'query'>): Expr {
  const key = `${isExperimental ? 'experimental' : ''}:${query}`;
  const expr = remembered.get(key) ?? parseExpr(query, isExperimental ? EXPERIMENTAL_LANGUAGE : {});
  if (query.length > REMEMBERED_CHARS_MAX) return expr;
  remembered.delete(key);
  remembered.set(key, expr);
  for (const oldest of remembered.keys()) {
    if (remembered.size <= REMEMBERED_MAX) break;
    remembered.delete(oldest);
  }
  return expr;
}

/** Throws `query.parse` or `query.execution`. */
export function plannedQuery(input: PlanInput, expr = parsedQuery(input)): PlannedQuery {
  const { downsampling, endMs, lookbackMs, query, startMs, stepMs } = input;
  const instant = stepMs === 0;
  const params: QueryParams = {
    startMs,
    endMs,
    stepMs: instant ? 1 : stepMs,
    lookbackMs,
    instant,
    downsampling,
    text: query,
    delayedNameRemoval: input.delayedNameRemoval === true,
  };
  return { params, plan: planOf(expr, params) };
}
