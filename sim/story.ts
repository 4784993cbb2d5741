/**
 * The story: a cluster comes up, clients write and read, and one fault after another of those that the
 * seed enabled (`swarm.ts`, `faults/`) comes and goes. Then the load ends, every node is restarted, and
 * the audit asks each for everything.
 *
 *   boot ── load ─────────────────────────────────────────────── restart all ── audit
 *              └ fault ── heal ── all ready? ── rest ── fault … ┘
 */
import type { RunningNode } from '../cli/node.ts';
import { READ_SLACK_MS } from '../membership/ring/index.ts';
import { assert } from '../model/assert.ts';
import type { Ciphers } from '../platform/platform.ts';
import { audit } from './audit.ts';
import type { Violation } from './checkers/answer.ts';
import { HIDE_MS } from './checkers/deleted.ts';
import { checkFailStop, checkFullDisk } from './checkers/fail-stop.ts';
import { checkSkewed } from './checkers/skewed.ts';
import { RECOVERY_MS } from './checkers/recovered.ts';
import { bootStarling, loadTargetOf } from './cluster.ts';
import { OFF_MS, checkCuts, powerOff } from './cuts.ts';
import { BUCKET_FAULTS } from './faults/bucket.ts';
import type { Fault, FaultScene } from './faults/fault.ts';
import { FAULTS } from './faults/index.ts';
import { StoryOperator } from './operator.ts';
import type { Planted } from './planted/index.ts';
import { SimRandom } from './random.ts';
import type { OwedSince } from './said.ts';
import { type Swarm, drawSwarm } from './swarm.ts';
import { AvailabilityWatch } from './watch.ts';
import { Workload } from './workload.ts';
import type { SimJobs } from './workers.ts';
import { World } from './world.ts';

export interface StoryOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly ciphers: Ciphers;
  readonly jobs: SimJobs;
  /** Settings of the nodes beyond the story's own, as flags. */
  readonly flags?: Readonly<Record<string, string>>;
  /** What is not left to the seed. */
  readonly swarm?: Partial<Swarm>;
  /** A bug that the checkers must find: the first violation ends the story. */
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
  /** What happened, and how often: log events, faults. */
  readonly probes: ReadonlyMap<string, number>;
  readonly swarm: Swarm;
  readonly lastLines: readonly string[];
}

const MINUTE_MS = 60_000;
/** Reads stop minding an RF step this long after it. */
const AGE_MS = READ_SLACK_MS + MINUTE_MS;
const FAULT_MS_MAX = 40_000;
/** Some stories end with a calm long enough to see whether everything recovered. */
const LONG_REST_CHANCE = 0.2;
const LONG_REST_MS = 20_000;
/** How long a node that must end may take: requests in flight finish first. */
const END_MS = 15_000;
/** Before a fault, where deletions are to be cut. */
const OFF_CHANCE = 0.15;
/** Of a tenant: more than are said. */
const EXEMPLARS_MAX = 50_000;
/** Machines that may be added. */
const SPARE_COUNT = 2;

