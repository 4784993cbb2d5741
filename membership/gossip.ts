/**
 * Gossip: the shell of the membership core. It owns the socket, the timer, the cipher and the calls
 * over the control lane, and turns their news into inputs of the core and the core's outputs into
 * deeds. It decides nothing about membership itself.
 *
 *   datagram -> cipher.open ─┐                      ┌─> cipher.seal -> socket
 *   timer ───────────────────┼─> apply(core) ─ outputs ─> control lane (ping, push/pull)
 *   control lane, broadcast ─┘                      └─> events, records
 *
 * Lifecycle: start, join (seeds are retried for ever), leave (says goodbye), stop. Identity is the
 * instance id plus the boot counter; addresses are only data.
 */
import type Swim from 'swim';
import { assert } from '../model/assert.ts';
import { StarlingError } from '../model/errors.ts';
import type { InstanceId } from '../model/ids.ts';
import type { DatagramSocket, Timer } from '../platform/platform.ts';
import type { Probe } from '../platform/rare.ts';
import type { SwimHost } from './adapters/host.ts';
import { createSwimShell } from './adapters/swim-shell.ts';
import type { GossipOptions, GossipSeams, GossipStats, ListenOptions } from './gossip-types.ts';
import { canonicalAddress } from './swim/address.ts';
import { SELF_SLOT } from './swim/claim-table.ts';
import { PACKET_OVERHEAD_BYTES, PacketCipher } from './swim/cipher.ts';
import { apply, createCore, nextWakeMs } from './swim/core.ts';
import { type AcceptedHello, type DialledHello, HelloCipher } from './swim/hello.ts';
import { createKeyring } from './swim/keyring.ts';
import { selfClaim, viewOf, zeroDrops, type CoreCounter, type CoreState } from './swim/state.ts';
import {
  DROP_REASONS,
  type CoreInput,
  type CoreOutput,
  type DropReason,
  type MemberEvent,
  type MemberView,
} from './swim/types.ts';

export * from './gossip-types.ts';

/** How often a leaver looks whether its goodbye is told. */
const LEAVE_POLL_MS = 50;
/** Dropped datagrams are logged at most this often, with their counts. */
const DROP_LOG_INTERVAL_MS = 10_000;

/** Those of the core's counters that rise by what is rare. */
const PROBED_COUNTERS = [
  'acks_late',
  'fallback_only_acks',
  'heal_contacts',
  'probes_stalled',
  'push_pulls_failed',
  'refutations',
  'suspicions_started',
] as const;

export class Gossip {
  readonly #options: GossipOptions;
  readonly #seams: GossipSeams;
  readonly #cipher: PacketCipher;
  readonly #hello: HelloCipher;
  readonly #eventCallbacks = new Set<(event: MemberEvent) => void>();
  readonly #recordCallbacks = new Set<(record: Uint8Array) => void>();
  /** Drops of the cipher; the core counts its own. */
  readonly #drops = zeroDrops();
  readonly #swim: Swim;
  #listen: ListenOptions | undefined;
  #core: CoreState | undefined;
  #socket: DatagramSocket | undefined;
  #isTicking = false;
  #timer: Timer | undefined;
  #timerMs = Infinity;
  #dropLogMs = -Infinity;
  #startError: unknown;
  readonly #probed = new Map<CoreCounter, number>();

  constructor(options: GossipOptions, seams: GossipSeams) {
    this.#options = options;
    this.#seams = seams;
    const { ciphers, random } = seams;
    const ring = createKeyring(ciphers, options.label, options.secrets);
    this.#cipher = new PacketCipher(ciphers, random, ring);
    this.#hello = new HelloCipher(ciphers, random, { ring, id: options.id, boot: options.boot });
    this.#swim = createSwimShell(this.#makeHost());
  }

  /** Binds the socket and begins. Throws `config.invalid` for an address nobody could use. */
  async start(listen: ListenOptions): Promise<void> {
    assert(this.#listen === undefined, 'gossip: started twice');
    this.#listen = listen;
    await new Promise<void>((resolve, reject) => {
      this.#swim.bootstrap([], (error) => {
        if (error === undefined) resolve();
        else reject(this.#startError instanceof Error ? this.#startError : error);
      });
    });
  }

