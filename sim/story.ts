/**
 * The story: a cluster comes up, clients write and read, and one fault after another of those that the
 * seed enabled (`swarm.ts`, `faults.ts`) comes and goes. Then the load ends, every node is restarted, and the audit asks each for everything.
 *
 *   boot ── load ─────────────────────────────────────────────── restart all ── audit
 *              └ fault ── heal ── all ready? ── rest ── fault … ┘
 */
import type { RunningNode } from '../cli/node.ts';
import type { RingStatus } from '../http/api.ts';
import { READ_SLACK_MS } from '../membership/ring/index.ts';
import { assert } from '../model/assert.ts';
import type { Ciphers } from '../platform/platform.ts';
import type { Violation } from './checkers/answer.ts';
import { isConverged } from './checkers/converged.ts';
import { DurableChecker } from './checkers/durable.ts';
import { bootStarling, isReady, loadTargetOf } from './cluster.ts';
import { FAULTS } from './faults.ts';
import type { Planted } from './planted.ts';
import { SimRandom } from './random.ts';
import { type Swarm, drawSwarm } from './swarm.ts';
import { Workload } from './workload.ts';
import type { SimJobs } from './workers.ts';
import { type Machine, World } from './world.ts';

export interface StoryOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly ciphers: Ciphers;
  readonly jobs: SimJobs;
  /** Settings of the nodes beyond the story's own, as flags. */
  readonly flags?: Readonly<Record<string, string>>;
  /** What is not left to the seed. */
  readonly swarm?: Partial<Swarm>;
  /** A bug that the checkers must find. */
  readonly planted?: Planted;
}

export interface Verdict {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly hash: string;
  readonly events: number;
  readonly sent: number;
  readonly acked: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly readErrorsBy: ReadonlyMap<string, number>;
  readonly swarm: Swarm;
  readonly lastLines: readonly string[];
}

