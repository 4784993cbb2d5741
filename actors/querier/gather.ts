/**
 * Asking the cluster and knowing when the answer is complete. One gather asks as few instances of a
 * read plan as can be enough, in parallel, and the others too when one of them fails or is late. It
 * keeps each instance's frames apart, and is done as soon as the plan says that those which answered
 * fully are enough. What an instance sent before failing is dropped: an
 * answer counts whole or not at all, so nothing is ever silently partial.
 *
 * A responder whose registry digest differs may know an instance that we did not ask. Its registry
 * is pulled and merged, and newly known instances are asked too. Its answer counts only once
 * everything it knew that matters to reads is known here.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { ReadPlan, ReadVerdict } from '../../membership/index.ts';
import type { Probe } from '../../platform/rare.ts';
import type { ReadSummary } from '../ingester/messages.ts';
import type { QueryBytes } from './byte-budget.ts';

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
  /** Whether all that matters to reads in the registry of an instance is known here. */
  readonly knowsRegistryOf: (instance: InstanceId) => Promise<boolean>;
  /** Told of a whole answer while others are waited for. */
  readonly onEarly?: ((frames: readonly Uint8Array[]) => void) | undefined;
  /** What all answers of the query together may hold. */
  readonly bytes: QueryBytes;
  readonly probe?: Probe;
}

export interface AskHandle {
  readonly done: Promise<ReadSummary>;
  cancel(): void;
}

export interface Gathered {
  /** The frames of each instance that answered fully. */
  readonly frames: readonly (readonly Uint8Array[])[];
  readonly oldestTimeMs: number;
  /** Nothing older is in the frames, of what may be left out; absent: not known. */
  readonly heldFromMs?: number | undefined;
}

export interface GatheredFrom extends Gathered {
  /** Whose the frames are, in their order. */
  readonly instances: readonly InstanceId[];
}

interface Answer {
  readonly frames: readonly Uint8Array[];
  readonly bytes: number;
  readonly summary: ReadSummary;
}

/** Who answered and who failed, over all rounds. */
interface Progress {
  readonly answers: Map<InstanceId, Answer>;
  readonly failures: Map<InstanceId, StarlingError>;
}

/** Gathers whole answers until the plan is satisfied. Throws `read.incomplete` when it cannot be. */
export async function gather(options: GatherOptions): Promise<GatheredFrom> {
  const progress: Progress = { answers: new Map(), failures: new Map() };
  const { answers } = progress;
  const learnt = new Set<string>();
  for (;;) {
    await new Round(options, progress).run();
    const stranger = [...answers].find(
      ([, { summary }]) => summary.digest !== options.digest() && !learnt.has(summary.digest),
    );
    if (stranger === undefined) break;
    const [instance, answer] = stranger;
    options.probe?.('read.stranger');
    const failure = await learn(options, instance, answer.summary.digest);
    if (failure === undefined) learnt.add(answer.summary.digest);
    else {
      // An answer that we cannot judge does not count; others may be enough.
      options.probe?.('read.unjudged');
      answers.delete(instance);
      options.bytes.give(answer.bytes);
      progress.failures.set(instance, failure);
    }
  }
  const kept = [...answers.values()];
  return {
    instances: [...answers.keys()],
    frames: kept.map((answer) => answer.frames),
    heldFromMs: Math.min(...kept.map((one) => one.summary.heldFromMs ?? Number.NEGATIVE_INFINITY)),
    oldestTimeMs: Math.max(Number.MIN_SAFE_INTEGER, ...kept.map((one) => one.summary.oldestTimeMs)),
  };
}

/** Learns what an instance knew when it answered; returns why that could not be done. */
async function learn(
  options: GatherOptions,
  instance: InstanceId,
  digest: string,
): Promise<StarlingError | undefined> {
  try {
    await options.pullRegistry(instance);
    if (digest === options.digest() || (await options.knowsRegistryOf(instance))) return undefined;
    return new StarlingError('node.not_ready', { why: 'its registry is not known here' });
  } catch (thrown) {
    return toStarlingError(thrown);
  }
}

/** An ask without an answer yet. */
interface OpenAsk {
  readonly frames: Uint8Array[];
  bytes: number;
  cancel: () => void;
}

/**
 * Asks those of the plan that were not asked yet: first as few as can be enough; all others when one
 * of these fails or is late. Ends when enough answered.
 */
