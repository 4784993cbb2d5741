/**
 * Per-tenant limits, with Cortex' YAML keys as names. 0 means off. Users' overrides are applied
 * field by field over the defaults (cli/config.ts maps the keys).
 */
export interface Limits {
  readonly max_label_name_length: number;
  readonly max_label_value_length: number;
  readonly max_label_names_per_series: number;
  readonly max_labels_size_bytes: number;
  readonly max_series_per_user: number;
  /** Bytes of a metric's name, help and unit in metadata; help is cut to them. */
  readonly max_metadata_length: number;
  /** Metrics that have metadata. */
  readonly max_global_metadata_per_user: number;
  /** Different metadata of one metric. */
  readonly max_global_metadata_per_metric: number;
  /** Exemplars of all series, of which new ones overwrite the oldest; 0: none are taken. */
  readonly max_global_exemplars_per_user: number;
  readonly ingestion_rate: number;
  readonly ingestion_burst_size: number;
  /** Milliseconds a sample may lie in the future. */
  readonly creation_grace_period_ms: number;
  /** Milliseconds a sample may be older than the tenant's newest one and still come out of order. */
  readonly out_of_order_time_window_ms: number;
  /** Milliseconds after which blocks go from the bucket. */
  readonly compactor_blocks_retention_period_ms: number;
  /** The same for downsampled blocks of 5 minutes and of 1 hour; -1: as the blocks of samples. */
  readonly compactor_blocks_retention_period_5m_ms: number;
  readonly compactor_blocks_retention_period_1h_ms: number;
  /** Milliseconds that an upload may stand still before what there is of it goes. */
  readonly compactor_partial_block_deletion_delay_ms: number;
}

/** Defaults with multi-tenancy on: Cortex' own. */
export const MULTITENANT_LIMITS: Limits = {
  max_label_name_length: 1024,
  max_label_value_length: 2048,
  max_label_names_per_series: 30,
  max_labels_size_bytes: 32 * 1024,
  max_series_per_user: 5_000_000,
  max_metadata_length: 1024,
  max_global_metadata_per_user: 8000,
  max_global_metadata_per_metric: 10,
  max_global_exemplars_per_user: 0,
  ingestion_rate: 25_000,
  ingestion_burst_size: 50_000,
  creation_grace_period_ms: 10 * 60_000,
  out_of_order_time_window_ms: 30 * 60_000,
  compactor_blocks_retention_period_ms: 0,
  compactor_blocks_retention_period_5m_ms: -1,
  compactor_blocks_retention_period_1h_ms: -1,
  compactor_partial_block_deletion_delay_ms: 24 * 3_600_000,
};

/** Defaults with multi-tenancy off: series, metadata and rate are unlimited, the instance's guard rails protect it; exemplars are on. */
export const SINGLE_TENANT_LIMITS: Limits = {
  ...MULTITENANT_LIMITS,
  max_series_per_user: 0,
  max_global_metadata_per_user: 0,
  max_global_exemplars_per_user: 100_000,
  ingestion_rate: 0,
  ingestion_burst_size: 0,
};
