/**
 * What a node is made of and lives as long as it: gossip, the actor runtime, the tenants' storage with its
 * committer, shipping, metrics, and why the node is not ready. Made here, started and stopped by `node.ts`,
 * handed to the roles by `node-roles.ts`.
 */
import { autoForgetCodecs } from '../actors/auto-forget/codecs.ts';
import { ClockWatch } from '../actors/clock-check/clock-watch.ts';
import { clockCheckCodecs } from '../actors/clock-check/codecs.ts';
import { ingesterCodecs } from '../actors/ingester/codecs.ts';
import { MetadataStore } from '../actors/ingester/metadata-store.ts';
import { gossipRecords } from '../actors/membership/actor.ts';
import { ClusterViews } from '../actors/membership/cluster-view.ts';
import { membershipCodecs } from '../actors/membership/codecs.ts';
import { MEMBERSHIP_PATH } from '../actors/membership/messages.ts';
import { refillCodecs } from '../actors/refill/codecs.ts';
import { ActorRuntime } from '../actors/runtime/index.ts';
import { storeGatewayCodecs } from '../actors/store-gateway/codecs.ts';
import { Gossip, type Identity, type LossNote } from '../membership/index.ts';
import { StarlingError } from '../model/errors.ts';
import type { InstanceId, TenantId } from '../model/ids.ts';
import { fingerprint, tenantFingerprintKey, viewOf } from '../model/wire/fingerprint.ts';
import type { Platform } from '../platform/platform.ts';
import { TurnQueue } from '../platform/turn-queue.ts';
import { createEnvelopeCodec } from '../proto/envelope-codec.ts';
import {
  BlockUploads,
  Committer,
  Compactor,
  DeletionRequests,
  FILING_ALL,
  Shipping,
  TsdbManager,
  cutJitterMs,
  restoreBlock,
} from '../storage/index.ts';
import { canOthersFill } from '../actors/refill/refill.ts';
import { LossKeeper } from './loss-keeper.ts';
import {
  createBlockUploads,
  createCompactor,
  createDeletions,
  createShipping,
  tenantDeletions,
} from './node-bucket.ts';
import { NodeMetrics } from './node-metrics.ts';
import { type NodeOptions, tenantDirectory, tenantsDirectory } from './node-options.ts';

/** Where a simulator wants many segments. */
const SMALL_SEGMENT_BYTES = 128 * 1024;
const TELL_LOSS = { timeoutMs: 10_000, lane: 'control' } as const;

/** What instances may send each other, by message type. */
const ALL_CODECS = new Map([
  ...autoForgetCodecs,
  ...clockCheckCodecs,
  ...ingesterCodecs,
  ...membershipCodecs,
  ...refillCodecs,
  ...storeGatewayCodecs,
]);

/** Everything that lives as long as the node. */
export interface Parts {
  readonly options: NodeOptions;
  readonly identity: Identity;
  readonly views: ClusterViews;
  readonly metrics: NodeMetrics;
  readonly committer: Committer;
  readonly losses: LossKeeper;
  readonly tenants: TsdbManager;
  readonly metadata: MetadataStore;
  readonly shipping: Shipping;
  readonly compactor: Compactor;
  readonly blockUploads: BlockUploads;
  readonly deletions: DeletionRequests;
  readonly gossip: Gossip;
  readonly runtime: ActorRuntime;
  /** What all roles do in slices takes turns here. */
  readonly turns: TurnQueue;
  readonly clockWatch: ClockWatch;
  readonly readiness: Readiness;
}

/** Why the node is not ready, and whether it may take writes. */
export class Readiness {
  membership = 'joining the cluster';
  replay = 'replaying the log';
  stopping = '';
  /** Why the wall clock of this node is not to be trusted; empty: it is. */
  clock: () => string = () => '';
  /** Why it is not known what was deleted; empty: it is. */
  deletions: () => string = () => '';
  fatal: StarlingError | undefined;
  onStopped: () => void = () => undefined;

  reasons(): readonly string[] {
    const fatal = this.fatal === undefined ? '' : this.fatal.message;
    const unknown = [this.clock(), this.deletions()];
    const all = [this.membership, this.replay, this.stopping, ...unknown, fatal];
    return all.filter((reason) => reason !== '');
  }

