/**
 * Row `replay`: the same log replayed by us and by Prometheus, in turn, in processes of their own. Ours is what opening
 * the tenant takes, Prometheus' what its metrics say of its replay.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openTsdbScript, startPrometheusOn } from './nodes.ts';
import type { OpenReport } from './open-tsdb.ts';
import type { Figure, RowOptions } from './row.ts';

const RUNS = 3;
const NODE_FLAGS = [
  '--no-parallel-scavenge',
  '--max-semi-space-size=4',
  '--heap-growing-percent=100',
  '--initial-old-space-size=40',
  '--interrupt-budget=200000',
];

export async function replay({ bin, data, directory }: RowOptions): Promise<readonly Figure[]> {
  const { sampleCount, walDirectory } = await data.fed();
  const ours: OpenReport[] = [];
  const theirs: number[] = [];
  const home = join(directory, 'replay');
  for (let run = 0; run < RUNS; run++) {
    ours.push(openOurs(walDirectory, home));
    if (bin !== undefined) theirs.push(await openTheirs(bin, walDirectory, home));
  }
  const [best] = [...ours].sort((a, b) => a.wallSeconds - b.wallSeconds);
  const median = (of: readonly number[]): number => [...of].sort((a, b) => a - b)[of.length >> 1]!;
  const wallSeconds = median(ours.map((one) => one.wallSeconds));
  const isWhole = best?.sampleCount === sampleCount ? '' : `ONLY ${best?.sampleCount} SAMPLES`;
  return [
    {
      name: `replay of ${sampleCount / 1e6} M samples, wall`,
      ...{ unit: 's', ours: wallSeconds, note: isWhole },
      peer: theirs.length === 0 ? undefined : median(theirs),
      goalMax: { value: 1, of: 'ratio' },
    },
    { name: 'replay, CPU', unit: 's', ours: median(ours.map((one) => one.cpuSeconds)) },
    { name: 'replay, slices p99', unit: 'ms', ours: median(ours.map((one) => one.sliceP99Ms)) },
    { name: 'replay, slices max', unit: 'ms', ours: median(ours.map((one) => one.sliceMaxMs)) },
  ];
}

function openOurs(walDirectory: string, home: string): OpenReport {
  rmSync(home, { recursive: true, force: true });
  mkdirSync(join(home, 'anonymous'), { recursive: true });
  cpSync(walDirectory, join(home, 'anonymous/wal'), { recursive: true });
  const arguments_ = [...NODE_FLAGS, openTsdbScript, home];
  return JSON.parse(execFileSync(process.execPath, arguments_, { encoding: 'utf8' })) as OpenReport;
}

/** Seconds, as it tells them. */
async function openTheirs(bin: string, walDirectory: string, home: string): Promise<number> {
  rmSync(home, { recursive: true, force: true });
  mkdirSync(join(home, 'data'), { recursive: true });
  cpSync(walDirectory, join(home, 'data/wal'), { recursive: true });
  const prometheus = await startPrometheusOn(bin, home);
  const page = await (await fetch(prometheus.metricsUrl)).text();
  await prometheus.end('SIGKILL');
  return Number(/^prometheus_tsdb_data_replay_duration_seconds (\S+)$/m.exec(page)?.[1]);
}
