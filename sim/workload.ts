/**
 * The load on a cluster, and what it is checked against. Writers each own some series and send one
 * sample of each at a time: the next goes out only when the last was acknowledged or given up, so
 * that a retry is never out of order. Readers ask random nodes for random acknowledged samples while
 * faults happen; the audit asks every node for everything.
 */
import { toStarlingError } from '../model/errors.ts';
import type { Outcome } from './world.ts';
import { checkAcknowledged } from './checkers/acknowledged.ts';
import { checkAudited } from './checkers/audited.ts';
import type { CheckedAnswer, Violation } from './checkers/answer.ts';
import { checkInvented } from './checkers/invented.ts';
import { checkPoints } from './checkers/points.ts';
import { checkSeries } from './checkers/series.ts';
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
  push(
    node: string,
    tenant: string,
    body: Uint8Array,
    timeoutMs: number,
  ): Promise<Outcome<boolean>>;
  /** Complete samples of a series within [fromMs, toMs]. */
  read(node: string, query: SeriesSpan, timeoutMs: number): Promise<Outcome<readonly ReadSample[]>>;
  /** Complete samples of all series of a tenant within [fromMs, toMs]. */
  readAll(
    node: string,
    query: Omit<SeriesSpan, 'series'>,
    timeoutMs: number,
  ): Promise<Outcome<readonly ReadSample[]>>;
  /** What an instant (step 0) or range query of a series shows, by step time. */
  points(
    node: string,
    query: {
      readonly tenant: string;
      readonly series: number;
      readonly startMs: number;
      readonly endMs: number;
      readonly stepMs: number;
    },
    timeoutMs: number,
  ): Promise<Outcome<readonly ReadSample[]>>;
  /** Which series have samples in a span. */
  series(node: string, query: SeriesSpan, timeoutMs: number): Promise<Outcome<readonly number[]>>;
}

/** Inclusive at both ends. */
export interface SeriesSpan {
  readonly tenant: string;
  readonly series: number;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface LoadShape {
  readonly writers: number;
  readonly seriesPerWriter: number;
  readonly everyMs: number;
  /** How far apart queries are; as far as pushes when it is not said. */
  readonly readEveryMs?: number;
  /** 1: one tenant without a name of its own. */
  readonly tenantCount: number;
  /** How often the same body is sent again after success. */
  readonly repeatChance: number;
  /** How often a sample older than the last acknowledged one is sent; it should be refused. */
  readonly lateChance: number;
}

export const SERIES_LABEL = 'series';
export const METRIC_NAME = 'sim_samples';

const PUSH_TIMEOUT_MS = 12_000;
const READ_TIMEOUT_MS = 30_000;
const RETRY_MS = 300;
const ATTEMPTS_MAX = 5;
const READ_SPAN_MS = 20_000;
/** The default of the query engine. */
const LOOKBACK_MS = 5 * 60_000;
const AUDIT_ATTEMPTS_MAX = 10;
const VIOLATIONS_MAX = 20;

/** A request without an answer. */
type Failed = Exclude<Outcome<never>, { readonly kind: 'answer' }>;

export class Workload {
  readonly history = new History();
  readonly violations: Violation[] = [];
  readonly counts = {
    pushErrors: 0,
    pushTimeouts: 0,
    refused: 0,
    lateStored: 0,
    reads: 0,
    readErrors: 0,
  };
  /** Failed reads by what they said first. */
  readonly readErrorsBy = new Map<string, number>();
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

