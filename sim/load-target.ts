/** What the load sees of a cluster: nodes that take bodies and texts, and answer in JSON. */
import type { SimRandom } from './random.ts';
import type { OwedSince } from './said.ts';
import type { Outcome } from './world.ts';

/** A PromQL query; a step of 0 is an instant query at the end. */
export interface TextQuery {
  readonly tenant: string;
  readonly text: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
}

/** Inclusive at both ends. */
export interface SeriesSpan {
  readonly tenant: string;
  readonly series: number;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface LoadTarget {
  readonly random: SimRandom;
  /** Unix time when `nowMs` is 0, by a clock that is right. */
  readonly epochMs: number;
  nowMs(): number;
  sleep(delayMs: number): Promise<void>;
  note(line: string): void;
  /** Names of nodes that say they are ready. */
  readyNodes(): readonly string[];
  /** True: all of it was stored. False: some of it was refused. */
  push(
    node: string,
    tenant: string,
    body: Uint8Array,
    timeoutMs: number,
  ): Promise<Outcome<boolean>>;
  /** The JSON of a whole answer; a partial one is an error. */
  query(node: string, query: TextQuery, timeoutMs: number): Promise<Outcome<string>>;
  /** The JSON of the series with this number that have samples in the span. */
  series(node: string, query: SeriesSpan, timeoutMs: number): Promise<Outcome<string>>;
  /** Where series can be deleted. */
  readonly deletions?: DeletionTarget;
  /** Where metadata and exemplars can be asked for. */
  readonly beside?: BesideTarget;
}

export interface BesideTarget {
  /** The JSON of what is known of a metric, or of all of them. */
  metadata(
    node: string,
    tenant: string,
    metric: string | undefined,
    timeoutMs: number,
  ): Promise<Outcome<string>>;
  /** The JSON of the exemplars of a series in the span. */
  exemplars(node: string, span: SeriesSpan, timeoutMs: number): Promise<Outcome<string>>;
  readonly owedSince: OwedSince;
}

export interface DeletionTarget {
  /** The request, when it is in force on this node. */
  add(node: string, span: SeriesSpan, timeoutMs: number): Promise<Outcome<TakenDeletion>>;
  cancel(node: string, tenant: string, id: string, timeoutMs: number): Promise<Outcome<void>>;
}

export interface TakenDeletion {
  readonly id: string;
  /** Where it ends: what is newer by the clock of who took it does not exist yet. */
  readonly toMs: number;
}

/** A request without an answer. */
export type Failed = Exclude<Outcome<never>, { readonly kind: 'answer' }>;

/** A request that ended, as the checkers of availability see it. */
export interface RequestEnd {
  readonly kind: 'push' | 'read';
  readonly node: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly failed: Failed | undefined;
}

export interface LoadShape {
  readonly writers: number;
  readonly seriesPerWriter: number;
  readonly everyMs: number;
  /** How far apart queries are; as far as pushes when it is not said. */
  readonly readEveryMs?: number;
  /** 1: one tenant without a name of its own. */
  readonly tenantCount: number;
  /** How often the same body is sent again after success. */
  readonly repeatChance: number;
  /** How often a sample older than the last acknowledged one is sent; it should be refused. */
  readonly lateChance: number;
  /** How often a sample of a far future is sent beside the others; it must be refused. */
  readonly futureChance?: number;
  /** How often a writer reads at once what it wrote. */
  readonly readBackChance?: number;
  /** How often a body has an exemplar of its first sample. */
  readonly exemplarChance?: number;
  /** How far apart requests about metadata and exemplars are; undefined: there are none. */
  readonly tellEveryMs?: number;
  /** How far apart requests to delete are; undefined: there are none. */
  readonly deleteEveryMs?: number;
}
