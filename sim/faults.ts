/**
 * What can go wrong, one row a fault: a sentence, how it strikes, and how it ends. A row harms one
 * machine (the victim), its links, or all machines at the same moment. `strike` returns what ends it;
 * links heal by themselves after each fault, and a machine that died is booted again by the story.
 *
 *   strike ──(the story waits)──> the returned end ── links heal ── dead machines boot
 */
import type { SimRandom } from './random.ts';
import type { Machine, World } from './world.ts';

/** Where a fault strikes. */
export interface FaultScene<Node> {
  readonly world: World<Node>;
  readonly random: SimRandom;
  readonly victim: Machine<Node>;
  readonly others: readonly Machine<Node>[];
  readonly lengthMs: number;
}

export interface Fault {
  /** What happens in the world outside, in a sentence. */
  readonly sentence: string;
  /** Lets it happen; what it returns is called when the time of the fault is over. */
  strike<Node>(scene: FaultScene<Node>): (() => void) | undefined;
}

/** Nodes refuse samples that lie further ahead of their clock; wrong clocks stay well below. */
const WALL_OFFSET_MS_MAX = 4 * 60_000;
const DRIFT_PPM_MAX = 500;
const PAUSE_MS_MAX = 15_000;

/** All faults by name. Names are part of what a seed means: a new one changes the runs of all seeds. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  'bad-disk': {
    sentence: 'some calls of one disk fail with EIO',
    strike({ random, victim }) {
      const chance = random.pick([0.001, 0.01, 0.2]) ?? 0.01;
      const calls = new Set(random.chance(0.5) ? ['write'] : ['open', 'read', 'rename', 'write']);
      victim.disk.failWhen = (call) =>
        calls.has(call) && random.chance(chance) ? 'EIO' : undefined;
      return () => (victim.disk.failWhen = () => undefined);
    },
  },
  'changed-bytes': {
    sentence: 'links change a byte of some datagrams',
    strike({ random, world }) {
      const corruption = random.between(0.01, 0.4);
      world.network.faults = { ...world.network.faults, corruption };
    },
  },
  clog: {
    sentence: 'what is sent to or from one machine waits, and arrives later',
    strike({ lengthMs, others, random, victim, world }) {
      const isBothWays = random.chance(0.5);
      for (const { ip } of others) {
        world.network.clog(victim.ip, ip, lengthMs);
        if (isBothWays) world.network.clog(ip, victim.ip, lengthMs);
      }
    },
  },
  clock: {
    sentence: 'the wall clock of one machine is wrong, drifts, steps, and steps back',
    strike({ random, victim, world }) {
      victim.wall.driftPpm = random.between(-DRIFT_PPM_MAX, DRIFT_PPM_MAX);
      victim.wall.offsetMs = random.between(-WALL_OFFSET_MS_MAX, WALL_OFFSET_MS_MAX);
      world.note(`clock of ${victim.name} is off by ${victim.wall.offsetMs.toFixed(0)} ms`);
      return () => {
        victim.wall.driftPpm = 0;
        victim.wall.offsetMs = 0;
      };
    },
  },
  deaf: {
    sentence: 'one machine hears nobody, but is heard',
    strike({ others, victim, world }) {
      for (const { ip } of others) world.network.cut(ip, victim.ip);
    },
  },
  'failing-sync': {
    sentence: 'fsync of one disk fails: what it covered is lost with the next loss of power',
    strike({ random, victim }) {
      const chance = random.pick([0.01, 0.1, 1]) ?? 1;
      victim.disk.failWhen = (call) =>
        call === 'sync' && random.chance(chance) ? 'EIO' : undefined;
      return () => (victim.disk.failWhen = () => undefined);
    },
  },
  'full-disk': {
    sentence: 'one disk is full: writes leave a prefix and fail with ENOSPC',
    strike({ victim }) {
      victim.disk.failWhen = (call) => (call === 'write' ? 'ENOSPC' : undefined);
      return () => (victim.disk.failWhen = () => undefined);
    },
  },
  kill: {
    sentence: 'one process is killed; what it wrote stays in the kernel',
    strike({ victim, world }) {
      world.kill(victim);
    },
  },
  lossy: {
    sentence: 'all links lose, double and delay',
    strike({ random, world }) {
      world.network.faults = {
        loss: random.between(0, 0.3),
        duplication: random.between(0, 0.05),
        latencyMs: random.between(0.3, 20),
        tailMs: 500,
      };
    },
  },
  partition: {
    sentence: 'one machine is cut off from all others',
    strike({ others, victim, world }) {
      world.network.partition(
        [victim.ip],
        others.map(({ ip }) => ip),
      );
    },
  },
  pause: {
    sentence: 'one process is held, as by SIGSTOP or a long garbage collection',
    strike({ lengthMs, victim, world }) {
      const { life } = victim;
      world.pause(victim);
      const resume = (): void => {
        if (victim.life === life) world.resume(victim);
      };
      world.loop.schedule(world.loop.world, Math.min(lengthMs, PAUSE_MS_MAX), resume);
      return resume;
    },
  },
  power: {
    sentence: 'one machine loses power, and what it did not sync',
    strike({ victim, world }) {
      world.losePower(victim);
    },
  },
  'restart-all': {
    sentence: 'every machine goes at the same moment, some without power',
    strike({ others, random, victim, world }) {
      for (const machine of [victim, ...others]) {
        if (random.chance(0.5)) world.losePower(machine);
        else world.kill(machine);
      }
    },
  },
  'slow-disk': {
    sentence: 'the calls of one disk take long',
    strike({ random, victim }) {
      const before = victim.disk.latency;
      const times = random.between(10, 300);
      victim.disk.latency = {
        callMs: before.callMs * times,
        syncMs: before.syncMs * times,
        tailMs: 2000,
      };
      return () => (victim.disk.latency = before);
    },
  },
};
