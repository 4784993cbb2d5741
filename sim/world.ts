/**
 * A world: machines with disks and addresses, a network between them, and lives of nodes on them.
 *
 *   machine 10.0.0.N   disk survives everything but a wipe     life = boot … stop | kill | power loss
 *
 * A story (an async function) acts on the world: boots, kills, cuts, waits. It runs on virtual time
 * too, as the owner `world`; every call into a node is an event of that node, every answer comes back
 * as an event of the world, so neither runs on the other's turn.
 */
import type { Ciphers, Platform } from '../platform/platform.ts';
import type { Oddity } from '../platform/rare.ts';
import { SimBucketStore } from './bucket.ts';
import type { WallError } from './clock.ts';
import { SimDisk } from './disk.ts';
import { drainMicrotasks, runVirtually } from './globals.ts';
import { Loop, type Owner } from './loop.ts';
import { SimNetwork } from './network.ts';
import { createSimPlatform } from './platform.ts';
import { SimRandom } from './random.ts';
import { Trace } from './trace.ts';
import type { SimJobs } from './workers.ts';

/** Boots a node on a platform. `onEnd`: the process must go. */
export type BootNode<Node> = (
  platform: Platform,
  machine: { readonly name: string; readonly ip: string; readonly onEnd: (why: string) => void },
) => Promise<Node>;

export interface WorldOptions<Node> {
  readonly seed: number;
  readonly machineCount: number;
  readonly ciphers: Ciphers;
  readonly jobs: SimJobs;
  readonly bootNode: BootNode<Node>;
  /** A run that needs more events is stuck. */
  readonly eventsMax?: number;
  /** Each machine has a bucket of its own, on its disk. */
  readonly hasOwnBuckets?: boolean;
  /** Places of nodes that do the unusual now and then; none when it is not said. */
  readonly oddities?: readonly Oddity[];
}

/** One life of a node. */
export interface Life<Node> {
  readonly owner: Owner;
  /** Undefined until it booted. */
  node: Node | undefined;
}

export interface Machine<Node> {
  readonly name: string;
  readonly ip: string;
  readonly disk: SimDisk;
  /** The directory that stands for a bucket where none is shared; it goes with the disk. */
  bucket: SimBucketStore;
  /** Set at any time: the wall clock steps. */
  readonly wall: WallError;
  bootCount: number;
  life: Life<Node> | undefined;
}

export type Outcome<Value> =
  | { readonly kind: 'answer'; readonly value: Value }
  | { readonly kind: 'error'; readonly error: unknown }
  | { readonly kind: 'timeout' };

const EVENTS_MAX = 50_000_000;

export class World<Node> {
  readonly trace = new Trace();
  readonly random: SimRandom;
  readonly loop: Loop;
  readonly network: SimNetwork;
  /** The one that all machines share, if they do. */
  readonly bucket: SimBucketStore;
  readonly machines: readonly Machine<Node>[];
  /** True time at which a process ended last, however it ended. */
  lastEndMs = Number.NEGATIVE_INFINITY;
  /** What broke the run itself: real effects, errors nobody handled. */
  readonly broken: string[] = [];
  readonly #options: WorldOptions<Node>;

  constructor(options: WorldOptions<Node>) {
    const { machineCount, seed } = options;
    this.#options = options;
    this.random = new SimRandom(seed);
    this.loop = new Loop({ seed, trace: this.trace, drain: drainMicrotasks });
    this.bucket = this.#newBucket();
    this.network = new SimNetwork(this.loop, this.random.child('network'), this.trace);
    this.machines = Array.from({ length: machineCount }, (_, i) => ({
      name: `node-${i + 1}`,
      ip: `10.0.0.${i + 1}`,
      disk: new SimDisk(this.loop, this.random.child(`disk-${i + 1}`), this.trace),
      bucket: this.#newBucket(),
      wall: { offsetMs: 0, driftPpm: 0 },
      bootCount: 0,
      life: undefined,
    }));
  }

  /** Runs a story to its end. Rejects with what the story threw; a world runs once. */
  async run(story: () => Promise<void>): Promise<void> {
    let state: { readonly error?: unknown } | undefined;
    const eventsMax = this.#options.eventsMax ?? EVENTS_MAX;
    await runVirtually(
      {
        loop: this.loop,
        random: this.random.child('globals'),
        onBroken: (why) => {
          this.note(`broken: ${why}`);
          this.broken.push(why);
        },
      },
      () => {
        story().then(
          () => (state = {}),
          (error: unknown) => (state = { error }),
        );
      },
      () => state !== undefined || this.broken.length > 0 || this.loop.eventCount >= eventsMax,
    );
    if (state !== undefined && 'error' in state) throw state.error;
    if (state === undefined && this.broken.length === 0) {
      this.broken.push(`the run is stuck after ${this.loop.eventCount} events`);
    }
  }

