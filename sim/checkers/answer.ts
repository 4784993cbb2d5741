/** One complete answer of a node for one series, as the checkers judge it. */
import type { ReadSample } from '../history.ts';

export interface CheckedAnswer {
  readonly node: string;
  readonly series: number;
  /** Inclusive. */
  readonly fromMs: number;
  readonly toMs: number;
  /** True time when the query was sent: what was acknowledged before must be there. */
  readonly askedAtMs: number;
  readonly samples: readonly ReadSample[];
}

/** What a checker found; `invariant` as the simulator's page names them. */
export interface Violation {
  readonly invariant: string;
  readonly what: string;
}
