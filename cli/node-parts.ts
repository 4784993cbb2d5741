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
import { ownersOf } from '../actors/store-gateway/placement.ts';
import type { NodeApi } from '../http/api.ts';
import { Gossip, type Identity, type LossNote } from '../membership/index.ts';
import { StarlingError } from '../model/errors.ts';
import type { InstanceId, TenantId } from '../model/ids.ts';
import { fingerprint, tenantFingerprintKey, viewOf } from '../model/wire/fingerprint.ts';
import type { Platform } from '../platform/platform.ts';
import type { Limits } from '../model/limits.ts';
import { TurnQueue } from '../platform/turn-queue.ts';
import { createEnvelopeCodec } from '../proto/envelope-codec.ts';
import {
  BlockUploads,
  Committer,
  Compactor,
  type Deletion,
  DeletionRequests,
  Shipping,
  type TenantDeletions,
  TsdbManager,
  cutJitterMs,
  restoreBlock,
  downsamplingLevels,
  retentionDeletions,
  tenantPathParts,
} from '../storage/index.ts';
import type { Config } from './config.ts';
import { canOthersFill } from '../actors/refill/refill.ts';
import { LossKeeper } from './loss-keeper.ts';
import { type LoopFigures, NodeMetrics } from './node-metrics.ts';

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

/** `restart`: the same command on the same directory goes on well; `failed`: somebody should look. */
export type EndKind = 'failed' | 'restart';

export interface NodeOptions {
  readonly platform: Platform;
  readonly config: Config;
  /** Absolute. */
  readonly dataDirectory: string;
  readonly zone: string;
  /** Where others reach this node; a port of 0 becomes the bound one. */
  readonly advertise: { readonly http: string; readonly grpc: string; readonly gossip: string };
  /** Cluster keys, the primary first; empty: no encryption. */
  readonly secrets: readonly Uint8Array[];
  readonly version: string;
  /** What the loop of this process did since it was last asked; a simulated node has no loop of its own. */
  readonly readLoop?: () => LoopFigures;
  /**
   * Serves the API over HTTP; the bound address out. Called before the instance is registered, so that
   * others are told the port that the system chose. A simulated node has no HTTP.
   */
  readonly serveHttp?: (api: NodeApi) => Promise<string>;
  /** This process must not go on: it was superseded, forgotten, or lost its disk. */
  readonly onEnd: (why: string, kind: EndKind) => void;
}

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
  const deletions = createDeletions(options, readiness);
  const shipping = createShipping(options, { deletions, identity, views });
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
    clockWatch: watchClock(options, views, readiness),
    readiness,
  };
}

function createShipping(
  options: NodeOptions,
  {
    deletions,
    identity,
    views,
  }: {
    readonly deletions: DeletionRequests;
    readonly identity: Identity;
    readonly views: ClusterViews;
  },
): Shipping {
  const { bucket, clock, disk, log } = options.platform;
  return new Shipping({
    ...{ bucket, clock, disk, log },
    storeId: identity.storeId,
    directoryOf: (tenant) => joinedPath(tenantsDirectory(options), tenant),
    ownsIndex: (tenant) => ownersOf(views.current.ring, tenant)[0] === identity.instanceId,
    retentionMsOf: () => options.config.limits.compactor_blocks_retention_period_ms,
    wasDeleted: (tenant, timeMs) =>
      dueDeletions(options, deletions, tenant).some(
        ({ range }) => range.minTimeMs <= timeMs && timeMs <= range.maxTimeMs,
      ),
  });
}

function createDeletions(
  { config, dataDirectory, platform }: NodeOptions,
  readiness: Readiness,
): DeletionRequests {
  const { bucket, clock, disk, log, random } = platform;
  const { cancelPeriodMs } = config.compactor;
  const directory = dataDirectory;
  const options = { bucket, clock, disk, log, random, directory, cancelPeriodMs };
  const deletions = new DeletionRequests(options);
  readiness.deletions = () => deletions.unknown;
  return deletions;
}

/** What blocks are made without. */
function dueDeletions(
  { config, platform }: NodeOptions,
  deletions: DeletionRequests,
  tenant: TenantId,
): readonly Deletion[] {
  const { due } = retentionDeletions(config.retentionRules, platform.clock.wallMs());
  return [...deletions.due(tenant), ...due];
}

