/**
 * A small virtual network for the membership core alone: N cores, seeded loss and delay, cuts,
 * crashes, stalls, virtual time. A thousand of them run faster than real time, which whole nodes do
 * not. Payloads travel as they are (the cipher has its own tests); the control lane is a reliable
 * call with the same delay that fails when the other side is down or cut off.
 *
 *   a stalled node: its timers are due first when it wakes, then what waited in its socket
 */
import { parseInstanceId, type InstanceId } from '../../model/ids.ts';
import { apply, createCore, nextWakeMs, type CoreOptions } from '../../membership/swim/core.ts';
import type { CoreState } from '../../membership/swim/state.ts';
import type {
  CoreInput,
  CoreOutput,
  MemberEvent,
  SwimConfig,
} from '../../membership/swim/types.ts';

/** mulberry32: small, seeded, good enough for faults. */
export function seededRandom(seed: number): { float(): number; uint32(): number } {
  let state = seed >>> 0;
  const uint32 = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return { uint32, float: () => uint32() / 0x1_0000_0000 };
}

export interface ClusterOptions {
  readonly seed: number;
  readonly lossShare?: number;
  readonly reliableLossShare?: number;
  readonly delayMinMs?: number;
  readonly delayMaxMs?: number;
  readonly config?: Partial<SwimConfig>;
  readonly onEvent?: (nowMs: number, node: VirtualNode, event: MemberEvent) => void;
  readonly onOutput?: (nowMs: number, node: VirtualNode, output: CoreOutput) => void;
}

export interface VirtualNode {
  readonly id: InstanceId;
  readonly address: string;
  core: CoreState;
  isUp: boolean;
  /** Nodes of different sides do not hear each other. */
  side: number;
  /** Inputs wait until this time: the loop is blocked. */
  stalledUntilMs: number;
  waitingBytes: number;
  packetsSent: number;
  bytesSent: number;
  records: number;
}

/** What a socket holds for a process that does not read. */
const SOCKET_BYTES_MAX = 212_992;
/** After its timers a process that woke reads its sockets. */
const TURN_MS = 0.01;

interface Scheduled {
  readonly atMs: number;
  readonly sequence: number;
  readonly run: () => void;
}

export class VirtualCluster {
  nowMs = 0;
  eventCount = 0;
  readonly nodes: VirtualNode[] = [];
  readonly options: ClusterOptions;
  readonly #random: { float(): number; uint32(): number };
  readonly #heap: Scheduled[] = [];
  readonly #byAddress = new Map<string, VirtualNode>();
  readonly #armedMs = new Map<VirtualNode, number>();
  #sequence = 0;
  #lagging: VirtualNode | undefined;
  lossShare: number;
  reliableLossShare: number;
  /** Called when a node heard a record by gossip or in an exchange. */
  onRecord: ((node: VirtualNode) => void) | undefined;

  constructor(options: ClusterOptions) {
    this.options = options;
    this.#random = seededRandom(options.seed);
    this.lossShare = options.lossShare ?? 0;
    this.reliableLossShare = options.reliableLossShare ?? 0;
  }

