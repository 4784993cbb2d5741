/**
 * What `explain` tells of a query that ran: the plan as a tree, what each node answered with and how
 * long that took, what was fetched, and which passes changed the plan.
 *
 * Times are in milliseconds; `ms` of a node includes its operands, `selfMs` does not. A node that was
 * given the value of an equal one has `sharedWith`, the id of that one, instead of operands. Nodes that
 * answer with nothing of their own (texts) have no figures.
 */
import type { LabelProjection } from '../model/projection.ts';
import { resolutionText, type WindowValue } from '../model/window-value.ts';
import type { SeriesColumns } from '../model/series-columns.ts';
import type { Expr } from './ast.ts';
import type { PassName } from './plan/passes.ts';
import { childrenOf } from './plan/children.ts';
import type { Plan } from './plan/plan.ts';
import { headOf, printExpr, printMatcher } from './printer.ts';
import type { Trace } from './trace.ts';

export interface ExplainedNode {
  /** Unique in the tree, in the order of evaluation's first visit: a node before its operands. */
  readonly id: number;
  readonly kind: Expr['kind'];
  /** The node without its operands, as it would be written. */
  readonly text: string;
  readonly series?: number;
  readonly samples?: number;
  readonly ms?: number;
  readonly selfMs?: number;
  readonly sharedWith?: number;
  /** Of the fetch that a selector reads, in `fetches`. */
  readonly fetch?: number;
  readonly children: readonly ExplainedNode[];
}

export interface ExplainedFetch {
  readonly matchers: readonly string[];
  readonly startMs: number;
  readonly endMs: number;
  /** The labels that the query reads; absent: all. */
  readonly labels?: LabelProjection;
  readonly newestOnly: boolean;
  /** What is read where there are aggregates. */
  readonly value?: WindowValue;
  /** The coarsest resolution that was read; absent: samples. */
  readonly resolution?: string;
  readonly series: number;
  readonly samples: number;
}

export interface Explanation {
  /** The plan as one expression. */
  readonly query: string;
  /** What each pass changed: nodes, matchers, fetches or evaluations. */
  readonly passes: readonly { readonly name: PassName; readonly changes: number }[];
  readonly fetches: readonly ExplainedFetch[];
  readonly plan: ExplainedNode;
}

/** The explanation of a plan that was run over `data` with `trace`. */
export function explained(
  plan: Plan,
  data: readonly SeriesColumns[],
  trace: Trace,
  resolutionsMs: readonly number[] = [],
): Explanation {
  const fetches = plan.selections.map((selection, i) => ({
    matchers: selection.matchers.map(printMatcher),
    startMs: selection.minTimeMs,
    endMs: selection.maxTimeMs,
    ...(selection.projection && { labels: selection.projection }),
    newestOnly: selection.newestOnly,
    ...(selection.value && { value: selection.value }),
    ...(resolutionsMs[i] && { resolution: resolutionText(resolutionsMs[i]) }),
    series: data[i]!.labels.length,
    samples: data[i]!.timestamps.length,
  }));
  const { applied: passes, expr } = plan;
  return { query: printExpr(expr), passes, fetches, plan: new TreeTeller(plan, trace).tell(expr) };
}

class TreeTeller {
  readonly #trace: Trace;
  readonly #fetchOf: ReadonlyMap<Expr, number>;
  readonly #ids = new Map<Expr, number>();

  constructor({ sources }: Plan, trace: Trace) {
    this.#trace = trace;
    this.#fetchOf = new Map<Expr, number>(sources.map(({ index, node }) => [node, index]));
  }

  tell(node: Expr): ExplainedNode {
    if (node.kind === 'paren') return this.tell(node.expr);
    const id = this.#ids.size;
    this.#ids.set(node, id);
    const { sharedWith, ...figures } = this.#trace.nodes.get(node) ?? {};
    const shared = sharedWith && this.#ids.get(sharedWith);
    const inner = node.kind === 'matrix_selector' ? node.selector : node;
    const fetch = this.#fetchOf.get(inner);
    const isLeaf = shared !== undefined || node.kind === 'matrix_selector';
    const children = isLeaf ? [] : childrenOf(node).map((child) => this.tell(child));
    return {
      id,
      kind: node.kind,
      text: headOf(node),
      ...timesOf(figures, children),
      ...(shared !== undefined && { sharedWith: shared }),
      ...(fetch !== undefined && { fetch }),
      children,
    };
  }
}

interface Figures {
  readonly series?: number;
  readonly samples?: number;
  readonly ms?: number;
}

function timesOf(figures: Figures, children: readonly ExplainedNode[]): Partial<ExplainedNode> {
  const { ms } = figures;
  if (ms === undefined) return {};
  const below = children.reduce((sum, child) => sum + (child.ms ?? 0), 0);
  return { ...figures, ms: rounded(ms), selfMs: rounded(Math.max(0, ms - below)) };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
