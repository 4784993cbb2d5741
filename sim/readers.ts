/**
 * Readers ask random nodes for random acknowledged samples while faults happen, in several ways; each
 * answer is judged by the checkers at the moment it arrives, each text for what belongs to others.
 */
import { checkAcknowledged } from './checkers/acknowledged.ts';
import type { CheckedAnswer, Violation } from './checkers/answer.ts';
import { checkCounted } from './checkers/counted.ts';
import { checkDeleted } from './checkers/deleted.ts';
import { checkInvented } from './checkers/invented.ts';
import { checkIsolation } from './checkers/isolation.ts';
import { checkPoints } from './checkers/points.ts';
import { checkSeries } from './checkers/series.ts';
import type { History, SentSample } from './history.ts';
import type {
  Failed,
  LoadShape,
  LoadTarget,
  RequestEnd,
  SeriesSpan,
  TextQuery,
} from './load-target.ts';
import type { SimRandom } from './random.ts';
import { overSpan, readSamples, readSeriesNumbers, selectorOf } from './texts.ts';
import type { Outcome } from './world.ts';

const READ_TIMEOUT_MS = 30_000;
const READ_SPAN_MS = 20_000;
/** Samples that are asked for together after a fault. */
const NEWEST_COUNT = 40;
/** The default of the query engine. */
const LOOKBACK_MS = 5 * 60_000;

/** The load that readers are a part of. */
export interface ReadersLoad {
  readonly target: LoadTarget;
  readonly shape: LoadShape;
  readonly history: History;
  readonly tenants: readonly string[];
  readonly isStopped: boolean;
  readonly pace: number;
  readonly counts: { reads: number; readErrors: number };
  readonly readErrorsBy: Map<string, number>;
  readonly onRequest: (end: RequestEnd) => void;
  tenantOf(series: number): string;
  report(violations: readonly Violation[]): void;
}

export class Readers {
  readonly #load: ReadersLoad;

  constructor(load: ReadersLoad) {
    this.#load = load;
  }

  /** Asks until the load stops. */
  async run(random: SimRandom): Promise<void> {
    const load = this.#load;
    const everyMs = load.shape.readEveryMs ?? load.shape.everyMs;
    while (!load.isStopped) {
      await load.target.sleep((everyMs * random.between(0.5, 1.5)) / load.pace);
      const sample = random.pick(load.history.acked);
      const node = random.pick(load.target.readyNodes());
      if (sample !== undefined && node !== undefined) await this.#readOne(node, sample, random);
    }
  }

  /** A writer reads what it just wrote: I6. */
  async readBack(samples: readonly SentSample[], random: SimRandom): Promise<void> {
    const node = random.pick(this.#load.target.readyNodes());
    const sample = random.pick(samples);
    if (node === undefined || sample?.ackedAtMs === undefined) return;
    const { series, timestampMs } = sample;
    const tenant = this.#load.tenantOf(series);
    await this.#read(node, { tenant, series, fromMs: timestampMs, toMs: timestampMs }, 'I6');
  }

  /** What was acknowledged last is asked for at one node, some samples at a time. */
  async readNewest(node: string): Promise<void> {
    const newest = this.#load.history.acked.slice(-NEWEST_COUNT);
    const reads = newest.map(({ series, timestampMs }) => {
      const span = { series, fromMs: timestampMs, toMs: timestampMs };
      return this.#read(node, { tenant: this.#load.tenantOf(series), ...span }, 'I5');
    });
    await Promise.all(reads);
  }

  /** A query whose answer nobody knows; it must not harm. */
  async askAnything(node: string, text: string): Promise<void> {
    const atMs = this.#load.target.epochMs + Math.floor(this.#load.target.nowMs());
    const tenant = this.#load.tenants[0] ?? 'anonymous';
    await this.ask(node, { tenant, text, startMs: atMs, endMs: atMs, stepMs: 0 });
  }

  /** Asks, counts, and looks for what belongs to others; undefined: no answer. */
  async ask(node: string, query: TextQuery): Promise<string | undefined> {
    const { target } = this.#load;
    return this.judge(node, query, () => target.query(node, query, READ_TIMEOUT_MS));
  }

  /** Counts a request, and looks for what belongs to others; undefined: no answer. */
  async judge(
    node: string,
    asked: { readonly tenant: string; readonly startMs: number; readonly endMs: number },
    request: () => Promise<Outcome<string>>,
  ): Promise<string | undefined> {
    const load = this.#load;
    const { endMs, startMs, tenant } = asked;
    const askedAtMs = load.target.nowMs();
    load.counts.reads++;
    const outcome = await request();
    const failed = outcome.kind === 'answer' ? undefined : outcome;
    const seen = { kind: 'read', node, startMs: askedAtMs, endMs: load.target.nowMs() } as const;
    load.onRequest({ ...seen, failed });
    const text = outcome.kind === 'answer' ? outcome.value : errorText(outcome);
    load.report(checkIsolation(text, tenant, load.tenants, node));
    if (outcome.kind === 'answer') return outcome.value;
    load.counts.readErrors++;
    const { epochMs } = load.target;
    const span = `[${startMs - epochMs}, ${endMs - epochMs}]`;
    load.target.note(`read of ${span} from ${node} failed: ${text}`);
    const key = outcome.kind === 'timeout' ? 'timeout' : errorId(outcome.error);
    load.readErrorsBy.set(key, (load.readErrorsBy.get(key) ?? 0) + 1);
    return undefined;
  }

  async #readOne(
    node: string,
    { series, timestampMs }: SentSample,
    random: SimRandom,
  ): Promise<void> {
    const tenant = this.#load.tenantOf(series);
    const fromMs = timestampMs - random.below(READ_SPAN_MS);
    const toMs = timestampMs + random.below(READ_SPAN_MS);
    const query = { tenant, series, fromMs, toMs };
    const kind = random.below(9);
    if (kind === 0) await this.#readSeries(node, query);
    else if (kind === 1) await this.#readPoints(node, query, 0);
    else if (kind === 2) await this.#readPoints(node, query, 1 + random.below(5000));
    else if (kind === 3 && this.#load.tenants.length > 1) await this.#readAcross(node, query);
    else if (kind === 4) await this.#readCount(node, query);
    else await this.#read(node, query, 'I5');
  }

  /** Another tenant asks for a series that is not its own. */
  async #readAcross(node: string, query: SeriesSpan): Promise<void> {
    const tenant = this.#load.tenants.find((one) => one !== query.tenant) ?? '';
    const text = await this.ask(
      node,
      overSpan({ ...query, tenant }, [selectorOf(query.series), '']),
    );
    if (text === undefined || readSamples(text).length === 0) return;
    const what = `${node} shows ${tenant} series ${query.series} of ${query.tenant}`;
    this.#load.report([{ invariant: 'I12', what }]);
  }

