/**
 * What a query did, for `stats` and `explain`: for every node the rows and samples it answered with and
 * the time that took (its operands' time included), and how many samples the query looked at, at each
 * step. Asked for by giving a `Trace` to `evaluate`; nothing is counted otherwise.
 *
 * Samples are counted as Prometheus does: those of a selector at the steps of the query, for a range
 * all of its window; inside a subquery not, but each time one of its windows reads them.
 */
import type { Expr } from './ast.ts';

/** What one node answered with. */
export interface NodeFigures {
  readonly series: number;
  readonly samples: number;
  readonly ms: number;
  /** The equal node that was evaluated in this one's place. */
  readonly sharedWith?: Expr;
}

export class Trace {
  readonly nowMs: () => number;
  readonly nodes = new Map<Expr, NodeFigures>();
  /** Samples looked at, by step of the query. */
  samplesByStep = new Float64Array(0);
  peakSamples = 0;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  get samplesTotal(): number {
    return this.samplesByStep.reduce((sum, count) => sum + count, 0);
  }

  /** Adds the figures of one run of a node: inside a subquery it runs once too. */
  note(node: Expr, figures: NodeFigures): void {
    this.nodes.set(node, figures);
    this.peakSamples = Math.max(this.peakSamples, figures.samples);
  }

  /** A node was given the value of an equal one. */
  noteShared(node: Expr, other: Expr): void {
    const { samples = 0, series = 0 } = this.nodes.get(other) ?? {};
    this.nodes.set(node, { series, samples, ms: 0, sharedWith: other });
  }

  look(t: number, samples: number): void {
    this.samplesByStep[t] = (this.samplesByStep[t] ?? 0) + samples;
  }
}
