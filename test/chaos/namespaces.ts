/**
 * A network namespace for each node, joined by a bridge in ours, where the clients are:
 *
 *   client ── bridge 198.18.x.1 ─┬─ starling-chaos-PID-1: eth0 198.18.x.2
 *                                └─ starling-chaos-PID-2: eth0 198.18.x.3 …
 *
 * A cut from A to B is a wrong hardware address of B in A: packets leave and reach nobody, and A is not told.
 * Loss and delay are netem's where the kernel has it; without it loss is a filter of six instructions that
 * drops by chance, and there is a bucket of tokens for a slow link. What a run that was killed left
 * behind (names bear its process id) is removed by the next one.
 */
import { spawnSync } from 'node:child_process';
import type { Ground, LinkPower, LinkTrouble } from './ground.ts';

const PREFIX = 'starling-chaos-';
/** Locally administered, of nobody. */
const NOWHERE = '02:00:00:00:00:01';
const BURST = '16kbit';
const QUEUE = '500ms';

/** Runs a tool; what it printed, or undefined when it failed or is not there. */
function tool(name: string, words: readonly string[]): string | undefined {
  const { error, status, stdout } = spawnSync(name, words, { encoding: 'utf8', timeout: 10_000 });
  return error === undefined && status === 0 ? stdout : undefined;
}

function must(name: string, words: readonly string[]): void {
  if (tool(name, words) === undefined) throw new Error(`${name} ${words.join(' ')} failed`);
}

function toolIn(node: string, name: 'ip' | 'tc', words: readonly string[]): string | undefined {
  return tool(name, ['-n', node, ...words]);
}

/** Namespaces and a bridge, or why this machine does not allow them. */
export function createNamespaces(count: number): Ground | string {
  if (process.platform !== 'linux') return 'namespaces are Linux';
  if (process.getuid?.() !== 0) return 'not root';
  if (tool('ip', ['-V']) === undefined) return 'iproute2 is not installed';
  removeLeftOvers();
  try {
    return new Namespaces(count);
  } catch (error) {
    removeOf(process.pid);
    return error instanceof Error ? error.message : String(error);
  }
}

class Namespaces implements Ground {
  readonly name = 'netns';
  readonly powers: ReadonlySet<LinkPower>;
  readonly addresses: Ground['addresses'];
  readonly #ips: readonly string[];
  readonly #hasNetem: boolean;

