/**
 * A minute after a request to delete was answered with success, no node shows what it names; where nodes could not
 * read the bucket meanwhile, a minute after they can. That nothing else is hidden is what `acknowledged` checks.
 */
import type { History } from '../history.ts';
import type { CheckedAnswer, Violation } from './answer.ts';

/** How long a node may take to hear of a request. */
export const HIDE_MS = 60_000;

export function checkDeleted(
  history: History,
  { askedAtMs, node, samples }: Pick<CheckedAnswer, 'askedAtMs' | 'node' | 'samples'>,
): readonly Violation[] {
  const shown = samples.filter((sample) => history.isGone(sample, askedAtMs, HIDE_MS));
  const first = shown[0];
  if (first === undefined) return [];
  const what =
    `${node} shows ${shown.length} deleted samples of series ${first.series}, ` +
    `the first at ${first.timestampMs} (asked at ${askedAtMs.toFixed(2)})`;
  return [{ invariant: 'deleted', what }];
}
