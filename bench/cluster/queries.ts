/** The six queries of the benchmark, their timing, and the comparison of answers to the last digit. */
import { getJson } from './client.ts';
import { cpuSeconds } from './meter.ts';
import type { Target } from './servers.ts';

const RUNS = 7;
/** All queries one after the other, so often: the first time they meet a process that was never asked. */
const PASSES = 5;

export interface BenchQuery {
  readonly name: string;
  readonly query: string;
  readonly isRange: boolean;
  /** Of series that tie for the last place any may be answered: which, is the order they were made in. */
  readonly hasTies?: boolean;
}

export const queries: readonly BenchQuery[] = [
  {
    name: 'instant sum by (namespace)',
    query: 'sum by (namespace)(bench_gauge_30_total)',
    isRange: false,
  },
  {
    name: 'range sum by (rate)',
    query: 'sum by (namespace)(rate(bench_counter_5_total[5m]))',
    isRange: true,
  },
  {
    name: 'range histogram_quantile',
    query: 'histogram_quantile(0.99, sum by (le, job)(rate(bench_latency_47_seconds_bucket[5m])))',
    isRange: true,
  },
  {
    name: 'instant topk of rates',
    query: 'topk(10, sum by (pod)(rate(bench_counter_7_total[5m])))',
    isRange: false,
    hasTies: true,
  },
  {
    name: 'instant count by, all series',
    query: 'count by (job)({__name__=~"bench_.+"})',
    isRange: false,
  },
  {
    name: 'instant rate, three matchers',
    query:
      'rate(bench_counter_9_total{pod=~"deployment-1[0-9]-.+",container!~"container-[123]",namespace!="namespace-3"}[5m])',
    isRange: false,
  },
];

/** What is asked, and whose CPU counts. */
type Asked = Pick<Target, 'pids' | 'queryUrl'>;

export interface QueryTiming {
  /** Over the passes, and of the first one. */
  readonly medianMs: number;
  readonly firstMs: number;
  readonly cpuMs: number;
  /** The result, canonical, for comparing targets. */
  readonly answer: string;
}

/** By query: in each pass the median of seven after one warm-up, of these the median. `endMs` is the newest round's time. */
export async function timeQueries(target: Asked, endMs: number): Promise<readonly QueryTiming[]> {
  const passes: (readonly QueryPass[])[] = [];
  for (let pass = 0; pass < PASSES; pass++) {
    const timings: QueryPass[] = [];
    for (const query of queries) timings.push(await timeQuery(target, query, endMs));
    passes.push(timings);
  }
  const first = passes[0]!;
  return first.map(({ answer, medianMs }, q) => {
    const pick = (of: (one: QueryPass) => number): number =>
      median(passes.map((one) => of(one[q]!)));
    const cpuMs = pick((one) => one.cpuMs);
    return { answer, cpuMs, firstMs: medianMs, medianMs: pick((one) => one.medianMs) };
  });
}

type QueryPass = Omit<QueryTiming, 'firstMs'>;

async function timeQuery(target: Asked, query: BenchQuery, endMs: number): Promise<QueryPass> {
  const parameters = new URLSearchParams({ query: query.query, nocache: '1' });
  if (query.isRange) {
    parameters.set('start', String((endMs - 3_600_000) / 1000));
    parameters.set('end', String(endMs / 1000));
    parameters.set('step', '15');
  } else {
    parameters.set('time', String(endMs / 1000));
  }
  const url = `${target.queryUrl}/api/v1/${query.isRange ? 'query_range' : 'query'}?${parameters.toString()}`;
  const answer = canonical(await getJson(url), query.hasTies === true);
  const cpuBefore = target.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const times: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const begun = performance.now();
    await getJson(url);
    times.push(performance.now() - begun);
  }
  const cpu = target.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0) - cpuBefore;
  return { medianMs: median(times), cpuMs: (cpu / RUNS) * 1000, answer };
}

/** Of an odd number of them. */
function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
}

interface ResultSeries {
  readonly metric: Readonly<Record<string, string>>;
  /** Of an instant query. */
  readonly value?: readonly [number, string];
}

function canonical(body: unknown, hasTies: boolean): string {
  const { data } = body as { readonly data: { readonly result: readonly ResultSeries[] } };
  const last = Math.min(...data.result.map(({ value }) => Number(value?.[1])));
  const lines = data.result.map((series) => {
    if (hasTies && Number(series.value?.[1]) === last) return JSON.stringify(series.value);
    const labels = Object.entries(series.metric).sort(([a], [b]) => (a < b ? -1 : 1));
    return JSON.stringify([labels, { ...series, metric: undefined }]);
  });
  return lines.sort().join('\n');
}