  /** Adds seeds (control addresses). Each is tried now, and for ever while it is not a member. */
  join(seeds: readonly string[]): void {
    this.#apply({ type: 'join', seeds });
  }

  /** Says goodbye and waits until it is told, at most `timeoutMs`. The node still answers. */
  async leave(timeoutMs: number): Promise<void> {
    const { clock } = this.#seams;
    const core = this.#core;
    if (core === undefined || core.self.hasLeft) return;
    this.#apply({ type: 'leave' });
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    while (core.claims.isWaiting(SELF_SLOT) && core.livingCount > 1) {
      if (clock.monotonicMs() >= deadlineMs || this.#socket === undefined) return;
      await new Promise<void>((resolve) => clock.after(LEAVE_POLL_MS, resolve));
    }
  }

  /** Closes socket and timer; without `leave` before, others see a crash. Idempotent. */
  async stop(): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#swim.leave();
    await socket.close();
  }

  /** Calls back for each change of a member. Returns how to stop. */
  onEvent(callback: (event: MemberEvent) => void): () => void {
    this.#eventCallbacks.add(callback);
    return () => this.#eventCallbacks.delete(callback);
  }

  /** Calls back for each record heard. It is not passed on: who changed by it broadcasts again. */
  onRecord(callback: (record: Uint8Array) => void): () => void {
    this.#recordCallbacks.add(callback);
    return () => this.#recordCallbacks.delete(callback);
  }

  /** Tells a record of 1 to 512 bytes to everybody; it replaces an untold one of the same key. */
  broadcast(key: string, bytes: Uint8Array): void {
    this.#apply({ type: 'broadcast', key, bytes });
  }

  /** This instance is at this boot, later than it began with: others remembered more than its disk. */
  raiseBoot(boot: number): void {
    this.#hello.setBoot(boot);
    this.#apply({ type: 'raise_boot', boot });
  }

  /** Answers a ping over the control lane: whether this is the instance that is meant. */
  answerPing(target: string): boolean {
    return this.#core !== undefined && target === this.#options.id;
  }

  /** Answers a push/pull over the control lane; undefined when it is malformed. */
  answerPushPull(bytes: Uint8Array): Uint8Array | undefined {
    return this.#apply({ type: 'push_pull_received', bytes });
  }

  /** Begins the hello of a stream that this node dials; without a target anybody may answer. */
  dialHello(target: InstanceId | undefined): DialledHello {
    return this.#hello.dial(target);
  }

  /** Begins the hello of a stream that somebody dialled. */
  acceptHello(): AcceptedHello {
    return this.#hello.accept();
  }

