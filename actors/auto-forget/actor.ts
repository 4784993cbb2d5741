/**
 * Forgets, without an operator, an instance that has been down for long. What a failure detector says changes no
 * registry by itself (DESIGN: it would shrink a minority's cluster); here it is the hand that an operator would
 * lift: after a long time, when most of the registered instances say the same, and then through the same ballot.
 *
 *   look at gossip ─► a candidate (candidate.ts) ─► 'seen-down?' to all voters ─► a majority says yes
 *                  ─► 'forget' to the own membership actor ─► ballot ─► tombstone ─► its history is taken over
 */
import { DownWatch, type Registry, instancesById, isVoter } from '../../membership/index.ts';
import { toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Clock, Log } from '../../platform/platform.ts';
import { MEMBERSHIP_PATH } from '../membership/messages.ts';
import type { Actor, ActorRuntime, OutgoingMessage } from '../runtime/index.ts';
import { forgetCandidate } from './candidate.ts';
import { AUTO_FORGET_PATH, type AutoForgetMessage } from './messages.ts';

const ASK_TIMEOUT_MS = 5000;
/** A ballot is given up after half a minute. */
const FORGET_TIMEOUT_MS = 60_000;
/** After a try that came to nothing. */
const RETRY_MS = 60_000;

export interface AutoForgetDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly runtime: () => ActorRuntime;
  readonly registry: () => Registry;
  /** Whether gossip takes the instance for gone: dead, left, or never met. */
  readonly isDown: (id: InstanceId) => boolean;
  /** Whether this node takes part in its cluster now. */
  readonly isReady: () => boolean;
  /** 0: nobody is forgotten. Others are told what was seen all the same. */
  readonly afterMs: number;
  /** How far back nodes promise data. */
  readonly retentionMs: number;
}

export class AutoForgetActor implements Actor<AutoForgetMessage> {
  readonly #dependencies: AutoForgetDependencies;
  readonly #watch = new DownWatch();
  #isRunning = false;
  #notBeforeMs = 0;

  constructor(dependencies: AutoForgetDependencies) {
    this.#dependencies = dependencies;
  }

  receive(message: AutoForgetMessage): void {
    if (message.type === 'seen-down') {
      message.reply.ok(this.#watch.downMs(message.instance) >= Math.max(1, message.forMs));
      return;
    }
    const { afterMs, clock, isReady } = this.#dependencies;
    this.#look();
    if (afterMs === 0 || this.#isRunning || !isReady()) return;
    if (clock.monotonicMs() < this.#notBeforeMs) return;
    const id = this.#candidate();
    if (id === undefined) return;
    this.#isRunning = true;
    this.#notBeforeMs = clock.monotonicMs() + RETRY_MS;
    void this.#tryForget(id).then(() => {
      this.#isRunning = false;
    });
  }

  #look(): void {
    const { clock, isDown, registry, runtime } = this.#dependencies;
    const { self } = runtime();
    const voters = [...registry().instances.values()].filter(isVoter);
    const down = voters.filter(({ id }) => id !== self && isDown(id));
    this.#watch.look(clock.monotonicMs(), new Set(down.map(({ id }) => id)));
  }

  #candidate(): InstanceId | undefined {
    const { afterMs, clock, registry, retentionMs, runtime } = this.#dependencies;
    const nowMs = clock.wallMs();
    return forgetCandidate(registry(), {
      self: runtime().self,
      downMs: (id) => this.#watch.downMs(id),
      afterMs,
      promised: { minTimeMs: Math.max(0, nowMs - retentionMs), maxTimeMs: nowMs },
    })?.id;
  }

  /** Never rejects. */
  async #tryForget(id: InstanceId): Promise<void> {
    const { afterMs, log, runtime } = this.#dependencies;
    try {
      if (!(await this.#doMostAgree(id))) {
        log.probe?.('auto_forget.not_agreed');
        return;
      }
      if (this.#candidate() !== id) return; // it came back while they were asked
      const target = { instance: runtime().self, path: MEMBERSHIP_PATH };
      await this.#ask<null>(target, { type: 'forget', instance: id }, FORGET_TIMEOUT_MS);
      log.probe?.('auto_forget.done');
      log.warn('an instance that was down for long is forgotten', { instance: id, afterMs });
    } catch (thrown) {
      const { message } = toStarlingError(thrown);
      log.info('an instance that is down is not forgotten', { instance: id, why: message });
    }
  }

  /** Whether a majority of the registered instances, this one among them, saw it down for so long. */
  async #doMostAgree(id: InstanceId): Promise<boolean> {
    const { afterMs, registry, runtime } = this.#dependencies;
    const { self } = runtime();
    const voters = instancesById(registry()).filter(isVoter);
    const asked = voters.filter((voter) => voter.id !== self && voter.id !== id);
    const question = { type: 'seen-down', instance: id, forMs: afterMs };
    const answers = await Promise.all(
      asked.map((voter) =>
        this.#ask<boolean>(
          { instance: voter.id, path: AUTO_FORGET_PATH },
          question,
          ASK_TIMEOUT_MS,
        ).catch(() => false),
      ),
    );
    const count = 1 + answers.filter(Boolean).length;
    return count * 2 > voters.length;
  }

  #ask<Answer>(
    to: { readonly instance: InstanceId; readonly path: string },
    message: OutgoingMessage,
    timeoutMs: number,
  ): Promise<Answer> {
    return this.#dependencies.runtime().ask<Answer>(to, message, { timeoutMs, lane: 'control' })
      .done;
  }
}
