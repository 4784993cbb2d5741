/**
 * The first story: a cluster comes up, clients write and read, one node is killed or loses power and
 * comes back, links lose and delay; then all heals, every node is restarted, and the audit asks each
 * of them for everything.
 *
 *   boot ── load ────────────────────────────────── quiet ── restart all ── audit
 *                 └ crash ── down ── restart ┘ heal
 */
import type { RunningNode } from '../cli/node.ts';
import type { Ciphers } from '../platform/platform.ts';
import type { Violation } from './checkers/answer.ts';
import { bootStarling, isReady, loadTargetOf } from './cluster.ts';
import { CALM } from './network.ts';
import { Workload } from './workload.ts';
import type { SimJobs } from './workers.ts';
import { type Machine, World } from './world.ts';

export interface StoryOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly ciphers: Ciphers;
  readonly jobs: SimJobs;
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

/** Runs the story of a seed to its verdict. */
export async function runStory(options: StoryOptions): Promise<Verdict> {
  const world = new World<RunningNode>({
    seed: options.seed,
    machineCount: MACHINES,
    ciphers: options.ciphers,
    jobs: options.jobs,
    bootNode: bootStarling(MACHINES),
  });
  const workload = new Workload(loadTargetOf(world), {
    writers: 4,
    seriesPerWriter: 5,
    everyMs: 500,
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
  const lengthMs = minutes * MINUTE_MS;
  await Promise.all(world.machines.map((machine) => world.boot(machine)));
  await waitReady(world, 'after the first boot', liveness);
  workload.start();
  await world.sleep(lengthMs * random.between(0.1, 0.3));
  world.network.faults = {
    ...CALM,
    loss: random.pick([0, 0.02, 0.2]) ?? 0,
    duplication: random.pick([0, 0.02]) ?? 0,
    latencyMs: random.pick([0.3, 2, 10]) ?? 0,
  };
  const victim = random.pick(world.machines);
  if (victim !== undefined) {
    if (random.chance(0.5)) world.losePower(victim);
    else world.kill(victim);
    await world.sleep(lengthMs * random.between(0.1, 0.3));
    await bootAgain(world, victim, liveness);
  }
  await world.sleep(lengthMs * 0.3);
  world.network.heal();
  await world.sleep(lengthMs * 0.1);
  await workload.stop();
  await waitReady(world, 'after healing', liveness);
  for (const machine of world.machines) {
    if (random.chance(0.5)) world.losePower(machine);
    else world.kill(machine);
  }
  await Promise.all(world.machines.map((machine) => bootAgain(world, machine, liveness)));
  await waitReady(world, 'after the restart of all', liveness);
  await workload.audit(world.machines.map((machine) => machine.name));
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
