// npm run sender -- [--minutes 2]: a real Prometheus, scraping itself and a node exporter, writes to one node of
// three; what the two others answer is compared with what that Prometheus answers, to the last digit.
// Needs PROM_BIN, a directory with prometheus and prometheus-node-exporter; `scripts/oracles.sh` makes one.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type NodeProcess, createCluster, eventually, freePorts } from '../support/cluster.ts';

const SCRAPE_INTERVAL_S = 5;
/** What was scraped so long ago has been sent. */
const SENT_AFTER_S = 15;

const { values: options } = parseArgs({ options: { minutes: { type: 'string', default: '2' } } });
const minutes = Number(options.minutes);
const programs = process.env['PROM_BIN'];
if (programs === undefined || !(minutes > 0)) {
  console.error('usage: PROM_BIN=DIR npm run sender -- [--minutes 2]');
  process.exit(2);
}

const work = mkdtempSync(join(tmpdir(), 'starling-sender-'));
const nodes = await createCluster(work, 3);
const [exporterPort = 0, prometheusPort = 0] = await freePorts(2);
const peers: ChildProcess[] = [];
try {
  for (const node of nodes) node.start();
  await eventually('three ready nodes at replication factor 3', async () => {
    const states = await Promise.all(
      nodes.map(async (node) => (await node.isReady()) && (await node.ring()).replicationFactor),
    );
    return states.every((factor) => factor === 3);
  });
  startPeers(programs, nodes[0]!);
  console.log(`three nodes, a prometheus and a node exporter run for ${minutes} min`);
  await sleep(minutes * 60);
  const timeS = Math.floor(Date.now() / 1000) - SENT_AFTER_S;
  const wanted = await samplesOf(`http://127.0.0.1:${prometheusPort}`, timeS);
  let failures = 0;
  for (const node of nodes.slice(1)) {
    const difference = compare(wanted, await samplesOf(`${node.base}/prometheus`, timeS));
    console.log(`${node.name}: ${difference ?? 'equal'}`);
    if (difference !== undefined) failures++;
  }
  const count = [...wanted.values()].reduce((sum, samples) => sum + samples.length, 0);
  console.log(`${wanted.size} series with ${count} samples: ${2 - failures} of 2 nodes equal`);
  process.exitCode = failures === 0 && wanted.size > 0 ? 0 : 1;
} finally {
  await Promise.all(peers.map(end));
  await Promise.all(nodes.map((node) => node.kill('SIGTERM')));
  rmSync(work, { recursive: true, force: true });
}

function startPeers(directory: string, target: NodeProcess): void {
  const config = join(work, 'prometheus.yml');
  writeFileSync(
    config,
    `global:
  scrape_interval: ${SCRAPE_INTERVAL_S}s
scrape_configs:
  - job_name: prometheus
    static_configs: [{ targets: ['127.0.0.1:${prometheusPort}'] }]
  - job_name: node
    static_configs: [{ targets: ['127.0.0.1:${exporterPort}'] }]
remote_write:
  - url: ${target.base}/api/v1/push
`,
  );
  start(join(directory, 'prometheus-node-exporter'), [
    `--web.listen-address=127.0.0.1:${exporterPort}`,
    '--log.level=error',
  ]);
  start(join(directory, 'prometheus'), [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(work, 'prometheus')}`,
    `--web.listen-address=127.0.0.1:${prometheusPort}`,
    '--log.level=warn',
  ]);
}

function start(program: string, flags: readonly string[]): void {
  peers.push(spawn(program, flags, { stdio: 'ignore' }));
}

function end(peer: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    peer.once('exit', () => resolve());
    peer.kill('SIGKILL'); // it would go on trying to send what it scraped last
  });
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

/** Every sample of the run up to a time, as printed: of each series by its labels. */
async function samplesOf(base: string, timeS: number): Promise<ReadonlyMap<string, string[]>> {
  const range = `${Math.ceil(minutes * 60)}s`;
  const parameters = new URLSearchParams({
    query: `{__name__=~".+"}[${range}]`,
    time: String(timeS),
  });
  const response = await fetch(`${base}/api/v1/query?${parameters.toString()}`);
  const body = (await response.json()) as {
    readonly status: string;
    readonly data?: {
      readonly result: readonly {
        readonly metric: Readonly<Record<string, string>>;
        readonly values: readonly (readonly [number, string])[];
      }[];
    };
  };
  if (body.data === undefined) throw new Error(`${base}: ${JSON.stringify(body)}`);
  return new Map(
    body.data.result.map(({ metric, values }) => [
      JSON.stringify(Object.entries(metric).sort(([a], [b]) => (a < b ? -1 : 1))),
      values.map(([at, value]) => `${value} @${at}`),
    ]),
  );
}

/** The first difference, or undefined. */
function compare(
  wanted: ReadonlyMap<string, string[]>,
  found: ReadonlyMap<string, string[]>,
): string | undefined {
  for (const [labels, samples] of wanted) {
    const other = found.get(labels)?.join(', ');
    if (other !== samples.join(', '))
      return `${labels} is\n  ${other}, at Prometheus\n  ${samples.join(', ')}`;
  }
  if (found.size === wanted.size) return undefined;
  return `${found.size} series, ${wanted.size} at Prometheus`;
}
