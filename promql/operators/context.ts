/**
 * What every operator is given: the grid of steps it shall answer for, the query's parameters, the
 * decoded series of each selector, and the places for annotations. One per query; a subquery makes
 * a child with another grid and shares everything else.
 */
import { StarlingError } from '../../model/errors.ts';
import type { SeriesColumns, SeriesPieces } from '../../model/series-columns.ts';
import type { AtModifier, Expr, Subquery, VectorSelector } from '../ast.ts';
import { positionOf } from '../parser-position.ts';
import { type Block, newBlock, withoutNames } from './block.ts';
import type { Labels } from '../../model/labels.ts';
import type { PassName } from '../plan/passes.ts';
import type { Trace } from '../trace.ts';

/** What a query may read of downsampled blocks. */
export interface Downsampling {
  readonly maxResolutionMs: number;
  /** Also where the answer is only near. */
  readonly isApproximate: boolean;
  /** No aggregates at or after this time. */
  readonly untilMs: number;
}

/** How to run a query. */
export interface QueryParams {
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
  readonly lookbackMs: number;
  /** One step, at `startMs`; the answer is a vector instead of a matrix. */
  readonly instant: boolean;
  /** Metric names stay visible until the query ends. Prometheus' feature flag; off by default. */
  readonly delayedNameRemoval?: boolean;
  /** The step of subqueries that name none; one minute unless told. */
  readonly subqueryStepMs?: number;
  /** The query text, for the line:column of annotations; without it the line is always 1. */
  readonly text?: string;
  /** What may be read of downsampled blocks; absent: nothing. */
  readonly downsampling?: Downsampling | undefined;
  /** The optimiser's passes to run; all unless told. The answer is the same. */
  readonly passes?: readonly PassName[];
}

export interface QueryBudget {
  /** Most samples that one operator may hold. */
  readonly samplesMax: number;
  /** Called every few thousand samples; throws when the query's time is over or it was cancelled. */
  readonly check?: () => void;
}

/** Equally spaced steps: `startMs + i * stepMs` for i < count. */
export interface Grid {
  readonly startMs: number;
  readonly stepMs: number;
  readonly count: number;
}

const SUBQUERY_STEP_MS = 60_000;

/** The steps of the whole query. */
export function queryGrid(params: QueryParams): Grid {
  if (params.instant) return { startMs: params.startMs, stepMs: 1, count: 1 };
  const count = Math.floor((params.endMs - params.startMs) / params.stepMs) + 1;
  return { startMs: params.startMs, stepMs: params.stepMs, count: Math.max(0, count) };
}

/** The time an `@` pins to, if there is one. */
export function pinnedMs(at: AtModifier | undefined, params: QueryParams): number | undefined {
  if (at === undefined) return undefined;
  if (at.kind === 'timestamp') return at.timestampMs;
  return at.kind === 'start' || params.instant ? params.startMs : params.endMs;
}

/** The steps at which a subquery evaluates its expression, for an outer grid. Aligned to its step. */
export function subqueryGrid(node: Subquery, outer: Grid, params: QueryParams): Grid {
  const pinned = pinnedMs(node.at, params);
  const firstMs = (pinned ?? outer.startMs) - node.offsetMs;
  const lastMs = pinned === undefined ? lastStepMs(outer) - node.offsetMs : firstMs;
  const stepMs = node.stepMs === 0 ? (params.subqueryStepMs ?? SUBQUERY_STEP_MS) : node.stepMs;
  const windowStartMs = firstMs - node.rangeMs;
  let startMs = stepMs * Math.trunc(windowStartMs / stepMs);
  if (startMs <= windowStartMs) startMs += stepMs;
  const count = startMs > lastMs ? 0 : Math.floor((lastMs - startMs) / stepMs) + 1;
  return { startMs, stepMs, count };
}

export function lastStepMs(grid: Grid): number {
  return grid.startMs + Math.max(0, grid.count - 1) * grid.stepMs;
}

