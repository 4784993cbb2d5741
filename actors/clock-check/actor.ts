/**
 * Compares this node's wall clock with the others', a few at a time, every few seconds, and at once after the own
 * clock jumped. An answer that was long on its way says nothing. What follows from the verdict is elsewhere: a
 * node whose clock is wrong is not ready and takes no writes (clock-watch.ts).
 */
import { type Registry, instancesById, isVoter } from '../../membership/index.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Clock, Log, Random } from '../../platform/platform.ts';
import type { Actor, ActorRuntime } from '../runtime/index.ts';
import type { ClockWatch } from './clock-watch.ts';
import { type ClockCheckMessage, CLOCK_CHECK_PATH } from './messages.ts';
import { clockVerdict } from './verdict.ts';

const EVERY_MS = 10_000;
/** So many are asked, drawn anew each time: who is wrong differs from nearly all. */
const PEERS_MAX = 9;
const TIMEOUT_MS = 5000;

export interface ClockCheckDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly runtime: () => ActorRuntime;
  readonly registry: () => Registry;
  readonly watch: ClockWatch;
}

export class ClockCheckActor implements Actor<ClockCheckMessage> {
  readonly #dependencies: ClockCheckDependencies;
  #isRunning = false;
  #nextMs = 0;
  #told = '';

  constructor(dependencies: ClockCheckDependencies) {
    this.#dependencies = dependencies;
  }

  receive(message: ClockCheckMessage): void {
    const { clock, watch } = this.#dependencies;
    if (message.type === 'wall-time') {
      message.reply.ok(clock.wallMs());
      return;
    }
    const isDue = clock.monotonicMs() >= this.#nextMs || watch.hasJumped;
    if (this.#isRunning || !isDue) return;
    this.#isRunning = true;
    this.#nextMs = clock.monotonicMs() + EVERY_MS;
    void this.#compare().then(() => {
      this.#isRunning = false;
    });
  }

  /** Never rejects. */
  async #compare(): Promise<void> {
    const { log, watch } = this.#dependencies;
    const peers = this.#peers();
    const offsets = await Promise.all(peers.map((peer) => this.#offsetOf(peer)));
    const known = offsets.filter((offset) => offset !== undefined);
    // Others are registered and none answers: nothing was learnt.
    if (peers.length > 0 && known.length === 0) return;
    watch.note(clockVerdict(known, watch.limitMs));
    const { reason } = watch;
    const told = watch.verdict.kind === 'disputed' ? 'clocks differ' : reason;
    if (told === this.#told) return;
    this.#told = told;
    if (reason !== '') log.error('the clock of this node is wrong', { why: reason });
    else if (told !== '') log.error('clocks of nodes differ, and no majority says whose is wrong');
    else log.info('the clock of this node agrees with the others');
  }

  #peers(): readonly InstanceId[] {
    const { random, registry, runtime } = this.#dependencies;
    const { self } = runtime();
    const all = instancesById(registry()).filter((one) => isVoter(one) && one.id !== self);
    const peers = all.map(({ id }) => id);
    for (let i = 0; i < Math.min(PEERS_MAX, peers.length); i++) {
      const j = i + Math.floor(random.float() * (peers.length - i));
      [peers[i], peers[j]] = [peers[j]!, peers[i]!];
    }
    return peers.slice(0, PEERS_MAX);
  }

  /** How far the wall clock of an instance is ahead of this one's; undefined: it did not say in time. */
  async #offsetOf(instance: InstanceId): Promise<number | undefined> {
    const { clock, runtime, watch } = this.#dependencies;
    const sentMs = clock.monotonicMs();
    const options = { timeoutMs: TIMEOUT_MS, lane: 'control' } as const;
    const to = { instance, path: CLOCK_CHECK_PATH };
    try {
      const theirs = await runtime().ask<number>(to, { type: 'wall-time' }, options).done;
      const tookMs = clock.monotonicMs() - sentMs;
      return tookMs > watch.limitMs ? undefined : theirs - (clock.wallMs() - tookMs / 2);
    } catch {
      return undefined; // it is down, or older than this message
    }
  }
}
