/**
 * The audit: every node is asked for all samples of every tenant, when all is whole again and nobody
 * writes. Beside the samples themselves it asks for their counts, whole and in two parts, and for what
 * must never have been stored.
 */
import { checkAlgebra } from './checkers/algebra.ts';
import { checkAudited } from './checkers/audited.ts';
import { checkRejected } from './checkers/rejected.ts';
import { type SeriesSpan, type TextQuery } from './load-target.ts';
import { auditTold } from './teller.ts';
import { groupBySeries, METRIC_NAME, overSpan, readSamples, SERIES_LABEL } from './texts.ts';
import { FUTURE_MS, type Workload } from './workload.ts';

const ATTEMPTS_MAX = 10;
const RETRY_MS = 1000;
const FUTURE_SPAN_MS = 24 * 3_600_000;

type Span = Omit<SeriesSpan, 'series'>;

/** Asks each node. A node that cannot answer is a violation. */
export async function audit(load: Workload, nodes: readonly string[]): Promise<void> {
  const { beside, epochMs } = load.target;
  const toMs = epochMs + Math.ceil(load.target.nowMs());
  const seriesByTenant = new Map<string, number[]>();
  for (const series of load.history.seriesNumbers) {
    const tenant = load.tenantOf(series);
    seriesByTenant.set(tenant, [...(seriesByTenant.get(tenant) ?? []), series]);
  }
  for (const node of nodes) {
    for (const [tenant, series] of seriesByTenant) {
      const span = { tenant, fromMs: epochMs, toMs };
      const counts = await auditTenant(load, node, series, span);
      if (counts !== undefined) await auditCounts(load, node, span, counts);
      await auditFuture(load, node, span);
    }
    if (beside !== undefined) await auditTold({ load, beside, everyMs: 0 }, node);
  }
}

/** How many samples of each series there are. */
type Counts = ReadonlyMap<number, number>;

async function auditTenant(
  load: Workload,
  node: string,
  expected: readonly number[],
  span: Span,
): Promise<Counts | undefined> {
  const own = new Set(expected);
  const askedAtMs = load.target.nowMs();
  const text = await insist(load, node, overSpan(span));
  if (text === undefined) return undefined;
  const bySeries = groupBySeries(readSamples(text));
  for (const series of new Set([...own, ...bySeries.keys()])) {
    const answer = { node, ...span, series, askedAtMs, samples: bySeries.get(series) ?? [] };
    load.report(checkAudited(load.history, answer, own.has(series)));
  }
  return new Map([...bySeries].map(([series, samples]) => [series, samples.length]));
}

/** The engine counts what it showed, and a whole is the sum of its parts. */
async function auditCounts(load: Workload, node: string, span: Span, shown: Counts): Promise<void> {
  const middleMs = Math.floor((span.fromMs + span.toMs) / 2);
  const parts = [
    { ...span, toMs: middleMs },
    { ...span, fromMs: middleMs + 1 },
  ];
  const around = [`sum by (${SERIES_LABEL}) (count_over_time(${METRIC_NAME}`, '))'] as const;
  const sums = new Map<number, number>();
  for (const part of parts) {
    const text = await insist(load, node, overSpan(part, around));
    if (text === undefined) return;
    for (const { series, value } of readSamples(text)) {
      sums.set(series, (sums.get(series) ?? 0) + value);
    }
  }
  const unknownOf = (series: number): number =>
    load.history.samplesOf(series).filter(({ ackedAtMs }) => ackedAtMs === undefined).length;
  load.report(checkAlgebra(node, shown, sums, unknownOf));
}

async function auditFuture(load: Workload, node: string, { tenant, toMs }: Span): Promise<void> {
  const fromMs = toMs + FUTURE_MS - FUTURE_SPAN_MS;
  const text = await insist(load, node, overSpan({ tenant, fromMs, toMs: toMs + FUTURE_MS }));
  if (text !== undefined) load.report(checkRejected(node, readSamples(text)));
}

/** Asks until it is answered; reports when it never is. */
async function insist(load: Workload, node: string, query: TextQuery): Promise<string | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const text = await load.readers.ask(node, query);
    if (text !== undefined) return text;
    await load.target.sleep(RETRY_MS);
  }
  const what = `${node} cannot answer ${query.text} for ${query.tenant}`;
  load.report([{ invariant: 'I1', what }]);
  return undefined;
}
