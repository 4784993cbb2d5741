/** I7: counts of two halves of a range add up to the samples that the whole range showed. */
import type { Violation } from './answer.ts';

/** Both by the number of a series. */
export function checkAlgebra(
  node: string,
  shown: ReadonlyMap<number, number>,
  sums: ReadonlyMap<number, number>,
): readonly Violation[] {
  return [...new Set([...shown.keys(), ...sums.keys()])]
    .filter((series) => shown.get(series) !== sums.get(series))
    .map((series) => ({
      invariant: 'I7',
      what:
        `${node} shows ${shown.get(series) ?? 0} samples of series ${series}, ` +
        `and counts ${sums.get(series) ?? 0} in two halves`,
    }));
}
