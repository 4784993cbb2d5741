/**
 * The story of the second rig: real processes, real sockets and disks, the simulator's load and checkers.
 * The faults, their order and lengths follow from the seed; what happens beside them does not.
 *
 *   start ── load ───────────────────────────── heal ── audit ── kill all ── start ── audit
 *               └ fault ── heal ── all ready? ── rest ── fault … ┘
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RingStatus } from '../../http/api.ts';
import { audit } from '../../sim/audit.ts';
import type { Violation } from '../../sim/checkers/answer.ts';
import { isConverged } from '../../sim/checkers/converged.ts';
import { DurableChecker } from '../../sim/checkers/durable.ts';
import { doubtedIn } from '../../sim/checkers/living.ts';
import { checkRing } from '../../sim/checkers/ring-sanity.ts';
import type { LoadTarget } from '../../sim/load-target.ts';
import { SimRandom } from '../../sim/random.ts';
import { Workload } from '../../sim/workload.ts';
import { CHAOS_FAULTS, possibleFaults } from './faults.ts';
import { type Ground, createLoopback } from './ground.ts';
import { createNamespaces } from './namespaces.ts';
import { ChaosNode } from './processes.ts';
import { createTarget } from './target.ts';

export interface ChaosOptions {
  readonly seed: number;
  /** How long faults go on. */
  readonly seconds: number;
  readonly nodeCount: number;
  /** Those that may strike; undefined: all that the machine allows. */
  readonly faults?: readonly string[];
  /** Never namespaces. */
  readonly isLoopback?: boolean;
  readonly onLine?: (line: string) => void;
  /** For tests: nodes that are worse than they are. */
  readonly plant?: (target: LoadTarget) => LoadTarget;
}

export interface ChaosVerdict {
  readonly violations: readonly Violation[];
  readonly facts: Readonly<Record<string, number | string>>;
  readonly readErrorsBy: ReadonlyMap<string, number>;
  /** What the nodes wrote last; empty when nothing was violated. */
  readonly logs: readonly string[];
}

const SETTLE_MS = 90_000;
const LOOK_EVERY_MS = 200;
const LOOK_TIMEOUT_MS = 1000;
const FAULT_MS_MAX = 8000;
const REST_MS_MAX = 2000;
const COPIES = 3;

const LOAD = {
  writers: 4,
  seriesPerWriter: 5,
  everyMs: 200,
  tenantCount: 3,
  repeatChance: 0.1,
  lateChance: 0.05,
  futureChance: 0.02,
  readBackChance: 0.1,
};

/** Runs the story; whatever happens, no process and no namespace is left. */
export async function runChaos(options: ChaosOptions): Promise<ChaosVerdict> {
  const rig = new Rig(options, await chooseGround(options));
  const removeAll = (): void => rig.removeAll();
  process.once('exit', removeAll);
  try {
    return await rig.run();
  } finally {
    process.off('exit', removeAll);
    removeAll();
  }
}

async function chooseGround({ isLoopback, nodeCount, onLine }: ChaosOptions): Promise<Ground> {
  const made = isLoopback === true ? 'it was asked for' : createNamespaces(nodeCount);
  if (typeof made !== 'string') return made;
  onLine?.(`on loopback, where links cannot be broken: ${made}`);
  return createLoopback(nodeCount);
}

class Rig {
  readonly #options: ChaosOptions;
  readonly #ground: Ground;
  readonly #directory = mkdtempSync(join(tmpdir(), 'starling-chaos-'));
  readonly #random: SimRandom;
  readonly #nodes: readonly ChaosNode[];
  readonly #workload: Workload;
  readonly #durable = new DurableChecker();
  readonly #startMs = performance.now();
  #damaged: ChaosNode | undefined;
  #faultCount = 0;
  #isOver = false;

  constructor(options: ChaosOptions, ground: Ground) {
    this.#options = options;
    this.#ground = ground;
    this.#random = new SimRandom(options.seed);
    const flags = ['--multitenancy=true', `--replication-factor=${COPIES}`];
    this.#nodes = ground.addresses.map((_, i) => new ChaosNode(i, ground, this.#directory, flags));
    const target = createTarget({
      nodes: this.#nodes,
      random: this.#random.child('workload'),
      note: (line) => this.#note(line),
      epochMs: Date.now(),
      nowMs: () => performance.now() - this.#startMs,
    });
    this.#workload = new Workload(options.plant?.(target) ?? target, LOAD);
  }

  async run(): Promise<ChaosVerdict> {
    const looking = this.#nodes.map((node) => this.#watch(node));
    try {
      await this.#tell();
    } finally {
      this.#isOver = true;
      this.#workload.isStopped = true;
      await Promise.all(looking);
    }
    const { counts, history, readErrorsBy, violations } = this.#workload;
    const { name, powers } = this.#ground;
    return {
      violations,
      facts: {
        ground: name,
        links: powers.size === 0 ? 'none' : [...powers].join('+'),
        nodes: this.#nodes.length,
        faults: this.#faultCount,
        sent: history.sentCount,
        acked: history.ackedCount,
        ...counts,
      },
      readErrorsBy,
      logs: violations.length === 0 ? [] : this.#nodes.map((node) => node.logTail()),
    };
  }

