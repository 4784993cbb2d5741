/**
 * A node's own metrics, in a registry of its own (several nodes may share a process). Names are Cortex'
 * where they mean the same. Hot paths keep plain counters; they are read when somebody scrapes.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { PushCounts } from '../actors/distributor/actor.ts';
import type { MetadataStats } from '../actors/ingester/metadata-store.ts';
import type { ClockVerdict } from '../actors/clock-check/verdict.ts';
import type { ClusterViews } from '../actors/membership/cluster-view.ts';
import type { ActorRuntime } from '../actors/runtime/index.ts';
import type { Gossip } from '../membership/index.ts';
import type { StarlingError } from '../model/errors.ts';
import type { InstanceId, TenantId } from '../model/ids.ts';
import type {
  Committer,
  Compactor,
  DeletionRequests,
  TenantExemplarStats,
  TsdbManager,
  TsdbStats,
} from '../storage/index.ts';
import { watchCompactor } from './compactor-metrics.ts';
import { watchDeletions } from './deletion-metrics.ts';
import type { LossKeeper } from './loss-keeper.ts';

export interface Watched {
  readonly committer: Committer;
  readonly compactor: Compactor;
  readonly deletions: DeletionRequests;
  readonly tenants: TsdbManager;
  readonly runtime: ActorRuntime;
  readonly gossip: Gossip;
  readonly views: ClusterViews;
  readonly losses: LossKeeper;
  readonly self: InstanceId;
}

/** What a loop meter reads, in milliseconds; NaN where the system does not tell. */
export interface LoopFigures {
  readonly delayP99Ms: number;
  readonly delayMaxMs: number;
  readonly sliceP99Ms: number;
  readonly sliceMaxMs: number;
}

/** Tenants that have metrics of their own. */
const METRIC_TENANTS_MAX = 1000;
/** No tenant can be called so. */
const OTHER_TENANTS = '<other>';

export class NodeMetrics {
  readonly #registry = new Registry();
  readonly #users = new Set<TenantId>();
  #readLoop: () => void = () => undefined;
  readonly #received: Counter<'user'>;
  readonly #receivedExemplars: Counter<'user'>;
  readonly #receivedMetadata: Counter<'user'>;
  readonly #discarded: Counter<'reason' | 'user'>;
  readonly #discardedExemplars: Counter<'reason' | 'user'>;
  readonly #discardedMetadata: Counter<'reason' | 'user'>;
  readonly #queries: Histogram<'outcome'>;
  readonly #walSyncs: Histogram;

