/**
 * I25: one slow machine does not make writes through the others slow, for a quorum is enough. The slow
 * one in a hundred of its pushes takes at most a few times as long as in calm, and what a disk's own
 * tail explains.
 */
import type { Violation } from './answer.ts';

const TIMES_MAX = 2;
/** A sync of an ordinary disk takes this long now and then; two of three may. */
const TAIL_MS = 250;
const COUNT_MIN = 100;

export function percentile99(latencies: readonly number[]): number {
  return latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? 0;
}

export function checkGray(
  calm: readonly number[],
  slow: readonly number[],
  victim: string,
): readonly Violation[] {
  if (calm.length < COUNT_MIN || slow.length < COUNT_MIN) return [];
  const [before, during] = [percentile99(calm), percentile99(slow)];
  if (during <= TIMES_MAX * before + TAIL_MS) return [];
  const what = `pushes took ${during.toFixed(0)} ms while ${victim} was slow, ${before.toFixed(0)} before`;
  return [{ invariant: 'I25', what }];
}
