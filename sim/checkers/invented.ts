/**
 * I2 and I3: each sample in an answer was sent, to this series, at this time, with this value; and
 * the answer names none twice or out of order.
 */
import type { History } from '../history.ts';
import type { CheckedAnswer, Violation } from './answer.ts';

export function checkInvented(history: History, answer: CheckedAnswer): readonly Violation[] {
  const violations: Violation[] = [];
  let lastMs = Number.NEGATIVE_INFINITY;
  for (const { series, timestampMs, value } of answer.samples) {
    const report = (invariant: string, why: string): void => {
      const where = `${answer.node} shows ${value} at ${timestampMs} in series ${series}`;
      violations.push({ invariant, what: `${where}, ${why}` });
    };
    const sent = history.find(series, timestampMs);
    if (series !== answer.series || sent === undefined) report('I2', 'which nobody sent');
    else if (!Object.is(sent.value, value)) report('I3', `but ${sent.value} was sent`);
    if (timestampMs <= lastMs) report('I3', 'not after the one before');
    lastMs = timestampMs;
  }
  return violations;
}
