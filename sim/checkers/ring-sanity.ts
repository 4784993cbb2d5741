/**
 * I9 and I10, when all is whole: the shares of the ring add up to one, everybody holds tokens, and the
 * registry names the machines that are there, no ghost and nobody missing.
 */
import type { RingStatus } from '../../http/api.ts';
import type { Violation } from './answer.ts';

const TOKENS = 128;
const ROUNDING = 1e-6;

export function checkRing(ring: RingStatus, expected: readonly string[]): readonly Violation[] {
  const violations: Violation[] = [];
  const { instances, self } = ring;
  const share = instances.reduce((sum, { ownership }) => sum + ownership, 0);
  if (Math.abs(share - 1) > ROUNDING) {
    violations.push({ invariant: 'I9', what: `${self} shares out ${share} of the ring` });
  }
  for (const { id, tokens } of instances) {
    if (tokens === TOKENS) continue;
    violations.push({ invariant: 'I9', what: `${self} gives ${id} ${tokens} tokens` });
  }
  const shown = instances.map(({ id }) => id).sort();
  const wanted = expected.toSorted();
  if (shown.join() !== wanted.join()) {
    const what = `${self} shows ${shown.join(', ')}; there are ${wanted.join(', ')}`;
    violations.push({ invariant: 'I10', what });
  }
  return violations;
}
