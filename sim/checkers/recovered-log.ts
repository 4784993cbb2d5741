/**
 * I13: what a tenant's directory holds after a crash is what was acknowledged, and some of what was sent without
 * an answer; nothing else, and nothing of it altered. A crash alone damages nothing, so no loss is told.
 */
import type { History, ReadSample } from '../history.ts';
import type { Violation } from './answer.ts';

export interface RecoveredLog {
  /** Where and when, for people. */
  readonly where: string;
  readonly found: readonly ReadSample[];
  /** The opening said that something durable is gone. */
  readonly isLossTold: boolean;
}

/** What is wrong with a directory that was opened after a crash. */
export function checkRecoveredLog(history: History, recovered: RecoveredLog): readonly Violation[] {
  const { isLossTold, where } = recovered;
  const wrong = isLossTold ? ['a loss is told, and nothing was damaged'] : [];
  wrong.push(
    ...wrongSamples(history, recovered.found),
    ...missingSamples(history, recovered.found),
  );
  return wrong.map((what) => ({ invariant: 'I13', what: `${where}: ${what}` }));
}

/** Samples that were never sent so, or are there twice. */
export function wrongSamples(history: History, found: readonly ReadSample[]): readonly string[] {
  const seen = new Set<string>();
  return found.flatMap(({ series, timestampMs, value }) => {
    const key = `${series} ${timestampMs}`;
    const isTwice = seen.has(key);
    seen.add(key);
    const where = `series ${series} has ${value} at ${timestampMs}`;
    const sent = history.find(series, timestampMs);
    if (sent === undefined) return [`${where}, which nobody sent`];
    if (!Object.is(sent.value, value)) return [`${where}, and ${sent.value} was sent`];
    return isTwice ? [`${where} twice`] : [];
  });
}

/** Acknowledged samples that are not there: the first of them. */
export function missingSamples(history: History, found: readonly ReadSample[]): readonly string[] {
  const keys = new Set(found.map(({ series, timestampMs }) => `${series} ${timestampMs}`));
  const missing = history.acked.filter((one) => !keys.has(`${one.series} ${one.timestampMs}`));
  const [first] = missing;
  if (first === undefined) return [];
  const { series, timestampMs } = first;
  return [`${missing.length} acknowledged samples are gone, one at ${timestampMs} of ${series}`];
}