const CONVERGED_TIMEOUT_MS = 120_000;
const READY_TIMEOUT_MS = 120_000;
const MINUTE_MS = 60_000;
/** Reads stop minding an RF step this long after it. */
const AGE_MS = READ_SLACK_MS + MINUTE_MS;
const REST_MS_MAX = 10_000;
const FAULT_MS_MAX = 40_000;
/** Runs the story of a seed to its verdict. */
export async function runStory(options: StoryOptions): Promise<Verdict> {
  const seedRandom = new SimRandom(options.seed).child('swarm');
  const swarm = { ...drawSwarm(seedRandom), ...options.swarm };
  const bug = options.planted;
  const flags = {
    'replication-factor': String(swarm.replicationFactor),
    ...(swarm.tenantCount > 1 ? { multitenancy: 'true' } : {}),
    ...options.flags,
  };
  const plantedBug = bug && { bug, random: seedRandom.child('planted') };
  const world = new World<RunningNode>({
    seed: options.seed,
    machineCount: swarm.machineCount,
    ciphers: options.ciphers,
    jobs: options.jobs,
    bootNode: bootStarling(swarm.machineCount, flags, plantedBug),
  });
  const workload = new Workload(loadTargetOf(world), swarm.load);
  const liveness: Violation[] = [];
  const durable = new DurableChecker();
  try {
    await world.run(() =>
      tell(world, workload, { minutes: options.minutes, swarm, liveness, durable }),
    );
  } catch (error) {
    world.broken.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const { history } = workload;
  return {
    seed: options.seed,
    violations: [
      ...workload.violations,
      ...liveness,
      ...world.broken.map((what) => ({ invariant: 'run', what })),
    ],
    hash: world.trace.hash,
    events: world.loop.eventCount,
    sent: history.sentCount,
    acked: history.ackedCount,
    counts: workload.counts,
    readErrorsBy: workload.readErrorsBy,
    swarm,
    lastLines: world.trace.lastLines(),
  };
}

/** What all parts of the story share. */
interface Telling {
  readonly minutes: number;
  readonly swarm: Swarm;
  readonly liveness: Violation[];
  readonly durable: DurableChecker;
}

async function tell(
  world: World<RunningNode>,
  workload: Workload,
  telling: Telling,
): Promise<void> {
  const { liveness, minutes } = telling;
  const random = world.random.child('story');
  const isCalm = telling.swarm.faults.length === 0;
  await Promise.all(world.machines.map((machine) => bootAgain(world, machine, telling)));
  await waitReady(world, 'after the first boot', telling);
  // A young cluster still minds the time when it had fewer replicas, and refuses more reads.
  if (random.chance(0.5)) await world.sleep(AGE_MS);
  const endMs = world.loop.nowMs + minutes * MINUTE_MS;
  workload.start();
  await world.sleep(isCalm ? endMs - world.loop.nowMs : random.between(0, REST_MS_MAX));
  while (world.loop.nowMs < endMs) {
    await breakOne(world, random, telling);
    await waitReady(world, 'after a fault', telling);
    await world.sleep(random.between(0, REST_MS_MAX));
  }
  await workload.stop();
  await restartAll(world, random, telling);
  await waitReady(world, 'after the restart of all', telling);
  if (workload.history.ackedCount === 0) {
    liveness.push({ invariant: 'liveness', what: 'no sample was ever acknowledged' });
  }
  await workload.audit(world.machines.map((machine) => machine.name));
}

/** One fault for a while. No more than one machine is harmed at a time, or all at the same moment. */
async function breakOne(
  world: World<RunningNode>,
  random: SimRandom,
  telling: Telling,
): Promise<void> {
  const victim = world.machines[random.below(world.machines.length)]!;
  const others = world.machines.filter((one) => one !== victim);
  const name = random.pick(telling.swarm.faults) ?? 'kill';
  const lengthMs = random.between(0, random.chance(0.5) ? 2000 : FAULT_MS_MAX);
  world.note(`fault ${name} ${victim.name} for ${lengthMs.toFixed(0)} ms`);
  const fault = FAULTS[name];
  assert(fault !== undefined, `sim: there is no fault ${name}`);
  const end = fault.strike({ world, random, victim, others, lengthMs });
  await world.sleep(name === 'restart-all' ? 0 : lengthMs);
  end?.();
  world.network.heal();
  const dead = world.machines.filter(({ life }) => life === undefined);
  await Promise.all(dead.map((machine) => bootAgain(world, machine, telling)));
}

/** Every machine goes at the same moment, and comes back. */
async function restartAll(
  world: World<RunningNode>,
  random: SimRandom,
  telling: Telling,
): Promise<void> {
  for (const machine of world.machines) {
    if (random.chance(0.5)) world.losePower(machine);
    else world.kill(machine);
  }
  await Promise.all(world.machines.map((machine) => bootAgain(world, machine, telling)));
}

async function bootAgain(
  world: World<RunningNode>,
  machine: Machine<RunningNode>,
  telling: Telling,
): Promise<void> {
  const outcome = await world.boot(machine);
  if (outcome.kind === 'answer') return;
  const why = outcome.kind === 'error' ? String(outcome.error) : 'no answer in time';
  report(world, telling, [
    { invariant: 'liveness', what: `${machine.name} does not boot: ${why}` },
  ]);
}

async function waitReady(world: World<RunningNode>, when: string, telling: Telling): Promise<void> {
  const isAllReady = (): boolean => world.machines.every((one) => isReady(one.life?.node));
  if (await world.until(isAllReady, READY_TIMEOUT_MS)) {
    world.note(`all ready ${when}`);
    await waitConverged(world, when, telling);
    return;
  }
  const reasons = world.machines.map(
    ({ life, name }) => `${name}: ${life?.node?.api.notReady().join(', ') ?? 'down'}`,
  );
  const what = `not all nodes are ready ${when}: ${reasons.join('; ')}`;
  report(world, telling, [{ invariant: 'liveness', what }]);
}

async function waitConverged(
  world: World<RunningNode>,
  when: string,
  telling: Telling,
): Promise<void> {
  const rings = (): readonly RingStatus[] =>
    world.machines.flatMap(({ life }) => (life?.node === undefined ? [] : [life.node.api.ring()]));
  if (!(await world.until(() => isConverged(rings()), CONVERGED_TIMEOUT_MS))) {
    report(world, telling, [
      { invariant: 'converged', what: `registries differ ${when}: ${digests(rings())}` },
    ]);
  }
  for (const { life, name } of world.machines) {
    if (life?.node === undefined) continue;
    const ring = life.node.api.ring();
    report(world, telling, telling.durable.saw(name, ring));
  }
}

function digests(rings: readonly RingStatus[]): string {
  return rings.map(({ digest, self }) => `${self}=${digest}`).join(' ');
}

function report(
  world: World<RunningNode>,
  { liveness }: Telling,
  violations: readonly Violation[],
): void {
  for (const violation of violations) {
    world.note(`VIOLATION ${violation.invariant}: ${violation.what}`);
    liveness.push(violation);
  }
}
