/** Series queries: a series with a sample acknowledged before is named, and none but it. */
import type { History } from '../history.ts';
import type { CheckedAnswer, Violation } from './answer.ts';

/** What is wrong with the names that a query for one series answered. */
export function checkSeries(
  history: History,
  asked: Omit<CheckedAnswer, 'samples'>,
  found: readonly number[],
): readonly Violation[] {
  const { askedAtMs, fromMs, node, series, toMs } = asked;
  const isOwed = history
    .samplesIn(series, fromMs, toMs)
    .some(({ ackedAtMs }) => ackedAtMs !== undefined && ackedAtMs < askedAtMs);
  const violations: Violation[] = [];
  if (isOwed && !found.includes(series)) {
    violations.push({ invariant: 'I5', what: `${node} does not name series ${series}` });
  }
  if (found.some((one) => one !== series) || new Set(found).size < found.length) {
    const what = `${node} names ${found.join(', ')} for series ${series}`;
    violations.push({ invariant: 'I3', what });
  }
  return violations;
}
