/** After healing, all nodes that are up hold the same registry: their digests are equal. */
import type { RingStatus } from '../../http/api.ts';

/** True when all say the same, and each knows all of them. */
export function isConverged(rings: readonly RingStatus[]): boolean {
  const first = rings[0];
  return (
    first !== undefined &&
    rings.every(
      ({ digest, instances }) => digest === first.digest && instances.length >= rings.length,
    )
  );
}
