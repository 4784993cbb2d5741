/**
 * All tenants of a node: one TSDB a tenant, each in a directory of its own, made on the first write.
 * One committer serves all their logs. How many are open at once is bounded, because anyone who may
 * write can name a tenant:
 *
 *   known (has a directory) ──open()──► open ──idle for `idleMs`, or the place is wanted──► known
 *
 * Invariant: a tenant that is open, or being opened, counts against `openMax`; one that is being closed
 * is opened again only when that is done. What a tenant promises is on its disk, so closing changes no
 * answer.
 *
 * Directory names are injective and safe on file systems that fold case: a-z, 0-9, '-' and '_' stand
 * for themselves, everything else is '%' and two capital hex digits, and names over 200 characters go
 * on in a subdirectory, the outer one marked with '+'.
 */
import { StarlingError, toStarlingError } from '../model/errors.ts';
import { type TenantId, parseTenantId } from '../model/ids.ts';
import type { Clock, Disk } from '../platform/platform.ts';
import { ReaderPool } from './block/reader-pool.ts';
import { joinPath } from './filenames.ts';
import { Tsdb, type TsdbOptions } from './tsdb.ts';
import { WorkQueue } from './work-queue.ts';

const PART_CHARACTERS_MAX = 200;
/** Without an append or a query for so long a TSDB is closed; by then its head was cut into a block. */
const IDLE_CLOSE_MS = 90 * 60_000;
/** A closed one is opened now and then, so that its old blocks go. */
const CLOSED_VISIT_MS = 6 * 3_600_000;
/** When a new tenant needs a place, one that was quiet for so long gives it; longer than any query. */
const IDLE_EVICT_MS = 10 * 60_000;

/** What all tenants of a node share. */
type NodeOwned = 'clock' | 'cuts' | 'disk' | 'readers';

/** What differs between tenants is asked per tenant. */
export interface TsdbManagerOptions {
  readonly clock: Clock;
  readonly disk: Disk;
  /** Holds a directory for each tenant. */
  readonly directory: string;
  readonly optionsOf: (tenant: TenantId) => Omit<TsdbOptions, NodeOwned | 'directory'>;
  /** The most tenants open at once. */
  readonly openMax: number;
  /** Readers of blocks that stay open while nobody uses them. */
  readonly readersIdleMax?: number | undefined;
}

/** An open TSDB and when it was asked for last, on the monotonic clock. */
interface Place {
  readonly tsdb: Tsdb;
  usedAtMs: number;
}

export class TsdbManager {
  readonly #options: TsdbManagerOptions;
  readonly #known = new Set<TenantId>();
  readonly #open = new Map<TenantId, Place>();
  readonly #opening = new Map<TenantId, Promise<Tsdb>>();
  readonly #closing = new Map<TenantId, Promise<void>>();
  readonly #cuts = new WorkQueue();
  readonly #readers: ReaderPool;
  /** Since when those that were open are closed. */
  readonly #closedAtMs = new Map<TenantId, number>();
  /** Places taken by tenants that are being opened. */
  #takenCount = 0;

  constructor(options: TsdbManagerOptions) {
    this.#options = options;
    this.#readers = new ReaderPool(options.readersIdleMax);
  }