  checkWritable(): void {
    if (this.fatal !== undefined) throw this.fatal;
    this.checkReplayed();
    const why = this.clock();
    if (why !== '') throw new StarlingError('node.not_ready', { why });
  }

  /** Throws while what is on disk cannot be answered. */
  checkReplayed(): void {
    if (this.replay !== '') throw new StarlingError('node.not_ready', { why: this.replay });
  }
}

export function createParts(options: NodeOptions, identity: Identity, note: LossNote): Parts {
  const { config, platform } = options;
  const { ciphers, clock, datagrams, log, random, rpc } = platform;
  const views = new ClusterViews();
  const metrics = new NodeMetrics(options.version);
  if (options.readLoop !== undefined) metrics.watchLoop(options.readLoop);
  const readiness = new Readiness();
  const committer = createCommitter(options, { metrics, readiness });
  const { instanceId } = identity;
  const gossip: Gossip = new Gossip(
    {
      id: instanceId,
      boot: identity.bootCounter,
      label: config.clusterLabel ?? 'local',
      secrets: options.secrets,
      localRecords: () => gossipRecords(views.current.registry),
    },
    { ciphers, clock, datagrams, log, random, channel: controlChannel(() => runtime, clock) },
  );
  const runtime: ActorRuntime = new ActorRuntime({
    self: instanceId,
    systemName: `${instanceId}-${identity.bootCounter}-${random.uint32()}`,
    clock,
    log,
    rpc,
    codec: createEnvelopeCodec(),
    codecs: ALL_CODECS,
    resolve: (instance) =>
      views.current.registry.instances.get(instance)?.addresses.grpc ??
      gossip.member(instance)?.controlAddress,
    hellos: {
      dial: (target) => gossip.dialHello(target),
      accept: () => gossip.acceptHello(),
    },
    onEscalate: (path, cause) =>
      options.onEnd(`the actor ${path} failed for good: ${String(cause)}`, 'failed'),
  });
  const clockWatch = watchClock(options, views, readiness);
  const deletions = createDeletions(options, () => clockWatch.verdict.kind === 'right');
  readiness.deletions = () => deletions.unknown;
  const shipping = createShipping(options, {
    ...{ deletions, identity, views },
    tenants: () => tenants,
  });
  const losses = new LossKeeper({ clock, log, note, tell: tellLoss(() => runtime) });
  const shared = { views, committer, deletions, shipping, losses, instanceId };
  const tenants = createTenants(options, shared);
  const compactor = createCompactor(options, { deletions, views, gossip, instanceId });
  return {
    options,
    identity,
    views,
    metrics,
    committer,
    losses,
    tenants,
    metadata: new MetadataStore({ retainMs: config.metadataRetainMs }),
    shipping,
    compactor,
    blockUploads: createBlockUploads(options),
    deletions,
    gossip,
    runtime,
    turns: new TurnQueue(clock),
    clockWatch,
    readiness,
  };
}

function watchClock(
  { config, platform }: NodeOptions,
  views: ClusterViews,
  readiness: Readiness,
): ClockWatch {
  const isAlone = (): boolean => views.current.instances.length <= 1;
  const graceMs = config.limits.creation_grace_period_ms;
  const watch = new ClockWatch(platform.clock, graceMs, isAlone);
  readiness.clock = () => watch.reason;
  return watch;
}

/** Says in this instance's record that it lost something. */
function tellLoss(runtime: () => ActorRuntime): (beforeMs: number) => Promise<void> {
  return async (beforeMs) => {
    const target = { instance: runtime().self, path: MEMBERSHIP_PATH };
    await runtime().ask<null>(target, { type: 'lost', beforeMs }, TELL_LOSS).done;
  };
}

/** Syncs the logs of all tenants; a disk that does not sync ends the node. */
function createCommitter(
  { config, onEnd, platform }: NodeOptions,
  { metrics, readiness }: { readonly metrics: NodeMetrics; readonly readiness: Readiness },
): Committer {
  const { clock, log } = platform;
  return new Committer({
    clock,
    log,
    mode: config.walDurability,
    ...(platform.odd?.('commit.one-at-a-time') === true ? { concurrencyMax: 1 } : {}),
    intervalMs: config.walSyncIntervalMs,
    onSync: (seconds) => metrics.onWalSync(seconds),
    onFatal: (error) => {
      readiness.fatal = error;
      log.error('the log could not be synced: this node stops', { error: error.message });
      onEnd(error.message, 'failed');
    },
  });
}

