/**
 * The distributor: admits pushes, runs them against the current ring, and lends them pooled buffers. It
 * owns the table of known series, the rate buckets and the pool; a push in flight owns its buffers until
 * its last replica answered.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId, TenantId } from '../../model/ids.ts';
import type { Limits } from '../../model/limits.ts';
import { type FingerprintKey, tenantFingerprintKey } from '../../model/wire/fingerprint.ts';
import type { EncodedWriteBatch } from '../../model/wire/write-batch.ts';
import type { Clock } from '../../platform/platform.ts';
import type { Probe } from '../../platform/rare.ts';
import type { TurnQueue } from '../../platform/turn-queue.ts';
import type { ClusterView } from '../membership/cluster-view.ts';
import type { EncodedPush } from '../ingester/codecs.ts';
import { type PushAnswer, ingesterPathOf } from '../ingester/messages.ts';
import type { Actor, ActorRuntime } from '../runtime/index.ts';
import type { Discards } from './discards.ts';
import { type KnownSeries, createKnownSeries } from './known-series.ts';
import type { DistributorMessage } from './messages.ts';
import type { WriteRing } from './push-plan.ts';
import { type PushBuffers, type PushDependencies, createPushBuffers, runPush } from './push.ts';
import { RateLimiter } from './rate-limit.ts';

/** Cortex' remote_timeout. */
export const INGESTER_TIMEOUT_MS = 2000;
/** Pushes in flight, and the bytes of their bodies: the instance's own guard rails. */
export const PUSHES_MAX = 2000;
export const PUSH_BYTES_MAX = 512 * 1024 * 1024;
const POOLED_BUFFERS_MAX = 16;
/** Larger buffers are not kept. */
const POOLED_BYTES_MAX = 4 * 1024 * 1024;
const TENANT_KEYS_MAX = 10_000;

export interface DistributorDependencies {
  readonly clock: Clock;
  /** For each slice of a push. */
  readonly turns: TurnQueue;
  readonly runtime: () => ActorRuntime;
  readonly view: () => ClusterView;
  readonly limitsOf: (tenant: TenantId) => Limits;
  readonly onPush: (tenant: TenantId, push: PushCounts) => void;
  readonly probe?: Probe;
  /** A power of two; large when not said. */
  readonly knownSeriesMax?: number | undefined;
}

/** What a push did, for metrics. */
export interface PushCounts {
  readonly samplesStored: number;
  readonly exemplarsReceived?: number;
  readonly metadataReceived?: number;
  readonly refused: StarlingError | undefined;
  readonly discards?: Discards;
}

interface TenantKeys {
  readonly raw: FingerprintKey;
  readonly series: FingerprintKey;
}

export class DistributorActor implements Actor<DistributorMessage> {
  readonly #dependencies: DistributorDependencies;
  readonly #known: KnownSeries;
  readonly #rates = new RateLimiter();
  readonly #pool: PushBuffers[] = [];
  readonly #keys = new Map<TenantId, TenantKeys>();
  #secret: Uint8Array | undefined;
  #pushes = 0;
  #pushBytes = 0;

  constructor(dependencies: DistributorDependencies) {
    this.#dependencies = dependencies;
    const { knownSeriesMax, probe } = dependencies;
    this.#known = createKnownSeries(knownSeriesMax);
    if (probe !== undefined) this.#known.onEmptied = () => probe('known_series.emptied');
  }

