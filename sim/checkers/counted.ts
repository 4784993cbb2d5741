/**
 * I17: however many copies there are, each sample counts once. A count lies between what was
 * acknowledged before the query and what was ever sent.
 */
import type { History } from '../history.ts';
import type { CheckedAnswer, Violation } from './answer.ts';

/** What is wrong with a count of the samples of one series in a span. */
export function checkCounted(
  history: History,
  asked: Omit<CheckedAnswer, 'samples'>,
  count: number,
): readonly Violation[] {
  const { askedAtMs, fromMs, node, series, toMs } = asked;
  const sent = history.samplesIn(series, fromMs, toMs);
  const owed = sent.filter(({ ackedAtMs }) => ackedAtMs !== undefined && ackedAtMs < askedAtMs);
  const where = `${node} counts ${count} samples of series ${series}`;
  if (count < owed.length) {
    return [{ invariant: 'I5', what: `${where}, but ${owed.length} were acknowledged` }];
  }
  if (count > sent.length) {
    return [{ invariant: 'I17', what: `${where}, but only ${sent.length} were sent` }];
  }
  return [];
}
