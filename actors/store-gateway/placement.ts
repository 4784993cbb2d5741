/**
 * Which instances look after a block, or a tenant's work in the bucket: a pure function of the name and the
 * ring, so every instance says the same. It decides whose caches are warm, never what can be read: any
 * instance can read any block.
 */
import type { Ring } from '../../membership/index.ts';
import type { InstanceId } from '../../model/ids.ts';

/** The owners of a name, the first one first; none on an empty ring. */
export function ownersOf(ring: Ring, name: string): readonly InstanceId[] {
  const indexes = new Uint16Array(ring.replicasMax);
  const count = ring.replicaSet(hashOf(name), 'write', indexes);
  return Array.from(indexes.subarray(0, count), (index) => ring.instances[index]!.id);
}

/** FNV-1a over the characters, then mixed: names that differ at their end only must lie far apart. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