  removeAll(): void {
    for (const node of this.#nodes) node.killNow();
    this.#ground.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #tell(): Promise<void> {
    const random = this.#random.child('story');
    const names = this.#nodes.map((node) => node.name);
    const possible = possibleFaults(this.#ground);
    const faults = (this.#options.faults ?? possible).filter((name) => possible.includes(name));
    for (const node of this.#nodes) node.start();
    this.#note('started');
    await this.#settle('after the first start');
    this.#workload.start();
    const endMs = performance.now() + this.#options.seconds * 1000;
    await this.#sleep(random.between(500, REST_MS_MAX));
    while (performance.now() < endMs) {
      await this.#breakOne(random.pick(faults), random, endMs);
      await this.#settle('after a fault');
      await this.#sleep(random.between(0, REST_MS_MAX));
    }
    await this.#workload.stop();
    await this.#settle('at the end');
    await audit(this.#workload, names);
    this.#note('all are killed');
    await Promise.all(this.#nodes.map((node) => node.kill()));
    for (const node of this.#nodes) node.start();
    await this.#settle('after all were killed');
    await audit(this.#workload, names);
    if (this.#workload.history.ackedCount === 0) {
      this.#report('I24', 'no sample was ever acknowledged');
    }
  }

  async #breakOne(name: string | undefined, random: SimRandom, endMs: number): Promise<void> {
    const fault = name === undefined ? undefined : CHAOS_FAULTS[name];
    const drawn = random.pick(this.#nodes);
    const lengthMs = random.between(200, FAULT_MS_MAX);
    const fault1 = random.child(`fault ${this.#faultCount}`);
    if (fault === undefined || drawn === undefined) {
      await this.#sleep(Math.min(lengthMs, endMs - performance.now()));
      return;
    }
    if (fault.isDamage === true) this.#damaged ??= drawn;
    const victim = fault.isDamage === true ? (this.#damaged ?? drawn) : drawn;
    this.#faultCount++;
    this.#note(`fault ${name} ${victim.name} for ${lengthMs.toFixed(0)} ms`);
    await fault.strike({
      ground: this.#ground,
      random: fault1,
      victim,
      others: this.#nodes.filter((node) => node !== victim),
      lengthMs,
      sleep: (delayMs) => this.#sleep(delayMs),
      report: (what) => this.#report('stop', what),
    });
    this.#ground.heal();
    for (const node of this.#nodes) if (node.isHeld) node.release();
    for (const node of this.#nodes) node.start();
  }

  /** All is whole again: all must be ready and agree soon. */
  async #settle(when: string): Promise<void> {
    const endMs = performance.now() + SETTLE_MS;
    let rings: readonly RingStatus[] = [];
    const isWell = (): boolean =>
      this.#nodes.every(({ isReady }) => isReady) &&
      rings.length === this.#nodes.length &&
      isConverged(rings) &&
      doubtedIn(rings).length === 0;
    while (!isWell() && performance.now() < endMs) {
      await this.#sleep(LOOK_EVERY_MS);
      const seen = await Promise.all(this.#nodes.map((node) => node.ring(LOOK_TIMEOUT_MS)));
      rings = seen.filter((ring) => ring !== undefined);
    }
    this.#note(`looked at ${when}`);
    const names = this.#nodes.map(({ name }) => name);
    const dead = this.#nodes.filter(({ isReady }) => !isReady).map(({ name }) => name);
    if (dead.length > 0) this.#report('liveness', `${dead.join(', ')} not ready ${when}`);
    if (dead.length === 0 && !isConverged(rings)) this.#report('I8', `registries differ ${when}`);
    for (const doubt of doubtedIn(rings)) this.#report('I11', `${doubt} ${when}`);
    for (const ring of rings) {
      const life = this.#nodes.find(({ name }) => name === ring.self)?.life;
      const durable = this.#durable.saw(ring.self, ring, life);
      this.#workload.report([...durable, ...checkRing(ring, names)]);
    }
  }

  async #watch(node: ChaosNode): Promise<void> {
    while (!this.#isOver) {
      await node.look(LOOK_TIMEOUT_MS);
      await this.#sleep(LOOK_EVERY_MS);
    }
  }

  #report(invariant: string, what: string): void {
    this.#workload.report([{ invariant, what }]);
  }

  #note(line: string): void {
    this.#options.onLine?.(`${(performance.now() - this.#startMs).toFixed(0)} ${line}`);
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, Math.max(0, delayMs)));
  }
}
