/**
 * Filling again what this node lost, from the others: two hours after the other, oldest first, all tenants
 * of a window before the next one.
 *
 *   tenants? ─► for each window, tenant, part: read ─► join ─► block ─► … ─► note how far ─► 'refilled'
 *
 * A read here counts this instance as missing, as all reads do, so an answer that is complete holds every
 * acknowledged sample: after the last window this instance holds what it may have acknowledged. Invariant:
 * only after a complete answer is a window filled, and only after all of them is the instance whole.
 *
 * A loss that is found while this runs may be of a window that was filled already: it begins again then.
 * A restart goes on with the window it was at; a failure with the step it was at.
 */
import { type Registry, readPlan } from '../../membership/index.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { TimeRange } from '../../model/sample.ts';
import { holdingsOf } from './holders.ts';
import { joinWindow } from './window-join.ts';
import {
  type RefillDependencies,
  WINDOW_MS,
  WindowFiller,
  lastMsOf,
  windowsOf,
} from './window-filler.ts';

/** What is to be filled, and how far it is. For people. */
export interface RefillProgress {
  readonly fromMs: number;
  readonly toMs: number;
  readonly atMs: number;
}

/** One refill, from the note that it began with. Throws what failed; `run` again goes on. */
export class Refill {
  progress: RefillProgress | undefined;
  readonly #dependencies: RefillDependencies;
  readonly #filler: WindowFiller;
  /** The losses of which the filler knows what it has done. */
  #addedCount = 0;

  constructor(dependencies: RefillDependencies) {
    this.#dependencies = dependencies;
    const self = (): InstanceId => dependencies.runtime().self;
    this.#filler = new WindowFiller(dependencies, {
      order: (all) => all.filter((id) => id !== self()),
      keep: ({ frames, instances }, window, registry) => {
        const holdings = holdingsOf(registry, self(), window);
        const answers = frames.map((one, i) => ({
          holder: holdings.holderOf(instances[i]!),
          frames: one,
        }));
        return joinWindow(dependencies, answers, holdings);
      },
    });
  }

  /** Fills everything that `missingBeforeMs` of the own record stands for. Returns what could not be. */
  async run(missingBeforeMs: number): Promise<{ readonly restMs: number }> {
    for (;;) {
      const done = await this.#runOnce(missingBeforeMs);
      if (done !== undefined) return done;
      this.#dependencies.log.info('more was lost meanwhile: filling begins again');
    }
  }

  /** Undefined: more was lost meanwhile, and nothing is said to be whole. */
  async #runOnce(missingBeforeMs: number): Promise<{ readonly restMs: number } | undefined> {
    const { log, note, runtime, view } = this.#dependencies;
    if ((note.current?.beforeMs ?? 0) < missingBeforeMs) {
      await note.add({ fromMs: 0, beforeMs: missingBeforeMs }); // a new disk
    }
    const loss = note.current ?? { fromMs: 0, beforeMs: missingBeforeMs };
    const { addedCount } = note;
    if (addedCount !== this.#addedCount) this.#filler.reset();
    this.#addedCount = addedCount;
    const range = { minTimeMs: loss.fromMs, maxTimeMs: lastMsOf(loss.beforeMs) };
    const oldest = await this.#filler.tenantsOf(range);
    const firstMs = this.#filler.firstMs(loss.fromMs, oldest);
    log.probe?.('refill.began');
    log.info('filling lost data again', { ...range, firstMs, tenants: oldest.size });
    let restMs = 0;
    for (const window of windowsOf(firstMs, range.maxTimeMs)) {
      const atMs = window.minTimeMs;
      const endMs = (Math.floor(atMs / WINDOW_MS) + 1) * WINDOW_MS;
      this.progress = { fromMs: firstMs, toMs: range.maxTimeMs, atMs };
      if (!canOthersFill(view().registry, runtime().self, window)) {
        log.probe?.('refill.window_hopeless');
        restMs = endMs;
      } else {
        await this.#filler.fill(window, oldest);
        log.probe?.('refill.window_filled');
      }
      await note.fill(Math.min(endMs, loss.beforeMs), addedCount);
      if (note.addedCount !== addedCount) return undefined;
    }
    this.progress = undefined;
    restMs = Math.min(restMs, loss.beforeMs);
    if (note.addedCount !== addedCount) return undefined;
    // A loss that is noted from here on is told after this.
    await this.#filler.tell({ type: 'refilled', beforeMs: loss.beforeMs, restMs });
    await note.clear(addedCount);
    return note.addedCount === addedCount ? { restMs } : undefined;
  }
}

/**
 * Whether the answers of the others can be complete. If not there was a time of fewer copies, or others lost
 * theirs too: then a loss is for good, unless they come back with it.
 */
export function canOthersFill(registry: Registry, self: InstanceId, window: TimeRange): boolean {
  const plan = readPlan(registry, window);
  const others = plan.instancesToAsk.map(({ id }) => id).filter((id) => id !== self);
  return plan.isComplete(new Set(others)).ok;
}