/** What of a tenant is not shown, and what is gone for good. */
export function tenantDeletions(
  options: NodeOptions,
  deletions: DeletionRequests,
  tenant: TenantId,
): TenantDeletions {
  const { config, platform } = options;
  const rules = config.retentionRules;
  const withRules = (requests: readonly Deletion[]): readonly Deletion[] =>
    rules.length === 0
      ? requests
      : [...requests, ...retentionDeletions(rules, platform.clock.wallMs()).hidden];
  return {
    hidden: () => withRules(deletions.of(tenant)),
    // Where others have another bucket, they do not know what is hidden here: it stays here.
    gone: () => withRules(hasSharedBucket(options) ? deletions.due(tenant) : deletions.of(tenant)),
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

/** False: the bucket is a directory of this node alone. */
export function hasSharedBucket({ config }: NodeOptions): boolean {
  return config.bucket !== undefined;
}

/** Compacts what the ring gives to this instance: of the owners of a name the first that lives does it. */
function createCompactor(
  options: NodeOptions,
  {
    deletions,
    gossip,
    instanceId,
    views,
  }: {
    readonly deletions: DeletionRequests;
    readonly gossip: Gossip;
    readonly instanceId: InstanceId;
    readonly views: ClusterViews;
  },
): Compactor {
  const { config, dataDirectory, platform } = options;
  const { bucket, clock, disk, log, random } = platform;
  const isLiving = (id: InstanceId): boolean =>
    id === instanceId || (gossip.member(id)?.state ?? 'dead') !== 'dead';
  const owns = (name: string): boolean =>
    !hasSharedBucket(options) || ownersOf(views.current.ring, name).find(isLiving) === instanceId;
  const { blockRangesMs, deletionDelayMs, jobBytesMax, waitMs } = config.compactor;
  const { limits } = config;
  return new Compactor({
    bucket,
    clock,
    disk,
    log,
    random,
    directory: `${dataDirectory}/compactor`,
    rangesMs: blockRangesMs,
    waitMs,
    deletionDelayMs,
    jobBytesMax,
    partialDelayMsOf: () => limits.compactor_partial_block_deletion_delay_ms,
    retentionMsOf: (_tenant, resolutionMs) => retentionMsOf(limits, resolutionMs),
    downsampling: downsamplingLevels(limits.out_of_order_time_window_ms),
    deletions: {
      due: (tenant) => dueDeletions(options, deletions, tenant),
      processed: (tenant, id) => deletions.markProcessed(tenant, id),
    },
    ownsTenant: (tenant) => owns(tenant),
    ownsJob: (tenant, key) => owns(`${tenant}/${key}`),
  });
}

/** How long blocks stay; what is not set for a resolution is as for samples. */
function retentionMsOf(limits: Limits, resolutionMs: number): number {
  const {
    compactor_blocks_retention_period_ms: rawMs,
    compactor_blocks_retention_period_5m_ms: fineMs,
    compactor_blocks_retention_period_1h_ms: coarseMs,
  } = limits;
  const ownMs = resolutionMs === 0 ? rawMs : resolutionMs <= 300_000 ? fineMs : coarseMs;
  return ownMs < 0 ? rawMs : ownMs;
}

function createBlockUploads({ config, dataDirectory, platform }: NodeOptions): BlockUploads {
  const { bucket, clock, disk, log } = platform;
  const { validationsMax, ...limits } = config.blockUpload;
  const retentionMs = config.limits.compactor_blocks_retention_period_ms;
  return new BlockUploads({
    bucket,
    clock,
    disk,
    log,
    directory: `${dataDirectory}/uploads`,
    limitsOf: () => ({ ...limits, retentionMs }),
    validationsMax,
  });
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

function tenantsDirectory({ dataDirectory }: NodeOptions): string {
  return `${dataDirectory}/tenants`;
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
              directory: joinedPath(tenantsDirectory(options), tenant),
              pacer,
            }),
          canRefill: (range) => canOthersFill(views.current.registry, instanceId, range),
        },
        fingerprint: fingerprintOf(views, tenant),
        deletions: tenantDeletions(options, deletions, tenant),
      };
    },
  });
}

function joinedPath(directory: string, tenant: TenantId): string {
  return [directory, ...tenantPathParts(tenant)].join('/');
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