class Round {
  readonly #options: GatherOptions;
  readonly #progress: Progress;
  readonly #plan: ReadPlan;
  readonly #open = new Map<InstanceId, OpenAsk>();
  #spare: readonly InstanceId[] = [];
  #isSettled = false;
  #stopHedge: () => void = () => undefined;
  #onSettled: (error: StarlingError | undefined) => void = () => undefined;

  constructor(options: GatherOptions, progress: Progress) {
    this.#options = options;
    this.#progress = progress;
    this.#plan = options.plan();
  }

  run(): Promise<void> {
    const { answers, failures } = this.#progress;
    const wanted = this.#options
      .order(this.#plan.instancesToAsk.map(({ id }) => id))
      .filter((id) => !answers.has(id) && !failures.has(id));
    const needed = enoughOf(wanted, this.#plan, new Set(answers.keys()));
    this.#spare = wanted.slice(needed);
    return new Promise((resolve, reject) => {
      this.#onSettled = (error) => (error === undefined ? resolve() : reject(error));
      this.#stopHedge = this.#options.hedge(() => {
        if (this.#spare.length > 0) this.#options.probe?.('read.hedged');
        this.#askSpare();
      });
      // The last first: what is read here must not keep the asks of others from leaving.
      for (let i = needed; i-- > 0;) this.#ask(wanted[i]!);
      this.#check();
    });
  }

  #ask(instance: InstanceId): void {
    if (this.#isSettled) return;
    const ask: OpenAsk = { frames: [], bytes: 0, cancel: () => undefined };
    this.#open.set(instance, ask);
    try {
      const handle = this.#options.ask(instance, (frame) => this.#onFrame(ask, frame));
      ask.cancel = () => handle.cancel();
      handle.done.then(
        (summary) => this.#onAnswer(instance, summary),
        (thrown: unknown) => this.#onFailure(instance, toStarlingError(thrown)),
      );
    } catch (thrown) {
      // Nobody waits for the query any more. The hedge asks from a timer: there nobody would catch it.
      this.#settle(toStarlingError(thrown));
    }
  }

  #onFrame(ask: OpenAsk, frame: Uint8Array): void {
    if (this.#isSettled) return;
    ask.frames.push(frame);
    ask.bytes += frame.length;
    try {
      this.#options.bytes.take(frame.length);
    } catch (thrown) {
      this.#settle(toStarlingError(thrown));
    }
  }

  #onAnswer(instance: InstanceId, summary: ReadSummary): void {
    const ask = this.#open.get(instance);
    if (ask === undefined || this.#isSettled) return;
    this.#open.delete(instance);
    this.#progress.answers.set(instance, { frames: ask.frames, bytes: ask.bytes, summary });
    this.#check();
    this.#tellEarly(ask.frames);
  }

  #tellEarly(frames: readonly Uint8Array[]): void {
    if (!this.#isSettled && this.#open.size > 0) this.#options.onEarly?.(frames);
  }

  #onFailure(instance: InstanceId, error: StarlingError): void {
    const ask = this.#open.get(instance);
    if (ask === undefined || this.#isSettled) return;
    this.#open.delete(instance);
    this.#options.bytes.give(ask.bytes);
    if (isAboutTheRequest(error)) this.#settle(error);
    this.#progress.failures.set(instance, error);
    if (this.#spare.length > 0) this.#options.probe?.('read.spare_after_failure');
    this.#askSpare();
    this.#check();
  }

  #askSpare(): void {
    const instances = this.#spare;
    this.#spare = [];
    for (const instance of instances) this.#ask(instance);
  }

  #check(): void {
    if (this.#isSettled) return;
    const verdict = this.#plan.isComplete(new Set(this.#progress.answers.keys()));
    if (verdict.ok) this.#settle(undefined);
    else if (this.#open.size === 0 && this.#spare.length === 0) {
      this.#options.probe?.('read.incomplete');
      this.#settle(incomplete(verdict, this.#progress.failures));
    }
  }

  #settle(error: StarlingError | undefined): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#stopHedge();
    for (const { bytes, cancel } of this.#open.values()) {
      cancel();
      this.#options.bytes.give(bytes);
    }
    this.#onSettled(error);
  }
}

/** The request would fail everywhere. Anything else, also bytes we cannot read, is that instance's failure. */
export function isAboutTheRequest({ http, id, retryable }: StarlingError): boolean {
  return !retryable && http < 500 && /^(query|tenant)\.|^request\.parameter$/.test(id);
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
