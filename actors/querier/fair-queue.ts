/**
 * Who of the waiting queries runs next. A tenant runs a bounded number at once and has a bounded queue;
 * a place that becomes free goes to the tenants in turn, so that one of them with a thousand queries
 * delays another's only by the queries that run already.
 *
 *   running ≤ runningMax        tenant a: running ≤ runningPerTenantMax, waiting ≤ waitingPerTenantMax
 *
 * Invariant: nobody waits while a place is free that they may have. Tenants without queries leave
 * nothing behind. Pure: callbacks are called at once, from `enter` or from `leave`.
 */
import { assert } from '../../model/assert.ts';
import { StarlingError } from '../../model/errors.ts';

export interface FairQueueOptions {
  readonly runningMax: number;
  readonly runningPerTenantMax: number;
  readonly waitingPerTenantMax: number;
}

/** A query's place. */
export interface Place {
  /** Gives the place back, whether it ran or waited; again does nothing. */
  leave(): void;
}

interface Entry {
  readonly start: () => void;
  state: 'gone' | 'running' | 'waiting';
}

interface TenantState {
  running: number;
  readonly waiting: Entry[];
}

export class FairQueue {
  readonly #options: FairQueueOptions;
  /** The tenant that was served last stands last. */
  readonly #tenants = new Map<string, TenantState>();
  #running = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  get runningCount(): number {
    return this.#running;
  }

  /** Calls `start` once there is a place. Throws `query.queue_full` when too many wait already. */
  enter(tenant: string, start: () => void): Place {
    const { waitingPerTenantMax } = this.#options;
    const state = this.#tenants.get(tenant) ?? { running: 0, waiting: [] };
    const entry: Entry = { start, state: 'waiting' };
    if (!this.#hasPlace(state) && state.waiting.length >= waitingPerTenantMax) {
      throw new StarlingError('query.queue_full', { countMax: waitingPerTenantMax });
    }
    this.#tenants.set(tenant, state);
    state.waiting.push(entry);
    this.#serve();
    return { leave: () => this.#leave(tenant, state, entry) };
  }

  #hasPlace({ running }: TenantState): boolean {
    const { runningMax, runningPerTenantMax } = this.#options;
    return this.#running < runningMax && running < runningPerTenantMax;
  }

  #leave(tenant: string, state: TenantState, entry: Entry): void {
    const { state: before } = entry;
    entry.state = 'gone';
    if (before === 'gone') return;
    if (before === 'waiting') state.waiting.splice(state.waiting.indexOf(entry), 1);
    else {
      state.running--;
      this.#running--;
      assert(state.running >= 0, 'fair queue: more left than entered');
    }
    if (state.running === 0 && state.waiting.length === 0) this.#tenants.delete(tenant);
    this.#serve();
  }

  #serve(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [tenant, state] = next;
      this.#tenants.delete(tenant);
      this.#tenants.set(tenant, state);
      const entry = state.waiting.shift();
      assert(entry !== undefined, 'fair queue: a tenant that waits has a query');
      entry.state = 'running';
      state.running++;
      this.#running++;
      entry.start();
    }
  }

  #next(): readonly [string, TenantState] | undefined {
    for (const one of this.#tenants) {
      if (one[1].waiting.length > 0 && this.#hasPlace(one[1])) return one;
    }
    return undefined;
  }
}
