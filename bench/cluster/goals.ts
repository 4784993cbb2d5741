/**
 * What the queries of a run have to reach, as ratios between targets of that run, and whether they do.
 *
 *   one node      ranges: 0.35 of Prometheus and 1.5 of VictoriaMetrics; the count: 0.4 of the better; none above Prometheus
 *   three nodes   the count: 1.5 of the better; every other: half of what Cortex takes, as a ratio to Prometheus
 *
 * Where a query has two goals it is judged by each. A goal whose peer is not in the run is not known.
 */

/** The figure of a query, and what it may be at most: a multiple of the best of some peers in the same run. */
export interface Goal {
  readonly query: string;
  readonly target: 'starling' | 'starling x3 RF3';
  readonly peers: readonly ('prometheus' | 'victoria-metrics')[];
  readonly ratioMax: number;
}

/**
 * Medians of Cortex with three nodes at replication factor 3, and of Prometheus beside it, on this very load: ms.
 * Of the last, which was 3 to 17, the least.
 */
const CORTEX_RF3_MS: Readonly<Record<string, readonly [cortex: number, prometheus: number]>> = {
  'instant sum by (namespace)': [33, 3.6],
  'range sum by (rate)': [129, 62],
  'range histogram_quantile': [125, 61],
  'instant topk of rates': [35, 5],
  'instant rate, three matchers': [3, 0.6],
};
const OF_CORTEX_MAX = 0.5;

const COUNT = 'instant count by, all series';
const RANGES = ['range sum by (rate)', 'range histogram_quantile'];
const BOTH = ['prometheus', 'victoria-metrics'] as const;

/** The goals of queries by these names. */
export function goalsOf(queries: readonly string[]): readonly Goal[] {
  const goals: Goal[] = [];
  for (const query of queries) {
    const one = { query, target: 'starling' } as const;
    const three = { query, target: 'starling x3 RF3' } as const;
    if (RANGES.includes(query)) {
      goals.push({ ...one, peers: ['prometheus'], ratioMax: 0.35 });
      goals.push({ ...one, peers: ['victoria-metrics'], ratioMax: 1.5 });
    } else if (query === COUNT) {
      goals.push({ ...one, peers: BOTH, ratioMax: 0.4 });
      goals.push({ ...three, peers: BOTH, ratioMax: 1.5 });
    } else {
      goals.push({ ...one, peers: ['prometheus'], ratioMax: 1 });
    }
    const [cortex, prometheus] = CORTEX_RF3_MS[query] ?? [];
    if (cortex === undefined || prometheus === undefined) continue;
    const ratioMax = (OF_CORTEX_MAX * cortex) / prometheus;
    goals.push({ ...three, peers: ['prometheus'], ratioMax });
  }
  return goals;
}

/** The median of a query in ms by target; undefined: that was not in the run. */
export type MedianOf = (target: string, query: string) => number | undefined;

/** A line for each goal: what it is, what was reached, and `met` or `missed`. */
export function goalLines(goals: readonly Goal[], medianOf: MedianOf): readonly string[] {
  return goals.map(({ peers, query, ratioMax, target }) => {
    const ours = medianOf(target, query);
    const theirs = peers.map((peer) => medianOf(peer, query));
    const limit = `<= ${ratioMax.toFixed(2)} x ${peers.join(' or ')}`;
    const name = `${target}: ${query} | ${limit}`;
    if (ours === undefined || theirs.includes(undefined)) return `${name} | - | not known`;
    const ratio = ours / Math.min(...theirs.map((ms) => ms ?? Number.POSITIVE_INFINITY));
    return `${name} | ${ratio.toFixed(2)} x | ${ratio <= ratioMax ? 'met' : 'missed'}`;
  });
}
