/**
 * The requests to delete series that a node knows: those in the bucket, read again and again, and a copy on the
 * local disk for a start while the bucket is away.
 *
 *   put ─► in the bucket ─(at most REFRESH_MS, and a listing)─► known to every node: hidden from all reads
 *                          ─(the time to cancel is over)─► due: compaction leaves its samples out ─► processed
 *
 * Invariants: a request is told as taken only when it is in the bucket and in force here. While nothing is known
 * of the bucket's requests, nothing is read (`checkKnown`). A document that cannot be read deletes nothing, and is
 * told. What was known stays in force while the bucket is away. Nothing is due while this node's clock is not known
 * to be right, nor before the bucket was read after the last moment at which it could be cancelled. Bounds: no more
 * than REQUESTS_MAX documents and REQUESTS_BYTES_MAX bytes are taken; what is in the bucket already is read, however
 * much it is.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock, Disk, Log, Random, Timer } from '../../platform/platform.ts';
import { type BlockId, newBlockId } from '../block/ulid.ts';
import { type ListedRequest, RequestReader, listRequests } from './bucket-requests.ts';
import { type CopiedRequest, RequestCopy } from './copy.ts';
import { type Deletion, NO_DELETIONS } from './deletion.ts';
import {
  type DeletionRequest,
  REQUEST_BYTES_MAX,
  type RequestMark,
  encodeRequest,
  problemOf,
  requestKey,
} from './request.ts';
import { MatchMemory } from './verdicts.ts';

/** From one look at the bucket to the next. */
export const REFRESH_MS = 30_000;
/** Of all tenants, of one, and of one those that are neither processed nor cancelled: more are not taken. */
export const REQUESTS_MAX = 50_000;
export const REQUESTS_PER_TENANT_MAX = 5000;
export const OPEN_REQUESTS_PER_TENANT_MAX = 1000;
/** What their documents may take, of all tenants and of one. */
export const REQUESTS_BYTES_MAX = 128 * 1024 * 1024;
export const REQUESTS_BYTES_PER_TENANT_MAX = 16 * 1024 * 1024;
/** Clocks may differ so much: nothing is cut before everybody agrees that it cannot be cancelled. */
const CANCEL_MARGIN_MS = 10 * 60_000;
/** A wall clock that jumps makes nothing due that this process did not know for so long. */
const KNOWN_MS_MIN = 40 * 60_000;

export interface DeletionRequestsOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly random: Random;
  /** For the copy. */
  readonly directory: string;
  /** How long a request can be cancelled. */
  readonly cancelPeriodMs: number;
  /** Whether this node's wall clock is known to be right: by a wrong one nothing is due, taken or cancelled. */
  readonly isClockRight: () => boolean;
}

/** A request and what became of it. */
export interface KnownRequest {
  readonly request: DeletionRequest;
  readonly state: 'cancelled' | 'processed' | 'received';
}

interface Entry {
  readonly request: DeletionRequest;
  readonly marks: Set<RequestMark>;
  /** Of its document. */
  readonly byteCount: number;
  /** On the monotonic clock. */
  readonly knownSinceMs: number;
}

/** What a tenant's reads go by; made anew when a request comes or goes. */
type Tenant = Map<BlockId, Entry>;

export class DeletionRequests {
  readonly #options: DeletionRequestsOptions;
  #tenants: ReadonlyMap<TenantId, Tenant> = new Map();
  readonly #active = new Map<TenantId, readonly Deletion[]>();
  readonly #reader: RequestReader;
  readonly #copy: RequestCopy;
  #readAtMs: number | undefined;
  /** The wall clock when the last listing began that is in force here. */
  #readAtWallMs = Number.NEGATIVE_INFINITY;
  #isKnown = false;
  #refreshing: Promise<void> | undefined;
  #waiting: Promise<void> | undefined;
  /** What was written since the listing began: it may not show it. */
  #written: { readonly tenant: TenantId; readonly id: BlockId }[] = [];
  #timer: Timer | undefined;
  #isClosed = false;
  failureCount = 0;
  /** What this node remembers of matching them, and other deletions. */
  readonly memory = new MatchMemory();

