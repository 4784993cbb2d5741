/** I11: who is up is taken for alive by everybody, soon after all is whole. */
import type { RingStatus } from '../../http/api.ts';

/** Those that somebody takes for worse than alive. */
export function doubtedIn(rings: readonly RingStatus[]): readonly string[] {
  return rings.flatMap(({ instances, self }) =>
    instances
      .filter(({ liveness }) => liveness.toLowerCase() !== 'alive')
      .map(({ id, liveness }) => `${self} takes ${id} for ${liveness}`),
  );
}
