/** Real Prometheus programs as judges of blocks: promtool's dump, its block maker, and a server. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/** Output of promtool. */
export async function promtool(programs: string, ...words: readonly string[]): Promise<string> {
  const options = { maxBuffer: 2 ** 28 };
  const { stdout } = await promisify(execFile)(`${programs}/promtool`, [...words], options);
  return stdout;
}

/** The sorted lines of `promtool tsdb dump`; makes the empty log directory that it wants. */
export async function dump(programs: string, directory: string): Promise<string[]> {
  await mkdir(`${directory}/wal`, { recursive: true });
  const root = `--sandbox-dir-root=${directory}`;
  const output = await promtool(programs, 'tsdb', 'dump', root, directory);
  return output
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

export interface PrometheusServer {
  readonly url: string;
  /** All it said on standard error so far. */
  log(): string;
  stop(): Promise<void>;
}

/** Starts a server on `work`/data with these further flags. */
export async function startServer(
  programs: string,
  work: string,
  flags: readonly string[] = [],
  configuration = '{}',
): Promise<PrometheusServer> {
  await writeFile(`${work}/prometheus.yml`, configuration);
  const server: ChildProcess = spawn(
    `${programs}/prometheus`,
    [
      `--config.file=${work}/prometheus.yml`,
      `--storage.tsdb.path=${work}/data`,
      '--storage.tsdb.retention.time=100y',
      '--web.listen-address=127.0.0.1:0',
      ...flags,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  const ended = new Promise<void>((resolve) => server.on('exit', () => resolve()));
  const port = await new Promise<string>((resolve, reject) => {
    server.stderr?.on('data', (chunk) => {
      log += String(chunk); // and read on: a program that logs into a closed pipe dies
      const listening = /msg="Listening on" component=web address=127\.0\.0\.1:([0-9]+)/.exec(log);
      if (listening !== null && log.includes('Server is ready')) resolve(listening[1]!);
    });
    server.on('error', reject);
    void ended.then(() => reject(new Error(`prometheus did not start: ${log}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    log: () => log,
    stop() {
      server.kill();
      return ended;
    },
  };
}

/** The first value of an instant query's answer. */
export async function askNumber(url: string, query: string, timeMs: number): Promise<number> {
  const params = new URLSearchParams({ query, time: String(timeMs / 1000) });
  const answer = await fetch(`${url}/api/v1/query?${params.toString()}`);
  const body = (await answer.json()) as { data: { result: { value: [number, string] }[] } };
  return Number(body.data.result[0]?.value[1]);
}