  constructor(count: number) {
    const net = `198.${18 + ((process.pid >> 8) & 1)}.${process.pid & 255}`;
    this.#ips = Array.from({ length: count }, (_, i) => `${net}.${i + 2}`);
    this.addresses = this.#ips.map((ip) => ({
      http: `${ip}:9009`,
      grpc: `${ip}:9095`,
      gossip: `${ip}:7946`,
    }));
    const bridge = bridgeOf(process.pid);
    must('ip', ['link', 'add', bridge, 'type', 'bridge']);
    must('ip', ['addr', 'add', `${net}.1/24`, 'dev', bridge]);
    must('ip', ['link', 'set', bridge, 'up']);
    for (let i = 0; i < count; i++) this.#add(i, bridge);
    this.#hasNetem = this.#tries(['root', 'netem', 'delay', '1ms']);
    this.powers = new Set<LinkPower>([
      'cut',
      ...(this.#hasNetem ? (['delay'] as const) : []),
      ...(this.#hasNetem || this.#tries(lossFilter(1)) ? (['loss'] as const) : []),
      ...(this.#tries(slowLink(1000)) ? (['rate'] as const) : []),
    ]);
  }

  #add(node: number, bridge: string): void {
    const name = this.#spaceOf(node);
    const link = this.#linkOf(node);
    must('ip', ['netns', 'add', name]);
    must('ip', ['link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name]);
    must('ip', ['link', 'set', link, 'master', bridge, 'up']);
    must('ip', ['-n', name, 'addr', 'add', `${this.#ips[node]!}/24`, 'dev', 'eth0']);
    must('ip', ['-n', name, 'link', 'set', 'eth0', 'up']);
    must('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  }

  #spaceOf(node: number): string {
    return `${PREFIX}${process.pid}-${node + 1}`;
  }

  #linkOf(node: number): string {
    return `sc${process.pid}v${node + 1}`;
  }

  /** Whether the kernel takes a discipline or filter; nothing is left of it. */
  #tries(words: readonly string[]): boolean {
    const isTaken = this.#shape(0, words);
    this.#clear(0);
    return isTaken;
  }

  #shape(node: number, words: readonly string[]): boolean {
    const space = this.#spaceOf(node);
    if (words[0] === 'root') {
      return toolIn(space, 'tc', ['qdisc', 'add', 'dev', 'eth0', ...words]) !== undefined;
    }
    toolIn(space, 'tc', ['qdisc', 'add', 'dev', 'eth0', 'clsact']);
    return toolIn(space, 'tc', ['filter', 'add', 'dev', 'eth0', 'egress', ...words]) !== undefined;
  }

  #clear(node: number): void {
    const space = this.#spaceOf(node);
    toolIn(space, 'tc', ['qdisc', 'del', 'dev', 'eth0', 'root']);
    toolIn(space, 'tc', ['qdisc', 'del', 'dev', 'eth0', 'clsact']);
  }

  prefixOf(node: number): readonly string[] {
    return ['ip', 'netns', 'exec', this.#spaceOf(node)];
  }

  cut(from: number, to: number): void {
    const entry = [this.#ips[to]!, 'lladdr', NOWHERE, 'dev', 'eth0', 'nud', 'permanent'];
    must('ip', ['-n', this.#spaceOf(from), 'neigh', 'replace', ...entry]);
  }

  unplug(node: number): void {
    must('ip', ['link', 'set', this.#linkOf(node), 'down']);
  }

  disturb(node: number, trouble: LinkTrouble): void {
    if (this.#hasNetem) this.#shape(node, ['root', 'netem', ...netemOf(trouble)]);
    else {
      if (trouble.lossPercent !== undefined) this.#shape(node, lossFilter(trouble.lossPercent));
      if (trouble.kbitPerSecond !== undefined) this.#shape(node, slowLink(trouble.kbitPerSecond));
    }
  }

  heal(): void {
    for (let node = 0; node < this.#ips.length; node++) {
      const space = this.#spaceOf(node);
      this.#clear(node);
      toolIn(space, 'ip', ['neigh', 'flush', 'dev', 'eth0', 'nud', 'permanent']);
      must('ip', ['link', 'set', this.#linkOf(node), 'up']);
    }
  }

  remove(): void {
    removeOf(process.pid);
  }
}

function bridgeOf(pid: number): string {
  return `sc${pid}br`;
}

function slowLink(kbitPerSecond: number): readonly string[] {
  return ['root', 'tbf', 'rate', `${kbitPerSecond}kbit`, 'burst', BURST, 'latency', QUEUE];
}

/** Classic BPF: load a random word, jump on greater, pass (-1) or drop (2). */
function lossFilter(percent: number): readonly string[] {
  const limit = Math.floor((1 - percent / 100) * 0xffff_ffff);
  const program = `4,32 0 0 4294963256,37 0 1 ${limit},6 0 0 2,6 0 0 4294967295`;
  return ['bpf', 'da', 'bytecode', program];
}

function netemOf(trouble: LinkTrouble): readonly string[] {
  const { delayMs, duplicatePercent, jitterMs, kbitPerSecond, lossPercent, reorderPercent } =
    trouble;
  return [
    ...(delayMs === undefined ? [] : ['delay', `${delayMs}ms`, `${jitterMs ?? 0}ms`]),
    ...(reorderPercent === undefined ? [] : ['reorder', `${reorderPercent}%`]),
    ...(lossPercent === undefined ? [] : ['loss', `${lossPercent}%`]),
    ...(duplicatePercent === undefined ? [] : ['duplicate', `${duplicatePercent}%`]),
    ...(kbitPerSecond === undefined ? [] : ['rate', `${kbitPerSecond}kbit`]),
  ];
}

/** Process ids in the names of all namespaces of such runs. */
function pidsOfRuns(): readonly number[] {
  const names = (tool('ip', ['netns', 'list']) ?? '').split('\n');
  const found = names.map((line) => /^starling-chaos-(\d+)-\d+/.exec(line)?.[1]);
  return [...new Set(found.filter((pid) => pid !== undefined))].map(Number);
}

function removeLeftOvers(): void {
  for (const pid of pidsOfRuns()) if (!isAlive(pid)) removeOf(pid);
}

/** Ends what still runs in the namespaces of a run, and removes them. */
function removeOf(run: number): void {
  const lines = (tool('ip', ['netns', 'list']) ?? '').split('\n');
  for (const line of lines) {
    const name = line.split(' ')[0] ?? '';
    if (!name.startsWith(`${PREFIX}${run}-`)) continue;
    for (const text of (tool('ip', ['netns', 'pids', name]) ?? '').split('\n')) {
      if (text !== '' && isAlive(Number(text))) process.kill(Number(text), 'SIGKILL');
    }
    tool('ip', ['netns', 'del', name]);
  }
  tool('ip', ['link', 'del', bridgeOf(run)]);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
