/** Faults of one disk: errors, failing syncs, full, slow, stuck; and what damages data for good. */
import type { SimRandom } from '../random.ts';
import type { FaultScene, Faults } from './fault.ts';

/** Fails these calls of the victim's disk with a chance; returns how to end it. */
function failing<Node>(
  { random, victim }: FaultScene<Node>,
  calls: readonly string[],
  code: string,
  chance: number,
): () => void {
  victim.disk.failWhen = (call) =>
    calls.includes(call) && random.chance(chance) ? code : undefined;
  return () => (victim.disk.failWhen = () => undefined);
}

const RATES = [0.001, 0.01, 0.2];
const WRITES = ['write'];
const CHANGES = ['write', 'truncate', 'rename', 'remove', 'makeDirectory', 'removeTree'];

function rate(random: SimRandom): number {
  return random.pick(RATES) ?? 0.01;
}

export const DISK_FAULTS: Faults = {
  'bad-disk': {
    sentence: 'some calls of one disk fail with EIO',
    reach: 'one',
    strike(scene) {
      const calls = scene.random.chance(0.5) ? WRITES : ['open', 'read', 'rename', 'write'];
      return failing(scene, calls, 'EIO', rate(scene.random));
    },
  },
  'bad-names': {
    sentence: 'files of one disk cannot be opened, renamed or removed now and then',
    reach: 'one',
    strike: (scene) =>
      failing(scene, ['open', 'rename', 'remove', 'list', 'stat'], 'EIO', rate(scene.random)),
  },
  'bad-reads': {
    sentence: 'some reads of one disk fail with EIO',
    reach: 'one',
    strike: (scene) => failing(scene, ['read', 'readFile'], 'EIO', rate(scene.random)),
  },
  'failing-directory-sync': {
    sentence: 'names on one disk cannot be made durable',
    reach: 'one',
    strike: (scene) => failing(scene, ['syncDirectory'], 'EIO', scene.random.pick([0.1, 1]) ?? 1),
  },
  'failing-sync': {
    sentence: 'fsync of one disk fails: what it covered is lost with the next loss of power',
    reach: 'one',
    lifeMust: 'end after failed syncs',
    strike: (scene) => failing(scene, ['sync'], 'EIO', scene.random.pick([0.01, 0.1, 1]) ?? 1),
  },
  'flaky-full-disk': {
    sentence: 'one disk is full now and then, as when others use it too',
    reach: 'one',
    strike: (scene) => failing(scene, WRITES, 'ENOSPC', scene.random.between(0.05, 0.6)),
  },
  'flipped-reads': {
    sentence: 'reads of one disk return a flipped bit now and then, while its machine boots',
    reach: 'one',
    isDamage: true,
    isHidden: true,
    async strike({ operator, random, victim, world }) {
      const chance = random.between(0.01, 0.3);
      world.kill(victim);
      victim.disk.alterRead = (bytes) => {
        if (bytes.length === 0 || !random.chance(chance)) return bytes;
        const at = random.below(bytes.length);
        bytes[at] = bytes[at]! ^ (1 << random.below(8));
        return bytes;
      };
      await operator.boot(victim);
      victim.disk.alterRead = (bytes) => bytes;
    },
  },
  'full-disk': {
    sentence: 'one disk is full: writes leave a prefix and fail with ENOSPC',
    reach: 'one',
    lifeMust: 'go on',
    strike: (scene) => failing(scene, WRITES, 'ENOSPC', 1),
  },
  'lost-writes': {
    sentence: 'one disk says now and then that it wrote, and did not',
    reach: 'one',
    isDamage: true,
    isHidden: true,
    strike({ random, victim }) {
      const chance = random.pick([0.01, 0.2]) ?? 0.01;
      victim.disk.misplaceWrite = (offset) => (random.chance(chance) ? undefined : offset);
      return () => (victim.disk.misplaceWrite = (offset) => offset);
    },
  },
  'misdirected-writes': {
    sentence: 'one disk writes to another place of the file now and then',
    reach: 'one',
    isDamage: true,
    isHidden: true,
    strike({ random, victim }) {
      victim.disk.misplaceWrite = (offset) =>
        random.chance(0.02) ? random.below(offset + 1) : offset;
      return () => (victim.disk.misplaceWrite = (offset) => offset);
    },
  },
  'read-only-disk': {
    sentence: 'one file system was remounted read-only after an error',
    reach: 'one',
    strike: (scene) => failing(scene, CHANGES, 'EROFS', 1),
  },
  'rotten-bits': {
    sentence: 'bits of some files of one disk flip at rest, and its machine boots',
    reach: 'one',
    isDamage: true,
    isHidden: true,
    strike({ random, victim, world }) {
      world.kill(victim);
      const files = victim.disk.rot(1 + random.below(4));
      world.note(`rotten on ${victim.name}: ${files.join(' ')}`);
      return undefined;
    },
  },
  'slow-disk': {
    sentence: 'the calls of one disk take long',
    reach: 'one',
    isSlowness: true,
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
  'stuck-disk': {
    sentence: 'calls of one disk hang until the fault ends, as on a path that lost its storage',
    reach: 'one',
    isSlowness: true,
    strike({ lengthMs, victim, world }) {
      const endMs = world.loop.nowMs + lengthMs;
      victim.disk.hangMs = () => Math.max(0, endMs - world.loop.nowMs);
      return () => (victim.disk.hangMs = () => 0);
    },
  },
  'torn-power': {
    sentence: 'one machine loses power while its disk is slow, so that much is in flight',
    reach: 'one',
    async strike({ lengthMs, victim, world }) {
      const before = victim.disk.latency;
      victim.disk.latency = { callMs: 20, syncMs: 500, tailMs: 2000 };
      await world.sleep(Math.min(lengthMs, 2000));
      world.losePower(victim);
      victim.disk.latency = before;
    },
  },
};
