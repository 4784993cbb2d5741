/**
 * What of a node works with the bucket: it ships blocks, knows the requests to delete series, compacts what the ring
 * gives it, and takes blocks that are uploaded.
 */
import type { ClusterViews } from '../actors/membership/cluster-view.ts';
import { ownersOf } from '../actors/store-gateway/placement.ts';
import type { Gossip, Identity } from '../membership/index.ts';
import type { InstanceId, TenantId } from '../model/ids.ts';
import type { Limits } from '../model/limits.ts';
import {
  BlockUploads,
  Compactor,
  type Deletion,
  DeletionRequests,
  Shipping,
  NO_DELETIONS,
  type TenantDeletions,
  type TsdbManager,
  downsamplingLevels,
  retentionDeletions,
} from '../storage/index.ts';
import { type NodeOptions, hasSharedBucket, tenantDirectory } from './node-options.ts';

export function createShipping(
  options: NodeOptions,
  {
    deletions,
    identity,
    tenants,
    views,
  }: {
    readonly deletions: DeletionRequests;
    readonly identity: Identity;
    readonly tenants: () => TsdbManager;
    readonly views: ClusterViews;
  },
): Shipping {
  const { bucket, clock, disk, log } = options.platform;
  return new Shipping({
    ...{ bucket, clock, disk, log },
    storeId: identity.storeId,
    directoryOf: (tenant) => tenantDirectory(options, tenant),
    ownsIndex: (tenant) => ownersOf(views.current.ring, tenant)[0] === identity.instanceId,
    retentionMsOf: () =>
      deletions.isClockRight ? options.config.limits.compactor_blocks_retention_period_ms : 0,
    goneOf: (tenant) => dueDeletions(options, deletions, tenant),
    damageOf: (tenant) => tenants().get(tenant)?.damage,
  });
}

export function createDeletions(
  { config, dataDirectory, platform }: NodeOptions,
  isClockRight: () => boolean,
): DeletionRequests {
  const { bucket, clock, disk, log, random } = platform;
  const { cancelPeriodMs } = config.compactor;
  const directory = dataDirectory;
  return new DeletionRequests({
    ...{ bucket, clock, disk, log, random, directory, cancelPeriodMs, isClockRight },
  });
}

/** What blocks are made without: nothing by a clock that may be wrong. */
function dueDeletions(
  { config, platform }: NodeOptions,
  deletions: DeletionRequests,
  tenant: TenantId,
): readonly Deletion[] {
  if (!deletions.isClockRight) return NO_DELETIONS;
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
    memory: deletions.memory,
    hidden: () => withRules(deletions.of(tenant)),
    // Where others have another bucket, they do not know what is hidden here: it stays here.
    gone: () =>
      hasSharedBucket(options)
        ? dueDeletions(options, deletions, tenant)
        : withRules(deletions.of(tenant)),
  };
}

/** Compacts what the ring gives to this instance: of the owners of a name the first that lives does it. */
export function createCompactor(
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
    isClockRight: () => deletions.isClockRight,
    jobBytesMax,
    partialDelayMsOf: () => limits.compactor_partial_block_deletion_delay_ms,
    // By a clock that may be wrong nothing is past its retention.
    retentionMsOf: (_tenant, resolutionMs) =>
      deletions.isClockRight ? retentionMsOf(limits, resolutionMs) : 0,
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

export function createBlockUploads({ config, dataDirectory, platform }: NodeOptions): BlockUploads {
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
