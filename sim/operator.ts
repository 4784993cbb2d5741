/**
 * What people do to the machines of a world: boot, stop, add, forget, replace a disk, change settings,
 * and wait until all is well. What should always work and does not is a violation (liveness, I8 …).
 */
import type { RunningNode } from '../cli/node.ts';
import type { RingStatus } from '../http/api.ts';
import { parseTenantId } from '../model/ids.ts';
import type { Violation } from './checkers/answer.ts';
import { isConverged } from './checkers/converged.ts';
import { DurableChecker } from './checkers/durable.ts';
import { doubtedIn } from './checkers/living.ts';
import { checkRing } from './checkers/ring-sanity.ts';
import { isReady } from './cluster.ts';
import type { Operator } from './faults/fault.ts';
import type { Workload } from './workload.ts';
import type { Machine, World } from './world.ts';

const READY_TIMEOUT_MS = 120_000;
const CONVERGED_TIMEOUT_MS = 120_000;
const TRUSTED_TIMEOUT_MS = 60_000;
const VIOLATIONS_MAX = 20;
const STOP_TIMEOUT_MS = 30_000;
const CALL_TIMEOUT_MS = 15_000;
const FLUSH_TIMEOUT_MS = 60_000;

type NodeMachine = Machine<RunningNode>;

export interface OperatorOptions {
  readonly world: World<RunningNode>;
  readonly workload: Workload;
  /** Of all later boots. */
  readonly flags: Map<string, string>;
  /** How many of the machines are in the cluster from the start. */
  readonly machineCount: number;
}

export class StoryOperator implements Operator<RunningNode> {
  readonly violations: Violation[] = [];
  /** The one machine whose data may be lost; its disk may be replaced. */
  damaged: NodeMachine | undefined;
  /** Whether its disk may hold damage that nobody met yet. */
  hasHiddenDamage = false;
  /** Heads were cut before their time, or may be: what is in the log does not go back as far as the load. */
  cutsHeads = false;
  #hasForgotten = false;
  readonly #options: OperatorOptions;
  readonly #durable = new DurableChecker();
  #memberCount: number;

  constructor(options: OperatorOptions) {
    this.#options = options;
    this.#memberCount = options.machineCount;
  }

  members(): readonly NodeMachine[] {
    return this.#options.world.machines.slice(0, this.#memberCount);
  }

  async boot(machine: NodeMachine): Promise<void> {
    const { world } = this.#options;
    if (machine.life !== undefined) return;
    const outcome = await world.boot(machine);
    if (outcome.kind === 'answer' || outcome.kind === 'superseded') return;
    const why = outcome.kind === 'error' ? String(outcome.error) : 'no answer in time';
    world.note(`${machine.name} does not boot: ${why}`);
    if (machine === this.damaged) {
      await this.#replaceDisk(machine, why);
      return;
    }
    this.report([{ invariant: 'liveness', what: `${machine.name} does not boot: ${why}` }]);
  }

