/**
 * Taking over what a forgotten instance held. Its tombstone says before which time reads count it as missing,
 * and that ends here: each registered instance reads that time and adds to its own what the ring of now
 * gives it and it lacks; when all of them did, under the same ring, the tombstone is told as settled.
 *
 *   sealed tombstone ─► each: for each window read ─► what is lacking here ─► block ─► 'covered'
 *                       any of them: are all covered, by the same key? ─► 'loss-accepted'
 *
 * Invariant: a tombstone is settled only when each sample that was acknowledged before it was sealed is with
 * all members of its replica set, or older than any node's retention and so in the bucket. The key
 * names ring and tombstones: what was covered under another one does not count. It is in memory only; a
 * restart covers again, which writes nothing that is there.
 */
import {
  type InstanceRecord,
  MISSING_ALWAYS_MS,
  type Registry,
  effectiveRf,
  hashText,
  instancesById,
  isVoter,
} from '../../membership/index.ts';
import { StarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import { holdingsOf } from './holders.ts';
import { REFILL_PATH } from './messages.ts';
import { type RefillDependencies, WindowFiller, lastMsOf, windowsOf } from './window-filler.ts';
import { joinLacking } from './window-join.ts';

const ASK_TIMEOUT_MS = 5000;

/** What is to be covered by everybody: tombstones that all have heard of and that reads mind. */
export interface CoverGoal {
  readonly key: string;
  readonly tombstones: readonly InstanceRecord[];
  readonly beforeMs: number;
}

/** Undefined: nothing is to be covered. Pure. */
export function coverGoalOf(registry: Registry): CoverGoal | undefined {
  const all = instancesById(registry);
  const tombstones = all.filter(
    ({ missingBeforeMs, state }) =>
      state === 'FORGOTTEN' && missingBeforeMs > 0 && missingBeforeMs < MISSING_ALWAYS_MS,
  );
  if (tombstones.length === 0) return undefined;
  const places = all
    .filter(isVoter)
    .map(({ generation, id, storeId, tokenSeed, zone }) =>
      [id, generation, storeId, tokenSeed, zone].join(' '),
    );
  const graves = tombstones.map(
    ({ generation, id, missingBeforeMs, version }) =>
      `${id} ${generation} ${version} ${missingBeforeMs}`,
  );
  return {
    key: hashText([`rf ${effectiveRf(registry)}`, ...places, '', ...graves]),
    tombstones,
    beforeMs: Math.max(...tombstones.map(({ missingBeforeMs }) => missingBeforeMs)),
  };
}

/** Covers, and settles what all have covered. One call at a time. */
export class Cover {
  readonly #dependencies: RefillDependencies;
  readonly #filler: WindowFiller;
  #beganKey = '';
  /** Of the key that was begun: windows before are done. */
  #doneToMs = Number.NEGATIVE_INFINITY;
  #coveredKey = '';

  constructor(dependencies: RefillDependencies) {
    this.#dependencies = dependencies;
    const self = (): InstanceId => dependencies.runtime().self;
    this.#filler = new WindowFiller(dependencies, {
      // Its own answer must be among them, and as many as are enough.
      order: (all) => [...all].sort((a, b) => Number(b === self()) - Number(a === self())),
      keep: ({ frames, instances }, window, registry) => {
        if (!instances.includes(self())) {
          throw new StarlingError('node.not_ready', { why: 'it has no answer of its own' });
        }
        const { isReplica } = holdingsOf(registry, self(), window);
        const answers = frames.map((one, i) => ({ holder: instances[i]!, frames: one }));
        return joinLacking(dependencies, answers, { isReplica, self: self() });
      },
    });
  }

  /** Whether this instance holds its share of what the key names. */
  hasCovered(key: string): boolean {
    return this.#coveredKey === key;
  }

  /** Covers the goal, unless that is done. Throws what failed; again goes on with the window where it was. */
  async run(goal: CoverGoal): Promise<void> {
    if (this.hasCovered(goal.key)) return;
    const { log, view } = this.#dependencies;
    if (this.#beganKey !== goal.key) {
      this.#filler.reset();
      this.#doneToMs = Number.NEGATIVE_INFINITY;
    }
    this.#beganKey = goal.key;
    const range = { minTimeMs: 0, maxTimeMs: lastMsOf(goal.beforeMs) };
    const oldest = await this.#filler.tenantsOf(range);
    const firstMs = Math.max(this.#filler.firstMs(0, oldest), this.#doneToMs);
    const forgotten = goal.tombstones.map(({ id }) => id).join(', ');
    log.probe?.('cover.began');
    log.info('taking over what forgotten instances held', { forgotten, ...range, firstMs });
    for (const window of windowsOf(firstMs, range.maxTimeMs)) {
      if (coverGoalOf(view().registry)?.key !== goal.key) {
        throw new StarlingError('node.not_ready', { why: 'the ring changed meanwhile' });
      }
      await this.#filler.fill(window, oldest);
      this.#doneToMs = window.maxTimeMs + 1;
    }
    this.#coveredKey = goal.key;
    log.probe?.('cover.done');
    log.info('this node holds its share of what forgotten instances held', { forgotten });
  }

  /** Asks all others whether they covered it as well; true: reads need not mind it any more. */
  async settle(goal: CoverGoal): Promise<boolean> {
    const { log, runtime, view } = this.#dependencies;
    const { self } = runtime();
    const { registry } = view();
    const others = instancesById(registry).filter((one) => isVoter(one) && one.id !== self);
    const options = { timeoutMs: ASK_TIMEOUT_MS, lane: 'control' } as const;
    const answers = await Promise.all(
      others.map(({ id }) =>
        runtime()
          .ask<boolean>(
            { instance: id, path: REFILL_PATH },
            { type: 'covered', key: goal.key },
            options,
          )
          .done.catch(() => false),
      ),
    );
    if (!answers.every(Boolean) || coverGoalOf(view().registry)?.key !== goal.key) return false;
    for (const { id } of goal.tombstones) {
      await this.#filler.tell({ type: 'loss-accepted', instance: id });
      log.info('the others hold what a forgotten instance held', { instance: id });
    }
    log.probe?.('cover.settled');
    return true;
  }
}
