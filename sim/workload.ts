/**
 * The load on a cluster, and what it is checked against. Writers each own some series and send one
 * sample of each at a time: the next goes out only when the last was acknowledged or given up, so
 * that a retry is never out of order. Readers ask random nodes for random acknowledged samples while
 * faults happen; the audit asks every node for everything.
 */
import type { Outcome } from './world.ts';
import { checkAcknowledged } from './checkers/acknowledged.ts';
import type { CheckedAnswer, Violation } from './checkers/answer.ts';
import { checkInvented } from './checkers/invented.ts';
import { EPOCH_MS } from './clock.ts';
import { History, type ReadSample, type SentSample } from './history.ts';
import type { SimRandom } from './random.ts';
import { type WriteSeries, encodePush } from './remote-write.ts';

/** What the load sees of a cluster. */
export interface LoadTarget {
  readonly random: SimRandom;
  nowMs(): number;
  sleep(delayMs: number): Promise<void>;
  note(line: string): void;
  /** Names of nodes that say they are ready. */
  readyNodes(): readonly string[];
  /** True: all of it was stored. False: some of it was refused. */
  push(node: string, body: Uint8Array, timeoutMs: number): Promise<Outcome<boolean>>;
  /** Complete samples of a series within [fromMs, toMs]. */
  read(
    node: string,
    query: { readonly series: number; readonly fromMs: number; readonly toMs: number },
    timeoutMs: number,
  ): Promise<Outcome<readonly ReadSample[]>>;
}

export interface LoadShape {
  readonly writers: number;
  readonly seriesPerWriter: number;
  readonly everyMs: number;
}

export const SERIES_LABEL = 'series';
export const METRIC_NAME = 'sim_samples';

const PUSH_TIMEOUT_MS = 12_000;
const READ_TIMEOUT_MS = 30_000;
const RETRY_MS = 300;
const ATTEMPTS_MAX = 5;
const READ_SPAN_MS = 20_000;
const AUDIT_ATTEMPTS_MAX = 10;
const VIOLATIONS_MAX = 20;

export class Workload {
  readonly history = new History();
  readonly violations: Violation[] = [];
  readonly counts = { pushErrors: 0, pushTimeouts: 0, refused: 0, reads: 0, readErrors: 0 };
  readonly #target: LoadTarget;
  readonly #shape: LoadShape;
  #isStopped = false;
  #running: Promise<void>[] = [];

  constructor(target: LoadTarget, shape: LoadShape) {
    this.#target = target;
    this.#shape = shape;
  }

  start(): void {
    const { random } = this.#target;
    for (let i = 0; i < this.#shape.writers; i++) {
      this.#running.push(this.#write(i, random.child(`writer ${i}`)));
    }
    this.#running.push(this.#readAtRandom(random.child('reader')));
  }

  /** Resolves when the last request ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#running);
    this.#running = [];
  }

  /** Asks each node for all samples of each series. A node that cannot answer is a violation. */
  async audit(nodes: readonly string[]): Promise<void> {
    const toMs = EPOCH_MS + Math.ceil(this.#target.nowMs());
    for (const node of nodes) {
      for (const series of this.history.seriesNumbers) {
        await this.#auditSeries(node, series, toMs);
      }
    }
  }

  async #auditSeries(node: string, series: number, toMs: number): Promise<void> {
    let why = '';
    for (let attempt = 0; attempt < AUDIT_ATTEMPTS_MAX; attempt++) {
      const outcome = await this.#read(node, { series, fromMs: EPOCH_MS, toMs }, 'I1');
      if (outcome.kind === 'answer') return;
      why = outcome.kind === 'error' ? String(outcome.error) : 'no answer in time';
      await this.#target.sleep(1000);
    }
    this.#report([{ invariant: 'I1', what: `${node} cannot answer series ${series}: ${why}` }]);
  }

  async #write(writer: number, random: SimRandom): Promise<void> {
    const { everyMs, seriesPerWriter } = this.#shape;
    const target = this.#target;
    while (!this.#isStopped) {
      await target.sleep(everyMs * random.between(0.5, 1.5));
      const timestampMs = EPOCH_MS + Math.floor(target.nowMs());
      const samples = Array.from({ length: seriesPerWriter }, (_, i) =>
        this.history.send(writer * seriesPerWriter + i, timestampMs),
      );
      await this.#push(samples, random);
    }
  }

  async #push(samples: readonly SentSample[], random: SimRandom): Promise<void> {
    const target = this.#target;
    const body = encodePush(samples.map(seriesOf));
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const node = random.pick(target.readyNodes());
      const outcome =
        node === undefined ? undefined : await target.push(node, body, PUSH_TIMEOUT_MS);
      if (outcome?.kind === 'answer') {
        if (outcome.value) this.history.acknowledge(samples, target.nowMs());
        else this.counts.refused++;
        return;
      }
      if (outcome?.kind === 'error') {
        this.counts.pushErrors++;
        target.note(`push to ${node ?? '?'} failed: ${String(outcome.error)}`);
      }
      if (outcome?.kind === 'timeout') this.counts.pushTimeouts++;
      await target.sleep(RETRY_MS);
    }
  }

  async #readAtRandom(random: SimRandom): Promise<void> {
    const target = this.#target;
    while (!this.#isStopped) {
      await target.sleep(this.#shape.everyMs * random.between(0.5, 1.5));
      const sample = random.pick(this.history.acked);
      const node = random.pick(target.readyNodes());
      if (sample === undefined || node === undefined) continue;
      const fromMs = sample.timestampMs - random.below(READ_SPAN_MS);
      const toMs = sample.timestampMs + random.below(READ_SPAN_MS);
      await this.#read(node, { series: sample.series, fromMs, toMs }, 'I5');
    }
  }

  async #read(
    node: string,
    query: { readonly series: number; readonly fromMs: number; readonly toMs: number },
    invariant: 'I1' | 'I5',
  ): Promise<Outcome<readonly ReadSample[]>> {
    const askedAtMs = this.#target.nowMs();
    this.counts.reads++;
    const outcome = await this.#target.read(node, query, READ_TIMEOUT_MS);
    if (outcome.kind !== 'answer') {
      this.counts.readErrors++;
      if (outcome.kind === 'error') {
        const span = `[${query.fromMs - EPOCH_MS}, ${query.toMs - EPOCH_MS}]`;
        this.#target.note(`read of ${span} from ${node} failed: ${String(outcome.error)}`);
      }
      return outcome;
    }
    const answer: CheckedAnswer = { node, ...query, askedAtMs, samples: outcome.value };
    this.#report(checkAcknowledged(this.history, answer, invariant));
    this.#report(checkInvented(this.history, answer));
    return outcome;
  }

  #report(violations: readonly Violation[]): void {
    for (const violation of violations) {
      this.#target.note(`VIOLATION ${violation.invariant}: ${violation.what}`);
      if (this.violations.length < VIOLATIONS_MAX) this.violations.push(violation);
    }
  }
}

function seriesOf(sample: SentSample): WriteSeries {
  return {
    labels: [
      ['__name__', METRIC_NAME],
      [SERIES_LABEL, String(sample.series)],
    ],
    samples: [[sample.timestampMs, sample.value]],
  };
}
