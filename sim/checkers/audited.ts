/**
 * The audit of one series: what was acknowledged is there (I1), nothing else is (I2, I3), and it is
 * shown to the tenant that wrote it only.
 */
import type { History } from '../history.ts';
import { checkAcknowledged } from './acknowledged.ts';
import type { CheckedAnswer, Violation } from './answer.ts';
import { checkDeleted } from './deleted.ts';
import { checkInvented } from './invented.ts';

/** `isOwn`: the asking tenant wrote this series. */
export function checkAudited(
  history: History,
  answer: CheckedAnswer,
  isOwn: boolean,
): readonly Violation[] {
  if (!isOwn) {
    const what = `${answer.node} shows series ${answer.series} to a tenant that did not write it`;
    return [{ invariant: 'I12', what }];
  }
  return [
    ...checkAcknowledged(history, answer, 'I1'),
    ...checkInvented(history, answer),
    ...checkDeleted(history, answer),
  ];
}
