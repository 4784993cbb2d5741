/** One node or one Prometheus on a directory that outlives it: started, ended or killed, and started again. */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  endAll,
  freePorts,
  mainScript,
  spawnPrometheus,
  start,
  waitFor,
} from '../cluster/servers.ts';
import { cpuSeconds } from '../cluster/meter.ts';
import type { MemoryReport } from './memory-probe.ts';

const PROBE = new URL('memory-probe.js', import.meta.url);

export interface Server {
  readonly pid: number;
  readonly baseUrl: string;
  readonly pushUrl: string;
  readonly metricsUrl: string;
  /** Base of the query API, without `/api/v1`. */
  readonly queryUrl: string;
  end(signal?: NodeJS.Signals): Promise<void>;
}

export interface StarlingServer extends Server {
  /** What its V8 says of its memory. */
  memory(): Promise<MemoryReport>;
}

/** A node with one replica; its bucket is in its directory unless `flags` say something else. */
export async function startStarlingOn(
  directory: string,
  flags: readonly string[] = [],
): Promise<StarlingServer> {
  const [http, grpc, gossip, probe] = await freePorts(4);
  const child = start(
    mainScript,
    [
      'serve',
      `--http.listen=127.0.0.1:${http}`,
      `--grpc.listen=127.0.0.1:${grpc}`,
      `--gossip.listen=127.0.0.1:${gossip}`,
      `--data-dir=${directory}`,
      '--replication-factor=1',
      '--log.level=warn',
      ...flags,
    ],
    { NODE_OPTIONS: `--import=${PROBE.href}`, BENCH_MEMORY_PROBE: String(probe) },
  );
  endWithUs(child);
  const baseUrl = `http://127.0.0.1:${http}`;
  await waitFor(`${baseUrl}/ready`);
  return {
    ...serverOf(child, baseUrl),
    pushUrl: `${baseUrl}/api/v1/push`,
    metricsUrl: `${baseUrl}/metrics`,
    queryUrl: `${baseUrl}/prometheus`,
    memory: async () => {
      const answer = await fetch(`http://127.0.0.1:${probe}/`);
      return (await answer.json()) as MemoryReport;
    },
  };
}

/** A Prometheus that takes remote write; it has a directory `data`. */
export async function startPrometheusOn(
  bin: string,
  directory: string,
  flags: readonly string[] = [],
): Promise<Server> {
  mkdirSync(directory, { recursive: true });
  const admin = '--web.enable-admin-api';
  const { base: baseUrl, child } = await spawnPrometheus(bin, directory, [admin, ...flags]);
  endWithUs(child);
  await waitFor(`${baseUrl}/-/ready`);
  return {
    ...serverOf(child, baseUrl),
    pushUrl: `${baseUrl}/api/v1/write`,
    metricsUrl: `${baseUrl}/metrics`,
    queryUrl: baseUrl,
  };
}

const REST_LOOK_MS = 500;
const REST_CPU_SHARE_MAX = 0.1;
const REST_LOOKS_MAX = 60;

/** Resolves when a process does next to nothing: what a start leaves to do in the background is done. */
export async function atRest(pid: number): Promise<void> {
  for (let look = 0; look < REST_LOOKS_MAX; look++) {
    const before = cpuSeconds(pid);
    await new Promise((resolve) => setTimeout(resolve, REST_LOOK_MS));
    if (cpuSeconds(pid) - before < (REST_CPU_SHARE_MAX * REST_LOOK_MS) / 1000) return;
  }
  throw new Error(`process ${pid} does not come to rest`);
}

/** When a row fails nothing goes on. */
function endWithUs(child: ChildProcess): void {
  process.once('exit', () => child.kill('SIGKILL'));
}

function serverOf(child: ChildProcess, baseUrl: string): Pick<Server, 'baseUrl' | 'end' | 'pid'> {
  return { pid: child.pid ?? 0, baseUrl, end: (signal) => endAll([child], signal) };
}

export const openTsdbScript = fileURLToPath(new URL('open-tsdb.js', import.meta.url));
