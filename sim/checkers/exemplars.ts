/**
 * Exemplars (ADR 15): one that was acknowledged with its sample is told as long as the sample is owed and no log lost
 * its time; what is told was said, of this series, in order, once, and not deleted.
 */
import type { History } from '../history.ts';
import { type Said, isOwed } from '../said.ts';
import type { Violation } from './answer.ts';
import { HIDE_MS } from './deleted.ts';

export interface ToldExemplar {
  readonly series: number;
  readonly timestampMs: number;
  readonly value: number;
  readonly trace: string;
}

export interface CheckedExemplars {
  readonly node: string;
  readonly series: number;
  /** Inclusive at both ends. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly askedAtMs: number;
  /** What was said before need not be there. */
  readonly owedSinceMs: number;
  readonly told: readonly ToldExemplar[];
}

/** What is wrong with an answer to a question for one series. */
export function checkExemplars(
  said: Said,
  history: History,
  { askedAtMs, fromMs, node, owedSinceMs, series, toMs, told }: CheckedExemplars,
): readonly Violation[] {
  const violations: Violation[] = [];
  const report = (what: string): void => {
    violations.push({ invariant: 'exemplars', what: `${node} ${what} of series ${series}` });
  };
  const sent = said.exemplarsOf(series);
  let lastMs = Number.NEGATIVE_INFINITY;
  for (const one of told) {
    const known = one.series === series ? sent.get(one.timestampMs) : undefined;
    if (known?.value !== one.value || known.trace !== one.trace) {
      report(`tells ${one.trace} at ${one.timestampMs}, which nobody said,`);
    }
    if (one.timestampMs <= lastMs) report(`tells ${one.trace} not after the one before`);
    if (one.timestampMs < fromMs || one.timestampMs > toMs) report(`tells ${one.trace} unasked`);
    if (history.isGone(one, askedAtMs, HIDE_MS)) report(`tells ${one.trace}, which was deleted,`);
    lastMs = one.timestampMs;
  }
  const seen = new Set(told.map(({ timestampMs }) => timestampMs));
  const missing = [...sent.values()].filter(({ acked, timestampMs }) => {
    if (timestampMs < fromMs || timestampMs > toMs || seen.has(timestampMs)) return false;
    const sample = history.find(series, timestampMs);
    const isSampleOwed = sample?.ackedAtMs !== undefined && sample.ackedAtMs < askedAtMs;
    return isSampleOwed && isOwed(acked, askedAtMs, owedSinceMs);
  });
  const first = missing[0];
  if (first === undefined) return violations;
  const acked = `acked at ${first.acked?.doneAtMs.toFixed(2) ?? '?'}`;
  report(
    `lacks ${missing.length} exemplars, the first at ${first.timestampMs} (${acked}, asked at ${askedAtMs.toFixed(2)})`,
  );
  return violations;
}
