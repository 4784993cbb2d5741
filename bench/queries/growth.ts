/** How the cost of a query grows with its range and with its series: as both do, or worse. */
import { memoryMib } from '../cluster/meter.ts';
import { type Target, startPrometheus, startStarling } from '../cluster/servers.ts';
import type { Figure } from '../storage/row.ts';
import { type Filling, fill, timeRange } from './feed.ts';

const HOUR_MS = 3_600_000;
const INTERVAL_MS = 15_000;
const SERIES = 2000;
const HOURS = 24;
const MANY_SERIES = 200_000;
const MANY_RANGE_MS = HOUR_MS / 2;
const LINEAR_MAX = 1.2;
/** What a rate looks back for, twice. */
const BEFORE_MS = 600_000;

interface Sized {
  readonly name: string;
  /** How often as much as the first. */
  readonly factor: number;
  readonly query: string;
  readonly rangeMs: number;
}

/** One hour to a day of 2,000 series: what is older than a few hours is in blocks. */
export async function rangeGrowth(bin: string | undefined): Promise<readonly Figure[]> {
  const query = 'sum by (namespace)(rate(bench_counter_0_total[5m]))';
  const sizes = [1, 3, 6, 12, HOURS].map((hours) => ({
    ...{ name: `${hours} h of ${SERIES} series`, factor: hours, query, rangeMs: hours * HOUR_MS },
  }));
  return grown(bin, { seriesCount: SERIES, rangeMs: HOURS * HOUR_MS }, sizes);
}

/** 2,500 to 200,000 series, half an hour. */
export async function seriesGrowth(bin: string | undefined): Promise<readonly Figure[]> {
  const selectors: readonly (readonly [string, number])[] = [
    ['namespace="namespace-3",container="container-1"', 1],
    ['namespace="namespace-3"', 4],
    ['container="container-1"', 20],
    ['', 80],
  ];
  const sizes = selectors.map(([matchers, factor]) => ({
    name: `${(MANY_SERIES * factor) / 80} series`,
    factor,
    query: `sum by (namespace)(rate(bench_counter_0_total{${matchers}}[5m]))`,
    rangeMs: MANY_RANGE_MS,
  }));
  return grown(bin, { seriesCount: MANY_SERIES, rangeMs: MANY_RANGE_MS }, sizes);
}

async function grown(
  bin: string | undefined,
  { rangeMs, seriesCount }: { readonly rangeMs: number; readonly seriesCount: number },
  sizes: readonly Sized[],
): Promise<readonly Figure[]> {
  const targets: Target[] = [await startStarling(1)];
  try {
    if (bin !== undefined) targets.push(await startPrometheus(bin));
    const rounds = Math.ceil((rangeMs + BEFORE_MS) / INTERVAL_MS);
    const startMs = Math.floor(Date.now() / INTERVAL_MS - rounds) * INTERVAL_MS;
    const filling: Filling = {
      ...{ seriesCount, metrics: 1, rounds, intervalMs: INTERVAL_MS, startMs },
    };
    await fill(targets, filling);
    return await timed(targets, sizes, startMs + (rounds - 1) * INTERVAL_MS);
  } finally {
    for (const target of targets) await target.stop();
  }
}

async function timed(
  targets: readonly Target[],
  sizes: readonly Sized[],
  endMs: number,
): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  const first: number[] = [];
  for (const { factor, name, query, rangeMs } of sizes) {
    const range = { query, startMs: endMs - rangeMs, endMs, stepMs: INTERVAL_MS };
    const times: number[] = [];
    for (const target of targets) times.push(await timeRange(target, range));
    const [ours = Number.NaN, peer] = times;
    figures.push({ name, unit: 'ms', ours, peer, goalMax: { value: 1, of: 'ratio' } });
    first.push(...times.slice(first.length));
    if (factor === 1) continue;
    figures.push({
      name: `${name}, of linear`,
      unit: '×',
      ours: ours / first[0]! / factor,
      peer: peer === undefined ? undefined : peer / first[1]! / factor,
      goalMax: { value: LINEAR_MAX, of: 'ours' },
    });
  }
  const resident = targets.map(({ pids }) => memoryMib(pids[0]!).peak);
  figures.push({ name: 'peak RSS', unit: 'MiB', ours: resident[0]!, peer: resident[1] });
  return figures;
}