  /** Takes another set of cluster keys, the primary first. Nobody is lost if both sides overlap. */
  setSecrets(secrets: readonly Uint8Array[]): void {
    assert(
      secrets.length > 0 === this.#options.secrets.length > 0,
      'gossip: encryption cannot be switched on or off while running',
    );
    const ring = createKeyring(this.#seams.ciphers, this.#options.label, secrets);
    this.#cipher.setKeyring(ring);
    this.#hello.setKeyring(ring);
  }

  /** This node, as it describes itself. */
  self(): MemberView {
    const core = this.#running();
    const { accuser: _self, ...claim } = selfClaim(core);
    return { ...claim, sinceMs: 0, rttMs: undefined };
  }

  /** The others, the dead and left included. */
  members(): readonly MemberView[] {
    return this.#core === undefined ? [] : this.#core.roster.map(viewOf);
  }

  member(id: InstanceId): MemberView | undefined {
    const member = this.#core?.members.get(id);
    return member === undefined ? undefined : viewOf(member);
  }

  /** True while this node knows where others should be and sees none of them. */
  isIsolated(): boolean {
    const core = this.#core;
    if (core === undefined || core.livingCount > 1) return false;
    return core.seeds.length > 0 || core.roster.some((member) => member.state === 'dead');
  }

  stats(): GossipStats {
    const core = this.#running();
    const drops = zeroDrops();
    for (const reason of DROP_REASONS) drops[reason] = this.#drops[reason] + core.drops[reason];
    return {
      counters: { ...core.counters },
      drops,
      healthScore: core.healthScore,
      queuedClaims: core.claims.waitingCount,
      queuedRecords: core.recordQueue.count,
    };
  }

  /** The npm package's face of this node: `members()`, `whoami()`, its events. */
  get swim(): Swim {
    return this.#swim;
  }

  #running(): CoreState {
    assert(this.#core !== undefined, 'gossip: not started');
    return this.#core;
  }

  /** Feeds the core and does what it asks; returns the answer of a push/pull, if it was one. */
  #apply(input: CoreInput): Uint8Array | undefined {
    const core = this.#core;
    if (core === undefined) return undefined;
    const { outputs } = apply(core, input, this.#seams.clock.monotonicMs());
    if (this.#seams.log.probe !== undefined) this.#probeCounters(core, this.#seams.log.probe);
    let answer: Uint8Array | undefined;
    for (const output of outputs) {
      if (output.type === 'push_pull_answer') answer = output.bytes;
      else this.#carryOut(output);
    }
    this.#arm();
    return answer;
  }

  /** What the core counted since it was last looked at. */
  #probeCounters({ counters }: CoreState, probe: NonNullable<Probe>): void {
    for (const name of PROBED_COUNTERS) {
      if (counters[name] > (this.#probed.get(name) ?? 0)) probe(`swim.${name}`);
      this.#probed.set(name, counters[name]);
    }
  }

  #carryOut(output: Exclude<CoreOutput, { type: 'push_pull_answer' }>): void {
    switch (output.type) {
      case 'event':
        this.#tell(output.event);
        return;
      case 'push_pull':
        this.#pushPull(output);
        return;
      case 'record':
        for (const callback of this.#recordCallbacks) callback(output.bytes);
        return;
      case 'records':
        for (const record of output.records) {
          for (const callback of this.#recordCallbacks) callback(record);
        }
        return;
      case 'reliable_ping':
        this.#reliablePing(output);
        return;
      case 'send':
        this.#socket?.send(output.address, this.#cipher.seal(output.payload));
    }
  }

  #pushPull(output: CoreOutput & { readonly type: 'push_pull' }): void {
    const { exchange, deadlineMs } = output;
    this.#await(this.#seams.channel.pushPull(output), deadlineMs, (bytes) =>
      this.#apply({ type: 'push_pull_result', exchange, bytes }),
    );
  }

  #reliablePing(output: CoreOutput & { readonly type: 'reliable_ping' }): void {
    const { nonce, deadlineMs } = output;
    this.#await(this.#seams.channel.ping(output), deadlineMs, (isAlive) =>
      this.#apply({ type: 'reliable_ping_result', nonce, isAlive: isAlive === true }),
    );
  }

