/**
 * Queries of death: one that ended its worker twice is refused for a while, so that a dashboard which
 * asks it every few seconds does not keep taking workers from everybody else. Bounded: the query noted
 * longest ago is forgotten first.
 */
import { StarlingError } from '../../model/errors.ts';
import type { Clock } from '../../platform/platform.ts';

const DEATHS_MAX = 2;
const QUARANTINE_MS = 10 * 60_000;
const QUERIES_MAX = 1000;

interface Suspect {
  deaths: number;
  lastMs: number;
}

export class Quarantine {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #suspects = new Map<string, Suspect>();

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** Throws `query.quarantined` for a query that is refused now. */
  check(tenant: string, query: string): void {
    const suspect = this.#suspects.get(keyOf(tenant, query));
    if (suspect === undefined) return;
    const leftMs = suspect.lastMs + QUARANTINE_MS - this.#clock.monotonicMs();
    if (leftMs <= 0) this.#suspects.delete(keyOf(tenant, query));
    else if (suspect.deaths >= DEATHS_MAX) {
      throw new StarlingError('query.quarantined', {
        deaths: suspect.deaths,
        retryAfterMs: Math.ceil(leftMs),
      });
    }
  }

  /** The query ended its worker; returns how often it did. */
  noteDeath(tenant: string, query: string): number {
    const key = keyOf(tenant, query);
    const deaths = (this.#suspects.get(key)?.deaths ?? 0) + 1;
    this.#suspects.delete(key);
    this.#suspects.set(key, { deaths, lastMs: this.#clock.monotonicMs() });
    for (const [oldest] of this.#suspects) {
      if (this.#suspects.size <= QUERIES_MAX) break;
      this.#suspects.delete(oldest);
    }
    return deaths;
  }
}

function keyOf(tenant: string, query: string): string {
  return `${tenant.length}:${tenant}${query}`;
}
