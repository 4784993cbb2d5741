/**
 * npm run bench:cluster -- [--rounds 60] [--series 100000] [--targets starling,starling3,prometheus,victoria]
 *
 * Writes the same load to each target in turn and prints what it cost, then the six queries, as
 * ratios to Prometheus when it is among the targets, and which goals they reach (`goals.ts`). A run is worth something only on an idle machine.
 */
import { parseArgs } from 'node:util';
import { createAgents, pushRounds } from './client.ts';
import { SCRAPE_INTERVAL_MS, type Load, buildLoad } from './load.ts';
import { goalLines, goalsOf } from './goals.ts';
import {
  type SliceFigures,
  cpuSeconds,
  diskMib,
  loadAverage,
  memoryMib,
  quantile,
  readSlices,
} from './meter.ts';
import { type QueryTiming, queries, timeQueries } from './queries.ts';
import { type Target, startPrometheus, startStarling, startVictoriaMetrics } from './servers.ts';

/** The first rounds create the series and are reported apart. */
const WARM_UP_ROUNDS = 2;

interface Figures {
  readonly name: string;
  readonly cpuPerMillion: number;
  readonly createCpuSeconds: number;
  readonly samplesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failures: number;
  /** While it was written to, and while it was asked. */
  readonly writeSlices: SliceFigures;
  readonly querySlices: SliceFigures;
  readonly residentMib: number;
  readonly peakMib: number;
  readonly diskMib: number;
  readonly queries: readonly QueryTiming[];
}

async function measure(target: Target, load: Load): Promise<Figures> {
  const cpu = (): number => target.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const agents = createAgents();
  const cpuStart = cpu();
  await pushRounds(target.pushUrls, load.bodies, 0, WARM_UP_ROUNDS, agents);
  const cpuCreated = cpu();
  await readSlices(target.metricsUrls); // what creating the series took is not among them
  const outcome = await pushRounds(
    target.pushUrls,
    load.bodies,
    WARM_UP_ROUNDS,
    load.rounds,
    agents,
  );
  const cpuWritten = cpu();
  const writeSlices = await readSlices(target.metricsUrls);
  for (const agent of agents) agent.destroy();
  const samples = load.seriesCount * (load.rounds - WARM_UP_ROUNDS);
  const sorted = [...outcome.latenciesMs].sort((a, b) => a - b);
  const memory = target.pids.map(memoryMib);
  const endMs = load.startMs + (load.rounds - 1) * SCRAPE_INTERVAL_MS;
  const timings = await timeQueries(target, endMs);
  return {
    name: target.name,
    cpuPerMillion: ((cpuWritten - cpuCreated) / samples) * 1e6,
    createCpuSeconds: cpuCreated - cpuStart,
    samplesPerSecond: samples / outcome.wallSeconds,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    failures: outcome.failures,
    residentMib: memory.reduce((sum, one) => sum + one.resident, 0),
    peakMib: memory.reduce((sum, one) => sum + one.peak, 0),
    diskMib: diskMib(target.directory),
    writeSlices,
    querySlices: await readSlices(target.metricsUrls),
    queries: timings,
  };
}

function report(figures: readonly Figures[]): void {
  const base = figures.find((one) => one.name === 'prometheus');
  const rows: readonly (readonly [string, (one: Figures) => number])[] = [
    ['CPU s per M samples', (one) => one.cpuPerMillion],
    ['CPU s to create the series', (one) => one.createCpuSeconds],
    ['samples per second', (one) => one.samplesPerSecond],
    ['latency p50 ms', (one) => one.p50Ms],
    ['latency p99 ms', (one) => one.p99Ms],
    ['failed requests', (one) => one.failures],
    ['slice CPU writing p99 ms', (one) => one.writeSlices.p99Ms],
    ['slice CPU writing max ms', (one) => one.writeSlices.maxMs],
    ['slice CPU querying p99 ms', (one) => one.querySlices.p99Ms],
    ['slice CPU querying max ms', (one) => one.querySlices.maxMs],
    ['RSS MiB', (one) => one.residentMib],
    ['peak RSS MiB', (one) => one.peakMib],
    ['disk MiB', (one) => one.diskMib],
    ...queries.map(
      (query, i) => [`${query.name} ms`, (one: Figures) => one.queries[i]!.medianMs] as const,
    ),
    ...queries.map(
      (query, i) =>
        [`${query.name}, at first ms`, (one: Figures) => one.queries[i]!.firstMs] as const,
    ),
    ...queries.map(
      (query, i) => [`${query.name} CPU ms`, (one: Figures) => one.queries[i]!.cpuMs] as const,
    ),
  ];
  console.log(['', ...figures.map((one) => one.name)].join(' | '));
  for (const [name, get] of rows) {
    const cells = figures.map((one) => {
      const ratio = base === undefined ? Number.NaN : get(one) / get(base);
      if (Number.isNaN(get(one))) return '-';
      return `${get(one).toPrecision(4)}${Number.isNaN(ratio) ? '' : ` (${ratio.toFixed(2)}x)`}`;
    });
    console.log([name, ...cells].join(' | '));
  }
  reportGoals(figures);
  if (base === undefined) return;
  for (const one of figures) {
    if (one.name === 'victoria-metrics') continue; // it extrapolates rates in its own way
    const equal = queries.filter(
      (_, i) => one.queries[i]!.answer === base.queries[i]!.answer,
    ).length;
    console.log(
      `${one.name}: ${equal} of ${queries.length} answers equal Prometheus' to the last digit`,
    );
  }
}

/** What was to be reached, beside what was. */
function reportGoals(figures: readonly Figures[]): void {
  const medianOf = (target: string, name: string): number | undefined => {
    const index = queries.findIndex((query) => query.name === name);
    return figures.find((one) => one.name === target)?.queries[index]?.medianMs;
  };
  console.log('goal | at most | reached |');
  const lines = goalLines(goalsOf(queries.map(({ name }) => name)), medianOf);
  for (const line of lines) console.log(line);
  const missed = lines.filter((line) => line.endsWith(' missed')).length;
  const unknown = lines.filter((line) => line.endsWith(' not known')).length;
  console.log(`${missed} of ${lines.length} goals of queries missed, ${unknown} not known`);
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '60' },
    series: { type: 'string', default: '100000' },
    targets: { type: 'string', default: 'starling,starling3,prometheus,victoria' },
  },
});
const rounds = Number(values.rounds);
const bin = process.env['PROM_BIN'];
const startMs =
  Math.floor((Date.now() - rounds * SCRAPE_INTERVAL_MS) / SCRAPE_INTERVAL_MS) * SCRAPE_INTERVAL_MS;
console.log(
  `load average ${loadAverage()}; encoding ${rounds} rounds of ${values.series} series …`,
);
const load = buildLoad({ seriesCount: Number(values.series), rounds, startMs });
const starters: Readonly<Record<string, () => Promise<Target> | undefined>> = {
  starling: () => startStarling(1),
  starling3: () => startStarling(3),
  prometheus: () => (bin === undefined ? undefined : startPrometheus(bin)),
  victoria: () => (bin === undefined ? undefined : startVictoriaMetrics(bin)),
};
const figures: Figures[] = [];
for (const name of values.targets.split(',')) {
  const target = await starters[name]?.();
  if (target === undefined) {
    console.log(
      `${name}: skipped${bin === undefined ? ', PROM_BIN is not set' : ', unknown target'}`,
    );
    continue;
  }
  try {
    figures.push(await measure(target, load));
  } finally {
    await target.stop();
  }
}
report(figures);
