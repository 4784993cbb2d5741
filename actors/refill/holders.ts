/**
 * What an instance is to hold of a window. Pure.
 *
 *   - series whose replica set it is in, by the ring of now or by one that held in the window: a ring before
 *     or after each instance that joined from the window on
 *   - of all others the samples that fewer holders than a write quorum have: it may have been one of the
 *     quorum, for one as the substitute of an instance that was leaving (scarce-chunks.ts)
 *
 * So once it is filled, an instance holds whatever it may have acknowledged, and its copy of the rest.
 * Holders are zones where zones bind the replicas, and instances where they do not.
 */
import { READ_SLACK_MS, type Registry, Ring } from '../../membership/index.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { TimeRange } from '../../model/sample.ts';

/** Joins beyond this many are not looked at one by one: then everything is kept. */
const JOINS_MAX = 16;

export interface Holdings {
  /** Whether all of a series is to be held, by its place on the ring. */
  readonly isReplica: (hash: number) => boolean;
  /** What fewer holders than this have is to be held, whatever the ring says. */
  readonly quorum: number;
  /** What an instance counts as. */
  readonly holderOf: (instance: InstanceId) => string;
}

/** What `self` is to hold of a window. */
export function holdingsOf(registry: Registry, self: InstanceId, window: TimeRange): Holdings {
  const now = new Ring(registry);
  const zones = new Map(now.instances.map(({ id, zone }) => [id, zone]));
  const doZonesBind = new Set(zones.values()).size >= now.rf;
  return {
    isReplica: replicaTest(registry, now, self, window),
    quorum: now.writeQuorum,
    holderOf: (instance) => (doZonesBind ? (zones.get(instance) ?? instance) : instance),
  };
}

function replicaTest(
  registry: Registry,
  now: Ring,
  self: InstanceId,
  window: TimeRange,
): (hash: number) => boolean {
  if (now.instances.length <= now.rf) return () => true;
  const rings = ringsOf(registry, window);
  if (rings === undefined) return () => true;
  const places = [now, ...rings].map((ring) => ({
    ring,
    index: ring.indexOf(self),
    members: new Uint16Array(ring.replicasMax),
  }));
  return (hash) =>
    places.some(({ index, members, ring }) => {
      const count = ring.replicaSet(hash, 'read', members);
      return index >= 0 && members.subarray(0, count).includes(index);
    });
}

/** The rings before and after each join that matters to the window; undefined: too many. */
function ringsOf(registry: Registry, window: TimeRange): readonly Ring[] | undefined {
  const fromMs = window.minTimeMs - READ_SLACK_MS;
  const joins = [...registry.instances.values()]
    .map(({ activeSinceMs }) => activeSinceMs)
    .filter((activeSinceMs) => activeSinceMs > fromMs);
  const times = [...new Set(joins)].sort((a, b) => a - b);
  if (times.length > JOINS_MAX) return undefined;
  return times.map((timeMs) => {
    const before = [...registry.instances].filter(([, record]) => record.activeSinceMs < timeMs);
    return new Ring({ ...registry, instances: new Map(before) });
  });
}
