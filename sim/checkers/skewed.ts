/**
 * I29: a wall clock that is a day wrong damages no ring and loses no data: who counted as whole before does so
 * afterwards, and everybody keeps its share of the ring. Compared are views of nodes that are ready and
 * agree, before the clock went wrong and after it was put right. A disk that was damaged before may show what it
 * lost at this start: that is no doing of the clock.
 */
import type { RingStatus } from '../../http/api.ts';
import type { Violation } from './answer.ts';

export function checkSkewed(
  before: readonly RingStatus[],
  after: readonly RingStatus[],
  damaged?: string,
): readonly Violation[] {
  const known = new Map(
    before.flatMap(({ instances }) => instances.map((row) => [row.id, row] as const)),
  );
  const wrong = new Set<string>();
  for (const { instances, self } of after) {
    for (const { id, missingBeforeMs, ownership } of instances) {
      const row = known.get(id);
      if (row === undefined) continue;
      if (missingBeforeMs > row.missingBeforeMs && id !== damaged) {
        wrong.add(`${self} takes the data of ${id} for incomplete before ${missingBeforeMs}`);
      }
      if (instances.length === known.size && ownership !== row.ownership) {
        wrong.add(`${self} gives ${id} ${ownership} of the ring, and gave ${row.ownership}`);
      }
    }
  }
  return [...wrong].map((what) => ({
    invariant: 'I29',
    what: `${what}, after a clock was wrong`,
  }));
}