  receive({ body, reply, tenant }: DistributorMessage): void {
    const view = this.#dependencies.view();
    const refusal = this.#admission(view, body);
    if (refusal !== undefined) {
      reply.fail(refusal);
      return;
    }
    const buffers = this.#pool.pop() ?? createPushBuffers();
    this.#pushes++;
    this.#pushBytes += body.length;
    runPush(this.#pushDependencies(tenant, view), body, buffers).then(
      (result) => {
        this.#dependencies.onPush(tenant, result);
        const { refused, released, samplesStored } = result;
        reply.ok({ samplesStored, refused });
        void released.then(() => this.#release(body, buffers, true));
      },
      (error: unknown) => {
        const failure = toStarlingError(error);
        this.#dependencies.onPush(tenant, { samplesStored: 0, refused: failure });
        reply.fail(failure);
        this.#release(body, buffers, false); // a replica may still read them
      },
    );
  }

  #admission(view: ClusterView, body: Uint8Array): StarlingError | undefined {
    if (view.fingerprintSecret === undefined) {
      return new StarlingError('node.not_ready', { why: 'it has not joined a cluster yet' });
    }
    if (this.#pushes >= PUSHES_MAX) {
      return new StarlingError('node.overloaded', {
        what: 'pushes in flight',
        countMax: PUSHES_MAX,
      });
    }
    if (this.#pushBytes + body.length > PUSH_BYTES_MAX) {
      return new StarlingError('node.overloaded', {
        what: 'bytes of pushes in flight',
        countMax: PUSH_BYTES_MAX,
      });
    }
    return undefined;
  }

  #release(body: Uint8Array, buffers: PushBuffers, isReusable: boolean): void {
    this.#pushes--;
    this.#pushBytes -= body.length;
    const isSmall =
      buffers.decoded.length <= POOLED_BYTES_MAX && buffers.columns.timestamps.length <= 1 << 16;
    if (isReusable && isSmall && this.#pool.length < POOLED_BUFFERS_MAX) this.#pool.push(buffers);
  }

  #pushDependencies(tenant: TenantId, view: ClusterView): PushDependencies {
    const { clock, limitsOf, turns } = this.#dependencies;
    const limits = limitsOf(tenant);
    const keys = this.#tenantKeys(tenant, view);
    return {
      context: {
        tenant,
        limits,
        seriesKey: keys.series,
        known: this.#known,
        ring: writeRing(view),
      },
      rawKey: keys.raw,
      writeQuorum: view.ring.writeQuorum,
      instances: view.instances,
      send: (instance, encoded) => this.#send(tenant, instance, encoded),
      sendMetadata: async (instance, entries) => {
        const to = { instance, path: ingesterPathOf(tenant) };
        const message = { type: 'push-metadata', tenant, entries };
        const options = { timeoutMs: INGESTER_TIMEOUT_MS, lane: 'write' } as const;
        await this.#dependencies.runtime().ask<null>(to, message, options).done;
      },
      turns,
      probe: this.#dependencies.probe,
      admitSamples: (samples) => this.#rates.admit(tenant, samples, limits, clock.monotonicMs()),
    };
  }

  #send(
    tenant: TenantId,
    instance: InstanceId,
    { batch, bytes }: EncodedWriteBatch,
  ): Promise<PushAnswer> {
    const push: EncodedPush = { type: 'push', batch, bytes };
    const to = { instance, path: ingesterPathOf(tenant) };
    return this.#dependencies
      .runtime()
      .ask<PushAnswer>(to, push, { timeoutMs: INGESTER_TIMEOUT_MS, lane: 'write' }).done;
  }

  #tenantKeys(tenant: TenantId, view: ClusterView): TenantKeys {
    const secret = view.fingerprintSecret ?? new Uint8Array(16);
    if (this.#secret === undefined || Buffer.compare(this.#secret, secret) !== 0)
      this.#keys.clear();
    this.#secret = secret;
    let keys = this.#keys.get(tenant);
    if (keys === undefined) {
      if (this.#keys.size >= TENANT_KEYS_MAX) this.#keys.clear();
      keys = {
        raw: tenantFingerprintKey(secret, tenant, 'raw'),
        series: tenantFingerprintKey(secret, tenant, 'series'),
      };
      this.#keys.set(tenant, keys);
    }
    return keys;
  }
}

function writeRing(view: ClusterView): WriteRing {
  return {
    version: view.version,
    replicationFactor: view.ring.rf,
    positionOf: (hash) => view.ring.positionOf(hash),
    replicasAt: (position, out) => view.ring.writeReplicasAt(position, out),
  };
}
