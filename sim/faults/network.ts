/** Faults of links: loss, order, cuts of all shapes, clogs, half-open streams, firewalls, slow paths. */
import { CALM } from '../network.ts';
import type { FaultScene, Faults } from './fault.ts';

const DAY_MS = 24 * 3_600_000;

function ipsOf<Node>({ others }: FaultScene<Node>): readonly string[] {
  return others.map(({ ip }) => ip);
}

/** Two groups, neither empty; the victim is in the first. */
function halves<Node>(scene: FaultScene<Node>): readonly [string[], string[]] {
  const some = [scene.victim.ip];
  const rest: string[] = [];
  for (const ip of ipsOf(scene)) (scene.random.chance(0.5) ? some : rest).push(ip);
  const moved = rest.length === 0 ? some.pop() : undefined;
  if (moved !== undefined) rest.push(moved);
  return [some, rest];
}

export const NETWORK_FAULTS: Faults = {
  'changed-bytes': {
    sentence: 'links change a byte of some datagrams',
    reach: 'all',
    strike({ random, world }) {
      const corruption = random.between(0.01, 0.4);
      world.network.faults = { ...world.network.faults, corruption };
      return undefined;
    },
  },
  clog: {
    sentence: 'what is sent to or from one machine waits, and arrives later',
    reach: 'one',
    strike(scene) {
      const { lengthMs, random, victim, world } = scene;
      const isBothWays = random.chance(0.5);
      for (const ip of ipsOf(scene)) {
        world.network.clog(victim.ip, ip, lengthMs);
        if (isBothWays) world.network.clog(ip, victim.ip, lengthMs);
      }
      return undefined;
    },
  },
  deaf: {
    sentence: 'one machine hears nobody, but is heard',
    reach: 'one',
    strike(scene) {
      for (const ip of ipsOf(scene)) scene.world.network.cut(ip, scene.victim.ip);
      return undefined;
    },
  },
  delays: {
    sentence: 'all links take long, some packets very long',
    reach: 'all',
    strike({ random, world }) {
      const latencyMs = random.between(5, 150);
      world.network.faults = { ...CALM, latencyMs, tailMs: 3000 };
      return undefined;
    },
  },
  'doubled-packets': {
    sentence: 'links deliver many datagrams twice',
    reach: 'all',
    strike({ random, world }) {
      world.network.faults = { ...CALM, duplication: random.between(0.05, 0.9), tailMs: 2000 };
      return undefined;
    },
  },
  flapping: {
    sentence: 'one machine is cut off and back, many times',
    reach: 'one',
    async strike(scene) {
      const { lengthMs, random, victim, world } = scene;
      const endMs = world.loop.nowMs + lengthMs;
      while (world.loop.nowMs < endMs) {
        world.network.partition([victim.ip], ipsOf(scene));
        await world.sleep(random.between(50, 3000));
        world.network.heal();
        await world.sleep(random.between(50, 3000));
      }
    },
  },
  'half-open': {
    sentence: 'streams between one machine and the others pass nothing, and nobody is told',
    reach: 'one',
    strike(scene) {
      for (const ip of ipsOf(scene)) scene.world.network.stallStreams(scene.victim.ip, ip);
      return undefined;
    },
  },
  lossy: {
    sentence: 'all links lose, double and delay',
    reach: 'all',
    strike({ random, world }) {
      world.network.faults = {
        loss: random.between(0, 0.3),
        duplication: random.between(0, 0.05),
        latencyMs: random.between(0.3, 20),
        tailMs: 500,
      };
      return undefined;
    },
  },
  'lossy-link': {
    sentence: 'one directed link loses most datagrams and is slow',
    reach: 'one',
    strike({ others, random, victim, world }) {
      const peer = random.pick(others)?.ip ?? victim.ip;
      const faults = { ...CALM, loss: random.between(0.5, 1), latencyMs: random.between(1, 100) };
      world.network.setLink(victim.ip, peer, faults);
      return undefined;
    },
  },
  mute: {
    sentence: 'one machine is heard by nobody, but hears',
    reach: 'one',
    strike(scene) {
      for (const ip of ipsOf(scene)) scene.world.network.cut(scene.victim.ip, ip);
      return undefined;
    },
  },
  'no-datagrams': {
    sentence: 'a firewall drops all datagrams of one machine; streams pass',
    reach: 'one',
    strike(scene) {
      scene.world.network.filter('datagrams', scene.victim.ip, ipsOf(scene));
      return undefined;
    },
  },
  'no-streams': {
    sentence: 'a firewall drops all streams of one machine; datagrams pass',
    reach: 'one',
    strike(scene) {
      scene.world.network.filter('streams', scene.victim.ip, ipsOf(scene));
      return undefined;
    },
  },
  partition: {
    sentence: 'one machine is cut off from all others',
    reach: 'one',
    strike(scene) {
      scene.world.network.partition([scene.victim.ip], ipsOf(scene));
      return undefined;
    },
  },
  reordered: {
    sentence: 'many datagrams are overtaken by later ones',
    reach: 'all',
    strike({ random, world }) {
      const reordering = random.between(0.05, 0.5);
      world.network.faults = { ...CALM, reordering, tailMs: random.between(50, 3000) };
      return undefined;
    },
  },
  resets: {
    sentence: 'streams of one machine break at once, again and again',
    reach: 'all',
    async strike(scene) {
      const { lengthMs, random, victim, world } = scene;
      const endMs = world.loop.nowMs + lengthMs;
      while (world.loop.nowMs < endMs) {
        for (const ip of ipsOf(scene)) world.network.resetStreams(victim.ip, ip);
        await world.sleep(random.between(10, 2000));
      }
    },
  },
  'slow-link': {
    sentence: 'little passes to and from one machine in a second',
    reach: 'one',
    isSlowness: true,
    strike(scene) {
      const { random, victim, world } = scene;
      const faults = {
        ...CALM,
        latencyMs: random.between(1, 60),
        bytesPerMs: random.between(5, 200),
      };
      for (const ip of ipsOf(scene)) {
        world.network.setLink(victim.ip, ip, faults);
        world.network.setLink(ip, victim.ip, faults);
      }
      return undefined;
    },
  },
  split: {
    sentence: 'the cluster falls into two parts',
    reach: 'all',
    strike(scene) {
      const [some, rest] = halves(scene);
      scene.world.network.partition(some, rest);
      return undefined;
    },
  },
  'split-one-way': {
    sentence: 'one part of the cluster hears the other, but not the other way round',
    reach: 'all',
    strike(scene) {
      const [some, rest] = halves(scene);
      for (const a of some) for (const b of rest) scene.world.network.cut(a, b);
      return undefined;
    },
  },
  swizzle: {
    sentence: 'links are clogged one after the other, and opened in another order',
    reach: 'all',
    async strike({ lengthMs, others, random, victim, world }) {
      const ips = [victim, ...others].map(({ ip }) => ip);
      const links = ips.flatMap((a) => ips.filter((b) => b !== a).map((b) => [a, b] as const));
      const some = links.filter(() => random.chance(0.5));
      for (const [a, b] of some) {
        world.network.clog(a, b, DAY_MS);
        await world.sleep(random.between(0, lengthMs / 10));
      }
      // In an order of their own; what was clogged already left for tomorrow, and is lost with it.
      const order = some.map((link) => ({ link, at: random.float() })).sort((x, y) => x.at - y.at);
      for (const { link } of order) {
        const [a, b] = link;
        world.network.mend(a, b);
        world.network.resetStreams(a, b);
        await world.sleep(random.between(0, lengthMs / 10));
      }
    },
  },
};