  /**
   * Learns which tenants have a directory and opens as many of them as may be open; the others are
   * opened when they are asked for. Throws what the first one that fails throws.
   */
  async openExisting(): Promise<void> {
    const { directory, disk, openMax } = this.#options;
    for (const tenant of await listTenants(disk, directory, '')) this.#known.add(tenant);
    for (const tenant of this.#known) {
      if (this.#open.size < openMax) await this.open(tenant);
      else this.#closedAtMs.set(tenant, this.#options.clock.monotonicMs());
    }
  }

  /** Whether there are tenants on the disk, opened or not. Throws `disk.failed`. */
  async hasExisting(): Promise<boolean> {
    const { directory, disk } = this.#options;
    return (await listTenants(disk, directory, '')).length > 0;
  }

  /** Tenants that have data here, open or not. */
  get knownCount(): number {
    return this.#known.size;
  }

  /** They, open or not. */
  known(): readonly TenantId[] {
    return [...this.#known];
  }

  /** The tenant's TSDB, if it is open; this counts as a use of it. */
  get(tenant: TenantId): Tsdb | undefined {
    const place = this.#open.get(tenant);
    if (place === undefined) return undefined;
    place.usedAtMs = this.#options.clock.monotonicMs();
    return place.tsdb;
  }

  /** For reads: the TSDB of a tenant that has data, opened if need be; undefined: it has none. */
  find(tenant: TenantId): Promise<Tsdb | undefined> {
    const open = this.get(tenant);
    if (open !== undefined || !this.#known.has(tenant)) return Promise.resolve(open);
    return this.open(tenant);
  }

  /** For writes: opens the tenant's TSDB, making it when it does not exist. Throws `limit.tenants_per_node`. */
  open(tenant: TenantId): Promise<Tsdb> {
    const open = this.get(tenant);
    if (open !== undefined) return Promise.resolve(open);
    let opening = this.#opening.get(tenant);
    if (opening === undefined) {
      opening = this.#openNow(tenant).finally(() => this.#opening.delete(tenant));
      this.#opening.set(tenant, opening);
    }
    return opening;
  }

  /** The open ones, without counting as a use. */
  *all(): Generator<readonly [TenantId, Tsdb]> {
    for (const [tenant, { tsdb }] of this.#open) yield [tenant, tsdb];
  }

  /** How many are open. */
  get openCount(): number {
    return this.#open.size;
  }

  /**
   * Closes what nobody used for long, and opens one that was closed for long, for its maintenance; called
   * every minute or so. The first failure is thrown after all were tried.
   */
  async closeIdle(): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    const idleSinceMs = nowMs - IDLE_CLOSE_MS;
    const idle = [...this.#open].filter(
      ([, { tsdb, usedAtMs }]) => usedAtMs <= idleSinceMs && tsdb.isQuiet,
    );
    await settleAll(idle.map(([tenant]) => this.#closeOne(tenant)));
    const [longestClosed] = this.#closedAtMs; // in the order of their closing
    if (longestClosed === undefined || longestClosed[1] > nowMs - CLOSED_VISIT_MS) return;
    if (this.#open.size + this.#takenCount < this.#options.openMax)
      await this.open(longestClosed[0]);
  }

  /** Closes every TSDB; the first failure is thrown after all were tried. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#opening.values()); // told to who asked for them
    const closing = [...this.#open.keys()].map((tenant) => this.#closeOne(tenant));
    await settleAll([...this.#closing.values(), ...closing]);
  }

  async #openNow(tenant: TenantId): Promise<Tsdb> {
    const { clock, directory, disk, openMax, optionsOf } = this.#options;
    await this.#closing.get(tenant)?.catch(() => undefined); // told to who closed it
    while (this.#open.size + this.#closing.size + this.#takenCount >= openMax) await this.#evict();
    this.#takenCount++;
    try {
      const path = joinPath(directory, ...tenantPathParts(tenant));
      const tsdb = await Tsdb.open({
        ...optionsOf(tenant),
        ...{ clock, disk, cuts: this.#cuts, readers: this.#readers },
        directory: path,
      });
      this.#known.add(tenant);
      this.#closedAtMs.delete(tenant);
      this.#open.set(tenant, { tsdb, usedAtMs: clock.monotonicMs() });
      return tsdb;
    } finally {
      this.#takenCount--;
    }
  }

  /** Closes the tenant that was quiet longest. Throws when none was quiet long enough. */
  async #evict(): Promise<void> {
    const { clock, openMax } = this.#options;
    let quietest: readonly [TenantId, Place] | undefined;
    for (const one of this.#open) {
      if (one[1].usedAtMs < (quietest?.[1].usedAtMs ?? Number.POSITIVE_INFINITY)) quietest = one;
    }
    const quietSinceMs = clock.monotonicMs() - IDLE_EVICT_MS;
    if (
      quietest === undefined ||
      quietest[1].usedAtMs > quietSinceMs ||
      !quietest[1].tsdb.isQuiet
    ) {
      throw new StarlingError('limit.tenants_per_node', { countMax: openMax });
    }
    await this.#closeOne(quietest[0]);
  }

  #closeOne(tenant: TenantId): Promise<void> {
    const place = this.#open.get(tenant);
    if (place === undefined) return Promise.resolve();
    this.#open.delete(tenant);
    this.#closedAtMs.set(tenant, this.#options.clock.monotonicMs());
    const closing = place.tsdb.close().finally(() => this.#closing.delete(tenant));
    this.#closing.set(tenant, closing);
    return closing;
  }
}

/** Waits for all; throws the first failure. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) {
    if (result.status === 'rejected') throw toStarlingError(result.reason);
  }
}

/** The path parts of a tenant's directory. */
export function tenantPathParts(tenant: TenantId): readonly string[] {
  const encoded = tenant.replace(
    /[^a-z0-9_-]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
  const parts = [''];
  for (const unit of encoded.match(/%..|./g) ?? []) {
    if ((parts.at(-1) ?? '').length >= PART_CHARACTERS_MAX) {
      parts.push(`${parts.pop() ?? ''}+`, '');
    }
    parts.push((parts.pop() ?? '') + unit);
  }
  return parts;
}

async function listTenants(
  disk: Disk,
  directory: string,
  prefix: string,
): Promise<readonly TenantId[]> {
  const tenants: TenantId[] = [];
  for (const name of await disk.list(directory)) {
    if (!/^(?:[a-z0-9_-]|%[0-9A-F]{2})+\+?$/.test(name)) continue; // not ours
    if (name.endsWith('+')) {
      tenants.push(
        ...(await listTenants(disk, joinPath(directory, name), prefix + name.slice(0, -1))),
      );
    } else {
      tenants.push(parseTenantId(decodeURIComponent(prefix + name)));
    }
  }
  return tenants;
}
