/**
 * A few lifecycle machines that talk to each other in one process, driven by commands, for golden
 * dialogues. Time, disk and network are here: records are told at once to every reachable instance,
 * neighbours exchange whole registries each second, and nothing but what `persist` said survives a
 * kill. Checked at every step: durability comes before anything else.
 */
import assert from 'node:assert/strict';
import {
  type LifecycleEffect,
  type LifecycleInput,
  type LifecycleState,
  createLifecycle,
  step,
} from '../../membership/lifecycle.ts';
import {
  type InstanceRecord,
  MISSING_ALWAYS_MS,
  type Registry,
  type RegistryRecord,
  type StoreId,
  decodeRecords,
  effectiveRf,
  encodeRecord,
  instancesById,
  recordStamp,
  recordsOf,
} from '../../membership/registry/index.ts';
import { Ring } from '../../membership/ring/index.ts';
import { type InstanceId, parseInstanceId } from '../../model/ids.ts';
import { WALL_MS } from './registry-records.ts';

interface Machine {
  readonly id: InstanceId;
  isRunning: boolean;
  state: LifecycleState;
  /** What survives a kill. */
  disk: {
    storeNumber: number;
    bootCounter: number;
    registry: Registry | undefined;
    holdsData: boolean;
    lostBeforeMs: number;
  };
  /** What the ring is built from. */
  published: Registry | undefined;
}

const TICK_MS = 250;
const EXCHANGE_MS = 1000;

export class LifecycleWorld {
  readonly #machines = new Map<string, Machine>();
  #groups: readonly (readonly string[])[] = [];
  #pending: (() => void)[] = [];
  #trace: string[] = [];
  #nowMs = 0;
  #lastStore = 0;

  /** Runs one command line and returns what happened, a line each. */
  run(line: string): string[] {
    const [command = '', ...args] = line.split(' ');
    this.#trace = [];
    this.#command(command, args);
    this.#drain();
    return this.#trace;
  }

  /** The ring of one instance, for checks beside the dialogue. */
  ringOf(id: string): Ring {
    const { published } = this.#machine(id);
    assert.ok(published !== undefined, `${id} has published nothing`);
    return new Ring(published);
  }

  stateOf(id: string): LifecycleState {
    return this.#machine(id).state;
  }

  get nowMs(): number {
    return WALL_MS + this.#nowMs;
  }

  /** Which disk an instance has: wiping gives it another one. */
  storeOf(id: string): number {
    return this.#machine(id).disk.storeNumber;
  }

