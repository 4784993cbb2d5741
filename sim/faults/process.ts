/** Faults of processes and machines: killed, held, restarted, in turn, at once; and lost for good. */
import type { Machine } from '../world.ts';
import type { FaultScene, Faults } from './fault.ts';

const PAUSE_MS_MAX = 15_000;
/** A power cut of the whole site, not of a part of it. */
const ALL_POWERLESS_CHANCE = 0.3;

function holdFor<Node>({ victim, world }: FaultScene<Node>, forMs: number): () => void {
  const { life } = victim;
  world.pause(victim);
  const resume = (): void => {
    if (victim.life === life) world.resume(victim);
  };
  world.loop.schedule(world.loop.world, forMs, resume);
  return resume;
}

function all<Node>({
  others,
  victim,
}: Pick<FaultScene<Node>, 'others' | 'victim'>): readonly Machine<Node>[] {
  return [victim, ...others];
}

export const PROCESS_FAULTS: Faults = {
  'crash-loop': {
    sentence: 'one process is killed again and again while it boots',
    reach: 'one',
    async strike({ operator, random, victim, world }) {
      for (let i = 0; i < 4; i++) {
        if (random.chance(0.3)) world.losePower(victim);
        else world.kill(victim);
        await Promise.race([operator.boot(victim), world.sleep(random.between(0, 60))]);
      }
      world.kill(victim);
    },
  },
  kill: {
    sentence: 'one process is killed; what it wrote stays in the kernel',
    reach: 'one',
    strike({ victim, world }) {
      world.kill(victim);
      return undefined;
    },
  },
  'kill-in-turn': {
    sentence: 'every process is killed, one after the other is ready again',
    reach: 'all',
    async strike(scene) {
      for (const machine of all(scene)) {
        scene.world.kill(machine);
        await scene.operator.boot(machine);
        await scene.operator.waitReady();
      }
    },
  },
  'kill-some': {
    sentence: 'some processes are killed at the same moment, and come back together',
    reach: 'all',
    strike(scene) {
      scene.world.kill(scene.victim);
      for (const one of scene.others) if (scene.random.chance(0.5)) scene.world.kill(one);
      return undefined;
    },
  },
  pause: {
    sentence: 'one process is held, as by SIGSTOP or a long garbage collection',
    reach: 'one',
    strike: (scene) => holdFor(scene, Math.min(scene.lengthMs, PAUSE_MS_MAX)),
  },
  'pause-all': {
    sentence: 'all processes are held at the same moment, as when a host is suspended',
    reach: 'all',
    strike(scene) {
      const forMs = Math.min(scene.lengthMs, PAUSE_MS_MAX);
      const ends = all(scene).map((victim) => holdFor({ ...scene, victim }, forMs));
      return () => {
        for (const end of ends) end();
      };
    },
  },
  power: {
    sentence: 'one machine loses power, and what it did not sync',
    reach: 'one',
    strike({ victim, world }) {
      world.losePower(victim);
      return undefined;
    },
  },
  restart: {
    sentence: 'one process is stopped as by SIGTERM, and started again',
    reach: 'one',
    strike: ({ operator, victim }) => operator.stop(victim),
  },
  'restart-all': {
    sentence: 'every machine goes at the same moment, some or all of them without power',
    reach: 'all',
    strike({ random, world, ...scene }) {
      const powerless = random.chance(ALL_POWERLESS_CHANCE) ? 1 : 0.5;
      for (const machine of all(scene)) {
        if (random.chance(powerless)) world.losePower(machine);
        else world.kill(machine);
      }
      return undefined;
    },
  },
  'rolling-restart': {
    sentence: 'every process is stopped and started again, one after the other',
    reach: 'all',
    async strike(scene) {
      for (const machine of all(scene)) {
        await scene.operator.stop(machine);
        await scene.operator.boot(machine);
        if (scene.random.chance(0.8)) await scene.operator.waitReady();
      }
    },
  },
  'short-pauses': {
    sentence: 'one process stops for moments, as with a busy neighbour',
    reach: 'one',
    async strike(scene) {
      const { lengthMs, random, world } = scene;
      const endMs = world.loop.nowMs + lengthMs;
      while (world.loop.nowMs < endMs && scene.victim.life !== undefined) {
        const forMs = random.between(10, 2000);
        holdFor(scene, forMs);
        await world.sleep(forMs + random.between(0, 500));
      }
    },
  },
  wipe: {
    sentence: 'one machine comes back with an empty disk',
    reach: 'one',
    isDamage: true,
    strike({ victim, world }) {
      world.wipe(victim);
      return undefined;
    },
  },
};
