/** I4: what was refused was not stored. Only samples that must be refused lie that far ahead. */
import type { ReadSample } from '../history.ts';
import type { Violation } from './answer.ts';

export function checkRejected(node: string, future: readonly ReadSample[]): readonly Violation[] {
  const first = future[0];
  if (first === undefined) return [];
  const what = `${node} shows ${future.length} samples that had to be refused, one at ${first.timestampMs}`;
  return [{ invariant: 'I4', what }];
}
