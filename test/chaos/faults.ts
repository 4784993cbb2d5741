/**
 * What the chaos rig breaks. As in the simulator, a row harms one node or all at the same moment, and what
 * it loses for good it loses on one node of a run only; links heal and dead nodes start when it is over.
 */
import type { SimRandom } from '../../sim/random.ts';
import type { Ground, LinkPower } from './ground.ts';
import type { ChaosNode } from './processes.ts';

const HOLD_MS_MAX = 8000;

export interface ChaosScene {
  readonly ground: Ground;
  readonly random: SimRandom;
  readonly victim: ChaosNode;
  readonly others: readonly ChaosNode[];
  readonly lengthMs: number;
  readonly sleep: (delayMs: number) => Promise<void>;
  /** A promise was broken by a node that was told to stop. */
  readonly report: (what: string) => void;
}

export interface ChaosFault {
  readonly sentence: string;
  readonly isDamage?: true;
  /** What the ground must be able to do. */
  readonly needs?: LinkPower;
  strike(scene: ChaosScene): Promise<void>;
}

function all({ others, victim }: ChaosScene): readonly ChaosNode[] {
  return [victim, ...others];
}

async function hold(scene: ChaosScene, nodes: readonly ChaosNode[]): Promise<void> {
  for (const node of nodes) node.hold();
  await scene.sleep(Math.min(scene.lengthMs, HOLD_MS_MAX));
  for (const node of nodes) node.release();
}

async function restart({ report }: ChaosScene, node: ChaosNode): Promise<void> {
  if (!(await node.stop())) report(`${node.name} was told to stop, and did not end with 0`);
  node.start();
}

function cutBoth({ ground }: ChaosScene, a: ChaosNode, b: ChaosNode): void {
  ground.cut(a.number, b.number);
  ground.cut(b.number, a.number);
}

export const CHAOS_FAULTS: Readonly<Record<string, ChaosFault>> = {
  deaf: {
    sentence: 'one node hears no other, and is heard',
    needs: 'cut',
    strike: async ({ ground, lengthMs, others, sleep, victim }) => {
      for (const other of others) ground.cut(other.number, victim.number);
      await sleep(lengthMs);
    },
  },
  delays: {
    sentence: 'what every node sends takes long, is doubled or overtaken now and then',
    needs: 'delay',
    strike: async (scene) => {
      const delayMs = Math.floor(scene.random.between(5, 150));
      const trouble = { delayMs, jitterMs: delayMs / 2, duplicatePercent: 2, reorderPercent: 5 };
      for (const node of all(scene)) scene.ground.disturb(node.number, trouble);
      await scene.sleep(scene.lengthMs);
    },
  },
  kill: {
    sentence: 'one process is killed (SIGKILL)',
    strike: async ({ lengthMs, sleep, victim }) => {
      await victim.kill();
      await sleep(lengthMs);
    },
  },
  'kill-all': {
    sentence: 'all processes are killed at the same moment',
    strike: async (scene) => {
      await Promise.all(all(scene).map((node) => node.kill()));
    },
  },
  'kill-in-boot': {
    sentence: 'one process is killed again and again while it starts',
    strike: async ({ random, sleep, victim }) => {
      for (let i = 0; i < 3; i++) {
        await victim.kill();
        victim.start();
        await sleep(random.between(100, 1500));
      }
      await victim.kill();
    },
  },
  'lossy-link': {
    sentence: 'much of what one node sends is lost',
    needs: 'loss',
    strike: async ({ ground, lengthMs, random, sleep, victim }) => {
      ground.disturb(victim.number, { lossPercent: Math.floor(random.between(5, 40)) });
      await sleep(lengthMs);
    },
  },
  lossy: {
    sentence: 'some of what every node sends is lost',
    needs: 'loss',
    strike: async (scene) => {
      const lossPercent = Math.floor(scene.random.between(1, 15));
      for (const node of all(scene)) scene.ground.disturb(node.number, { lossPercent });
      await scene.sleep(scene.lengthMs);
    },
  },
  mute: {
    sentence: 'one node is heard by no other, and hears',
    needs: 'cut',
    strike: async ({ ground, lengthMs, others, sleep, victim }) => {
      for (const other of others) ground.cut(victim.number, other.number);
      await sleep(lengthMs);
    },
  },
  partition: {
    sentence: 'one node is cut off from the others, and clients reach all',
    needs: 'cut',
    strike: async (scene) => {
      for (const other of scene.others) cutBoth(scene, scene.victim, other);
      await scene.sleep(scene.lengthMs);
    },
  },
  pause: {
    sentence: 'one process is held (SIGSTOP)',
    strike: (scene) => hold(scene, [scene.victim]),
  },
  'pause-all': {
    sentence: 'all processes are held at the same moment',
    strike: (scene) => hold(scene, all(scene)),
  },
  restart: {
    sentence: 'one process is stopped (SIGTERM), and started again',
    strike: (scene) => restart(scene, scene.victim),
  },
  'short-pauses': {
    sentence: 'one process is held for moments',
    strike: async ({ lengthMs, random, sleep, victim }) => {
      const endMs = performance.now() + lengthMs;
      while (performance.now() < endMs) {
        victim.hold();
        await sleep(random.between(10, 1000));
        victim.release();
        await sleep(random.between(0, 300));
      }
    },
  },
  'slow-link': {
    sentence: 'little passes from one node in a second',
    needs: 'rate',
    strike: async ({ ground, lengthMs, random, sleep, victim }) => {
      ground.disturb(victim.number, { kbitPerSecond: Math.floor(random.between(64, 2000)) });
      await sleep(lengthMs);
    },
  },
  unplugged: {
    sentence: 'nobody reaches one node, and it reaches nobody',
    needs: 'cut',
    strike: async ({ ground, lengthMs, sleep, victim }) => {
      ground.unplug(victim.number);
      await sleep(lengthMs);
    },
  },
  wipe: {
    sentence: 'one node comes back with an empty disk',
    isDamage: true,
    strike: ({ victim }) => victim.wipe(),
  },
};

/** Those that a ground can do, by name. */
export function possibleFaults({ powers }: Ground): readonly string[] {
  return Object.keys(CHAOS_FAULTS).filter((name) => {
    const needs = CHAOS_FAULTS[name]?.needs;
    return needs === undefined || powers.has(needs);
  });
}
