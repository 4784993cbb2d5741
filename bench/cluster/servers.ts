/** Starts what is measured: Starling with one or three nodes, and the peers when PROM_BIN is set. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Target {
  readonly name: string;
  readonly pids: readonly number[];
  readonly pushUrls: readonly string[];
  /** Where the nodes tell what their loops did; none at peers. */
  readonly metricsUrls: readonly string[];
  /** Base of the query API, without `/api/v1`. */
  readonly queryUrl: string;
  readonly directory: string;
  stop(): Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
export const mainScript = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer();
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export async function startStarling(nodes: number): Promise<Target> {
  const directory = mkdtempSync(join(tmpdir(), 'starling-bench-'));
  const ports = await freePorts(nodes * 3);
  const children = Array.from({ length: nodes }, (_, i) => {
    const [http, grpc, gossip] = ports.slice(i * 3);
    const args = [
      'serve',
      `--http.listen=127.0.0.1:${http}`,
      `--grpc.listen=127.0.0.1:${grpc}`,
      `--gossip.listen=127.0.0.1:${gossip}`,
      `--data-dir=${join(directory, `node-${i + 1}`)}`,
      `--instance-id=node-${i + 1}`,
      `--zone=zone-${i + 1}`,
      `--replication-factor=${nodes}`,
      '--log.level=warn',
      ...(i === 0 ? [] : [`--join=127.0.0.1:${ports[1]}`]),
    ];
    return start(mainScript, args);
  });
  const bases = Array.from({ length: nodes }, (_, i) => `http://127.0.0.1:${ports[i * 3]}`);
  for (const base of bases) await waitFor(`${base}/ready`);
  await waitForReplication(`${bases[0]}/ring`, nodes);
  return {
    name: nodes === 1 ? 'starling' : `starling x${nodes} RF${nodes}`,
    pids: children.map((child) => child.pid ?? 0),
    pushUrls: bases.map((base) => `${base}/api/v1/push`),
    metricsUrls: bases.map((base) => `${base}/metrics`),
    queryUrl: `${bases[0]}/prometheus`,
    directory,
    stop: () => stopAll(children, directory),
  };
}

export async function startPrometheus(bin: string): Promise<Target> {
  const directory = mkdtempSync(join(tmpdir(), 'starling-bench-prometheus-'));
  const { base, child } = await spawnPrometheus(bin, directory);
  await waitFor(`${base}/-/ready`);
  return {
    name: 'prometheus',
    pids: [child.pid ?? 0],
    pushUrls: [`${base}/api/v1/write`],
    metricsUrls: [],
    queryUrl: base,
    directory,
    stop: () => stopAll([child], directory),
  };
}

/** One that takes remote write, with its data below the directory; ready a little later. */
export async function spawnPrometheus(
  bin: string,
  directory: string,
  flags: readonly string[] = [],
): Promise<{ readonly child: ChildProcess; readonly base: string }> {
  const [port] = await freePorts(1);
  const config = join(directory, 'prometheus.yml');
  writeFileSync(config, 'global: {}\n');
  const child = start(join(bin, 'prometheus'), [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(directory, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--web.enable-remote-write-receiver',
    '--log.level=error',
    ...flags,
  ]);
  return { child, base: `http://127.0.0.1:${port}` };
}

export async function startVictoriaMetrics(bin: string): Promise<Target> {
  const directory = mkdtempSync(join(tmpdir(), 'starling-bench-victoria-'));
  const [port] = await freePorts(1);
  mkdirSync(join(directory, 'data'));
  const child = start(join(bin, 'victoria-metrics'), [
    `-storageDataPath=${join(directory, 'data')}`,
    `-httpListenAddr=127.0.0.1:${port}`,
    '-loggerLevel=ERROR',
  ]);
  const base = `http://127.0.0.1:${port}`;
  await waitFor(`${base}/health`);
  return {
    name: 'victoria-metrics',
    pids: [child.pid ?? 0],
    pushUrls: [`${base}/api/v1/write`],
    metricsUrls: [],
    queryUrl: `${base}/prometheus`,
    directory,
    stop: () => stopAll([child], directory),
  };
}

export function start(
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): ChildProcess {
  const env = { ...process.env, ...environment };
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], env });
  child.on('exit', (code) => {
    if (code !== 0 && code !== null) console.error(`${command} exited with ${code}`);
  });
  return child;
}

export async function waitFor(url: string): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadline) {
    try {
      if ((await fetch(url)).ok) return;
    } catch {
      // not listening yet
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url} did not become ready`);
}

async function waitForReplication(url: string, wanted: number): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const ring = (await (await fetch(url)).json()) as { readonly replicationFactor: number };
    if (ring.replicationFactor === wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url}: the replication factor did not reach ${wanted}`);
}

async function stopAll(children: readonly ChildProcess[], directory: string): Promise<void> {
  await endAll(children);
  rmSync(directory, { recursive: true, force: true });
}

/** Ends processes, and waits until they are gone. */
export async function endAll(
  children: readonly ChildProcess[],
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<void> {
  await Promise.all(
    children.map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null) {
            resolve();
            return;
          }
          child.once('exit', () => resolve());
          child.kill(signal);
          setTimeout(() => child.kill('SIGKILL'), 20_000).unref();
        }),
    ),
  );
}
