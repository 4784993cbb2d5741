/** Metrics of requests to delete series, read when somebody scrapes. */
import { Gauge, type Registry } from 'prom-client';
import type { DeletionRequests } from '../storage/index.ts';

/** Adds what is known of requests to a registry. */
export function watchDeletions(deletions: DeletionRequests, registry: Registry): void {
  const registers = [registry];
  const states = new Gauge<'state'>({
    name: 'starling_deletion_requests',
    help: 'Requests to delete series that this node knows.',
    labelNames: ['state'],
    registers,
    collect: () => {
      for (const [state, count] of Object.entries(deletions.counts())) states.set({ state }, count);
    },
  });
  const gauge = (name: string, help: string, read: () => number): void => {
    const one: Gauge = new Gauge({ name, help, registers, collect: () => one.set(read()) });
  };
  gauge(
    'starling_deletion_requests_unreadable',
    'Requests in the bucket that cannot be read: nothing is deleted for them.',
    () => deletions.brokenCount,
  );
  gauge(
    'starling_deletion_requests_read_failures_total',
    'Looks at the requests in the bucket that failed.',
    () => deletions.failureCount,
  );
  gauge(
    'starling_deletion_requests_age_seconds',
    'How long ago the requests were read from the bucket; -1: not since the start.',
    () => (deletions.ageMs ?? -1000) / 1000,
  );
}