  /** Settles exactly once: with the value, or undefined for a rejection or a missed deadline. */
  #await<Value>(
    call: Promise<Value>,
    deadlineMs: number,
    settle: (value: Value | undefined) => void,
  ): void {
    let isSettled = false;
    const settleOnce = (value: Value | undefined): void => {
      if (isSettled) return;
      isSettled = true;
      timer.cancel();
      settle(value);
    };
    const waitMs = Math.max(0, deadlineMs - this.#seams.clock.monotonicMs());
    const timer = this.#seams.clock.after(waitMs, () => settleOnce(undefined));
    call.then(settleOnce, (why: unknown) => {
      this.#seams.log.debug('gossip call failed', { why: String(why) });
      settleOnce(undefined);
    });
  }

  #tell(event: MemberEvent): void {
    const { id, address, boot } = event.member;
    const { log } = this.#seams;
    const facts = { instance: id, address, boot };
    if (event.type === 'conflict') {
      log.error('gossip conflict', { ...facts, why: event.why, claimed: event.claim.address });
    } else {
      log.info(`gossip member ${event.type}`, facts);
    }
    for (const callback of this.#eventCallbacks) callback(event);
  }

  #onDatagram(bytes: Uint8Array, from: string): void {
    const source = canonicalAddress(from);
    if (this.#core === undefined || source === undefined) return;
    const opened = this.#cipher.open(bytes, this.#seams.clock.monotonicMs());
    if ('dropped' in opened) {
      this.#drops[opened.dropped]++;
      this.#logDrop(opened.dropped, from);
      return;
    }
    this.#apply({ type: 'packet', payload: opened.payload, from: source });
  }

  #logDrop(reason: DropReason, from: string): void {
    const nowMs = this.#seams.clock.monotonicMs();
    if (nowMs - this.#dropLogMs < DROP_LOG_INTERVAL_MS) return;
    this.#dropLogMs = nowMs;
    this.#seams.log.warn('gossip datagrams dropped', { reason, from, drops: { ...this.#drops } });
  }

  /** Keeps one timer, for the core's next wake. */
  #arm(): void {
    const core = this.#core;
    if (!this.#isTicking || core === undefined) return;
    const wakeMs = nextWakeMs(core);
    if (this.#timer !== undefined && this.#timerMs <= wakeMs) return;
    this.#timer?.cancel();
    this.#timerMs = wakeMs;
    const delayMs = Math.max(0, Math.ceil(wakeMs - this.#seams.clock.monotonicMs()));
    this.#timer = this.#seams.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#timerMs = Infinity;
      this.#apply({ type: 'tick' });
    });
  }

  async #bind(): Promise<void> {
    const listen = this.#listen;
    assert(listen !== undefined, 'gossip: not started');
    const { clock, datagrams, random } = this.#seams;
    const socket = await datagrams.bind(listen.listenAddress, (bytes, from) =>
      this.#onDatagram(bytes, from),
    );
    try {
      const address = usableAddress(listen.advertiseAddress ?? socket.address, socket.address);
      const controlAddress =
        listen.controlAddress === undefined
          ? address
          : usableAddress(listen.controlAddress, socket.address);
      const { id, boot, config, localRecords } = this.#options;
      this.#core = createCore(
        {
          id,
          boot,
          address,
          controlAddress,
          random,
          overheadBytes: PACKET_OVERHEAD_BYTES,
          ...(config === undefined ? {} : { config }),
          ...(localRecords === undefined ? {} : { localRecords }),
        },
        clock.monotonicMs(),
      );
      this.#socket = socket;
    } catch (error) {
      await socket.close();
      throw error;
    }
  }

  /** The package's parts work through this. */
  #makeHost(): SwimHost {
    return {
      address: () => this.#core?.self.address ?? '',
      listen: async () => {
        try {
          await this.#bind();
        } catch (error) {
          this.#startError = error;
          throw error;
        }
      },
      closeSocket: () => {
        this.#socket = undefined;
        this.#core = undefined;
      },
      startTicking: () => {
        this.#isTicking = true;
        this.#arm();
      },
      stopTicking: () => {
        this.#isTicking = false;
        this.#timer?.cancel();
        this.#timer = undefined;
        this.#timerMs = Infinity;
      },
      join: (addresses) => this.join(addresses),
      self: () => this.self(),
      members: () => this.members(),
      waitingCount: () =>
        (this.#core?.claims.waitingCount ?? 0) + (this.#core?.recordQueue.count ?? 0),
      onEvent: (callback) => this.onEvent(callback),
    };
  }
}

/** The canonical address; port 0 becomes the bound one. Throws `config.invalid`. */
function usableAddress(text: string, boundAddress: string): string {
  const boundPort = boundAddress.slice(boundAddress.lastIndexOf(':'));
  const address = canonicalAddress(text.replace(/:0$/, boundPort));
  if (address !== undefined) return address;
  throw new StarlingError('config.invalid', {
    where: 'advertise.gossip',
    why: `'${text}' is not an address others can send to: give an IP literal and a port, not 0.0.0.0 or a name`,
  });
}
