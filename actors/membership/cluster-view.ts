/**
 * What the other roles see of the cluster: one immutable picture, replaced as a whole when a new
 * registry may be acted on (it is durable by then). Reading it never waits.
 */
import type { InstanceId } from '../../model/ids.ts';
import { type Registry, Ring, emptyRegistry, registryDigest } from '../../membership/index.ts';

export interface ClusterView {
  /** Rises when replica sets or the secret may have changed: not when an instance boots or moves. */
  readonly version: number;
  readonly registry: Registry;
  readonly ring: Ring;
  /** Indexes of the ring are indexes here. */
  readonly instances: readonly InstanceId[];
  /** Goes with every read answer. */
  readonly digest: string;
  /** The cluster's secret that keys fingerprints; undefined before there is a cluster. */
  readonly fingerprintSecret: Uint8Array | undefined;
}

/** Holds the current picture. Only the membership actor replaces it. */
export class ClusterViews {
  #current: ClusterView = viewOf(emptyRegistry(), 0);

  get current(): ClusterView {
    return this.#current;
  }

  publish(registry: Registry): ClusterView {
    const next = viewOf(registry, this.#current.version);
    const isSame = ringKey(next) === ringKey(this.#current);
    this.#current = isSame ? next : { ...next, version: next.version + 1 };
    return this.#current;
  }
}

function viewOf(registry: Registry, version: number): ClusterView {
  const ring = new Ring(registry);
  const secret = registry.cluster?.fingerprintSecret;
  return {
    version,
    registry,
    ring,
    instances: ring.instances.map(({ id }) => id),
    digest: registryDigest(registry),
    fingerprintSecret: secret === undefined ? undefined : Buffer.from(secret, 'hex'),
  };
}

/** Equal for views whose replica sets and secret are equal. */
function ringKey({ digest, ring }: ClusterView): string {
  const places = ring.instances.map(
    ({ generation, id, state, tokenSeed, zone }) =>
      `${id} ${generation} ${state} ${tokenSeed} ${zone}`,
  );
  return [digest, ring.rf, ...places].join('\n');
}
