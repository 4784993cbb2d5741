/**
 * Bucket indexes as readers use them: one a tenant, read again when it is old. Invariant: what is given was
 * read at most `INDEX_AGE_MAX_MS` ago, which is what keeps local blocks where they are until every reader
 * knows of them in the bucket (shipping.ts); an index that cannot be read is an error, never an old one.
 */
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock } from '../../platform/platform.ts';
import { type BucketIndex, readBucketIndex } from './bucket-index.ts';
import { INDEX_AGE_MAX_MS } from './shipping.ts';

const TENANTS_MAX = 2000;

interface Entry {
  readonly readAtMs: number;
  readonly index: Promise<BucketIndex | undefined>;
  /** What was read last, however old. */
  known: { readonly index: BucketIndex | undefined } | undefined;
}

export class BucketIndexCache {
  readonly #bucket: Bucket;
  readonly #clock: Clock;
  /** Oldest use first. */
  readonly #entries = new Map<TenantId, Entry>();

  constructor(bucket: Bucket, clock: Clock) {
    this.#bucket = bucket;
    this.#clock = clock;
  }

  /** The tenant's index; undefined when it has none. Throws `bucket.*`. */
  get(tenant: TenantId): Promise<BucketIndex | undefined> {
    const nowMs = this.#clock.monotonicMs();
    const old = this.#entries.get(tenant);
    let entry = old;
    if (entry === undefined || nowMs - entry.readAtMs > INDEX_AGE_MAX_MS) {
      entry = this.#read(tenant, nowMs, old?.known);
    }
    this.#entries.delete(tenant);
    this.#entries.set(tenant, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= TENANTS_MAX) break;
      this.#entries.delete(oldest);
    }
    return entry.index;
  }

  /**
   * For reads that can do with an older one: what was read last, while it is read again in the background
   * if it is old. Waits for the first reading; a bucket that fails then is as one without an index.
   */
  async getKnown(tenant: TenantId): Promise<BucketIndex | undefined> {
    const reading = this.get(tenant).catch(() => undefined);
    const known = this.#entries.get(tenant)?.known;
    return known === undefined ? reading : known.index;
  }

  #read(tenant: TenantId, readAtMs: number, known: Entry['known']): Entry {
    const index = readBucketIndex(this.#bucket, tenant);
    const entry: Entry = { readAtMs, index, known };
    index.then(
      (read) => (entry.known = { index: read }),
      () => {
        // The next one tries again.
        if (this.#entries.get(tenant) !== entry) return;
        const readLongAgo = Number.NEGATIVE_INFINITY;
        this.#entries.set(tenant, { readAtMs: readLongAgo, index, known });
      },
    );
    return entry;
  }

  /** Reads the tenant's index anew next time. */
  forget(tenant: TenantId): void {
    this.#entries.delete(tenant);
  }
}