/** Runs the story of a seed to its verdict. */
export async function runStory(options: StoryOptions): Promise<Verdict> {
  const seedRandom = new SimRandom(options.seed).child('swarm');
  const drawn = { ...drawSwarm(seedRandom), ...options.swarm };
  const { tenantCount } = drawn;
  const swarm = { ...drawn, load: { ...drawn.load, tenantCount } };
  const bug = options.planted;
  const flags = flagsOf(swarm, options.flags);
  const plantedBug = bug && { bug, random: seedRandom.child('planted') };
  const world = new World<RunningNode>({
    seed: options.seed,
    machineCount: swarm.machineCount + SPARE_COUNT,
    ciphers: options.ciphers,
    jobs: options.jobs,
    oddities: swarm.oddities,
    hasOwnBuckets: !swarm.hasBucket,
    bootNode: bootStarling(swarm.machineCount, flags, plantedBug),
  });
  const bucketRandom = world.random.child('bucket');
  world.bucket.latencyMs = () => bucketRandom.between(1, 10);
  const owedSince: OwedSince = {
    metadataMs: () => world.lastEndMs,
    exemplarsMs: () => operator.exemplarsOwedSinceMs(),
  };
  const workload = new Workload(loadTargetOf(world, owedSince), swarm.load);
  const { machineCount } = swarm;
  const operator = new StoryOperator({ world, workload, flags, machineCount });
  operator.cutsHeads = swarm.oddities.includes('blocks.early-cut');
  const watch = new AvailabilityWatch(() => operator.cutsHeads);
  const telling = { world, workload, operator, swarm, watch, minutes: options.minutes };
  workload.onRequest = ({ failed, ...seen }) => {
    const why = failed && (failed.kind === 'timeout' ? 'timeout' : String(failed.error));
    operator.report(watch.saw({ ...seen, why }));
  };
  try {
    const isFound = (): boolean => workload.violations.length + operator.violations.length > 0;
    await world.run(async () => {
      if (bug === undefined) await tell(telling);
      else await Promise.race([tell(telling), world.until(isFound, Infinity)]);
    });
  } catch (error) {
    world.broken.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const { history } = workload;
  return {
    seed: options.seed,
    violations: [
      ...workload.violations,
      ...operator.violations,
      ...world.broken.map((what) => ({ invariant: 'I32', what })),
    ],
    hash: world.trace.hash,
    events: world.loop.eventCount,
    sent: history.sentCount,
    acked: history.ackedCount,
    counts: workload.counts,
    readErrorsBy: workload.readErrorsBy,
    probes: world.trace.probes,
    swarm,
    lastLines: world.trace.lastLines(),
  };
}

/** The settings of nodes. */
function flagsOf(swarm: Swarm, more: StoryOptions['flags']): Map<string, string> {
  return new Map<string, string>([
    ['replication-factor', String(swarm.replicationFactor)],
    ...(swarm.tenantCount > 1
      ? ([
          ['multitenancy', 'true'],
          ['limits.max-global-exemplars-per-user', String(EXEMPLARS_MAX)],
        ] as const)
      : []),
    ...(swarm.hasBucket ? ([['bucket', 's3://sim']] as const) : []),
    ...Object.entries({ ...swarm.flags, ...more }),
  ]);
}

/** What all parts of the story share. */
interface Telling {
  readonly world: World<RunningNode>;
  readonly workload: Workload;
  readonly operator: StoryOperator;
  readonly swarm: Swarm;
  readonly watch: AvailabilityWatch;
  readonly minutes: number;
}

async function tell(telling: Telling): Promise<void> {
  const { minutes, operator, swarm, watch, workload, world } = telling;
  const random = world.random.child('story');
  const isCalm = swarm.faults.length === 0;
  const cutting = {
    world,
    workload,
    operator,
    settle: () => settle(telling, 'after all were off'),
  };
  await operator.bootDead();
  await settle(telling, 'after the first boot');
  // A young cluster still minds the time when it had fewer replicas, and refuses more reads.
  if (random.chance(0.5)) await growOld(telling, random.chance(0.8));
  let endMs = world.loop.nowMs + minutes * MINUTE_MS;
  workload.start();
  const flushing = flushNowAndThen(telling);
  await world.sleep(isCalm ? endMs - world.loop.nowMs : random.between(0, swarm.restMsMax));
  while (world.loop.nowMs < endMs) {
    if (swarm.cutsDeletions === true && random.chance(OFF_CHANCE)) {
      watch.disturb();
      await powerOff(cutting);
      endMs += OFF_MS;
    }
    const check = await breakOne(telling, random);
    await settle(telling, 'after a fault');
    check?.();
    await world.sleep(random.between(0, swarm.restMsMax));
  }
  if (random.chance(LONG_REST_CHANCE)) await world.sleep(RECOVERY_MS + LONG_REST_MS);
  await workload.stop();
  await flushing;
  watch.disturb();
  for (const machine of operator.members()) {
    if (random.chance(0.5)) world.losePower(machine);
    else world.kill(machine);
  }
  await operator.bootDead();
  await settle(telling, 'after the restart of all');
  if (workload.history.ackedCount === 0) {
    operator.report([{ invariant: 'I24', what: 'no sample was ever acknowledged' }]);
  }
  if (workload.history.deletionCount + workload.counts.cancellations > 0) {
    await world.sleep(HIDE_MS + 1000);
  }
  if (swarm.cutsDeletions === true) await checkCuts(cutting);
  await audit(
    workload,
    operator.members().map((machine) => machine.name),
  );
}

/** Mostly all are down meanwhile, so that a quarter of an hour costs no events. */
async function growOld(telling: Telling, areDown: boolean): Promise<void> {
  const { operator, world } = telling;
  if (areDown) for (const machine of operator.members()) world.kill(machine);
  await world.sleep(AGE_MS);
  await operator.bootDead();
  await settle(telling, 'grown old');
}

/** As an operator's clock does, until the load ends. */
async function flushNowAndThen({ operator, swarm, workload, world }: Telling): Promise<void> {
  const { flushEveryMs } = swarm;
  if (flushEveryMs === undefined) return;
  while (
    await world.until(() => workload.isStopped, flushEveryMs, 1000).then((isOver) => !isOver)
  ) {
    for (const machine of operator.members()) await operator.flush(machine);
  }
}

/** Everything is whole again: all must be well soon. */
async function settle({ operator, watch, world }: Telling, when: string): Promise<void> {
  await operator.waitReady(when);
  await operator.waitConverged(when);
  await operator.waitTrusted(when);
  watch.whole(world.loop.nowMs);
}

/**
 * One fault for a while. No more than one machine is harmed at a time, or all at the same moment. Returns what is
 * to be checked once all is well again.
 */
async function breakOne(telling: Telling, random: SimRandom): Promise<(() => void) | undefined> {
  const { operator, swarm, watch, workload, world } = telling;
  const members = operator.members();
  const name = random.pick(swarm.faults) ?? 'kill';
  const fault = FAULTS[name];
  assert(fault !== undefined, `sim: there is no fault ${name}`);
  const drawn = members[random.below(members.length)]!;
  const lengthMs = random.between(0, random.chance(0.5) ? 2000 : FAULT_MS_MAX);
  if (fault.isDamage === true && !mayDamage(swarm)) return undefined;
  if (fault.isDamage === true) operator.damaged ??= drawn;
  const victim = fault.isDamage === true ? (operator.damaged ?? drawn) : drawn;
  const others = members.filter((one) => one !== victim);
  world.note(`fault ${name} ${victim.name} for ${lengthMs.toFixed(0)} ms`);
  world.trace.probe(`fault ${name}`);
  watch.disturb();
  operator.hasHiddenDamage ||= fault.isHidden === true;
  if (fault.reach === 'one' && mustDoWithout(telling, victim))
    watch.strike(victim.name, world.loop.nowMs);
  const { life } = victim;
  const ringsBefore = operator.rings();
  const failedBefore = victim.disk.failedSyncs;
  const { history } = workload;
  if (name in BUCKET_FAULTS) history.allHearSinceMs = Infinity;
  await strike(fault, { world, random, victim, others, lengthMs, operator });
  if (name in BUCKET_FAULTS) history.allHearSinceMs = world.loop.nowMs;
  operator.report(watch.end(fault.isSlowness === true));
  const isAlive = victim.life === life;
  const failedSyncs = victim.disk.failedSyncs - failedBefore;
  if (fault.lifeMust === 'go on' && life !== undefined) {
    operator.report(checkFullDisk({ machine: victim.name, failedSyncs, isAlive }));
  } else if (fault.lifeMust !== undefined && isAlive) {
    await world.sleep(END_MS);
    const isAliveStill = victim.life === life;
    operator.report(checkFailStop({ machine: victim.name, failedSyncs, isAlive: isAliveStill }));
  }
  world.network.heal();
  await operator.bootDead();
  if (fault.isClock !== true) return undefined;
  return () => {
    operator.report(checkSkewed(ringsBefore, operator.rings(), operator.damaged?.name));
  };
}

/** Three copies of everything, for as long as reads look back; what was damaged is filled again. */
function mustDoWithout({ operator, swarm, world }: Telling, victim: Scene['victim']): boolean {
  const isOld = world.loop.nowMs > AGE_MS;
  const isWhole = operator
    .rings()
    .every(({ instances }) => instances.every(({ missingBeforeMs }) => missingBeforeMs === 0));
  // Else two machines are harmed: a block that rotted fails the reads of its time by its name until it is healed.
  const isAlone = !operator.hasHiddenDamage || operator.damaged === victim;
  return swarm.replicationFactor === 3 && isOld && isWhole && isAlone;
}

type Scene = FaultScene<RunningNode>;

async function strike(fault: Fault, scene: Scene): Promise<void> {
  const { lengthMs, world } = scene;
  const end = fault.strike(scene);
  if (end instanceof Promise) {
    await end;
    return;
  }
  await world.sleep(lengthMs);
  end?.();
}

/** One copy may be lost where a quorum is more than one. */
function mayDamage({ replicationFactor }: Swarm): boolean {
  return replicationFactor > 1;
}