  /** What an operator does with a disk from which a node does not start: others have what was on it. */
  async #replaceDisk(machine: NodeMachine, why: string): Promise<void> {
    const { world } = this.#options;
    world.note(`the disk of ${machine.name} is replaced: ${why}`);
    world.wipe(machine);
    if ((await world.boot(machine)).kind === 'answer') return;
    const what = `${machine.name} does not boot from an empty disk`;
    this.report([{ invariant: 'liveness', what }]);
  }

  async stop(machine: NodeMachine): Promise<void> {
    const { world } = this.#options;
    world.note(`stop ${machine.name}`);
    const { life } = machine;
    const outcome = await world.ask(machine, STOP_TIMEOUT_MS, (node) => node.stop());
    if (outcome.kind === 'timeout') world.note(`${machine.name} does not stop in time`);
    if (machine.life === life) world.kill(machine);
  }

  async addMachine(): Promise<NodeMachine | undefined> {
    const machine = this.#options.world.machines[this.#memberCount];
    if (machine === undefined) return undefined;
    this.#memberCount++;
    await this.boot(machine);
    return machine;
  }

  /**
   * Exemplars that were acknowledged before need not be there any more: no refill brings them, and a log that a cut of the
   * head made shorter does not bring back those before it (ADR 15).
   */
  exemplarsOwedSinceMs(): number {
    if (this.damaged !== undefined || this.#hasForgotten) return Infinity;
    return this.cutsHeads ? this.#options.world.lastEndMs : Number.NEGATIVE_INFINITY;
  }

  async forget(helper: NodeMachine, machine: NodeMachine): Promise<void> {
    const { world } = this.#options;
    this.#hasForgotten = true;
    const outcome = await world.ask(helper, CALL_TIMEOUT_MS, ({ api }) => api.forget(machine.name));
    const why = outcome.kind === 'error' ? String(outcome.error) : outcome.kind;
    world.note(`${helper.name} is asked to forget ${machine.name}: ${why}`);
  }

  /** False: not all of it is in the bucket. */
  async flush(machine: NodeMachine): Promise<boolean> {
    const { world } = this.#options;
    this.cutsHeads = true;
    const outcome = await world.ask(machine, FLUSH_TIMEOUT_MS, ({ api }) => api.flush());
    const done = outcome.kind === 'answer' ? JSON.stringify(outcome.value) : '';
    const why = outcome.kind === 'error' ? String(outcome.error) : outcome.kind;
    world.note(`${machine.name} flushes: ${done === '' ? why : done}`);
    return outcome.kind === 'answer';
  }

  setFlag(name: string, value: string): void {
    this.#options.flags.set(name, value);
  }

  setPace(times: number): void {
    this.#options.workload.pace = times;
  }

  async pushBytes(machine: NodeMachine, bytes: Uint8Array): Promise<void> {
    const { workload, world } = this.#options;
    const tenant = parseTenantId(workload.tenants[0] ?? 'anonymous');
    await world.ask(machine, CALL_TIMEOUT_MS, ({ api }) => api.push(tenant, bytes));
  }

  async query(machine: NodeMachine, text: string): Promise<void> {
    await this.#options.workload.readers.askAnything(machine.name, text);
  }

  async readNewest(machine: NodeMachine): Promise<void> {
    await this.#options.workload.readers.readNewest(machine.name);
  }

  /** Boots what is down and waits until all say they are ready and agree. */
  async waitReady(when = 'in the middle of a fault'): Promise<void> {
    const { world } = this.#options;
    const isAllReady = (): boolean => this.members().every((one) => isReady(one.life?.node));
    if (await world.until(isAllReady, READY_TIMEOUT_MS)) {
      world.note(`all ready ${when}`);
      return;
    }
    const reasons = this.members().map(
      ({ life, name }) => `${name}: ${life?.node?.api.notReady().join(', ') ?? 'down'}`,
    );
    const what = `not all nodes are ready ${when}: ${reasons.join('; ')}`;
    this.report([{ invariant: 'liveness', what }]);
  }

  /** Waits until all hold the same registry, and looks at it. */
  async waitConverged(when: string): Promise<void> {
    const { world } = this.#options;
    if (!(await world.until(() => isConverged(this.rings()), CONVERGED_TIMEOUT_MS))) {
      const digests = this.rings().map(({ digest, self }) => `${self}=${digest}`);
      const what = `registries differ ${when}: ${digests.join(' ')}`;
      this.report([{ invariant: 'I8', what }]);
    }
    const names = this.members().map(({ name }) => name);
    for (const { life, name } of this.members()) {
      if (life?.node === undefined) continue;
      const ring = life.node.api.ring();
      this.report([...this.#durable.saw(name, ring, life), ...checkRing(ring, names)]);
    }
  }

  /** Waits until nobody doubts that the others live. */
  async waitTrusted(when: string): Promise<void> {
    const { world } = this.#options;
    if (await world.until(() => doubtedIn(this.rings()).length === 0, TRUSTED_TIMEOUT_MS)) return;
    const what = `${doubtedIn(this.rings()).join(', ')} ${when}`;
    this.report([{ invariant: 'I11', what }]);
  }

  async bootDead(): Promise<void> {
    const dead = this.members().filter(({ life }) => life === undefined);
    await Promise.all(dead.map((machine) => this.boot(machine)));
  }

  rings(): readonly RingStatus[] {
    return this.members().flatMap(({ life }) =>
      life?.node === undefined ? [] : [life.node.api.ring()],
    );
  }

  report(violations: readonly Violation[]): void {
    for (const violation of violations) {
      this.#options.world.note(`VIOLATION ${violation.invariant}: ${violation.what}`);
      if (this.violations.length < VIOLATIONS_MAX) this.violations.push(violation);
    }
  }
}