function createTenants(
  options: NodeOptions,
  {
    committer,
    deletions,
    instanceId,
    losses,
    shipping,
    views,
  }: {
    readonly committer: Committer;
    readonly deletions: DeletionRequests;
    readonly instanceId: InstanceId;
    readonly losses: LossKeeper;
    readonly shipping: Shipping;
    readonly views: ClusterViews;
  },
): TsdbManager {
  const { config, platform } = options;
  const { clock, disk, log, odd, random } = platform;
  const isSmallLog = odd?.('wal.small-segments') === true;
  return new TsdbManager({
    clock,
    disk,
    directory: tenantsDirectory(options),
    openMax: config.tenantsOpenMax,
    readersIdleMax: platform.odd?.('readers.none-idle') === true ? 0 : undefined,
    optionsOf: (tenant) => {
      return {
        log,
        committer,
        random,
        walSegmentBytesMax: isSmallLog ? SMALL_SEGMENT_BYTES : undefined,
        filing: odd?.('head.files-all') === true ? FILING_ALL : undefined,
        onDamage: (why) => options.onEnd(why, 'restart'),
        cutJitterMs: cutJitterMs(`${instanceId}/${tenant}`),
        retentionMs: config.blocksRetentionMs,
        retentionBytesMax: config.blocksRetentionBytes,
        mayRemove: (id) => shipping.mayRemove(tenant, id),
        isIndexed: (id) => shipping.isIndexed(tenant, id),
        futureMaxMs: config.limits.creation_grace_period_ms,
        outOfOrderMs: () => config.limits.out_of_order_time_window_ms,
        exemplarsMax: () => localLimit(views, config.limits.max_global_exemplars_per_user),
        seriesMax: () => config.limits.max_series_per_user,
        onLoss: (loss) => losses.found(tenant, loss),
        healing: {
          restore: (id, pacer) =>
            restoreBlock({
              ...{ bucket: platform.bucket, disk, tenant, id },
              directory: tenantDirectory(options, tenant),
              pacer,
            }),
          isWhole: () => losses.note.current === undefined,
          canRefill: (range) => canOthersFill(views.current.registry, instanceId, range),
        },
        fingerprint: fingerprintOf(views, tenant),
        deletions: tenantDeletions(options, deletions, tenant),
      };
    },
  });
}

/** The tenant's fingerprint of canonical label bytes. Throws `node.not_ready` before there is a cluster. */
export function fingerprintOf(
  views: ClusterViews,
  tenant: TenantId,
): (bytes: Uint8Array, out: Uint32Array) => void {
  const secret = views.current.fingerprintSecret;
  if (secret === undefined)
    throw new StarlingError('node.not_ready', { why: 'it has not joined a cluster yet' });
  const key = tenantFingerprintKey(secret, tenant, 'series');
  return (bytes, out) => fingerprint(key, viewOf(bytes), 0, bytes.length, out, 0);
}

/** What of a limit of the whole cluster one instance has: as many of the copies as it holds. 0 stays off. */
export function localLimit({ current: { instances, ring } }: ClusterViews, global: number): number {
  return Math.ceil((global * ring.rf) / Math.max(ring.rf, instances.length));
}

/** Gossip's calls over the control lane. */
function controlChannel(
  runtime: () => ActorRuntime,
  clock: Platform['clock'],
): ConstructorParameters<typeof Gossip>[1]['channel'] {
  const remaining = (deadlineMs: number): number => Math.max(1, deadlineMs - clock.monotonicMs());
  return {
    ping: ({ address, deadlineMs, target }) =>
      runtime().askAddress<boolean>(
        address,
        MEMBERSHIP_PATH,
        { type: 'ping', target },
        remaining(deadlineMs),
      ),
    pushPull: ({ address, bytes, deadlineMs }) =>
      runtime().askAddress<Uint8Array>(
        address,
        MEMBERSHIP_PATH,
        { type: 'push-pull', bytes },
        remaining(deadlineMs),
      ),
  };
}
