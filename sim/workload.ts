/**
 * The load on a cluster, and what it is checked against. Writers each own some series and send one
 * sample of each at a time: the next goes out only when the last was acknowledged or given up, so
 * that a retry is never out of order. Readers (`readers.ts`) ask while faults happen; the audit
 * (`audit.ts`) asks every node for everything.
 */
import type { Violation } from './checkers/answer.ts';
import { runDeleter } from './deleter.ts';
import { History, type SentSample } from './history.ts';
import type { LoadShape, LoadTarget, RequestEnd } from './load-target.ts';
import type { SimRandom } from './random.ts';
import { Readers } from './readers.ts';
import { encodePush } from './remote-write.ts';
import { Said, type SaidExemplar } from './said.ts';
import { runTeller } from './teller.ts';
import { writeSeriesOf } from './texts.ts';

const PUSH_TIMEOUT_MS = 12_000;
const RETRY_MS = 300;
const ATTEMPTS_MAX = 5;
const VIOLATIONS_MAX = 20;
/** Further ahead than any clock here is wrong: no node may take it. */
export const FUTURE_MS = 5 * 24 * 3_600_000;

export class Workload {
  readonly history = new History();
  readonly said = new Said();
  readonly violations: Violation[] = [];
  readonly counts = {
    pushErrors: 0,
    pushTimeouts: 0,
    refused: 0,
    lateStored: 0,
    reads: 0,
    readErrors: 0,
    deletions: 0,
    cancellations: 0,
    exemplars: 0,
    metadataSaid: 0,
  };
  /** Failed reads by what they said first. */
  readonly readErrorsBy = new Map<string, number>();
  /** Called for each attempt to push or to read that ended. */
  onRequest: (end: RequestEnd) => void = () => undefined;
  /** Times as many requests as usual. */
  pace = 1;
  readonly target: LoadTarget;
  readonly shape: LoadShape;
  readonly readers: Readers;
  isStopped = false;
  #running: Promise<void>[] = [];

  constructor(target: LoadTarget, shape: LoadShape) {
    this.target = target;
    this.shape = shape;
    this.readers = new Readers(this);
  }

  start(): void {
    const { random } = this.target;
    for (let i = 0; i < this.shape.writers; i++) {
      this.#running.push(this.#write(i, random.child(`writer ${i}`)));
    }
    this.#running.push(this.readers.run(random.child('reader')));
    const { deleteEveryMs, tellEveryMs } = this.shape;
    const { beside, deletions } = this.target;
    if (tellEveryMs !== undefined && beside !== undefined) {
      const options = { load: this, beside, everyMs: tellEveryMs };
      this.#running.push(runTeller(options, random.child('teller')));
    }
    if (deleteEveryMs === undefined || deletions === undefined) return;
    const deleter = random.child('deleter');
    this.#running.push(runDeleter({ load: this, deletions, everyMs: deleteEveryMs }, deleter));
  }

  get tenants(): readonly string[] {
    const { tenantCount } = this.shape;
    if (tenantCount === 1) return ['anonymous'];
    return Array.from({ length: tenantCount }, (_, i) => `tenant-${i}`);
  }

  /** Writers take turns among tenants. */
  tenantOf(series: number): string {
    const { tenants } = this;
    const writer = Math.floor(series / this.shape.seriesPerWriter);
    return tenants[writer % tenants.length] ?? '';
  }

  /** Resolves when the last request ended. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.all(this.#running);
    this.#running = [];
  }

  report(violations: readonly Violation[]): void {
    for (const violation of violations) {
      this.target.note(`VIOLATION ${violation.invariant}: ${violation.what}`);
      if (this.violations.length < VIOLATIONS_MAX) this.violations.push(violation);
    }
  }

  /** Asks a node, counts, and looks for what belongs to others; undefined: no answer. */
  judge: Readers['judge'] = (node, asked, request) => this.readers.judge(node, asked, request);

