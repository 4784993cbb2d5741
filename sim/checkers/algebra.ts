/**
 * I7: counts of two halves of a range add up to the samples that the whole range showed. Samples that were
 * never acknowledged may be on one replica only: each may be in one answer and not in the other.
 */
import type { Violation } from './answer.ts';

/** Both by the number of a series; `unknownOf`: how many of its samples were never acknowledged. */
export function checkAlgebra(
  node: string,
  shown: ReadonlyMap<number, number>,
  sums: ReadonlyMap<number, number>,
  unknownOf: (series: number) => number = () => 0,
): readonly Violation[] {
  return [...new Set([...shown.keys(), ...sums.keys()])]
    .filter((series) => {
      const difference = Math.abs((shown.get(series) ?? 0) - (sums.get(series) ?? 0));
      return difference > unknownOf(series);
    })
    .map((series) => ({
      invariant: 'I7',
      what:
        `${node} shows ${shown.get(series) ?? 0} samples of series ${series}, ` +
        `and counts ${sums.get(series) ?? 0} in two halves`,
    }));
}