  /** Starts a node; the same id again is a restart and needs a higher boot. */
  start(name: string, extra: Partial<CoreOptions> = {}): VirtualNode {
    const index = this.nodes.length + 1;
    const address = extra.address ?? `10.0.${index >> 8}.${index & 255}:7946`;
    const random = seededRandom(this.#random.uint32());
    const core = createCore(
      {
        id: parseInstanceId(name),
        boot: 1,
        address,
        controlAddress: address,
        random,
        overheadBytes: 44,
        ...(this.options.config === undefined ? {} : { config: this.options.config }),
        ...extra,
      },
      this.nowMs,
    );
    const node: VirtualNode = {
      id: core.self.id,
      address,
      core,
      isUp: true,
      side: 0,
      stalledUntilMs: 0,
      waitingBytes: 0,
      packetsSent: 0,
      bytesSent: 0,
      records: 0,
    };
    this.nodes.push(node);
    this.#byAddress.set(address, node);
    this.#arm(node);
    return node;
  }

  /** Starts `count` nodes that all join through the first one, and runs until all views are full. */
  startAll(count: number, timeoutMs = 60_000): number {
    const first = this.start('n1');
    for (let i = 2; i <= count; i++) {
      this.input(this.start(`n${i}`), { type: 'join', seeds: [first.address] });
    }
    return this.until(timeoutMs, () => this.isConverged());
  }

  isConverged(): boolean {
    const up = this.nodes.filter((node) => node.isUp);
    const isWhole = (node: VirtualNode): boolean => {
      if (node.core.livingCount !== up.length) return false;
      let alive = 1;
      for (const member of node.core.roster) alive += Number(member.state === 'alive');
      return alive === up.length;
    };
    // Who was not the last time is looked at first.
    if (this.#lagging?.isUp === true && !isWhole(this.#lagging)) return false;
    this.#lagging = up.find((node) => !isWhole(node));
    return this.#lagging === undefined;
  }

  /** How many running nodes see `id` in `state`. */
  countSeeing(id: InstanceId, state: string): number {
    return this.nodes.filter((node) => node.isUp && node.core.members.get(id)?.state === state)
      .length;
  }

  crash(node: VirtualNode): void {
    node.isUp = false;
  }

  input(node: VirtualNode, input: CoreInput): void {
    if (!node.isUp) return;
    if (this.nowMs < node.stalledUntilMs) {
      this.#postpone(node, input);
      return;
    }
    const { outputs } = apply(node.core, input, this.nowMs);
    for (const output of outputs) this.#carryOut(node, output);
    this.#arm(node);
  }

  #postpone(node: VirtualNode, input: CoreInput): void {
    const byteCount = input.type === 'packet' ? input.payload.length : 0;
    if (node.waitingBytes + byteCount > SOCKET_BYTES_MAX) return; // the kernel drops it
    node.waitingBytes += byteCount;
    this.at(node.stalledUntilMs + (input.type === 'tick' ? 0 : TURN_MS), () => {
      node.waitingBytes -= byteCount;
      this.input(node, input);
    });
  }

  at(atMs: number, run: () => void): void {
    this.#push({ atMs, sequence: this.#sequence++, run });
  }

  run(durationMs: number): void {
    this.until(durationMs, () => false);
  }

  /** Runs until the condition holds (checked each 10 ms); the time it took, or Infinity. */
  until(timeoutMs: number, condition: () => boolean): number {
    const startMs = this.nowMs;
    for (let stopMs = startMs; stopMs <= startMs + timeoutMs; stopMs += 10) {
      while (this.#heap.length > 0 && this.#heap[0]!.atMs <= stopMs) {
        const next = this.#pop();
        this.nowMs = next.atMs;
        this.eventCount++;
        next.run();
      }
      this.nowMs = stopMs;
      if (condition()) return stopMs - startMs;
    }
    return Infinity;
  }

  #carryOut(node: VirtualNode, output: CoreOutput): void {
    this.options.onOutput?.(this.nowMs, node, output);
    switch (output.type) {
      case 'event':
        this.options.onEvent?.(this.nowMs, node, output.event);
        return;
      case 'push_pull':
        this.#exchange(node, output);
        return;
      case 'reliable_ping': {
        const done = (isAlive: boolean): void =>
          this.input(node, { type: 'reliable_ping_result', nonce: output.nonce, isAlive });
        this.#call(node, output.address, (peer) => done(peer?.id === output.target));
        return;
      }
      case 'send':
        node.packetsSent++;
        node.bytesSent += output.payload.length + 44;
        this.#deliver(node, output.address, output.payload);
        return;
      case 'push_pull_answer':
        return;
      case 'record':
        node.records++;
        this.onRecord?.(node);
        return;
      case 'records':
        node.records += output.records.length;
        if (output.records.length > 0) this.onRecord?.(node);
    }
  }

  #exchange(node: VirtualNode, output: CoreOutput & { type: 'push_pull' }): void {
    const { exchange } = output;
    this.#call(node, output.address, (peer) => {
      let bytes: Uint8Array | undefined;
      if (peer !== undefined) {
        const step = apply(
          peer.core,
          { type: 'push_pull_received', bytes: output.bytes },
          this.nowMs,
        );
        for (const answer of step.outputs) {
          if (answer.type === 'push_pull_answer') bytes = answer.bytes;
          else this.#carryOut(peer, answer);
        }
        this.#arm(peer);
        node.bytesSent += output.bytes.length;
        peer.bytesSent += bytes?.length ?? 0;
      }
      this.at(this.nowMs + this.#delayMs(), () =>
        this.input(node, { type: 'push_pull_result', exchange, bytes }),
      );
    });
  }

  /** A call over the control lane; undefined when nobody answers. */
  #call(node: VirtualNode, address: string, then: (peer: VirtualNode | undefined) => void): void {
    this.at(this.nowMs + this.#delayMs(), () => {
      const peer = this.#byAddress.get(address);
      const isLost = this.#random.float() < this.reliableLossShare;
      const isReachable = !isLost && peer?.isUp === true && peer.side === node.side;
      const stalledMs = (peer?.stalledUntilMs ?? 0) - this.nowMs;
      if (isReachable && stalledMs > 0) {
        this.at(this.nowMs + stalledMs, () => then(stalledMs > 1_000 ? undefined : peer));
      } else {
        then(isReachable ? peer : undefined);
      }
    });
  }

  #deliver(node: VirtualNode, address: string, payload: Uint8Array): void {
    if (this.#random.float() < this.lossShare) return;
    const from = node.address;
    this.at(this.nowMs + this.#delayMs(), () => {
      const peer = this.#byAddress.get(address);
      if (peer?.side !== node.side) return;
      this.input(peer, { type: 'packet', payload, from });
    });
  }

  #delayMs(): number {
    const { delayMinMs = 0.2, delayMaxMs = 1.5 } = this.options;
    return delayMinMs + this.#random.float() * (delayMaxMs - delayMinMs);
  }

  #arm(node: VirtualNode): void {
    const wakeMs = Math.max(nextWakeMs(node.core), this.nowMs);
    if (wakeMs === Infinity || (this.#armedMs.get(node) ?? Infinity) <= wakeMs) return;
    this.#armedMs.set(node, wakeMs);
    this.at(wakeMs, () => {
      if (this.#armedMs.get(node) !== wakeMs) return;
      this.#armedMs.delete(node);
      this.input(node, { type: 'tick' });
    });
  }

  #push(item: Scheduled): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(item);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(item, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = item;
  }

  #pop(): Scheduled {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
