/**
 * Shipping for a whole node: the blocks of its tenants go to the bucket, the tenants' bucket indexes
 * follow, and local blocks may go once both are done.
 *
 *   cut ─► shipped ─► in the bucket index ─► (readers had time to read that index) ─► `isIndexed`, `mayRemove`
 *                                   ─► (its retention there is over) ─► only `mayRemove`
 *        ─► not in the index any more, and deletions that are for good cover all its samples ─► only `mayRemove`
 *
 * One tenant at a time, so that uploads never take more of the line than one block needs. Invariant: of
 * each tenant at most one run is going and one waits.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock, Disk, Log } from '../../platform/platform.ts';
import { BlockReader } from '../block/block-reader.ts';
import { diskBlockFiles } from '../block/byte-source.ts';
import { type BlockId, blockIdTimeMs } from '../block/ulid.ts';
import { type Deletion, NO_DELETIONS } from '../deletion/deletion.ts';
import { Pacer } from '../pacer.ts';
import { type BucketIndex, readBucketIndex, writeBucketIndex } from './bucket-index.ts';
import { scanTenant } from './scan.ts';
import { type BlockDamage, Shipper } from './shipper.ts';
import { isWhollyDeleted } from './wholly-deleted.ts';

/** How often a tenant's index is looked at, and by one node written anew. */
const INDEX_EVERY_MS = 15 * 60_000;
/** Readers look at an index this often at least. */
export const INDEX_AGE_MAX_MS = 5 * 60_000;
/** Twice what a reader may be behind, and what a query may take. */
const REMOVE_AFTER_INDEXED_MS = 2 * INDEX_AGE_MAX_MS + 10 * 60_000;
/** What an older look at the index says of blocks may be over: readers leave out what is marked after half an hour. */
const LOOK_AGE_MAX_MS = 2 * INDEX_EVERY_MS;

export interface ShippingOptions {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly bucket: Bucket;
  readonly log: Log;
  /** Of this instance's disk: written down with each block. */
  readonly storeId: string;
  /** The tenant's directory. */
  readonly directoryOf: (tenant: TenantId) => string;
  /** Whether this node is the one that keeps the tenant's index fresh when nothing is shipped. */
  readonly ownsIndex: (tenant: TenantId) => boolean;
  /** How long blocks stay in the bucket; 0: for ever. */
  readonly retentionMsOf: (tenant: TenantId) => number;
  /** Where damage of a tenant's local blocks is known; undefined: nobody reads them now. */
  readonly damageOf?: ((tenant: TenantId) => BlockDamage | undefined) | undefined;
  /** What was deleted for good: a block of nothing else may be gone from the bucket; absent: nothing. */
  readonly goneOf?: ((tenant: TenantId) => readonly Deletion[]) | undefined;
}

/** What this node knows of one tenant. */
interface TenantState {
  shipper: Shipper | undefined;
  /** Since when local blocks were seen in the index, on the monotonic clock. */
  indexedSinceMs: ReadonlyMap<BlockId, number>;
  /** Since when shipped ones were not: a listing may lag behind what was just shipped. */
  absentSinceMs: ReadonlyMap<BlockId, number>;
  /** Of these, those that have no sample left: found out anew with each look, so a restart forgets nothing. */
  emptied: ReadonlySet<BlockId>;
  /** What was found then in blocks that are not marked for deletion. */
  readable: ReadonlySet<BlockId>;
  lookedAtMs: number;
  /** Something was shipped since the index was written. */
  hasNew: boolean;
  /** A run that has not begun yet. */
  waiting: Promise<number> | undefined;
}

export class Shipping {
  readonly #options: ShippingOptions;
  readonly #states = new Map<TenantId, TenantState>();
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  /** Since the start. */
  shippedCount = 0;
  failureCount = 0;

  constructor(options: ShippingOptions) {
    this.#options = options;
  }

