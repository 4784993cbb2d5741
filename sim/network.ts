/**
 * The network between simulated hosts: datagrams that are lost, doubled, changed, delayed and
 * reordered, and streams of frames that arrive whole, in order, at most once, until they break.
 *
 *   host A ──(latency, loss, cut)──> host B      every directed link has its own faults and chance
 *
 * Bytes are copied when they are sent, as a wire does. A cut swallows what is in flight; both ends of
 * a stream learn of it only when their keepalive gives up. The death of a process closes its streams.
 */
import type {
  DatagramSocket,
  Datagrams,
  Lane,
  RpcListener,
  RpcStream,
  RpcStreams,
} from '../platform/platform.ts';
import type { Loop, Owner } from './loop.ts';
import { type StreamEnd, createStreamPair } from './stream.ts';
import type { SimRandom } from './random.ts';
import type { Trace } from './trace.ts';

/** How a directed link behaves. Probabilities are per datagram. */
export interface LinkFaults {
  readonly latencyMs: number;
  /** One message in a thousand takes up to this long. */
  readonly tailMs: number;
  readonly loss: number;
  readonly duplication: number;
  /** A byte of it changes. Streams have checksums below them, and no such fault. */
  readonly corruption?: number;
  /** A datagram is overtaken by those that are sent up to `tailMs` later. */
  readonly reordering?: number;
  /** How much passes in a millisecond. */
  readonly bytesPerMs?: number;
}

export const CALM: LinkFaults = { latencyMs: 0.3, tailMs: 40, loss: 0, duplication: 0 };

const TAIL_CHANCE = 0.001;
const DATAGRAM_BYTES_MAX = 65_507;
const BYTES_PER_MS = 100_000;
const CONNECT_TIMEOUT_MS = 5000;
const KEEPALIVE_MS_MIN = 5000;
const KEEPALIVE_MS_MAX = 15_000;
const EPHEMERAL_PORT_MIN = 32_768;
const PORT_MAX = 65_535;
/** What a socket holds for a process that does not read: Linux' default. */
const SOCKET_BYTES_MAX = 212_992;
/** Hosts here have IPv4 addresses. */
const ADDRESS = /^\d+\.\d+\.\d+\.\d+:\d+$/;

interface Socket {
  readonly owner: Owner;
  readonly onDatagram: (bytes: Uint8Array, from: string) => void;
  waitingBytes: number;
}

interface Listener {
  readonly owner: Owner;
  readonly onStream: (stream: RpcStream) => void;
}

/** A life's two doors to the network. */
export interface NetworkSide {
  readonly datagrams: Datagrams;
  readonly rpc: RpcStreams;
}

export class SimNetwork {
  /** What links without faults of their own do. */
  faults: LinkFaults = CALM;
  readonly #loop: Loop;
  readonly #random: SimRandom;
  readonly #trace: Trace;
  readonly #links = new Map<string, SimRandom>();
  readonly #linkFaults = new Map<string, LinkFaults>();
  readonly #cuts = new Set<string>();
  readonly #cloggedUntilMs = new Map<string, number>();
  readonly #sockets = new Map<string, Socket>();
  readonly #listeners = new Map<string, Listener>();
  readonly #streams = new Set<StreamEnd>();
  /** Hosts whose packets of one kind a firewall drops. */
  readonly #filtered = { datagrams: new Set<string>(), streams: new Set<string>() };
  #nextPort = EPHEMERAL_PORT_MIN;

  constructor(loop: Loop, random: SimRandom, trace: Trace) {
    this.#loop = loop;
    this.#random = random;
    this.#trace = trace;
  }

  /** The doors of one life on the host `ip`. */
  sideOf(owner: Owner, ip: string): NetworkSide {
    return {
      datagrams: {
        bind: (address, onDatagram) => this.#bind(owner, address, onDatagram),
      },
      rpc: {
        listen: (address, onStream) => this.#listen(owner, address, onStream),
        connect: (address, lane) => this.#connect(owner, ip, { address, lane }),
      },
    };
  }

  /** Gives a directed link faults of its own. */
  setLink(fromIp: string, toIp: string, faults: LinkFaults): void {
    this.#linkFaults.set(`${fromIp}>${toIp}`, faults);
  }

  /** Nothing passes from one host to the other; the way back stays open. */
  cut(fromIp: string, toIp: string): void {
    this.#trace.line(`${this.#loop.nowMs.toFixed(2)} cut ${fromIp}>${toIp}`);
    this.#cuts.add(`${fromIp}>${toIp}`);
    this.stallStreams(fromIp, toIp);
  }

  /** Streams between two hosts are half open: nothing passes, until their keepalives give up. */
  stallStreams(aIp: string, bIp: string): void {
    for (const end of this.#streamsBetween(aIp, bIp)) {
      end.stall();
      const delayMs = this.#random.between(KEEPALIVE_MS_MIN, KEEPALIVE_MS_MAX);
      this.#loop.schedule(end.owner, delayMs, () => end.break('the keepalive timed out'));
    }
  }