  async #readCount(node: string, query: SeriesSpan): Promise<void> {
    const askedAtMs = this.#load.target.nowMs();
    const around = [`sum(count_over_time(${selectorOf(query.series)}`, '))'] as const;
    const text = await this.ask(node, overSpan(query, around));
    if (text === undefined) return;
    const count = readSamples(text)[0]?.value ?? 0;
    this.#load.report(checkCounted(this.#load.history, { node, ...query, askedAtMs }, count));
  }

  async #readSeries(node: string, query: SeriesSpan): Promise<void> {
    const { history, target } = this.#load;
    const askedAtMs = target.nowMs();
    const when = { tenant: query.tenant, startMs: query.fromMs, endMs: query.toMs };
    const text = await this.judge(node, when, () => target.series(node, query, READ_TIMEOUT_MS));
    if (text === undefined) return;
    const found = readSeriesNumbers(text);
    this.#load.report(checkSeries(history, { node, ...query, askedAtMs }, found));
  }

  async #readPoints(node: string, query: SeriesSpan, stepMs: number): Promise<void> {
    const askedAtMs = this.#load.target.nowMs();
    const { series, tenant, toMs: endMs } = query;
    const startMs = stepMs === 0 ? endMs : query.fromMs;
    const asked = { startMs, endMs, stepMs };
    const text = await this.ask(node, { tenant, text: selectorOf(series), ...asked });
    if (text === undefined) return;
    const points = new Map(readSamples(text).map((one) => [one.timestampMs, one.value]));
    const seen = { node, series, ...asked, askedAtMs, lookbackMs: LOOKBACK_MS, points };
    this.#load.report(checkPoints(this.#load.history, seen));
  }

  async #read(node: string, query: SeriesSpan, invariant: 'I5' | 'I6'): Promise<void> {
    const { history, target } = this.#load;
    const askedAtMs = target.nowMs();
    const text = await this.ask(node, overSpan(query, [selectorOf(query.series), '']));
    if (text === undefined) return;
    const answer: CheckedAnswer = { node, ...query, askedAtMs, samples: readSamples(text) };
    this.#load.report(checkAcknowledged(history, answer, invariant));
    this.#load.report(checkInvented(history, answer));
    this.#load.report(checkDeleted(history, answer));
  }
}

/** An error's id, as the catalogue and the API name it. */
function errorId(error: unknown): string {
  return error instanceof Error && 'id' in error ? String(error.id) : 'internal';
}

function errorText(outcome: Failed): string {
  return outcome.kind === 'timeout' ? 'timeout' : String(outcome.error);
}