  /** Running instances that `id` reaches, itself among them. */
  reachableFrom(id: string): InstanceId[] {
    const from = this.#machine(id);
    return this.#running()
      .filter((peer) => peer === from || this.#reaches(from, peer))
      .map((peer) => peer.id);
  }

  isRunning(id: string): boolean {
    return this.#machine(id).isRunning;
  }

  /** Gives one machine an input that no command names. */
  input(id: string, input: LifecycleInput): void {
    this.#input(this.#machine(id), input);
    this.#drain();
  }

  #command(command: string, args: readonly string[]): void {
    const [first = '', second = ''] = args;
    switch (command) {
      case 'cut': // cut a,b c
        this.#groups = args.map((group) => group.split(','));
        return;
      case 'forget': {
        this.#input(this.#machine(first), {
          type: 'forget-requested',
          id: parseInstanceId(second),
          acceptsLoss: args.includes('accept-loss'),
        });
        return;
      }
      case 'heal':
        this.#groups = [];
        return;
      case 'kill':
        this.#machine(first).isRunning = false;
        return;
      case 'leave': {
        this.#input(this.#machine(first), { type: 'leave-requested' });
        return;
      }
      case 'run': {
        this.#runFor(Number(first));
        return;
      }
      case 'show': {
        this.#show(first);
        return;
      }
      case 'start': {
        this.#start(first, args);
        return;
      }
      case 'stop': {
        this.#input(this.#machine(first), { type: 'stop-requested' });
        return;
      }
      case 'wipe':
        this.#machine(first).isRunning = false;
        this.#machine(first).disk = this.#freshDisk();
        this.#machine(first).published = undefined;
        return;
      case 'wrote': {
        this.#input(this.#machine(first), { type: 'wrote' });
        return;
      }
      default:
        assert.fail(`unknown command ${command}`);
    }
  }

  #freshDisk(): Machine['disk'] {
    return {
      storeNumber: ++this.#lastStore,
      bootCounter: 0,
      registry: undefined,
      holdsData: false,
      lostBeforeMs: 0,
    };
  }

  #machine(id: string): Machine {
    const machine = this.#machines.get(id);
    assert.ok(machine !== undefined, `${id} was never started`);
    return machine;
  }

  /** start <id> [alone] [rf=N] [zone=Z] */
  #start(id: string, args: readonly string[]): void {
    const known = this.#machines.get(id);
    assert.ok(known?.isRunning !== true, `${id} runs already`);
    const disk = known?.disk ?? this.#freshDisk();
    disk.bootCounter++;
    const option = (name: string, fallback: string): string =>
      args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1) ?? fallback;
    const state = createLifecycle({
      instanceId: parseInstanceId(id),
      storeId: hex(disk.storeNumber) as StoreId, // 32 digits
      bootCounter: disk.bootCounter,
      zone: option('zone', `zone-${id}`),
      addresses: { http: `${id}:1`, grpc: `${id}:2`, gossip: `${id}:3` },
      softwareVersion: '0.1.0',
      replicationFactor: Number(option('rf', '3')),
      hasSeeds: !args.includes('alone'),
      holdsData: disk.holdsData,
      lostBeforeMs: disk.lostBeforeMs,
      draws: {
        tokenSeed: disk.storeNumber * 100 + disk.bootCounter,
        clusterId: hex(disk.storeNumber * 16 + 0xc),
        fingerprintSecret: hex(disk.storeNumber * 16 + 0xf),
      },
    });
    const machine: Machine = {
      id: parseInstanceId(id),
      isRunning: true,
      state,
      disk,
      published: known?.published,
    };
    this.#machines.set(id, machine);
    this.#input(machine, { type: 'started', registry: disk.registry });
  }

  #runFor(forMs: number): void {
    for (let passedMs = 0; passedMs < forMs; passedMs += TICK_MS) {
      this.#nowMs += TICK_MS;
      for (const machine of this.#running()) this.#input(machine, { type: 'tick' });
      this.#drain();
      if (this.#nowMs % EXCHANGE_MS === 0) this.#exchangeAll();
      this.#drain();
    }
  }

  /** Everyone with its right neighbour, as far as the network lets it. */
  #exchangeAll(): void {
    for (const machine of this.#running()) {
      const peers = this.#running().filter((peer) => this.#reaches(machine, peer));
      const next = peers.find(({ id }) => id > machine.id) ?? peers[0];
      if (next !== undefined) this.#exchange(machine, next);
    }
  }

  #exchange(a: Machine, b: Machine): void {
    const [recordsA, recordsB] = [recordsOf(a.state.registry), recordsOf(b.state.registry)];
    this.#deliver(a, b, { type: 'met-instance', id: a.id, records: recordsA });
    this.#deliver(b, a, { type: 'met-instance', id: b.id, records: recordsB });
  }

  #running(): Machine[] {
    return [...this.#machines.values()]
      .filter(({ isRunning }) => isRunning)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  #reaches(a: Machine, b: Machine): boolean {
    if (a === b || !b.isRunning) return false;
    const groupOf = ({ id }: Machine): number => this.#groups.findIndex((g) => g.includes(id));
    return groupOf(a) === groupOf(b);
  }

  #deliver(from: Machine, to: Machine, input: LifecycleInput): void {
    this.#pending.push(() => {
      if (this.#reaches(from, to)) this.#input(to, input);
    });
  }

  #drain(): void {
    for (let count = 0; this.#pending.length > 0; count++) {
      assert.ok(count < 100_000, 'the machines never stop talking');
      this.#pending.shift()?.();
    }
  }

  #input(machine: Machine, input: LifecycleInput): void {
    const now = { monotonicMs: this.#nowMs, wallMs: this.nowMs };
    if (input.type === 'wrote') machine.disk.holdsData = true;
    const before = machine.state;
    const { effects, state } = step(machine.state, input, now);
    const isChanged = state.registry !== before.registry && input.type !== 'started';
    const rank = (effect: LifecycleEffect): number =>
      ['save-boot-counter', 'persist', 'publish'].indexOf(effect.type);
    const durable = effects.findIndex(({ type }) => type === 'persist');
    assert.ok(!isChanged || durable >= 0, 'a changed registry is persisted');
    assert.ok(
      effects.slice(0, Math.max(0, durable)).every((e) => rank(e) >= 0),
      'durability first',
    );
    machine.state = state;
    for (const effect of effects) this.#perform(machine, effect);
  }

  #perform(machine: Machine, effect: LifecycleEffect): void {
    const { id } = machine;
    switch (effect.type) {
      case 'ask-ack':
        this.#trace.push(`${id}  asks ${effect.peers.join(' ')}: ${effect.stamp}`);
        for (const peer of effect.peers) {
          const to = this.#machines.get(peer);
          if (to !== undefined) {
            this.#deliver(machine, to, { type: 'asked', record: effect.record, from: id });
          }
        }
        return;
      case 'become-ready':
        this.#trace.push(`${id}  is ready`);
        return;
      case 'become-unready':
        this.#trace.push(`${id}  is not ready: ${effect.why}`);
        return;
      case 'broadcast': {
        this.#broadcast(machine, effect.records);
        return;
      }
      case 'cluster-replaced':
        this.#trace.push(`${id}  takes over cluster ${effect.clusterId.replace(/^0+/, '')}`);
        return;
      case 'end':
        this.#trace.push(`${id}  ends: ${effect.why}`);
        machine.isRunning = false;
        return;
      case 'forget-done':
        this.#trace.push(`${id}  has forgotten ${effect.id}`);
        return;
      case 'forget-failed':
        this.#trace.push(`${id}  cannot forget ${effect.id}: ${effect.why}`);
        return;
      case 'persist':
        machine.disk.registry = effect.registry;
        return;
      case 'publish':
        machine.published = effect.registry;
        return;
      case 'reply-ack': {
        this.#reply(machine, effect.to, { ...effect, type: 'ack', from: id });
        return;
      }
      case 'reply-nack':
        this.#trace.push(`${id}  refuses ${effect.stamp}: ${effect.why}`);
        {
          this.#reply(machine, effect.to, { ...effect, type: 'nack', from: id });
          return;
        }
      case 'save-boot-counter':
        machine.disk.bootCounter = effect.bootCounter;
        return;
      case 'stopped':
        this.#trace.push(`${id}  has stopped`);
        this.#pending.push(() => (machine.isRunning = false));
        return;
      case 'sync-with': {
        const peer = this.#machine(effect.peer);
        this.#trace.push(`${id}  exchanges registries with ${effect.peer}`);
        this.#exchange(machine, peer);
        return;
      }
    }
  }

  #reply(machine: Machine, to: InstanceId, input: LifecycleInput): void {
    this.#deliver(machine, this.#machine(to), input);
  }

  /** Own news are traced; what is only passed on is not. Records travel as bytes. */
  #broadcast(machine: Machine, records: readonly RegistryRecord[]): void {
    for (const record of records) {
      if (record.kind === 'instance' && record.id !== machine.id && record.proposal === 'none') {
        if (record.state !== 'FORGOTTEN') continue;
      }
      this.#trace.push(`${machine.id}  writes ${recordStamp(record)}${note(record)}`);
    }
    const { records: decoded, rejected } = decodeRecords(records.map(encodeRecord));
    assert.deepEqual(rejected, []);
    for (const peer of this.#running()) {
      this.#deliver(machine, peer, { type: 'registry-changed', records: decoded });
    }
  }

  #show(id: string): void {
    const { published, state } = this.#machine(id);
    if (published === undefined) {
      this.#trace.push('nothing');
      return;
    }
    const ready = state.isReady ? 'ready' : 'not ready';
    this.#trace.push(`${id}: ${state.phase}, ${ready}, RF ${effectiveRf(published)}`);
    for (const record of instancesById(published)) {
      const proposal = record.proposal === 'none' ? '' : `, to ${record.proposal}`;
      const missing = missingNote(record);
      const counters = `boot ${record.bootCounter}, rf ${record.joinedRf}/${record.settledRf}`;
      this.#trace.push(`  ${record.id} ${record.state}: ${counters}${proposal}${missing}`);
    }
  }
}

function note(record: RegistryRecord): string {
  if (record.kind === 'rf-step') return record.isCommitted ? ' committed' : ' proposed';
  if (record.kind === 'cluster') return ` members ${record.membersMax}`;
  return missingNote(record);
}

function missingNote({ missingBeforeMs }: InstanceRecord): string {
  if (missingBeforeMs === MISSING_ALWAYS_MS) return ', missing';
  return missingBeforeMs > 0 ? ', history missing' : '';
}

function hex(value: number): string {
  return value.toString(16).padStart(32, '0');
}