  /** Streams between two hosts break at once, as when a middlebox forgets them. */
  resetStreams(aIp: string, bIp: string): void {
    this.#trace.line(`${this.#loop.nowMs.toFixed(2)} reset ${aIp}=${bIp}`);
    for (const end of this.#streamsBetween(aIp, bIp)) {
      this.#loop.schedule(end.owner, 0, () => end.break('connection reset'), 'arrival');
    }
  }

  /** A firewall drops all datagrams, or all streams, to and from a host. */
  filter(kind: 'datagrams' | 'streams', ip: string, peers: readonly string[]): void {
    this.#trace.line(`${this.#loop.nowMs.toFixed(2)} filter ${kind} ${ip}`);
    this.#filtered[kind].add(ip);
    if (kind === 'streams') for (const peer of peers) this.stallStreams(ip, peer);
  }

  /** A datagram of nobody's. */
  inject(to: string, bytes: Uint8Array): void {
    this.#trace.bytes(bytes);
    this.#loop.schedule(this.#loop.world, 0, () => this.#deliver('192.0.2.1:7946', to, bytes));
  }

  /** What one host may send to another again. */
  mend(fromIp: string, toIp: string): void {
    this.#cuts.delete(`${fromIp}>${toIp}`);
    this.#cloggedUntilMs.delete(`${fromIp}>${toIp}`);
  }

