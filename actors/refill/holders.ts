/**
 * Which series of a window an instance is to hold. Pure.
 *
 *   - those whose replica set it is in, by the ring of now or by one that held in the window: a ring before
 *     or after each instance that joined from the window on
 *   - those that fewer other instances than a write quorum have: it may have been one of the quorum
 *
 * So once it is filled, an instance holds whatever it may have acknowledged, and its copy of the rest.
 */
import { READ_SLACK_MS, type Registry, Ring } from '../../membership/index.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { JoinedSeries } from './window-join.ts';

/** Joins beyond this many are not looked at one by one: then everything is kept. */
const JOINS_MAX = 16;

/** Says for each series whether `self` is to hold it. */
export function holdersOf(
  registry: Registry,
  self: InstanceId,
  window: TimeRange,
): (series: JoinedSeries) => boolean {
  const now = new Ring(registry);
  if (now.instances.length <= now.rf) return () => true;
  const rings = ringsOf(registry, window);
  if (rings === undefined) return () => true;
  const places = [now, ...rings].map((ring) => ({
    ring,
    index: ring.indexOf(self),
    members: new Uint16Array(ring.replicasMax),
  }));
  return ({ hash, instanceCount }) => {
    if (instanceCount < now.writeQuorum) return true;
    return places.some(({ index, members, ring }) => {
      const count = ring.replicaSet(hash, 'read', members);
      return index >= 0 && members.subarray(0, count).includes(index);
    });
  };
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