  /**
   * Ships what the tenant's directory has and the bucket has not; returns how many blocks. What is on disk at
   * the call is in the bucket and its index when it resolves. Throws the first failure after all were tried.
   */
  ship(tenant: TenantId): Promise<number> {
    const state = this.#stateOf(tenant);
    if (state.waiting !== undefined) return state.waiting;
    const run = this.#last.then(() => {
      state.waiting = undefined;
      return this.#ship(tenant, state);
    });
    state.waiting = run;
    this.#last = run.catch(() => undefined); // told to who asked
    return run;
  }

  /**
   * True once a local block may go: everybody who could need it finds it in the bucket, or it is so old that
   * the bucket let it go.
   */
  mayRemove(tenant: TenantId, id: BlockId): boolean {
    const { clock, retentionMsOf } = this.#options;
    const state = this.#states.get(tenant);
    const sinceMs = state?.indexedSinceMs.get(id);
    if (state?.shipper?.isShipped(id) !== true) return false;
    const nowMs = clock.monotonicMs();
    if (sinceMs !== undefined) return nowMs - sinceMs >= REMOVE_AFTER_INDEXED_MS;
    const absentSinceMs = state.absentSinceMs.get(id) ?? nowMs;
    // Not what the bucket lost: of that there are samples left.
    if (state.emptied.has(id) && nowMs - absentSinceMs >= REMOVE_AFTER_INDEXED_MS) return true;
    const retentionMs = retentionMsOf(tenant);
    // A block is named after its last sample.
    return retentionMs > 0 && clock.wallMs() - blockIdTimeMs(id) > retentionMs;
  }

  /**
   * True while every reader finds all of a local block in the bucket. Not of one that the bucket let go or is about
   * to: that may be removed here, and until it is, it is read here.
   */
  isIndexed(tenant: TenantId, id: BlockId): boolean {
    const state = this.#states.get(tenant);
    const sinceMs = state?.indexedSinceMs.get(id);
    if (state === undefined || sinceMs === undefined || !state.readable.has(id)) return false;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - state.lookedAtMs > LOOK_AGE_MAX_MS) return false;
    return nowMs - sinceMs >= REMOVE_AFTER_INDEXED_MS;
  }

  /** Waits for what runs; begins nothing more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#last;
  }

  #stateOf(tenant: TenantId): TenantState {
    let state = this.#states.get(tenant);
    if (state === undefined) {
      state = {
        shipper: undefined,
        indexedSinceMs: new Map(),
        absentSinceMs: new Map(),
        emptied: new Set(),
        readable: new Set(),
        lookedAtMs: Number.NEGATIVE_INFINITY,
        hasNew: false,
        waiting: undefined,
      };
      this.#states.set(tenant, state);
    }
    return state;
  }

  async #ship(tenant: TenantId, state: TenantState): Promise<number> {
    if (this.#isClosed) return 0;
    const { bucket, clock, damageOf, directoryOf, disk, log, storeId } = this.#options;
    try {
      const directory = directoryOf(tenant);
      const damage: BlockDamage = {
        of: (id) => damageOf?.(tenant)?.of(id),
        note: (id, error) => damageOf?.(tenant)?.note(id, error),
      };
      state.shipper ??= await Shipper.open({
        ...{ bucket, clock, disk, log, tenant, storeId, directory, damage },
        isClosed: () => this.#isClosed,
      });
      const shipped = state.shipper.shipped();
      const before = new Set(shipped);
      let failure: unknown;
      const count = await state.shipper.ship().catch((thrown: unknown) => {
        failure = thrown;
        return [...shipped].filter((id) => !before.has(id)).length;
      });
      this.shippedCount += count;
      const isDue = clock.monotonicMs() - state.lookedAtMs >= INDEX_EVERY_MS;
      state.hasNew ||= count > 0;
      if (state.hasNew || (isDue && shipped.size > 0)) {
        await this.#lookAtIndex(tenant, state, state.shipper);
      }
      if (failure !== undefined) throw toStarlingError(failure);
      return count;
    } catch (thrown) {
      this.failureCount++;
      throw thrown;
    }
  }

  /** Reads the tenant's index, or writes it anew, and notes which local blocks are in it. */
  async #lookAtIndex(tenant: TenantId, state: TenantState, shipper: Shipper): Promise<void> {
    const { bucket, clock, ownsIndex } = this.#options;
    const index =
      state.hasNew || ownsIndex(tenant)
        ? await updateBucketIndex(this.#options, tenant)
        : await readBucketIndex(bucket, tenant);
    const present = new Set(index?.blocks.flatMap(({ id, sources }) => [id, ...sources]));
    const nowMs = clock.monotonicMs();
    const indexedSinceMs = new Map<BlockId, number>();
    const absentSinceMs = new Map<BlockId, number>();
    for (const id of shipper.shipped()) {
      if (present.has(id)) indexedSinceMs.set(id, state.indexedSinceMs.get(id) ?? nowMs);
      else absentSinceMs.set(id, state.absentSinceMs.get(id) ?? nowMs);
    }
    const unmarked = index?.blocks.filter(({ id }) => !index.deletions.has(id));
    state.readable = new Set(unmarked?.flatMap(({ id, sources }) => [id, ...sources]));
    state.indexedSinceMs = indexedSinceMs;
    state.absentSinceMs = absentSinceMs;
    state.emptied = await this.#emptiedOf(tenant, absentSinceMs.keys());
    state.lookedAtMs = nowMs;
    state.hasNew = false;
  }

  /** Those of which nothing is left. One that cannot be read is none: it is healed first. */
  async #emptiedOf(tenant: TenantId, ids: Iterable<BlockId>): Promise<ReadonlySet<BlockId>> {
    const { clock, directoryOf, disk, goneOf, log } = this.#options;
    const emptied = new Set<BlockId>();
    const gone = goneOf?.(tenant) ?? NO_DELETIONS;
    if (gone.length === 0) return emptied; // fast path
    for (const id of ids) {
      if (this.#isClosed) break;
      try {
        const reader = await BlockReader.open(diskBlockFiles(disk, directoryOf(tenant), id));
        try {
          if (await isWhollyDeleted(reader, gone, new Pacer(clock))) emptied.add(id);
        } finally {
          await reader.close();
        }
      } catch (thrown) {
        const why = toStarlingError(thrown).message;
        log.warn('a local block was not looked at for what is deleted', { tenant, block: id, why });
      }
    }
    return emptied;
  }
}

/** Lists a tenant's blocks and writes its index anew. An index that cannot be read is made from nothing. */
export async function updateBucketIndex(
  { bucket, clock, log }: { readonly bucket: Bucket; readonly clock: Clock; readonly log: Log },
  tenant: TenantId,
): Promise<BucketIndex> {
  const previous = await readBucketIndex(bucket, tenant).catch((thrown: unknown) => {
    if (!isCorrupt(thrown)) throw thrown;
    log.warn('bucket index made anew', { tenant, error: String(thrown) });
    return undefined;
  });
  const scan = await scanTenant(bucket, tenant, { clock, previous });
  for (const [block, error] of scan.broken) {
    log.error('a block of the bucket is left out', { tenant, block, error: error.message });
  }
  await writeBucketIndex({ bucket, clock }, tenant, scan);
  return scan.index;
}

function isCorrupt(thrown: unknown): boolean {
  return thrown instanceof StarlingError && thrown.id === 'bucket.corrupt';
}