  constructor(options: DeletionRequestsOptions) {
    const { bucket, directory, disk, log } = options;
    this.#options = options;
    this.#reader = new RequestReader(bucket, (key, why) => {
      log.error('deletions.request_unreadable', { key, why });
    });
    this.#copy = new RequestCopy(disk, directory, log);
  }

  /**
   * Reads the copy of the local disk, then the bucket every `REFRESH_MS`. `isNew`: there is nothing here yet that
   * could have been deleted. Throws `disk.failed`.
   */
  async open(isNew: boolean): Promise<void> {
    const copied = await this.#copy.read();
    this.#isKnown = isNew || copied !== undefined;
    for (const { marks, request, tenant } of copied ?? []) {
      if (request !== undefined) this.#put(tenant, request, new Set(marks));
    }
    this.#schedule(0);
  }

  /** Throws `node.not_ready` while it is not known what was deleted. */
  checkKnown(): void {
    if (!this.#isKnown) throw new StarlingError('node.not_ready', { why: this.unknown });
  }

  /** Why it is not known what was deleted; empty: it is. */
  get unknown(): string {
    return this.#isKnown ? '' : 'the requests to delete series were not read from the bucket yet';
  }

  /** Whether anything may be decided by this node's wall clock. */
  get isClockRight(): boolean {
    return this.#options.isClockRight();
  }

  /** How long ago the bucket was last read; undefined: never since the start. */
  get ageMs(): number | undefined {
    const { clock } = this.#options;
    return this.#readAtMs === undefined ? undefined : clock.monotonicMs() - this.#readAtMs;
  }

  /** Documents that cannot be read. */
  get brokenCount(): number {
    return this.#reader.brokenCount;
  }

  /** Requests by their state. */
  counts(): Readonly<Record<KnownRequest['state'], number>> {
    const counts = { cancelled: 0, processed: 0, received: 0 };
    for (const entries of this.#tenants.values()) {
      for (const entry of entries.values()) counts[stateOf(entry)]++;
    }
    return counts;
  }

  /** What no read of the tenant may show. The same array until something changes. */
  of(tenant: TenantId): readonly Deletion[] {
    const entries = this.#tenants.get(tenant);
    if (entries === undefined) return NO_DELETIONS; // fast path
    let active = this.#active.get(tenant);
    if (active === undefined) {
      active = [...entries.values()]
        .filter((entry) => stateOf(entry) !== 'cancelled')
        .map(({ request }) => request);
      this.#active.set(tenant, active);
    }
    return active;
  }

  /** Those that cannot be cancelled any more: their samples may be dropped for good. */
  due(tenant: TenantId): readonly Deletion[] {
    const { cancelPeriodMs, clock, isClockRight } = this.#options;
    if (!isClockRight()) return NO_DELETIONS;
    const marginMs = cancelPeriodMs === 0 ? 0 : CANCEL_MARGIN_MS;
    const knownMs = Math.min(cancelPeriodMs, KNOWN_MS_MIN);
    return [...(this.#tenants.get(tenant)?.values() ?? [])]
      .filter(
        (entry) =>
          stateOf(entry) !== 'cancelled' &&
          this.#readAtWallMs >= entry.request.createdAtMs + cancelPeriodMs + marginMs &&
          clock.monotonicMs() - entry.knownSinceMs >= knownMs,
      )
      .map(({ request }) => request);
  }

  /** All of a tenant, newest first. */
  list(tenant: TenantId): readonly KnownRequest[] {
    return [...(this.#tenants.get(tenant)?.values() ?? [])]
      .map((entry) => ({ request: entry.request, state: stateOf(entry) }))
      .sort((a, b) => (a.request.id < b.request.id ? 1 : -1));
  }

  /** Tenants that have any. */
  tenants(): readonly TenantId[] {
    return [...this.#tenants.keys()];
  }

  /**
   * Takes a request: what exists now and is in the range goes. In force here when it resolves. Throws
   * `deletion.too_many`, `deletion.too_large`, `request.parameter`, `node.not_ready`, `bucket.*`.
   */
  async add(tenant: TenantId, wanted: Omit<Deletion, 'id'>): Promise<DeletionRequest> {
    const { bucket, clock } = this.#options;
    this.#checkClock();
    await this.#refreshIfOld();
    const createdAtMs = clock.wallMs();
    const { minTimeMs } = wanted.range;
    // Only what exists: samples that are still to come are not deleted.
    const maxTimeMs = Math.min(wanted.range.maxTimeMs, createdAtMs);
    const problem =
      minTimeMs > maxTimeMs ? 'the range begins in the future' : problemOf(wanted.selectors);
    if (problem !== undefined) {
      throw new StarlingError('request.parameter', { parameter: 'match[]', why: problem });
    }
    const range = { minTimeMs, maxTimeMs };
    const id = newBlockId(this.#options);
    const request = { id, createdAtMs, range, selectors: wanted.selectors };
    const bytes = encodeRequest(request);
    if (bytes.length > REQUEST_BYTES_MAX) {
      const why = `the request takes ${bytes.length} bytes, the limit is ${REQUEST_BYTES_MAX}`;
      throw new StarlingError('request.parameter', { parameter: 'match[]', why });
    }
    await this.#makeRoom(tenant, bytes.length);
    await bucket.put(requestKey(tenant, id, 'json'), bytes);
    this.#written.push({ tenant, id });
    this.#put(tenant, request, new Set());
    await this.#save([{ tenant, id }]);
    return request;
  }

  /** Throws `deletion.not_found`, `deletion.too_late`, `node.not_ready`, `bucket.*`. */
  async cancel(tenant: TenantId, id: string): Promise<void> {
    const { cancelPeriodMs, clock } = this.#options;
    this.#checkClock();
    await this.refresh();
    const entry = [...(this.#tenants.get(tenant)?.values() ?? [])].find(
      ({ request }) => request.id === id,
    );
    if (entry === undefined) throw new StarlingError('deletion.not_found', { request: id });
    const { createdAtMs } = entry.request;
    if (stateOf(entry) === 'cancelled') return;
    if (stateOf(entry) === 'processed' || clock.wallMs() >= createdAtMs + cancelPeriodMs) {
      throw new StarlingError('deletion.too_late', { request: id, periodMs: cancelPeriodMs });
    }
    await this.#mark(tenant, entry, 'cancelled');
  }

  /** No block of the bucket has anything of the request. */
  async markProcessed(tenant: TenantId, id: string): Promise<void> {
    const entry = [...(this.#tenants.get(tenant)?.values() ?? [])].find(
      ({ request }) => request.id === id,
    );
    if (entry === undefined || stateOf(entry) !== 'received') return;
    this.#options.log.probe?.('deletion.processed');
    await this.#mark(tenant, entry, 'processed');
  }

  /** Reads what the bucket has at the call or later. Throws `bucket.*`. */
  refresh(): Promise<void> {
    const begin = (): Promise<void> => {
      this.#waiting = undefined;
      this.#refreshing = this.#refresh().finally(() => {
        this.#refreshing = undefined;
      });
      return this.#refreshing;
    };
    if (this.#refreshing === undefined) return begin();
    // What runs may have listed the bucket before the call: another one follows it, for all who came meanwhile.
    this.#waiting ??= this.#refreshing.then(begin, begin);
    return this.#waiting;
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return;
    const { clock, log } = this.#options;
    this.#timer = clock.after(delayMs, () => {
      this.refresh()
        .catch((thrown: unknown) => {
          this.failureCount++;
          const error = toStarlingError(thrown).message;
          log.error('deletions.not_read', { error, ageMs: this.ageMs });
        })
        .finally(() => this.#schedule(REFRESH_MS));
    });
  }

  async #refreshIfOld(): Promise<void> {
    if (this.#readAtMs === undefined) await this.refresh();
  }

  async #refresh(): Promise<void> {
    const { bucket, clock } = this.#options;
    this.#written = [];
    const wallMs = clock.wallMs();
    const startedMs = clock.monotonicMs();
    const { listed, marksOf } = await listRequests(bucket);
    const all = [...listed, ...(await this.#unlisted(listed))];
    const unknown = all.filter(({ id, tenant }) => this.#tenants.get(tenant)?.has(id) !== true);
    const read = await this.#reader.read(unknown);
    const next = new Map<TenantId, Tenant>();
    for (const { id, key, tenant } of all) {
      const known = this.#tenants.get(tenant)?.get(id);
      const request = known?.request ?? read.get(key);
      if (request === undefined) continue;
      const entries = next.get(tenant) ?? new Map<BlockId, Entry>();
      next.set(tenant, entries);
      const knownSinceMs = known?.knownSinceMs ?? clock.monotonicMs();
      const byteCount = known?.byteCount ?? encodeRequest(request).length;
      const own = new Set([...marksOf(tenant, id), ...(known?.marks ?? [])]);
      entries.set(id, { request, marks: own, byteCount, knownSinceMs });
    }
    this.#reader.forgetUnlisted(listed);
    // What was written meanwhile may be missing in the listing.
    for (const { id, tenant } of this.#written) {
      const entry = this.#tenants.get(tenant)?.get(id);
      if (entry === undefined) continue;
      const entries = next.get(tenant) ?? new Map<BlockId, Entry>();
      next.set(tenant, entries.set(id, entry));
    }
    const changed = changesOf(this.#tenants, next);
    this.#tenants = next;
    this.#active.clear();
    this.#readAtMs = startedMs;
    this.#readAtWallMs = wallMs;
    this.#isKnown = true;
    await this.#save(changed);
  }

  /** What is known and not listed: a listing may lag. Whatever is really gone, an operator took away. */
  async #unlisted(listed: readonly ListedRequest[]): Promise<readonly ListedRequest[]> {
    const keys = new Set(listed.map(({ key }) => key));
    const missing: ListedRequest[] = [];
    for (const [tenant, entries] of this.#tenants) {
      for (const id of entries.keys()) {
        const key = requestKey(tenant, id, 'json');
        if (!keys.has(key)) missing.push({ tenant, id, key });
      }
    }
    return this.#reader.present(missing);
  }

  async #mark(tenant: TenantId, entry: Entry, mark: RequestMark): Promise<void> {
    const { bucket } = this.#options;
    await bucket.put(requestKey(tenant, entry.request.id, mark), Buffer.from('{}'));
    this.#written.push({ tenant, id: entry.request.id });
    this.#put(tenant, entry.request, new Set([...entry.marks, mark]));
    await this.#save([{ tenant, id: entry.request.id }]);
  }

  #put(tenant: TenantId, request: DeletionRequest, marks: Set<RequestMark>): void {
    const next = new Map(this.#tenants);
    const entries = new Map(next.get(tenant));
    const known = entries.get(request.id);
    const knownSinceMs = known?.knownSinceMs ?? this.#options.clock.monotonicMs();
    const byteCount = known?.byteCount ?? encodeRequest(request).length;
    entries.set(request.id, { request, marks, byteCount, knownSinceMs });
    next.set(tenant, entries);
    this.#tenants = next;
    this.#active.delete(tenant);
  }

  #checkClock(): void {
    if (this.#options.isClockRight()) return;
    const why = 'its clock is not known to be right, and requests to delete go by it';
    throw new StarlingError('node.not_ready', { why });
  }

  /** Forgets the oldest cancelled requests of a tenant that has too many; throws where that is not enough. */
  async #makeRoom(tenant: TenantId, byteCount: number): Promise<void> {
    const all = [...this.#tenants.values()].map(sizeOf);
    if (sum(all.map(({ count }) => count)) >= REQUESTS_MAX)
      throw tooMany('requests of all tenants', REQUESTS_MAX);
    checkBytes(
      'of all tenants',
      sum(all.map(({ bytes }) => bytes)) + byteCount,
      REQUESTS_BYTES_MAX,
    );
    const own = [...(this.#tenants.get(tenant)?.values() ?? [])];
    const openCount = own.filter((entry) => stateOf(entry) === 'received').length;
    if (openCount >= OPEN_REQUESTS_PER_TENANT_MAX) {
      const what = 'requests of this tenant that are not processed yet';
      throw tooMany(what, OPEN_REQUESTS_PER_TENANT_MAX);
    }
    const cancelled = own
      .filter((entry) => stateOf(entry) === 'cancelled')
      .sort((a, b) => (a.request.id < b.request.id ? -1 : 1));
    const isMany = own.length >= REQUESTS_PER_TENANT_MAX;
    let bytes = sum(own.map((entry) => entry.byteCount)) + byteCount;
    if (isMany && cancelled.length === 0)
      throw tooMany('requests of this tenant', REQUESTS_PER_TENANT_MAX);
    const freeable = sum(cancelled.map((entry) => entry.byteCount));
    checkBytes('of this tenant', bytes - freeable, REQUESTS_BYTES_PER_TENANT_MAX);
    for (let i = 0; (i === 0 && isMany) || bytes > REQUESTS_BYTES_PER_TENANT_MAX; i++) {
      bytes -= cancelled[i]!.byteCount;
      await this.#forget(tenant, cancelled[i]!.request.id);
    }
  }

  /** The document first: a mark alone means nothing. */
  async #forget(tenant: TenantId, id: BlockId): Promise<void> {
    const { bucket } = this.#options;
    await bucket.delete(requestKey(tenant, id, 'json'));
    await bucket.delete(requestKey(tenant, id, 'cancelled'));
    const next = new Map(this.#tenants);
    const entries = new Map(next.get(tenant));
    entries.delete(id);
    next.set(tenant, entries);
    this.#tenants = next;
    this.#active.delete(tenant);
    await this.#save([{ tenant, id }]);
  }

  /** Resolves when the copy has what these requests are now. */
  #save(changed: readonly Pick<ListedRequest, 'id' | 'tenant'>[]): Promise<void> {
    const lines = changed.map(({ id, tenant }): CopiedRequest => {
      const entry = this.#tenants.get(tenant)?.get(id);
      return { tenant, id, marks: entry?.marks ?? [], request: entry?.request };
    });
    return this.#copy.put(lines, () => this.#entries());
  }

  *#entries(): Generator<CopiedRequest, void> {
    for (const [tenant, entries] of this.#tenants) {
      for (const [id, { marks, request }] of entries) yield { tenant, id, marks, request };
    }
  }
}

function stateOf({ marks }: Entry): KnownRequest['state'] {
  if (marks.has('cancelled')) return 'cancelled';
  return marks.has('processed') ? 'processed' : 'received';
}

/** What came, went, or has another state. */
function changesOf(
  before: ReadonlyMap<TenantId, Tenant>,
  after: ReadonlyMap<TenantId, Tenant>,
): readonly Pick<ListedRequest, 'id' | 'tenant'>[] {
  const changed: Pick<ListedRequest, 'id' | 'tenant'>[] = [];
  for (const [tenant, entries] of after) {
    for (const [id, { marks }] of entries) {
      if (before.get(tenant)?.get(id)?.marks.size !== marks.size) changed.push({ tenant, id }); // marks only come
    }
  }
  for (const [tenant, entries] of before) {
    for (const id of entries.keys()) {
      if (after.get(tenant)?.has(id) !== true) changed.push({ tenant, id });
    }
  }
  return changed;
}

function sizeOf(entries: Tenant): { readonly count: number; readonly bytes: number } {
  return { count: entries.size, bytes: sum([...entries.values()].map((one) => one.byteCount)) };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function tooMany(what: string, countMax: number): StarlingError {
  return new StarlingError('deletion.too_many', { what, countMax });
}

function checkBytes(whose: string, bytes: number, bytesMax: number): void {
  if (bytes > bytesMax) throw new StarlingError('deletion.too_large', { whose, bytes, bytesMax });
}
