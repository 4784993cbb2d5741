/**
 * Asking the cluster and knowing when the answer is complete. One gather asks as few instances of a
 * read plan as can be enough, in parallel, and the others too when one of them fails or is late. It
 * keeps each instance's frames apart, and is done as soon as the plan says that those which answered
 * fully are enough. What an instance sent before failing is dropped: an
 * answer counts whole or not at all, so nothing is ever silently partial.
 *
 * A responder whose registry digest differs may know an instance that we did not ask. Its registry
 * is pulled and merged, and newly known instances are asked too, before the answer counts.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { ReadPlan, ReadVerdict } from '../../membership/index.ts';
import type { ReadSummary } from '../ingester/messages.ts';

export interface GatherOptions {
  /** Our own registry digest, asked again after a pull. */
  readonly digest: () => string;
  readonly plan: () => ReadPlan;
  /** Who to ask first, of all that may be asked. */
  readonly order: (instances: readonly InstanceId[]) => readonly InstanceId[];
  /** Calls back when an answer is late, unless the returned function is called before. */
  readonly hedge: (callback: () => void) => () => void;
  /** Asks one instance; frames arrive through `onFrame`; resolves when it is whole. */
  readonly ask: (instance: InstanceId, onFrame: (frame: Uint8Array) => void) => AskHandle;
  /** Pulls and merges the registry of an instance. */
  readonly pullRegistry: (instance: InstanceId) => Promise<void>;
  /** The most bytes all answers together may have. */
  readonly bytesMax: number;
}

export interface AskHandle {
  readonly done: Promise<ReadSummary>;
  cancel(): void;
}

export interface Gathered {
  /** The frames of each instance that answered fully. */
  readonly frames: readonly (readonly Uint8Array[])[];
  readonly oldestTimeMs: number;
}

interface Answer {
  readonly frames: Uint8Array[];
  readonly summary: ReadSummary;
}

/** Gathers whole answers until the plan is satisfied. Throws `read.incomplete` when it cannot be. */
export async function gather(options: GatherOptions): Promise<Gathered> {
  const answers = new Map<InstanceId, Answer>();
  const failures = new Map<InstanceId, StarlingError>();
  const pulledDigests = new Set<string>();
  for (;;) {
    await askPlan(options, answers, failures);
    const strangers = [...answers].filter(
      ([, { summary }]) =>
        summary.digest !== options.digest() && !pulledDigests.has(summary.digest),
    );
    if (strangers.length === 0) break;
    for (const [instance, { summary }] of strangers) {
      if (pulledDigests.has(summary.digest)) continue;
      pulledDigests.add(summary.digest);
      await options.pullRegistry(instance);
    }
  }
  const kept = [...answers.values()];
  return {
    frames: kept.map((answer) => answer.frames),
    oldestTimeMs: Math.max(Number.MIN_SAFE_INTEGER, ...kept.map((one) => one.summary.oldestTimeMs)),
  };
}

/**
 * Asks those of the plan that were not asked yet: first as few as can be enough; all others when one
 * of these fails or is slow. Resolves when enough answered.
 */
function askPlan(
  options: GatherOptions,
  answers: Map<InstanceId, Answer>,
  failures: Map<InstanceId, StarlingError>,
): Promise<void> {
  const plan = options.plan();
  const wanted = options
    .order(plan.instancesToAsk.map(({ id }) => id))
    .filter((id) => !answers.has(id) && !failures.has(id));
  const needed = enoughOf(wanted, plan, new Set(answers.keys()));
  let spare = wanted.slice(needed);
  return new Promise((resolve, reject) => {
    const open = new Map<InstanceId, AskHandle>();
    let bytes = 0;
    let isSettled = false;
    const settle = (error?: StarlingError): void => {
      if (isSettled) return;
      isSettled = true;
      stopHedge();
      for (const handle of open.values()) handle.cancel();
      if (error === undefined) resolve();
      else reject(error);
    };
    const check = (): void => {
      const verdict = plan.isComplete(new Set(answers.keys()));
      if (verdict.ok) settle();
      else if (open.size === 0 && spare.length === 0) settle(incomplete(verdict, failures));
    };
    const ask = (instance: InstanceId): void => {
      const frames: Uint8Array[] = [];
      const handle = options.ask(instance, (frame) => {
        bytes += frame.length;
        frames.push(frame);
        if (bytes > options.bytesMax) settle(tooLarge(bytes, options.bytesMax));
      });
      open.set(instance, handle);
      handle.done.then(
        (summary) => {
          if (isSettled) return;
          open.delete(instance);
          answers.set(instance, { frames, summary });
          check();
        },
        (thrown: unknown) => {
          if (isSettled) return;
          open.delete(instance);
          const error = toStarlingError(thrown);
          if (!error.retryable && error.http < 500) settle(error); // the request itself is wrong
          failures.set(instance, error);
          askSpare();
          check();
        },
      );
    };
    const askSpare = (): void => {
      if (isSettled) return;
      const instances = spare;
      spare = [];
      for (const instance of instances) ask(instance);
    };
    const stopHedge = options.hedge(askSpare);
    for (const instance of wanted.slice(0, needed)) ask(instance);
    if (open.size === 0) check();
  });
}

/** How many of `wanted`, from its start, complete the plan together with those that answered. */
function enoughOf(
  wanted: readonly InstanceId[],
  plan: ReadPlan,
  answered: Set<InstanceId>,
): number {
  let count = 0;
  while (count < wanted.length && !plan.isComplete(answered).ok) answered.add(wanted[count++]!);
  return count;
}

function incomplete(
  { missing, tolerated }: Extract<ReadVerdict, { ok: false }>,
  failures: ReadonlyMap<InstanceId, StarlingError>,
): StarlingError {
  const reasons = [...failures].map(([id, error]) => `${id}: ${error.message}`).join('; ');
  const text = reasons === '' ? missing : `${missing} (${reasons})`;
  return new StarlingError('read.incomplete', { missing: text, tolerated });
}

function tooLarge(count: number, countMax: number): StarlingError {
  return new StarlingError('query.too_large', { what: 'bytes of chunks', count, countMax });
}
