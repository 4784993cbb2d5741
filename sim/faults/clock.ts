/** Faults of one machine's wall clock. Monotonic clocks are right everywhere. */
import type { FaultScene, Faults } from './fault.ts';

/** Nodes refuse samples that lie further ahead of their clock; wrong clocks stay well below. */
const OFFSET_MS_MAX = 4 * 60_000;
const DRIFT_PPM_MAX = 500;
const DAY_MS = 24 * 3_600_000;

function setClock<Node>(
  { victim, world }: FaultScene<Node>,
  offsetMs: number,
  driftPpm = 0,
): () => void {
  victim.wall.offsetMs = offsetMs;
  victim.wall.driftPpm = driftPpm;
  world.note(`clock of ${victim.name} is off by ${offsetMs.toFixed(0)} ms`);
  return () => {
    victim.wall.offsetMs = 0;
    victim.wall.driftPpm = 0;
  };
}

export const CLOCK_FAULTS: Faults = {
  clock: {
    sentence: 'the wall clock of one machine is wrong, drifts, steps, and steps back',
    reach: 'one',
    isClock: true,
    strike: (scene) =>
      setClock(
        scene,
        scene.random.between(-OFFSET_MS_MAX, OFFSET_MS_MAX),
        scene.random.between(-DRIFT_PPM_MAX, DRIFT_PPM_MAX),
      ),
  },
  'clock-day-ahead': {
    sentence: 'the wall clock of one machine is a day ahead',
    reach: 'one',
    isClock: true,
    strike: (scene) => setClock(scene, DAY_MS),
  },
  'clock-day-behind': {
    sentence: 'the wall clock of one machine is a day behind',
    reach: 'one',
    isClock: true,
    strike: (scene) => setClock(scene, -DAY_MS),
  },
  'clock-drift': {
    sentence: 'the wall clock of one machine runs fast or slow',
    reach: 'one',
    isClock: true,
    strike: (scene) => setClock(scene, 0, scene.random.between(-50_000, 50_000)),
  },
  'clock-wrong-at-boot': {
    sentence: 'one machine starts with a wall clock that is a day wrong, and is put right later',
    reach: 'one',
    isClock: true,
    async strike(scene) {
      const { lengthMs, operator, random, victim, world } = scene;
      world.kill(victim);
      const end = setClock(scene, random.chance(0.5) ? DAY_MS : -DAY_MS);
      await operator.boot(victim);
      await world.sleep(lengthMs);
      end();
    },
  },
  'clock-steps': {
    sentence: 'the wall clock of one machine jumps to and fro',
    reach: 'one',
    isClock: true,
    async strike(scene) {
      const { lengthMs, random, world } = scene;
      const endMs = world.loop.nowMs + lengthMs;
      while (world.loop.nowMs < endMs) {
        const end = setClock(scene, random.between(-OFFSET_MS_MAX, OFFSET_MS_MAX));
        await world.sleep(random.between(10, 3000));
        end();
        await world.sleep(random.between(10, 1000));
      }
    },
  },
};
