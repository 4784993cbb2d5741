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
 *
 * With `digests`, one instance is asked for its series and the others for a digest of theirs, which for small answers
 * they tell instead of them. One that equals that of series which came counts as an answer; otherwise the instance is
 * asked again, for its series.
 *
 *   series of A ─┬─ digest of B equal: complete │ differs: series of B are asked for
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { ReadPlan, ReadVerdict } from '../../membership/index.ts';
import type { Probe } from '../../platform/rare.ts';
import type { DigestWish, ReadSummary } from '../ingester/messages.ts';
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
  readonly ask: (
    instance: InstanceId,
    onFrame: (frame: Uint8Array) => void,
    content: DigestWish | undefined,
  ) => AskHandle;
  /** Whether instances are compared by digests, where they are replicas of each other. */
  readonly digests?: boolean;
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
  /** Of digests of replicas, if any was told. */
  readonly replicas?: 'agree' | 'differ' | undefined;
}

export interface GatheredFrom extends Gathered {
  /** Whose the frames are, in their order. */
  readonly instances: readonly InstanceId[];
}

interface Answer {
  readonly frames: readonly Uint8Array[];
  readonly bytes: number;
  readonly summary: ReadSummary;
  /** Only the digest of its series came. */
  readonly isDigest: boolean;
}

/** Who answered and who failed, over all rounds. */
interface Progress {
  readonly answers: Map<InstanceId, Answer>;
  readonly failures: Map<InstanceId, StarlingError>;
  /** A digest was told that no series have: all are asked for series. */
  isDifferent: boolean;
}

/** Gathers whole answers until the plan is satisfied. Throws `read.incomplete` when it cannot be. */
export async function gather(options: GatherOptions): Promise<GatheredFrom> {
  const progress: Progress = { answers: new Map(), failures: new Map(), isDifferent: false };
  const { answers } = progress;
  const learnt = new Set<string>();
  for (;;) {
    await new Round(options, progress).run();
    const unlike = digestsOfNoSeries(answers);
    if (unlike.length > 0) {
      options.probe?.('read.digest_differs');
      progress.isDifferent = true;
      for (const instance of unlike) answers.delete(instance);
      continue;
    }
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
  const replicas = agreementOf(progress);
  if (replicas === 'agree') options.probe?.('read.digest_agrees');
  const kept = [...answers.values()];
  const withSeries = [...answers].filter(([, answer]) => !answer.isDigest);
  return {
    instances: withSeries.map(([instance]) => instance),
    frames: withSeries.map(([, answer]) => answer.frames),
    heldFromMs: Math.min(...kept.map((one) => one.summary.heldFromMs ?? Number.NEGATIVE_INFINITY)),
    oldestTimeMs: Math.max(Number.MIN_SAFE_INTEGER, ...kept.map((one) => one.summary.oldestTimeMs)),
    replicas,
  };
}

/** Who told the digest of series that nobody sent. */
function digestsOfNoSeries(answers: Progress['answers']): readonly InstanceId[] {
  const sent = new Set<string | undefined>();
  for (const { isDigest, summary } of answers.values()) if (!isDigest) sent.add(summary.content);
  return [...answers].flatMap(([instance, { isDigest, summary }]) =>
    isDigest && !sent.has(summary.content) ? [instance] : [],
  );
}

function agreementOf({ answers, isDifferent }: Progress): Gathered['replicas'] {
  if (isDifferent) return 'differ';
  return [...answers.values()].some(({ isDigest }) => isDigest) ? 'agree' : undefined;
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
  readonly content: DigestWish | undefined;
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
      for (let i = needed; i-- > 0;) this.#ask(wanted[i]!, i > 0 || this.#hasSeries());
      this.#check();
    });
  }

  /** `isSpare`: another one is asked for its series, or sent them. */
  #ask(instance: InstanceId, isSpare: boolean): void {
    if (this.#isSettled) return;
    const ask: OpenAsk = {
      content: this.#contentWish(isSpare),
      frames: [],
      bytes: 0,
      cancel: () => undefined,
    };
    this.#open.set(instance, ask);
    try {
      const onFrame = (frame: Uint8Array): void => this.#onFrame(ask, frame);
      const handle = this.#options.ask(instance, onFrame, ask.content);
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

  #contentWish(isSpare: boolean): DigestWish | undefined {
    const { areReplicas, instancesToAsk } = this.#plan;
    const isOfUse = areReplicas && instancesToAsk.length > 1 && !this.#progress.isDifferent;
    if (!isOfUse || this.#options.digests !== true) return undefined;
    return isSpare ? 'instead' : 'also';
  }

  #hasSeries(): boolean {
    const { answers } = this.#progress;
    return (
      [...this.#open.values()].some(({ content }) => content !== 'instead') ||
      [...answers.values()].some(({ isDigest }) => !isDigest)
    );
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
    const { bytes, content, frames } = ask;
    const isDigest = content === 'instead' && summary.content !== undefined && frames.length === 0;
    this.#progress.answers.set(instance, { frames, bytes, summary, isDigest });
    this.#check();
    if (!isDigest) this.#tellEarly(frames);
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
    for (const instance of instances) this.#ask(instance, this.#hasSeries());
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
