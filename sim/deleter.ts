/**
 * A client that has samples deleted: of one series, around one that was acknowledged. Some requests are
 * cancelled soon after; then everything must be back.
 */
import { StarlingError } from '../model/errors.ts';
import { HIDE_MS } from './checkers/deleted.ts';
import type { History } from './history.ts';
import type { DeletionTarget, LoadTarget } from './load-target.ts';
import type { SimRandom } from './random.ts';

const TIMEOUT_MS = 30_000;
const SPAN_MS = 20_000;
const CANCEL_CHANCE = 0.3;
const CANCEL_AFTER_MS_MAX = 20_000;
/** Some come when it may be too late. */
const LATE_CHANCE = 0.3;
const LATE_AFTER_MS_MAX = 100_000;

export interface DeleterLoad {
  readonly target: LoadTarget;
  readonly history: History;
  readonly isStopped: boolean;
  readonly counts: { deletions: number; cancellations: number };
  tenantOf(series: number): string;
}

export interface DeleterOptions {
  readonly load: DeleterLoad;
  readonly deletions: DeletionTarget;
  readonly everyMs: number;
}

/** Asks until the load stops. */
export async function runDeleter(options: DeleterOptions, random: SimRandom): Promise<void> {
  const { everyMs, load } = options;
  for (;;) {
    await load.target.sleep(everyMs * random.between(0.5, 1.5));
    if (load.isStopped) return;
    await deleteOnce(options, random);
  }
}

async function deleteOnce({ deletions, load }: DeleterOptions, random: SimRandom): Promise<void> {
  const { history, target } = load;
  const node = random.pick(target.readyNodes());
  const sample = random.pick(history.acked);
  if (node === undefined || sample === undefined) return;
  const { series, timestampMs } = sample;
  const nowMs = target.epochMs + Math.floor(target.nowMs());
  const fromMs = timestampMs - random.below(SPAN_MS);
  // Only what exists is deleted: what ends later would be cut there.
  const toMs = Math.min(timestampMs + random.below(SPAN_MS), nowMs);
  const tenant = load.tenantOf(series);
  const deleted = history.delete({ series, fromMs, toMs });
  const span = { tenant, series, fromMs, toMs };
  const outcome = await deletions.add(node, span, TIMEOUT_MS);
  if (outcome.kind !== 'answer') return; // unknown: it may be in force
  deleted.doneAtMs = target.nowMs();
  deleted.sureToMs = outcome.value.toMs;
  load.counts.deletions++;
  if (!random.chance(CANCEL_CHANCE)) return;
  const afterMsMax = random.chance(LATE_CHANCE) ? LATE_AFTER_MS_MAX : CANCEL_AFTER_MS_MAX;
  await target.sleep(random.between(0, afterMsMax));
  const canceller = random.pick(target.readyNodes());
  if (canceller === undefined) return;
  const { doneAtMs } = deleted;
  deleted.doneAtMs = undefined;
  const cancelled = await deletions.cancel(canceller, tenant, outcome.value.id, TIMEOUT_MS);
  if (cancelled.kind === 'error' && isTooLate(cancelled.error)) deleted.doneAtMs = doneAtMs;
  if (cancelled.kind !== 'answer') return; // unknown: it may be cancelled
  history.restore(deleted, target.nowMs() + HIDE_MS);
  load.counts.cancellations++;
}

/** It was refused for good: the request stays in force. */
function isTooLate(error: unknown): boolean {
  return error instanceof StarlingError && error.id === 'deletion.too_late';
}
