/**
 * Runs a refill while this instance's record says that something is missing: one at a time, tried again
 * after a while when it fails, and now and then when a part of it cannot be filled for now.
 */
import { toStarlingError } from '../../model/errors.ts';
import type { Actor } from '../runtime/index.ts';
import type { RefillMessage } from './messages.ts';
import { Refill, type RefillDependencies, type RefillProgress } from './refill.ts';

const RETRY_MS = 10_000;
/** When what is left needs others to come back first. */
const HOPELESS_RETRY_MS = 10 * 60_000;

export interface RefillActorDependencies extends Omit<RefillDependencies, 'isStopped'> {
  /** Whether this node takes part in its cluster now. */
  readonly isReady: () => boolean;
  readonly onProgress: (progress: RefillProgress | undefined) => void;
}

export class RefillActor implements Actor<RefillMessage> {
  readonly #dependencies: RefillActorDependencies;
  readonly #refill: Refill;
  #isRunning = false;
  #isStopped = false;
  #notBeforeMs = 0;

  constructor(dependencies: RefillActorDependencies) {
    this.#dependencies = dependencies;
    this.#refill = new Refill({ ...dependencies, isStopped: () => this.#isStopped });
  }

  stop(): void {
    this.#isStopped = true;
  }

  receive(): void {
    const { clock, isReady, log, onProgress, runtime, view } = this.#dependencies;
    onProgress(this.#refill.progress);
    const own = view().registry.instances.get(runtime().self);
    const missingBeforeMs = own?.missingBeforeMs ?? 0;
    if (missingBeforeMs === 0 || this.#isRunning || !isReady()) return;
    if (clock.monotonicMs() < this.#notBeforeMs) return;
    this.#isRunning = true;
    this.#refill
      .run(missingBeforeMs)
      .then(
        ({ restMs }) => {
          if (restMs === 0) log.probe?.('refill.done');
          if (restMs === 0) log.info('lost data is filled again: this node counts as whole');
          else log.warn('lost data is filled again as far as others have it', { restMs });
          this.#notBeforeMs = clock.monotonicMs() + (restMs === 0 ? 0 : HOPELESS_RETRY_MS);
        },
        (error: unknown) => {
          log.probe?.('refill.failed');
          if (!this.#isStopped)
            log.warn('lost data is not filled again yet', {
              error: toStarlingError(error).message,
            });
          this.#notBeforeMs = clock.monotonicMs() + RETRY_MS;
        },
      )
      .finally(() => {
        this.#isRunning = false;
      });
  }
}