  async #write(writer: number, random: SimRandom): Promise<void> {
    const { everyMs, lateChance, repeatChance, seriesPerWriter } = this.shape;
    const { exemplarChance = 0, futureChance = 0, readBackChance = 0 } = this.shape;
    const exemplars = random.child('exemplars');
    const { history, target } = this;
    while (!this.isStopped) {
      await target.sleep((everyMs * random.between(0.5, 1.5)) / this.pace);
      const timestampMs = target.epochMs + Math.floor(target.nowMs());
      const first = writer * seriesPerWriter;
      if (history.find(first, timestampMs) !== undefined) continue; // twice in a millisecond
      const samples = Array.from({ length: seriesPerWriter }, (_, i) =>
        history.send(first + i, timestampMs),
      );
      const exemplar =
        samples[0] !== undefined && exemplars.chance(exemplarChance)
          ? this.said.newExemplar(samples[0])
          : undefined;
      await this.#push(samples, random, exemplar);
      if (random.chance(repeatChance)) await this.#push(samples, random, exemplar);
      if (random.chance(lateChance)) await this.#pushLate(samples, random);
      if (random.chance(futureChance)) await this.#pushFuture(first, random);
      if (random.chance(readBackChance)) await this.readers.readBack(samples, random);
    }
  }

  /** A sample before the last one. It is refused, or kept as any other. */
  async #pushLate(last: readonly SentSample[], random: SimRandom): Promise<void> {
    const after = last[0];
    if (after?.ackedAtMs === undefined) return;
    const timestampMs = after.timestampMs - 1 - random.below(20);
    if (this.history.find(after.series, timestampMs) !== undefined) return;
    const late = this.history.send(after.series, timestampMs);
    await this.#push([late], random);
    if (late.ackedAtMs !== undefined) this.counts.lateStored++;
  }

  /** A sample that must be refused, for its time lies days ahead. */
  async #pushFuture(series: number, random: SimRandom): Promise<void> {
    const { target } = this;
    const node = random.pick(target.readyNodes());
    if (node === undefined) return;
    const timestampMs = target.epochMs + Math.floor(target.nowMs()) + FUTURE_MS;
    const sample: SentSample = { series, timestampMs, value: -1, ackedAtMs: undefined };
    const tenant = this.tenantOf(series);
    const body = encodePush([writeSeriesOf(sample, tenant)]);
    const outcome = await target.push(node, tenant, body, PUSH_TIMEOUT_MS);
    if (outcome.kind !== 'answer' || !outcome.value) return;
    this.report([{ invariant: 'I4', what: `${node} took a sample of ${timestampMs}` }]);
  }

  /** `exemplar`: of the first sample. */
  async #push(
    samples: readonly SentSample[],
    random: SimRandom,
    exemplar?: SaidExemplar,
  ): Promise<void> {
    const { target } = this;
    const tenant = this.tenantOf(samples[0]?.series ?? 0);
    const body = encodePush(
      samples.map((sample, i) => writeSeriesOf(sample, tenant, i === 0 ? exemplar : undefined)),
    );
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const node = random.pick(target.readyNodes());
      const startMs = target.nowMs();
      const outcome =
        node === undefined ? undefined : await target.push(node, tenant, body, PUSH_TIMEOUT_MS);
      if (node !== undefined && outcome !== undefined) {
        const failed = outcome.kind === 'answer' ? undefined : outcome;
        this.onRequest({ kind: 'push', node, startMs, endMs: target.nowMs(), failed });
      }
      if (outcome?.kind === 'answer') {
        if (!outcome.value) this.counts.refused++;
        else {
          this.history.acknowledge(samples, target.nowMs());
          if (exemplar !== undefined) {
            exemplar.acked ??= { askedAtMs: startMs, doneAtMs: target.nowMs() };
            this.counts.exemplars++;
          }
        }
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
}