  constructor(version: string) {
    const registers = [this.#registry];
    this.#received = new Counter({
      name: 'cortex_distributor_received_samples_total',
      help: 'Samples that pushes stored.',
      labelNames: ['user'],
      registers,
    });
    this.#discarded = new Counter({
      name: 'cortex_discarded_requests_total',
      help: 'Pushes of which something was refused, by reason.',
      labelNames: ['reason', 'user'],
      registers,
    });
    this.#receivedExemplars = new Counter({
      name: 'cortex_distributor_received_exemplars_total',
      help: 'Exemplars that pushes carried and that are valid.',
      labelNames: ['user'],
      registers,
    });
    this.#discardedExemplars = new Counter({
      name: 'cortex_discarded_exemplars_total',
      help: 'Exemplars of pushes that were dropped, by reason.',
      labelNames: ['reason', 'user'],
      registers,
    });
    this.#receivedMetadata = new Counter({
      name: 'cortex_distributor_received_metadata_total',
      help: 'Metadata that pushes carried and that is valid.',
      labelNames: ['user'],
      registers,
    });
    this.#discardedMetadata = new Counter({
      name: 'cortex_discarded_metadata_total',
      help: 'Metadata of pushes that was refused, by reason.',
      labelNames: ['reason', 'user'],
      registers,
    });
    this.#queries = new Histogram({
      name: 'cortex_query_duration_seconds',
      help: 'Time a query or a label request took, by outcome.',
      labelNames: ['outcome'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
      registers,
    });
    this.#walSyncs = new Histogram({
      name: 'prometheus_tsdb_wal_fsync_duration_seconds',
      help: 'Time a sync of a write-ahead log took.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
      registers,
    });
    const build = new Gauge({
      name: 'cortex_build_info',
      help: 'Always 1.',
      labelNames: ['version'],
      registers,
    });
    build.set({ version }, 1);
  }

  onPush(tenant: TenantId, push: PushCounts): void {
    const { discards, exemplarsReceived = 0, metadataReceived = 0 } = push;
    const { refused, samplesStored } = push;
    const user = this.#userOf(tenant);
    this.#received.inc({ user }, samplesStored);
    if (refused !== undefined) this.#discarded.inc({ user, reason: refused.id });
    if (exemplarsReceived > 0) this.#receivedExemplars.inc({ user }, exemplarsReceived);
    if (metadataReceived > 0) this.#receivedMetadata.inc({ user }, metadataReceived);
    if (discards === undefined) return;
    for (const [reason, count] of discards.exemplarsByReason)
      this.#discardedExemplars.inc({ user, reason }, count);
    for (const [reason, count] of discards.metadataByReason)
      this.#discardedMetadata.inc({ user, reason }, count);
  }

  /** Anyone can name a new tenant: those beyond the bound share one label value. */
  #userOf(tenant: TenantId): string {
    if (this.#users.has(tenant)) return tenant;
    if (this.#users.size >= METRIC_TENANTS_MAX) return OTHER_TENANTS;
    this.#users.add(tenant);
    return tenant;
  }

  onQuery(seconds: number, error: StarlingError | undefined): void {
    this.#queries.observe({ outcome: error?.id ?? 'success' }, seconds);
  }

  onWalSync(seconds: number): void {
    this.#walSyncs.observe(seconds);
  }

  /** Adds what is read at scrape time. Called once. */
  watch(watched: Watched): void {
    const { committer, gossip, losses, runtime, self, tenants, views } = watched;
    watchCompactor(watched.compactor, this.#registry);
    watchDeletions(watched.deletions, this.#registry);
    this.#watchLosses({ losses, self, views });
    this.#gauge(
      'prometheus_tsdb_wal_writes_failed_total',
      'Writes of a write-ahead log that failed; their bytes are kept and written again.',
      () => committer.writeFailures,
    );
    const tsdbs = (): readonly TsdbStats[] => Array.from(tenants.all(), ([, tsdb]) => tsdb.stats());
    const sum = (values: readonly number[]): number =>
      values.reduce((total, value) => total + value, 0);
    this.#gauge('cortex_ingester_memory_series', 'Series in memory.', () =>
      sum(tsdbs().map((one) => one.seriesCount)),
    );
    this.#gauge('cortex_ingester_memory_users', 'Tenants in memory.', () => tenants.openCount);
    this.#gauge('cortex_ingester_ingested_samples_total', 'Samples appended.', () =>
      sum(tsdbs().map((one) => one.samplesAppended)),
    );
    this.#watchArenas((of) => sum(tsdbs().map(of)));
    this.#gauge('cortex_ingester_tsdb_compactions_total', 'Blocks cut from heads.', () =>
      sum(tsdbs().map((one) => one.cutCount)),
    );
    this.#gauge(
      'cortex_ingester_tsdb_compactions_failed_total',
      'Cuts of a head that failed; they are tried again.',
      () => sum(tsdbs().map((one) => one.cutFailures)),
    );
    this.#gauge('cortex_ingester_tsdb_blocks_loaded', 'Blocks on the disk of this node.', () =>
      sum(tsdbs().map((one) => one.blockCount)),
    );
    this.#gauge('cortex_ingester_tsdb_storage_blocks_bytes', 'Bytes of these blocks.', () =>
      sum(tsdbs().map((one) => one.blockBytes)),
    );
    this.#gauge(
      'cortex_ingester_tsdb_out_of_order_samples_appended_total',
      'Samples taken out of order.',
      () => sum(tsdbs().map((one) => one.outOfOrderCount)),
    );
    this.#watchExemplars((of) => sum(tsdbs().map((one) => of(one.exemplars))));
    this.#gauge(
      'starling_replication_factor',
      'The effective replication factor.',
      () => views.current.ring.rf,
    );
    this.#gauge(
      'cortex_ring_members',
      'Instances on the ring.',
      () => views.current.instances.length,
    );
    this.#gauge(
      'memberlist_client_cluster_members_count',
      'Members alive, this one included.',
      () => gossip.members().filter((member) => member.state === 'alive').length + 1,
    );
    this.#gauge(
      'memberlist_client_cluster_node_health_score',
      'Lifeguard health score; 0 is healthy.',
      () => gossip.stats().healthScore,
    );
    this.#watchActors(runtime, sum);
  }

  #watchArenas(sum: (of: (stats: TsdbStats) => number) => number): void {
    this.#gauge('starling_head_arena_bytes', 'Bytes of chunks and labels in memory.', () =>
      sum((one) => one.arenaBytes),
    );
    this.#gauge('starling_head_arena_reserved_bytes', 'Bytes of memory that these are in.', () =>
      sum((one) => one.arenaReservedBytes),
    );
    this.#gauge('starling_head_chunk_file_bytes', 'Bytes of chunks of heads in files.', () =>
      sum((one) => one.chunkFileBytes),
    );
  }

  #watchActors(runtime: ActorRuntime, sum: (values: readonly number[]) => number): void {
    this.#gauge('starling_actor_mailbox_messages', 'Messages admitted and not yet handled.', () =>
      sum(runtime.statuses().map((status) => status.depth)),
    );
    this.#gauge('starling_actor_restarts_total', 'Actors restarted after a fault.', () =>
      sum(runtime.statuses().map((status) => status.restarts)),
    );
  }

  #watchExemplars(sum: (of: (stats: TenantExemplarStats) => number) => number): void {
    const gauge = (name: string, help: string, of: (stats: TenantExemplarStats) => number): void =>
      this.#gauge(name, help, () => sum(of));
    gauge(
      'cortex_ingester_ingested_exemplars_total',
      'Exemplars that were taken.',
      (one) => one.appendedCount,
    );
    gauge(
      'cortex_ingester_ingested_exemplars_failures_total',
      'Exemplars dropped because their series is not known, or their time out of bounds.',
      (one) => one.failedCount,
    );
    gauge(
      'cortex_ingester_tsdb_exemplar_out_of_order_exemplars_total',
      'Exemplars dropped because their series has one after them.',
      (one) => one.outOfOrderCount,
    );
    gauge(
      'cortex_ingester_tsdb_exemplar_exemplars_in_storage',
      'Exemplars in memory.',
      (one) => one.exemplarCount,
    );
    gauge(
      'cortex_ingester_tsdb_exemplar_series_with_exemplars_in_storage',
      'Series that have exemplars in memory.',
      (one) => one.seriesCount,
    );
  }

  /** What is known of metrics, and what was left out of it. */
  watchMetadata(read: () => MetadataStats): void {
    const gauge = (name: string, help: string, of: (stats: MetadataStats) => number): void =>
      this.#gauge(name, help, () => of(read()));
    gauge('cortex_ingester_memory_metadata', 'Metadata in memory.', (one) => one.entryCount);
    gauge('starling_ingester_metadata_bytes', 'Bytes of it, about.', (one) => one.bytes);
    gauge(
      'cortex_ingester_ingested_metadata_total',
      'Metadata that was taken.',
      (one) => one.receivedCount,
    );
    gauge(
      'cortex_ingester_memory_metadata_created_total',
      'Metadata that was new.',
      (one) => one.createdCount,
    );
    gauge(
      'cortex_ingester_memory_metadata_removed_total',
      'Metadata that went because nobody repeated it.',
      (one) => one.removedCount,
    );
    const dropped = new Gauge<'reason'>({
      name: 'cortex_ingester_ingested_metadata_failures_total',
      help: 'Metadata that was left out because of a limit.',
      labelNames: ['reason'],
      registers: [this.#registry],
      collect: () => {
        for (const [reason, count] of read().dropped) dropped.set({ reason }, count);
      },
    });
  }

  /** How far this node's clock is off. */
  watchClock(verdictOf: () => ClockVerdict): void {
    this.#gauge(
      'starling_clock_wrong_seconds',
      'How far the clocks of most nodes are ahead of this one, when it is wrong; 0: it agrees with them.',
      () => {
        const verdict = verdictOf();
        return verdict.kind === 'wrong' ? verdict.byMs / 1000 : 0;
      },
    );
  }

  #watchLosses({ losses, self, views }: Pick<Watched, 'losses' | 'self' | 'views'>): void {
    this.#gauge(
      'starling_data_losses_found_total',
      'Times that a tenant was found to lack data that had been durable.',
      () => losses.foundCount,
    );
    this.#gauge(
      'starling_data_missing_before_timestamp_seconds',
      'Reads of older times do not count this node, because its data is incomplete; 0: it is whole.',
      () => (views.current.registry.instances.get(self)?.missingBeforeMs ?? 0) / 1000,
    );
    this.#gauge(
      'starling_refill_progress_ratio',
      'How much of what was lost is filled again, while it is being filled; 1: nothing is.',
      () => {
        if (losses.refill === undefined) return 1;
        const { atMs, fromMs, toMs } = losses.refill;
        return (atMs - fromMs) / Math.max(1, toMs - fromMs);
      },
    );
  }

  /** Adds what the loop of this process did since the last scrape. */
  watchLoop(read: () => LoopFigures): void {
    const gauge = (name: string, help: string): Gauge =>
      new Gauge({ name, help, registers: [this.#registry] });
    const delayP99 = gauge(
      'starling_loop_delay_p99_seconds',
      'How late the loop ran what was due, p99 since the last scrape.',
    );
    const delayMax = gauge('starling_loop_delay_max_seconds', 'The same, the longest.');
    const sliceP99 = gauge(
      'starling_loop_slice_cpu_p99_seconds',
      'Own CPU of one slice of the loop, p99 since the last scrape.',
    );
    const sliceMax = gauge('starling_loop_slice_cpu_max_seconds', 'The same, the longest.');
    this.#readLoop = () => {
      const figures = read();
      delayP99.set(figures.delayP99Ms / 1000);
      delayMax.set(figures.delayMaxMs / 1000);
      sliceP99.set(figures.sliceP99Ms / 1000);
      sliceMax.set(figures.sliceMaxMs / 1000);
    };
  }

  text(): Promise<string> {
    this.#readLoop();
    return this.#registry.metrics();
  }

  #gauge(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect: () => gauge.set(read()),
    });
  }
}
