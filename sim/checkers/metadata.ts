/**
 * Metadata (ADR 14): what was acknowledged alone is told by every node, as long as no process ended that may have had
 * it in memory; nobody is told what its tenant did not say, and nothing twice.
 */
import { type SaidMetadata, isOwed } from '../said.ts';
import type { Violation } from './answer.ts';

export interface ToldMetadata {
  readonly metric: string;
  readonly type: string;
  readonly help: string;
  readonly unit: string;
}

export interface CheckedMetadata {
  readonly node: string;
  /** Undefined: all metrics of the tenant were asked for. */
  readonly metric: string | undefined;
  readonly askedAtMs: number;
  /** What was said before need not be there. */
  readonly owedSinceMs: number;
  readonly told: readonly ToldMetadata[];
}

/** What is wrong with an answer to a tenant that said `said`. */
export function checkMetadata(
  said: readonly SaidMetadata[],
  { askedAtMs, metric, node, owedSinceMs, told }: CheckedMetadata,
): readonly Violation[] {
  const violations: Violation[] = [];
  const report = (what: string): void => {
    violations.push({ invariant: 'metadata', what: `${node} ${what}` });
  };
  const byMetric = new Map(said.map((one) => [one.metric, one]));
  const seen = new Set<string>();
  for (const one of told) {
    const sent = byMetric.get(one.metric);
    const isSame = sent?.help === one.help && sent.type === one.type && sent.unit === one.unit;
    if (!isSame) report(`tells of ${one.metric} what nobody said: ${one.help}`);
    if (seen.has(one.metric)) report(`tells twice of ${one.metric}`);
    seen.add(one.metric);
  }
  const missing = said.filter(
    (one) =>
      (metric === undefined || one.metric === metric) &&
      isOwed(one.acked, askedAtMs, owedSinceMs) &&
      !seen.has(one.metric),
  );
  if (missing[0] !== undefined) {
    report(`lacks ${missing.length} metrics that were told of, the first ${missing[0].metric}`);
  }
  return violations;
}
