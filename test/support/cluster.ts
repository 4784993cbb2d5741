/** Real processes: a cluster of nodes from `dist/`, started, killed and restarted by a test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type TestSeries, pushBody } from './remote-write-bodies.ts';

const POLL_MS = 50;
const WAIT_MS = 60_000;
export const mainScript = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

export function isBuilt(): boolean {
  return existsSync(mainScript);
}

/** Below what systems give to whoever asks for any port, so that none is taken between the look and the start. */
const PORTS = [16_000, 32_000] as const;

/** Ports that nobody listens on. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = randomInt(...PORTS);
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

export async function eventually(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (performance.now() < deadline) {
    if (await check().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`not within ${WAIT_MS} ms: ${what}`);
}

export interface QueryAnswer {
  readonly status: number;
  readonly body: {
    readonly status: string;
    readonly warnings?: readonly string[];
    readonly data?: {
      readonly result: readonly {
        readonly metric: Record<string, string>;
        readonly value?: readonly [number, string];
        readonly values?: readonly (readonly [number, string])[];
      }[];
    };
  };
}

/** One node's place: its ports and directory outlive its process. */
export class NodeProcess {
  readonly name: string;
  readonly base: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  log = '';

  constructor(name: string, base: string, args: readonly string[]) {
    this.name = name;
    this.base = base;
    this.#args = args;
  }

  start(): void {
    const child = spawn(mainScript, ['serve', ...this.#args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.on('data', (bytes: Buffer) => (this.log += bytes.toString()));
    this.#child = child;
  }

  /** Sends the signal and waits until the process is gone. Its exit code, or undefined for a signal. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | undefined> {
    const child = this.#child;
    if (child === undefined) return undefined;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? undefined;
    const exited = new Promise<number | undefined>((resolve) =>
      child.once('exit', (code) => resolve(code ?? undefined)),
    );
    child.kill(signal);
    return exited;
  }

  async isReady(): Promise<boolean> {
    return (await fetch(`${this.base}/ready`)).ok;
  }

  async ring(): Promise<{
    readonly replicationFactor: number;
    readonly instances: readonly { readonly id: string; readonly state: string }[];
  }> {
    return (await (await fetch(`${this.base}/ring`)).json()) as Awaited<
      ReturnType<NodeProcess['ring']>
    >;
  }

  async push(series: readonly TestSeries[], headers: Record<string, string> = {}): Promise<number> {
    const response = await fetch(`${this.base}/api/v1/push`, {
      method: 'POST',
      body: pushBody(series),
      headers: {
        'content-type': 'application/x-protobuf',
        'content-encoding': 'snappy',
        ...headers,
      },
    });
    await response.arrayBuffer();
    return response.status;
  }

  async query(path: string): Promise<QueryAnswer> {
    const response = await fetch(`${this.base}/prometheus/api/v1/${path}`);
    return { status: response.status, body: (await response.json()) as QueryAnswer['body'] };
  }
}

/** Nodes that name each other as seeds. Nothing runs until `start`. */
export async function createCluster(
  directory: string,
  count: number,
  extra: readonly string[] = [],
): Promise<readonly NodeProcess[]> {
  const ports = await freePorts(count * 3);
  return Array.from({ length: count }, (_, i) => {
    const [http, grpc, gossip] = ports.slice(i * 3);
    const seeds = Array.from({ length: count }, (_, j) => j).filter((j) => j !== i);
    return new NodeProcess(`node-${i + 1}`, `http://127.0.0.1:${http}`, [
      `--http.listen=127.0.0.1:${http}`,
      `--grpc.listen=127.0.0.1:${grpc}`,
      `--gossip.listen=127.0.0.1:${gossip}`,
      `--data-dir=${join(directory, `node-${i + 1}`)}`,
      `--instance-id=node-${i + 1}`,
      `--zone=zone-${i + 1}`,
      '--query.warm-up=false', // most of what a start costs
      ...seeds.map((j) => `--join=127.0.0.1:${ports[j * 3 + 1]}`),
      ...extra,
    ]);
  });
}
