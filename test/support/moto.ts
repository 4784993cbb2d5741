/** A real S3 server for tests: moto, when the oracles have it. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';

export interface MotoServer {
  readonly endpoint: string;
  stop(): Promise<void>;
}

/** The program, or undefined: then tests skip with a line that says so. */
export function motoProgram(): string | undefined {
  const directory = process.env['PROM_BIN'];
  const program = directory === undefined ? undefined : `${directory}/moto-server`;
  return program !== undefined && existsSync(program) ? program : undefined;
}

/** Starts the server and makes a bucket in it. Sets the credentials it wants. */
export async function startMoto(program: string, bucket: string): Promise<MotoServer> {
  process.env['AWS_ACCESS_KEY_ID'] = 'test';
  process.env['AWS_SECRET_ACCESS_KEY'] = 'test';
  const server = spawn(program, ['-H', '127.0.0.1', '-p', '0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  const ended = new Promise<void>((resolve) => server.on('exit', () => resolve()));
  const endpoint = await new Promise<string>((resolve, reject) => {
    const onData = (chunk: unknown): void => {
      log += String(chunk); // and read on: a program that logs into a closed pipe dies
      const url = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(log)?.[1];
      if (url !== undefined) resolve(url);
    };
    server.stdout.on('data', onData);
    server.stderr.on('data', onData);
    server.on('error', reject);
    void ended.then(() => reject(new Error(`moto did not start: ${log}`)));
  });
  const made = await fetch(`${endpoint}/${bucket}`, { method: 'PUT' });
  if (!made.ok) throw new Error(`moto made no bucket: ${made.status}`);
  return {
    endpoint,
    stop() {
      server.kill();
      return ended;
    },
  };
}
