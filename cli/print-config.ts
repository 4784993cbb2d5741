/** The effective configuration as YAML, in the shape of the file. Secrets are paths, never contents. */
import { stringify } from 'yaml';
import type { Config } from './config.ts';

export function printConfig(config: Config): string {
  const { blockUpload, compactor } = config;
  const {
    creation_grace_period_ms: graceMs,
    out_of_order_time_window_ms: windowMs,
    compactor_blocks_retention_period_ms: retentionMs,
    compactor_blocks_retention_period_5m_ms: fineRetentionMs,
    compactor_blocks_retention_period_1h_ms: coarseRetentionMs,
    compactor_partial_block_deletion_delay_ms: partialDelayMs,
    ...limits
  } = config.limits;
  return stringify({
    http: { listen: config.httpListen },
    grpc: { listen: config.grpcListen },
    gossip: { listen: config.gossipListen },
    advertise: {
      http: config.advertiseHttp,
      grpc: config.advertiseGrpc,
      gossip: config.advertiseGossip,
    },
    join: config.join,
    cluster: { label: config.clusterLabel, key_file: config.clusterKeyFile },
    insecure: config.insecure,
    api: { admin_enabled: config.adminEnabled },
    replication_factor: config.replicationFactor,
    membership: {
      auto_forget_after: config.autoForgetMs === 0 ? '0s' : `${config.autoForgetMs}ms`,
    },
    multitenancy: config.multitenancy,
    wal: { durability: config.walDurability, sync_interval: `${config.walSyncIntervalMs}ms` },
    blocks_storage: {
      tsdb: {
        retention_period: `${config.blocksRetentionMs}ms`,
        retention_size: config.blocksRetentionBytes,
      },
    },
    ingester: ingesterTree(config),
    compactor: {
      block_ranges: compactor.blockRangesMs.map((ms) => `${ms}ms`),
      compaction_interval: `${compactor.intervalMs}ms`,
      first_level_compaction_wait_period: `${compactor.waitMs}ms`,
      deletion_delay: `${compactor.deletionDelayMs}ms`,
      delete_request_cancel_period:
        compactor.cancelPeriodMs === 0 ? 0 : `${compactor.cancelPeriodMs}ms`,
      max_job_bytes: compactor.jobBytesMax,
      max_block_upload_validation_concurrency: blockUpload.validationsMax,
    },
    data_dir: config.dataDirectory,
    bucket: config.bucket,
    zone: config.zone,
    instance_id: config.instanceId,
    log: { level: config.logLevel },
    query: queryTree(config),
    limits: {
      ...limits,
      creation_grace_period: `${graceMs}ms`,
      out_of_order_time_window: windowMs === 0 ? 0 : `${windowMs}ms`,
      compactor_blocks_retention_period: retentionText(retentionMs),
      compactor_blocks_retention_period_5m: retentionText(fineRetentionMs),
      compactor_blocks_retention_period_1h: retentionText(coarseRetentionMs),
      compactor_blocks_retention_filters: config.retentionRules.map(({ text }) => text),
      compactor_partial_block_deletion_delay: `${partialDelayMs}ms`,
      compactor_block_upload_enabled: blockUpload.isEnabled,
      compactor_block_upload_verify_chunks: blockUpload.verifiesChunks,
      compactor_block_upload_max_block_size_bytes: blockUpload.sizeBytesMax,
    },
  });
}

/** Undefined: not set, so that it is left out. */
function retentionText(ms: number): number | string | undefined {
  return ms < 0 ? undefined : ms === 0 ? 0 : `${ms}ms`;
}

function ingesterTree({ metadataRetainMs, tenantsOpenMax }: Config): object {
  return {
    instance_limits: { max_tenants: tenantsOpenMax },
    metadata_retain_period: `${metadataRetainMs}ms`,
  };
}

function queryTree({ query, warmsUp }: Config): object {
  return {
    timeout: `${query.timeoutMs}ms`,
    max_samples: query.samplesMax,
    max_source_resolution: query.maxSourceResolution,
    lookback_delta: `${query.lookbackMs}ms`,
    max_concurrent: query.concurrentMax,
    max_concurrent_per_tenant: query.concurrentPerTenantMax,
    max_queued_per_tenant: query.queuedPerTenantMax,
    experimental: query.isExperimental,
    delayed_name_removal: query.delayedNameRemoval,
    warm_up: warmsUp,
  };
}
