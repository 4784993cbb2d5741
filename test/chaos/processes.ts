/**
 * The processes of the chaos rig: `starling serve` from `dist/`, one a node, on a ground. A node's directory
 * and addresses outlive its process. All signals go to a process id that this rig started.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, closeSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { RingStatus } from '../../http/api.ts';
import { mainScript } from '../support/cluster.ts';
import type { Ground } from './ground.ts';

const STOP_MS = 30_000;
const LOG_TAIL_BYTES = 4000;

export class ChaosNode {
  readonly name: string;
  readonly number: number;
  readonly base: string;
  /** It answered that it is ready when it was asked last. */
  isReady = false;
  /** Held by SIGSTOP. */
  isHeld = false;
  readonly #directory: string;
  readonly #command: readonly string[];
  readonly #log: string;
  #child: ChildProcess | undefined;

  constructor(number: number, ground: Ground, directory: string, flags: readonly string[]) {
    this.number = number;
    this.name = `node-${number + 1}`;
    const { grpc, gossip, http } = ground.addresses[number]!;
    this.base = `http://${http}`;
    this.#directory = join(directory, this.name);
    this.#log = join(directory, `${this.name}.log`);
    const seeds = ground.addresses
      .filter((_, i) => i !== number)
      .map((one) => `--join=${one.grpc}`);
    this.#command = [
      ...ground.prefixOf(number),
      process.execPath,
      mainScript,
      'serve',
      `--http.listen=${http}`,
      `--grpc.listen=${grpc}`,
      `--gossip.listen=${gossip}`,
      `--data-dir=${this.#directory}`,
      `--instance-id=${this.name}`,
      `--zone=zone-${number + 1}`,
      '--insecure',
      '--cluster.label=chaos',
      '--log.level=warn',
      '--query.warm-up=false',
      ...seeds,
      ...flags,
    ];
  }

  get isUp(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  /** Another object for each process that was started. */
  get life(): unknown {
    return this.#child;
  }

  start(): void {
    if (this.isUp) return;
    mkdirSync(this.#directory, { recursive: true });
    const log = openSync(this.#log, 'a');
    const [command, ...words] = this.#command;
    this.#child = spawn(command ?? '', words, { stdio: ['ignore', log, log] });
    this.#child.on('error', () => undefined); // it shows as a process that is gone
    closeSync(log);
  }

  /** At once, for the last thing that this process does too. */
  killNow(): void {
    this.#child?.kill('SIGKILL');
    this.isReady = false;
    this.isHeld = false;
  }

  /** Resolves when the process is gone. */
  async kill(): Promise<void> {
    const gone = this.#gone();
    this.killNow();
    await gone;
  }

  /** As an operator does: SIGTERM, and SIGKILL after half a minute. True: it ended by itself with 0. */
  async stop(): Promise<boolean> {
    const gone = this.#gone();
    this.isReady = false;
    this.#child?.kill('SIGTERM');
    const timer = setTimeout(() => this.killNow(), STOP_MS);
    await gone;
    clearTimeout(timer);
    return this.#child?.exitCode === 0;
  }

  hold(): void {
    this.isHeld = this.#child?.kill('SIGSTOP') ?? false;
  }

  release(): void {
    this.#child?.kill('SIGCONT');
    this.isHeld = false;
  }

  /** Its disk is replaced by an empty one. */
  async wipe(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async ring(timeoutMs: number): Promise<RingStatus | undefined> {
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      const response = await fetch(`${this.base}/ring`, { signal });
      return response.ok ? ((await response.json()) as RingStatus) : undefined; // as http/ wrote it
    } catch {
      return undefined;
    }
  }

  async look(timeoutMs: number): Promise<void> {
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      const response = await fetch(`${this.base}/ready`, { signal });
      await response.arrayBuffer();
      this.isReady = response.ok;
    } catch {
      this.isReady = false;
    }
  }

  /** The end of what it wrote. */
  logTail(): string {
    try {
      return readFileSync(this.#log, 'utf8').slice(-LOG_TAIL_BYTES);
    } catch {
      return '';
    }
  }

  async #gone(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isUp) return;
    await new Promise((resolve) => child.once('exit', resolve));
  }
}