  /** Asks each node for all samples of each tenant. A node that cannot answer is a violation. */
  async audit(nodes: readonly string[]): Promise<void> {
    const toMs = EPOCH_MS + Math.ceil(this.#target.nowMs());
    const seriesByTenant = new Map<string, number[]>();
    for (const series of this.history.seriesNumbers) {
      const tenant = this.#tenantOf(series);
      seriesByTenant.set(tenant, [...(seriesByTenant.get(tenant) ?? []), series]);
    }
    for (const node of nodes) {
      for (const [tenant, series] of seriesByTenant) {
        await this.#auditTenant(node, series, { tenant, fromMs: EPOCH_MS, toMs });
      }
    }
  }

  async #auditTenant(
    node: string,
    expected: readonly number[],
    query: Omit<SeriesSpan, 'series'>,
  ): Promise<void> {
    const target = this.#target;
    const own = new Set(expected);
    let why = '';
    for (let attempt = 0; attempt < AUDIT_ATTEMPTS_MAX; attempt++) {
      const askedAtMs = target.nowMs();
      this.counts.reads++;
      const outcome = await target.readAll(node, query, READ_TIMEOUT_MS);
      if (outcome.kind === 'answer') {
        const bySeries = groupBySeries(outcome.value);
        for (const series of new Set([...own, ...bySeries.keys()])) {
          const samples = bySeries.get(series) ?? [];
          const answer: CheckedAnswer = { node, ...query, series, askedAtMs, samples };
          this.#report(checkAudited(this.history, answer, own.has(series)));
        }
        return;
      }
      this.#readFailed(node, query, outcome);
      why = outcome.kind === 'error' ? String(outcome.error) : 'no answer in time';
      await target.sleep(1000);
    }
    const what = `${node} cannot answer for ${query.tenant}: ${why}`;
    this.#report([{ invariant: 'I1', what }]);
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
      if (random.chance(this.#shape.repeatChance)) await this.#push(samples, random);
      if (random.chance(this.#shape.lateChance)) await this.#pushLate(samples, random);
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

  /** Writers take turns among tenants. */
  #tenantOf(series: number): string {
    const { seriesPerWriter, tenantCount } = this.#shape;
    if (tenantCount === 1) return 'anonymous';
    return `tenant-${Math.floor(series / seriesPerWriter) % tenantCount}`;
  }

  async #push(samples: readonly SentSample[], random: SimRandom): Promise<void> {
    const target = this.#target;
    const body = encodePush(samples.map(seriesOf));
    const tenant = this.#tenantOf(samples[0]?.series ?? 0);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const node = random.pick(target.readyNodes());
      const outcome =
        node === undefined ? undefined : await target.push(node, tenant, body, PUSH_TIMEOUT_MS);
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
    const everyMs = this.#shape.readEveryMs ?? this.#shape.everyMs;
    while (!this.#isStopped) {
      await target.sleep(everyMs * random.between(0.5, 1.5));
      const sample = random.pick(this.history.acked);
      const node = random.pick(target.readyNodes());
      if (sample === undefined || node === undefined) continue;
      await this.#readOne(node, sample, random);
    }
  }

  async #readOne(
    node: string,
    { series, timestampMs }: SentSample,
    random: SimRandom,
  ): Promise<void> {
    const tenant = this.#tenantOf(series);
    const fromMs = timestampMs - random.below(READ_SPAN_MS);
    const toMs = timestampMs + random.below(READ_SPAN_MS);
    const query = { tenant, series, fromMs, toMs };
    const kind = random.below(8);
    if (kind === 0) await this.#readSeries(node, query);
    else if (kind === 1) await this.#readPoints(node, query, 0);
    else if (kind === 2) await this.#readPoints(node, query, 1 + random.below(5000));
    else if (kind === 3 && this.#shape.tenantCount > 1) await this.#readAcross(node, query);
    else await this.#read(node, query, 'I5');
  }

  /** Another tenant asks for a series that is not its own. */
  async #readAcross(node: string, query: SeriesSpan): Promise<void> {
    const others = Array.from({ length: this.#shape.tenantCount }, (_, i) => `tenant-${i}`);
    const tenant = others.find((one) => one !== query.tenant) ?? '';
    this.counts.reads++;
    const outcome = await this.#target.read(node, { ...query, tenant }, READ_TIMEOUT_MS);
    if (outcome.kind !== 'answer') this.#readFailed(node, query, outcome);
    else if (outcome.value.length > 0) {
      const what = `${node} shows ${tenant} series ${query.series} of ${query.tenant}`;
      this.#report([{ invariant: 'I3', what }]);
    }
  }

  async #readSeries(node: string, query: SeriesSpan): Promise<void> {
    const askedAtMs = this.#target.nowMs();
    this.counts.reads++;
    const outcome = await this.#target.series(node, query, READ_TIMEOUT_MS);
    if (outcome.kind !== 'answer') this.#readFailed(node, query, outcome);
    else this.#report(checkSeries(this.history, { node, ...query, askedAtMs }, outcome.value));
  }

  async #readPoints(node: string, query: SeriesSpan, stepMs: number): Promise<void> {
    const askedAtMs = this.#target.nowMs();
    const { series, tenant, toMs: endMs } = query;
    const startMs = stepMs === 0 ? endMs : query.fromMs;
    this.counts.reads++;
    const asked = { tenant, series, startMs, endMs, stepMs };
    const outcome = await this.#target.points(node, asked, READ_TIMEOUT_MS);
    if (outcome.kind !== 'answer') {
      this.#readFailed(node, query, outcome);
      return;
    }
    const points = new Map(outcome.value.map((one) => [one.timestampMs, one.value]));
    const seen = { node, ...asked, askedAtMs, lookbackMs: LOOKBACK_MS, points };
    this.#report(checkPoints(this.history, seen));
  }

  #readFailed(node: string, query: Omit<SeriesSpan, 'series'>, outcome: Failed): void {
    this.counts.readErrors++;
    const why = outcome.kind === 'error' ? String(outcome.error) : 'timeout';
    const span = `[${query.fromMs - EPOCH_MS}, ${query.toMs - EPOCH_MS}]`;
    this.#target.note(`read of ${span} from ${node} failed: ${why}`);
    const key = errorKey(outcome);
    this.readErrorsBy.set(key, (this.readErrorsBy.get(key) ?? 0) + 1);
  }

  async #read(
    node: string,
    query: SeriesSpan,
    invariant: 'I1' | 'I5',
  ): Promise<Outcome<readonly ReadSample[]>> {
    const askedAtMs = this.#target.nowMs();
    this.counts.reads++;
    const outcome = await this.#target.read(node, query, READ_TIMEOUT_MS);
    if (outcome.kind !== 'answer') {
      this.#readFailed(node, query, outcome);
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

function groupBySeries(samples: readonly ReadSample[]): Map<number, ReadSample[]> {
  const bySeries = new Map<number, ReadSample[]>();
  for (const sample of samples) {
    const group = bySeries.get(sample.series);
    if (group === undefined) bySeries.set(sample.series, [sample]);
    else group.push(sample);
  }
  return bySeries;
}

function errorKey(outcome: Failed): string {
  if (outcome.kind === 'timeout') return 'timeout';
  return toStarlingError(outcome.error).id;
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
