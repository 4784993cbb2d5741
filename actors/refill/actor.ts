/**
 * Two duties, one at a time: a refill while this instance's record says that something is missing, else the
 * covering of what forgotten instances held. Each is tried again after a while when it fails, and now and
 * then when a part of it cannot be done for now.
 */
import { toStarlingError } from '../../model/errors.ts';
import type { Actor } from '../runtime/index.ts';
import { Cover, coverGoalOf } from './cover.ts';
import type { RefillMessage } from './messages.ts';
import { Refill, type RefillProgress } from './refill.ts';
import type { RefillDependencies } from './window-filler.ts';

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
  readonly #cover: Cover;
  #isRunning = false;
  #isStopped = false;
  #notBeforeMs = 0;

  constructor(dependencies: RefillActorDependencies) {
    this.#dependencies = dependencies;
    const own = { ...dependencies, isStopped: () => this.#isStopped };
    this.#refill = new Refill(own);
    this.#cover = new Cover(own);
  }

  stop(): void {
    this.#isStopped = true;
  }

  receive(message: RefillMessage): void {
    if (message.type === 'covered') {
      message.reply.ok(this.#cover.hasCovered(message.key));
      return;
    }
    const { clock, isReady, onProgress, runtime, view } = this.#dependencies;
    onProgress(this.#refill.progress);
    const { registry } = view();
    const missingBeforeMs = registry.instances.get(runtime().self)?.missingBeforeMs ?? 0;
    const goal = missingBeforeMs === 0 ? coverGoalOf(registry) : undefined;
    if (missingBeforeMs === 0 && goal === undefined) return;
    if (this.#isRunning || !isReady() || clock.monotonicMs() < this.#notBeforeMs) return;
    this.#isRunning = true;
    const duty = goal === undefined ? this.#fillAgain(missingBeforeMs) : this.#takeOver(goal);
    void duty.then((waitMs) => {
      this.#notBeforeMs = clock.monotonicMs() + waitMs;
      this.#isRunning = false;
    });
  }

  /** Returns how long to wait before there may be more to do. Never rejects; nor does `#takeOver`. */
  async #fillAgain(missingBeforeMs: number): Promise<number> {
    const { log } = this.#dependencies;
    try {
      const { restMs } = await this.#refill.run(missingBeforeMs);
      if (restMs > 0) {
        log.warn('lost data is filled again as far as others have it', { restMs });
        return HOPELESS_RETRY_MS;
      }
      log.probe?.('refill.done');
      log.info('lost data is filled again: this node counts as whole');
      return 0;
    } catch (thrown) {
      log.probe?.('refill.failed');
      this.#warn('lost data is not filled again yet', thrown);
      return RETRY_MS;
    }
  }

  async #takeOver(goal: NonNullable<ReturnType<typeof coverGoalOf>>): Promise<number> {
    try {
      await this.#cover.run(goal);
      return (await this.#cover.settle(goal)) ? 0 : RETRY_MS;
    } catch (thrown) {
      this.#dependencies.log.probe?.('cover.failed');
      this.#warn('what forgotten instances held is not taken over yet', thrown);
      return RETRY_MS;
    }
  }

  #warn(what: string, thrown: unknown): void {
    if (this.#isStopped) return;
    this.#dependencies.log.warn(what, { error: toStarlingError(thrown).message });
  }
}