  #newBucket(): SimBucketStore {
    const store = new SimBucketStore();
    store.nowMs = () => this.loop.nowMs;
    return store;
  }

  /** Writes a line into the trace. */
  note(line: string): void {
    this.trace.line(`${this.loop.nowMs.toFixed(2)} world ${line}`);
  }

  /** Resolves after virtual time. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.loop.schedule(this.loop.world, delayMs, resolve);
    });
  }

  /** Looks every `everyMs` until `isTrue`; false when the time ran out. */
  async until(isTrue: () => boolean, timeoutMs: number, everyMs = 50): Promise<boolean> {
    const endMs = this.loop.nowMs + timeoutMs;
    while (!isTrue()) {
      if (this.loop.nowMs >= endMs) return false;
      await this.sleep(everyMs);
    }
    return true;
  }

  /** Starts a life on a machine that has none. Superseded: somebody killed it before it booted. */
  async boot(
    machine: Machine<Node>,
    timeoutMs = 60_000,
  ): Promise<Outcome<Node> | { readonly kind: 'superseded' }> {
    const bootCount = ++machine.bootCount;
    const owner = this.loop.createOwner(machine.name);
    const life: Life<Node> = { owner, node: undefined };
    machine.life = life;
    this.note(`boot ${machine.name}`);
    const { ciphers, jobs } = this.#options;
    const outcome = await this.#call(owner, timeoutMs, () => {
      const platform = createSimPlatform({
        loop: this.loop,
        trace: this.trace,
        owner,
        ip: machine.ip,
        network: this.network,
        disk: machine.disk,
        bucket: this.#options.hasOwnBuckets === true ? machine.bucket : this.bucket,
        random: this.random.child(`${machine.name} boot ${bootCount}`),
        ciphers,
        jobs,
        wall: machine.wall,
        oddities: new Set(this.#options.oddities),
      });
      const onEnd = (why: string): void => {
        this.note(`${machine.name} ends: ${why}`);
        this.loop.schedule(this.loop.world, 0, () => {
          if (machine.life === life) this.kill(machine);
        });
      };
      return this.#options.bootNode(platform, { name: machine.name, ip: machine.ip, onEnd });
    });
    if (machine.life !== life) return { kind: 'superseded' };
    if (outcome.kind === 'answer') life.node = outcome.value;
    else this.kill(machine);
    return outcome;
  }

  /** SIGKILL: the process is gone, what it wrote stays in the kernel's cache. */
  kill(machine: Machine<Node>): void {
    const { life } = machine;
    if (life === undefined) return;
    this.note(`kill ${machine.name}`);
    this.lastEndMs = this.loop.nowMs;
    life.owner.isAlive = false;
    this.loop.release(life.owner);
    machine.life = undefined;
    this.network.ownerDied(life.owner);
  }

  /** A disk that is replaced by an empty one. */
  wipe(machine: Machine<Node>): void {
    this.note(`wipe ${machine.name}`);
    this.kill(machine);
    machine.disk.wipe();
    machine.bucket = this.#newBucket();
  }

  /** Holds the process, as a long garbage collection or SIGSTOP does: no callback runs. */
  pause(machine: Machine<Node>): void {
    if (machine.life === undefined) return;
    this.note(`pause ${machine.name}`);
    this.loop.hold(machine.life.owner);
  }

  /** Ends a pause: due timers run first, then what arrived, as after a long turn of the loop. */
  resume(machine: Machine<Node>): void {
    if (machine.life === undefined) return;
    this.note(`resume ${machine.name}`);
    this.loop.release(machine.life.owner);
  }

  /** The machine loses power: what was not synced may be lost too. */
  losePower(machine: Machine<Node>): void {
    this.note(`power loss ${machine.name}`);
    this.kill(machine);
    machine.disk.losePower();
  }

  /** Calls into a machine's node; an unbooted one answers an error. */
  async ask<Value>(
    machine: Machine<Node>,
    timeoutMs: number,
    work: (node: Node) => Promise<Value>,
  ): Promise<Outcome<Value>> {
    const node = machine.life?.node;
    const owner = machine.life?.owner;
    if (node === undefined || owner === undefined) {
      return { kind: 'error', error: new Error('the node is down') };
    }
    return this.#call(owner, timeoutMs, () => work(node));
  }

  #call<Value>(
    owner: Owner,
    timeoutMs: number,
    work: () => Promise<Value>,
  ): Promise<Outcome<Value>> {
    const { loop } = this;
    return new Promise((resolve) => {
      const finish = (outcome: Outcome<Value>): void => {
        loop.schedule(loop.world, 0, () => {
          timer.cancel();
          resolve(outcome);
        });
      };
      const timer = loop.schedule(loop.world, timeoutMs, () => resolve({ kind: 'timeout' }));
      loop.schedule(owner, 0, () => {
        work().then(
          (value) => finish({ kind: 'answer', value }),
          (error: unknown) => finish({ kind: 'error', error }),
        );
      });
    });
  }
}
