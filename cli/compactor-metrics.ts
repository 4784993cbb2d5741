/** The compactor's metrics, read when somebody scrapes. Names are Cortex' where they mean the same. */
import { Gauge, type Registry } from 'prom-client';
import type { Compactor, TenantStatus } from '../storage/index.ts';

/** Tenants that have metrics of their own. */
const METRIC_TENANTS_MAX = 1000;

/** Adds what a compactor counts to a registry. */
export function watchCompactor(compactor: Compactor, registry: Registry): void {
  const { counts } = compactor;
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number): void => {
    const one: Gauge = new Gauge({ name, help, registers, collect: () => one.set(read()) });
  };
  gauge(
    'cortex_compactor_runs_started_total',
    'Runs of compaction that began.',
    () => counts.runsStarted,
  );
  gauge(
    'cortex_compactor_runs_completed_total',
    'Runs that did all there was to do.',
    () => counts.runsCompleted,
  );
  gauge(
    'cortex_compactor_runs_failed_total',
    'Runs in which something failed.',
    () => counts.runsFailed,
  );
  gauge(
    'cortex_compactor_last_successful_run_timestamp_seconds',
    'When the last complete run ended.',
    () => (compactor.status().lastSuccessAtMs ?? 0) / 1000,
  );
  gauge('cortex_compactor_group_compactions_total', 'Jobs that were done.', () => counts.jobsDone);
  gauge(
    'cortex_compactor_group_compactions_failures_total',
    'Jobs that failed.',
    () => counts.jobsFailed,
  );
  gauge(
    'cortex_compactor_blocks_cleaned_total',
    'Blocks that were deleted from the bucket.',
    () => counts.blocksDeleted,
  );
  gauge(
    'cortex_compactor_blocks_marked_for_no_compaction_total',
    'Blocks left out of compaction because they are bad.',
    () => counts.blocksQuarantined,
  );
  watchMarked(compactor, registry);
  watchTenants(compactor, registry);
}

function watchMarked({ counts }: Compactor, registry: Registry): void {
  const gauge = new Gauge<'reason'>({
    name: 'cortex_compactor_blocks_marked_for_deletion_total',
    help: 'Blocks marked for deletion, by reason.',
    labelNames: ['reason'],
    registers: [registry],
    collect: () => {
      for (const [reason, count] of Object.entries(counts.blocksMarked)) {
        gauge.set({ reason }, count);
      }
    },
  });
}

function watchTenants(compactor: Compactor, registry: Registry): void {
  const perTenant = (name: string, help: string, read: (one: TenantStatus) => number): void => {
    const gauge = new Gauge<'user'>({
      name,
      help,
      labelNames: ['user'],
      registers: [registry],
      collect: () => {
        gauge.reset();
        for (const one of compactor.status().tenants.slice(0, METRIC_TENANTS_MAX)) {
          gauge.set({ user: one.tenant }, read(one));
        }
      },
    });
  };
  perTenant('cortex_bucket_blocks_count', 'Blocks of the bucket.', (one) => one.blockCount);
  perTenant(
    'cortex_bucket_blocks_marked_for_deletion_count',
    'Blocks of the bucket that are marked for deletion.',
    (one) => one.markedCount,
  );
  perTenant(
    'cortex_bucket_blocks_partials_count',
    'Blocks of the bucket without meta.json.',
    (one) => one.partialCount,
  );
  perTenant(
    'cortex_compactor_remaining_planned_compactions',
    'Jobs that are planned, for any node.',
    (one) => one.jobs.length,
  );
}