  #streamsBetween(aIp: string, bIp: string): readonly StreamEnd[] {
    return [...this.#streams].filter(
      ({ localIp, remoteIp }) =>
        (localIp === aIp && remoteIp === bIp) || (localIp === bIp && remoteIp === aIp),
    );
  }

  #isFiltered(kind: 'datagrams' | 'streams', fromIp: string, toIp: string): boolean {
    const ips = this.#filtered[kind];
    return ips.has(fromIp) || ips.has(toIp);
  }

  /** What is sent from one host to the other waits until then, and arrives. */
  clog(fromIp: string, toIp: string, forMs: number): void {
    this.#trace.line(`${this.#loop.nowMs.toFixed(2)} clog ${fromIp}>${toIp} ${forMs.toFixed(0)}`);
    this.#cloggedUntilMs.set(`${fromIp}>${toIp}`, this.#loop.nowMs + forMs);
  }

  /** Cuts two groups of hosts apart, both ways. */
  partition(some: readonly string[], others: readonly string[]): void {
    for (const a of some) {
      for (const b of others) {
        this.cut(a, b);
        this.cut(b, a);
      }
    }
  }

  /** Every link is whole and calm again. */
  heal(): void {
    this.#trace.line(`${this.#loop.nowMs.toFixed(2)} heal`);
    this.#cuts.clear();
    this.#cloggedUntilMs.clear();
    this.#linkFaults.clear();
    this.#filtered.datagrams.clear();
    this.#filtered.streams.clear();
    this.faults = CALM;
  }

  /** The process is gone: its ports are free, and the other ends of its streams close. */
  ownerDied(owner: Owner): void {
    for (const [address, socket] of this.#sockets) {
      if (socket.owner === owner) this.#sockets.delete(address);
    }
    for (const [address, listener] of this.#listeners) {
      if (listener.owner === owner) this.#listeners.delete(address);
    }
    for (const end of this.#streams) {
      if (end.owner === owner) end.die('the peer process died');
    }
  }

  #isCut(fromIp: string, toIp: string): boolean {
    return this.#cuts.has(`${fromIp}>${toIp}`);
  }

  #link(fromIp: string, toIp: string): { readonly random: SimRandom; readonly faults: LinkFaults } {
    const name = `${fromIp}>${toIp}`;
    let random = this.#links.get(name);
    if (random === undefined) {
      random = this.#random.child(name);
      this.#links.set(name, random);
    }
    return { random, faults: this.#linkFaults.get(name) ?? this.faults };
  }

  #latencyMs(fromIp: string, toIp: string, byteCount: number): number {
    const { faults, random } = this.#link(fromIp, toIp);
    const cloggedMs = (this.#cloggedUntilMs.get(`${fromIp}>${toIp}`) ?? 0) - this.#loop.nowMs;
    const wireMs =
      faults.latencyMs * random.between(0.5, 1.5) + byteCount / (faults.bytesPerMs ?? BYTES_PER_MS);
    const base = wireMs + Math.max(0, cloggedMs);
    return random.chance(TAIL_CHANCE) ? base + random.between(0, faults.tailMs) : base;
  }

  #bind(
    owner: Owner,
    wanted: string,
    onDatagram: (bytes: Uint8Array, from: string) => void,
  ): Promise<DatagramSocket> {
    if (!ADDRESS.test(wanted) || Number(portOf(wanted)) > PORT_MAX) {
      return Promise.reject(new Error(`${wanted}: must be an IP address and a port`));
    }
    const address = this.#withPort(wanted);
    if (this.#sockets.has(address)) return Promise.reject(inUse(address));
    const socket: Socket = { owner, onDatagram, waitingBytes: 0 };
    this.#sockets.set(address, socket);
    return this.#later(owner, {
      address,
      send: (to, bytes) => this.#send(socket, address, to, bytes),
      close: () => {
        if (this.#sockets.get(address) === socket) this.#sockets.delete(address);
        return Promise.resolve();
      },
    });
  }

  #send(socket: Socket, from: string, to: string, bytes: Uint8Array): void {
    if (this.#sockets.get(from) !== socket || bytes.length > DATAGRAM_BYTES_MAX) return;
    const fromIp = ipOf(from);
    const toIp = ipOf(to);
    const { faults, random } = this.#link(fromIp, toIp);
    const isLost = random.chance(faults.loss);
    const copies = random.chance(faults.duplication) ? 2 : 1;
    this.#trace.bytes(bytes);
    if (isLost || this.#isCut(fromIp, toIp)) return;
    if (this.#isFiltered('datagrams', fromIp, toIp)) return;
    for (let i = 0; i < copies; i++) {
      const copy = new Uint8Array(bytes); // a slice of a Buffer would share its memory
      if (random.chance(faults.corruption ?? 0) && copy.length > 0) {
        const at = random.below(copy.length);
        copy[at] = copy[at]! ^ (1 + random.below(255));
      }
      const laterMs = random.chance(faults.reordering ?? 0) ? random.between(0, faults.tailMs) : 0;
      const delayMs = this.#latencyMs(fromIp, toIp, bytes.length) + laterMs;
      this.#loop.schedule(this.#loop.world, delayMs, () => this.#deliver(from, to, copy));
    }
  }

  /** The receiver is whoever holds the port when the datagram arrives. */
  #deliver(from: string, to: string, bytes: Uint8Array): void {
    if (this.#isCut(ipOf(from), ipOf(to))) return;
    const receiver = this.#sockets.get(to);
    if (receiver === undefined || receiver.waitingBytes + bytes.length > SOCKET_BYTES_MAX) return;
    receiver.waitingBytes += bytes.length;
    const receive = (): void => {
      receiver.waitingBytes -= bytes.length;
      if (this.#sockets.get(to) === receiver) receiver.onDatagram(bytes, from);
    };
    this.#loop.schedule(receiver.owner, 0, receive, 'arrival');
  }

  #listen(
    owner: Owner,
    wanted: string,
    onStream: (stream: RpcStream) => void,
  ): Promise<RpcListener> {
    const address = this.#withPort(wanted);
    if (this.#listeners.has(address)) return Promise.reject(inUse(address));
    const listener: Listener = { owner, onStream };
    this.#listeners.set(address, listener);
    return this.#later(owner, {
      address,
      close: () => {
        if (this.#listeners.get(address) === listener) this.#listeners.delete(address);
        for (const end of this.#streams) {
          if (end.owner === owner && end.listenAddress === address) end.close('shut down');
        }
        return Promise.resolve();
      },
    });
  }

  #connect(
    owner: Owner,
    fromIp: string,
    target: { readonly address: string; readonly lane: Lane },
  ): RpcStream {
    const { address, lane } = target;
    const toIp = ipOf(address);
    const localAddress = `${fromIp}:${this.#nextPort++}`;
    const [near, far] = createStreamPair({
      loop: this.#loop,
      trace: this.#trace,
      lane,
      owner,
      localAddress,
      address,
      latencyMs: (isForward, byteCount) =>
        isForward
          ? this.#latencyMs(fromIp, toIp, byteCount)
          : this.#latencyMs(toIp, fromIp, byteCount),
      onGone: (end) => this.#streams.delete(end),
    });
    this.#streams.add(near);
    const isBlocked = (): boolean =>
      this.#isCut(fromIp, toIp) ||
      this.#isCut(toIp, fromIp) ||
      this.#isFiltered('streams', fromIp, toIp);
    this.#loop.schedule(this.#loop.world, this.#latencyMs(fromIp, toIp, 0), () => {
      const listener = this.#listeners.get(address);
      if (isBlocked()) {
        const waitMs = this.#random.between(1000, CONNECT_TIMEOUT_MS);
        this.#loop.schedule(owner, waitMs, () => near.break('connecting timed out'));
      } else if (listener === undefined) {
        const backMs = this.#latencyMs(toIp, fromIp, 0);
        this.#loop.schedule(owner, backMs, () => near.break('connection refused'));
      } else if (near.isOpen) {
        this.#streams.add(far);
        far.accept(listener.owner);
        this.#loop.schedule(listener.owner, 0, () => listener.onStream(far));
        this.#loop.schedule(this.#loop.world, 0, () => near.connected());
      }
    });
    return near;
  }

  #withPort(address: string): string {
    return address.endsWith(':0') ? `${ipOf(address)}:${this.#nextPort++}` : address;
  }

  /** An answer of the operating system: on a later turn. */
  #later<Value>(owner: Owner, value: Value): Promise<Value> {
    return new Promise((resolve) => {
      this.#loop.schedule(owner, 0.05, () => resolve(value));
    });
  }
}

function portOf(address: string): string {
  return address.slice(address.lastIndexOf(':') + 1);
}

function ipOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}

function inUse(address: string): Error {
  return Object.assign(new Error(`EADDRINUSE ${address}`), { code: 'EADDRINUSE' });
}
