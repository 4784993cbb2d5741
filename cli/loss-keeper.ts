/**
 * What happens when a part of this node finds that promised data is gone: it is noted on disk, and once
 * membership runs, its record says so before anything that was read from the rest is answered.
 *
 *   Tsdb.open ─lost─► LOSS file ─► 'lost' ─► record persisted and published ─► the log is repaired
 */
import type { LossNote, Registry } from '../membership/index.ts';
import type { InstanceId, TenantId } from '../model/ids.ts';
import type { Clock, Log } from '../platform/platform.ts';
import type { FoundLoss } from '../storage/index.ts';

export interface LossKeeperOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly note: LossNote;
  /** Resolves when this instance's record says so, durably. */
  readonly tell: (beforeMs: number) => Promise<void>;
}

export class LossKeeper {
  readonly #options: LossKeeperOptions;
  /** Before that, the first record of this boot says it. */
  isMembershipRunning = false;
  /** Losses found since the start. */
  foundCount = 0;
  /** How far what was lost is filled again; undefined: nothing is being filled. */
  refill: { readonly fromMs: number; readonly toMs: number; readonly atMs: number } | undefined;

  constructor(options: LossKeeperOptions) {
    this.#options = options;
  }

  get note(): LossNote {
    return this.#options.note;
  }

  async found(tenant: TenantId, loss: FoundLoss): Promise<void> {
    const { fromMs, newestMs } = loss;
    const { clock, log, note, tell } = this.#options;
    this.foundCount++;
    const beforeMs = loss.beforeMs ?? Math.max(clock.wallMs(), newestMs);
    log.error('data lost: reads do not count this node for older times until it is filled again', {
      ...{ tenant, fromMs, beforeMs },
    });
    await note.add({ fromMs, beforeMs });
    if (this.isMembershipRunning) await tell(beforeMs);
  }

  /** The registry that this boot begins with: one that says already what is missing here. */
  withLoss(registry: Registry, self: InstanceId): Registry {
    const own = registry.instances.get(self);
    const loss = this.note.current;
    if (own === undefined || loss === undefined) return registry;
    const missingBeforeMs = Math.max(own.missingBeforeMs, loss.beforeMs);
    const instances = new Map([
      ...registry.instances,
      [self, { ...own, missingBeforeMs }] as const,
    ]);
    return { ...registry, instances };
  }
}
