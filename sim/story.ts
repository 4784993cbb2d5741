/**
 * The story: a cluster comes up, clients write and read, and one fault after another comes and goes:
 * a node is killed, loses power, is cut off, hears nothing; links lose, double and delay; all nodes go
 * at once. Then the load ends, every node is restarted, and the audit asks each for everything.
 *
 *   boot ── load ─────────────────────────────────────────────── restart all ── audit
 *              └ fault ── heal ── all ready? ── rest ── fault … ┘
 */
import type { RunningNode } from '../cli/node.ts';
import { READ_SLACK_MS } from '../membership/ring/index.ts';
import type { Ciphers } from '../platform/platform.ts';
import type { Violation } from './checkers/answer.ts';
import { bootStarling, isReady, loadTargetOf } from './cluster.ts';
import type { SimRandom } from './random.ts';
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
}

export interface Verdict {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly hash: string;
  readonly events: number;
  readonly sent: number;
  readonly acked: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly lastLines: readonly string[];
}

const MACHINES = 3;
const READY_TIMEOUT_MS = 120_000;
const MINUTE_MS = 60_000;
/** Reads stop minding an RF step this long after it. */
const AGE_MS = READ_SLACK_MS + MINUTE_MS;
const REST_MS_MAX = 10_000;
const FAULT_MS_MAX = 40_000;
/** What can happen; twice the weight for what is named twice. */
const FAULTS = [
  'deaf',
  'kill',
  'kill',
  'lossy',
  'partition',
  'power',
  'power',
  'restart-all',
] as const;

/** Runs the story of a seed to its verdict. */
export async function runStory(options: StoryOptions): Promise<Verdict> {
  const world = new World<RunningNode>({
    seed: options.seed,
    machineCount: MACHINES,
    ciphers: options.ciphers,
    jobs: options.jobs,
    bootNode: bootStarling(MACHINES, options.flags),
  });
  const workload = new Workload(loadTargetOf(world), {
    writers: 4,
    seriesPerWriter: 5,
    everyMs: world.random.child('load').pick([50, 200, 500]) ?? 500,
  });
  const liveness: Violation[] = [];
  try {
    await world.run(() => tell(world, workload, { minutes: options.minutes, liveness }));
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
    lastLines: world.trace.lastLines(),
  };
}

async function tell(
  world: World<RunningNode>,
  workload: Workload,
  { liveness, minutes }: { readonly minutes: number; readonly liveness: Violation[] },
): Promise<void> {
  const random = world.random.child('story');
  await Promise.all(world.machines.map((machine) => bootAgain(world, machine, liveness)));
  await waitReady(world, 'after the first boot', liveness);
  // A young cluster still minds the time when it had fewer replicas, and refuses more reads.
  if (random.chance(0.5)) await world.sleep(AGE_MS);
  const endMs = world.loop.nowMs + minutes * MINUTE_MS;
  workload.start();
  await world.sleep(random.between(0, REST_MS_MAX));
  while (world.loop.nowMs < endMs) {
    await breakOne(world, random, liveness);
    world.network.heal();
    await waitReady(world, 'after a fault', liveness);
    await world.sleep(random.between(0, REST_MS_MAX));
  }
  await workload.stop();
  await restartAll(world, random, liveness);
  await waitReady(world, 'after the restart of all', liveness);
  if (workload.history.ackedCount === 0) {
    liveness.push({ invariant: 'liveness', what: 'no sample was ever acknowledged' });
  }
  await workload.audit(world.machines.map((machine) => machine.name));
}

/** One fault for a while. No more than one machine is harmed at a time, or all at the same moment. */
async function breakOne(
  world: World<RunningNode>,
  random: SimRandom,
  liveness: Violation[],
): Promise<void> {
  const victim = world.machines[random.below(world.machines.length)]!;
  const others = world.machines.filter((one) => one !== victim).map((one) => one.ip);
  const fault = random.pick(FAULTS) ?? 'kill';
  const lengthMs = random.between(0, random.chance(0.5) ? 2000 : FAULT_MS_MAX);
  world.note(`fault ${fault} ${victim.name} for ${lengthMs.toFixed(0)} ms`);
  switch (fault) {
    case 'deaf':
      for (const ip of others) world.network.cut(ip, victim.ip);
      break;
    case 'kill':
      world.kill(victim);
      break;
    case 'lossy':
      world.network.faults = {
        loss: random.between(0, 0.3),
        duplication: random.between(0, 0.05),
        latencyMs: random.between(0.3, 20),
        tailMs: 500,
      };
      break;
    case 'partition':
      world.network.partition([victim.ip], others);
      break;
    case 'power':
      world.losePower(victim);
      break;
    case 'restart-all':
      await restartAll(world, random, liveness);
      return;
  }
  await world.sleep(lengthMs);
  if (victim.life === undefined) await bootAgain(world, victim, liveness);
}

/** Every machine goes at the same moment, and comes back. */
async function restartAll(
  world: World<RunningNode>,
  random: SimRandom,
  liveness: Violation[],
): Promise<void> {
  for (const machine of world.machines) {
    if (random.chance(0.5)) world.losePower(machine);
    else world.kill(machine);
  }
  await Promise.all(world.machines.map((machine) => bootAgain(world, machine, liveness)));
}

async function bootAgain(
  world: World<RunningNode>,
  machine: Machine<RunningNode>,
  liveness: Violation[],
): Promise<void> {
  const outcome = await world.boot(machine);
  if (outcome.kind === 'answer') return;
  const why = outcome.kind === 'error' ? String(outcome.error) : 'no answer in time';
  world.note(`VIOLATION liveness: ${machine.name} does not boot: ${why}`);
  liveness.push({ invariant: 'liveness', what: `${machine.name} does not boot: ${why}` });
}

async function waitReady(
  world: World<RunningNode>,
  when: string,
  liveness: Violation[],
): Promise<void> {
  const isAllReady = (): boolean => world.machines.every((one) => isReady(one.life?.node));
  if (await world.until(isAllReady, READY_TIMEOUT_MS)) {
    world.note(`all ready ${when}`);
    return;
  }
  const reasons = world.machines.map(
    ({ life, name }) => `${name}: ${life?.node?.api.notReady().join(', ') ?? 'down'}`,
  );
  const what = `not all nodes are ready ${when}: ${reasons.join('; ')}`;
  world.note(`VIOLATION liveness: ${what}`);
  liveness.push({ invariant: 'liveness', what });
}
