/**
 * I1 and I5: each sample that was acknowledged before a query began is in the query's answer. An
 * answer that lacks one without saying so is both a lost sample, as far as its reader can tell, and a
 * silent gap; the audit after healing tells which.
 */
import type { History } from '../history.ts';
import type { CheckedAnswer, Violation } from './answer.ts';

export function checkAcknowledged(
  history: History,
  answer: CheckedAnswer,
  invariant: 'I1' | 'I5' | 'I6',
): readonly Violation[] {
  const { askedAtMs, fromMs, node, series, toMs } = answer;
  const read = new Set(answer.samples.map((sample) => sample.timestampMs));
  const missing = history
    .samplesIn(series, fromMs, toMs)
    .filter(
      ({ ackedAtMs, timestampMs }) =>
        ackedAtMs !== undefined && ackedAtMs < askedAtMs && !read.has(timestampMs),
    );
  const first = missing[0];
  if (first === undefined) return [];
  return [
    {
      invariant,
      what:
        `${node} lacks ${missing.length} acknowledged samples of series ${series}, the first at ` +
        `${first.timestampMs} (acked at ${first.ackedAtMs?.toFixed(2) ?? '?'}, asked at ${askedAtMs.toFixed(2)})`,
    },
  ];
}