/** What a node evaluates to. */
export type Value =
  | { readonly kind: 'scalar'; readonly values: Float64Array }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'vector'; readonly block: Block };

/** Shared by the whole query. */
export interface QueryState {
  readonly params: QueryParams;
  readonly budget: QueryBudget;
  readonly data: ReadonlyMap<VectorSelector, SeriesColumns>;
  /** Of selectors that an aggregation reads row by row (fold-pieces.ts), and that are not in `data`. */
  readonly pieces: ReadonlyMap<VectorSelector, SeriesPieces>;
  /** By text: of two with one text the last is kept, with its place. */
  readonly warnings: Map<string, string>;
  readonly infos: Map<string, string>;
  /** How often something was said, also of what had been said before. */
  readonly notes: { count: number };
  /** Filled when somebody asks what the query did. */
  readonly trace: Trace | undefined;
  /** The walker of the tree. */
  readonly evaluate: (node: Expr, context: EvalContext) => Value;
}

const ROWS_PER_CHECK = 64;

export class EvalContext {
  readonly state: QueryState;
  readonly grid: Grid;
  /** The grid is that of a subquery. */
  readonly isSubquery: boolean;

  /** Throws `query.too_large` for a grid of more steps than samples are allowed. */
  constructor(state: QueryState, grid: Grid, isSubquery = false) {
    this.state = state;
    this.grid = grid;
    this.isSubquery = isSubquery;
    this.checkSamples(grid.count);
  }

  get params(): QueryParams {
    return this.state.params;
  }

  get steps(): number {
    return this.grid.count;
  }

  get delaysNames(): boolean {
    return this.state.params.delayedNameRemoval === true;
  }

  stepMsAt(t: number): number {
    return this.grid.startMs + t * this.grid.stepMs;
  }

  withGrid(grid: Grid): EvalContext {
    return new EvalContext(this.state, grid, true);
  }

  /** The same, where a selector has these series. */
  withColumns(node: VectorSelector, columns: SeriesColumns): EvalContext {
    const data = new Map(this.state.data).set(node, columns);
    return new EvalContext({ ...this.state, data }, this.grid, this.isSubquery);
  }

  evaluate(node: Expr): Value {
    return this.state.evaluate(node, this);
  }

  /** A block for these rows, refused when it would break the budget. */
  block(labels: readonly Labels[], drop?: Uint8Array, hasHistograms = false): Block {
    this.checkSamples(labels.length * this.steps);
    this.state.budget.check?.();
    return newBlock(labels, this.steps, drop, hasHistograms);
  }

  checkSamples(count: number): void {
    const { samplesMax } = this.state.budget;
    if (count <= samplesMax) return;
    throw new StarlingError('query.too_large', { what: 'samples', count, countMax: samplesMax });
  }

  /** For long loops over rows: asks whether to go on, now and then. */
  checkRow(row: number): void {
    if (row % ROWS_PER_CHECK === 0) this.state.budget.check?.();
  }

  /** The rows of a block without metric names: now, or marked when removal is delayed. */
  droppingNames(block: Block): Block {
    if (this.delaysNames) return { ...block, drop: new Uint8Array(block.labels.length).fill(1) };
    return withoutNames(block);
  }

  /** `line:column` of a node. */
  position(node: Expr): string {
    const { text } = this.state.params;
    return text === undefined ? `1:${node.start + 1}` : positionOf(text, node.start);
  }

  warn(node: Expr, message: string): void {
    const text = `PromQL warning: ${message} (${this.position(node)})`;
    this.state.notes.count++;
    this.state.warnings.set(message, text);
  }

  info(node: Expr, message: string): void {
    const text = `PromQL info: ${message} (${this.position(node)})`;
    this.state.notes.count++;
    this.state.infos.set(message, text);
  }

  unsupported(node: Expr, what: string): StarlingError {
    return new StarlingError('query.unsupported', { what, position: this.position(node) });
  }
}

/** An error that stops the query, in Prometheus' words. */
export function executionError(text: string, cause?: unknown): StarlingError {
  return new StarlingError('query.execution', { text }, cause);
}
