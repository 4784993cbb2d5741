/**
 * An object store in memory that misbehaves as real ones do. One store is shared by all nodes; each sees
 * it through a `Bucket` of its own, on its own clock.
 *
 *   call ──latency──► fault? ──no──► done, answer
 *                       ├─ 'refused'   bucket.unavailable, nothing done
 *                       ├─ 'lost'      bucket.unavailable, but a put or delete was done
 *                       ├─ 'denied'    bucket.denied
 *                       └─ 'hang'      bucket.unavailable after the deadline, done late
 *
 * Listings show an object, or its absence, up to `listLagMs` late; everything else is consistent.
 */
import { StarlingError } from '../model/errors.ts';
import { compareUtf8 } from '../model/labels.ts';
import { checkObjectKey } from '../platform/bucket/key.ts';
import type {
  Bucket,
  BucketBody,
  BucketListOptions,
  BucketObject,
  BucketPage,
  Clock,
} from '../platform/platform.ts';

export type BucketCallKind = 'delete' | 'getRange' | 'head' | 'list' | 'put';
export type BucketFault = 'denied' | 'hang' | 'lost' | 'refused';

export interface BucketCall {
  /** Counts from 1. */
  readonly number: number;
  readonly kind: BucketCallKind;
  readonly key: string;
}

interface Stored {
  /** Undefined: deleted, and told by listings until the lag is over. */
  readonly bytes: Uint8Array | undefined;
  /** What listings told before. */
  readonly before: Uint8Array | undefined;
  readonly atMs: number;
}

const HANG_MS = 30_000;

export class SimBucketStore {
  /** Every call so far. */
  readonly calls: BucketCall[] = [];
  failWhen: (call: BucketCall) => BucketFault | undefined = () => undefined;
  /** 0: a call is done at once. */
  latencyMs: () => number = () => 0;
  /** How late listings are. */
  listLagMs = 0;
  /** The store's own time. */
  nowMs: () => number = () => 0;
  readonly #objects = new Map<string, Stored>();

  /** The store as a node with this clock sees it. */
  sideOf(clock: Clock): Bucket {
    return new SimBucket(this, clock);
  }

  keys(): readonly string[] {
    return [...this.#objects.keys()]
      .filter((key) => this.bytes(key) !== undefined)
      .sort(compareUtf8);
  }

  bytes(key: string): Uint8Array | undefined {
    return this.#objects.get(key)?.bytes;
  }

  put(key: string, bytes: Uint8Array | undefined): void {
    const before = this.#objects.get(key);
    this.#objects.set(key, { bytes, before: before?.bytes, atMs: this.nowMs() });
  }

  /** What a listing shows now. */
  listed(): readonly BucketObject[] {
    const nowMs = this.nowMs();
    const found: BucketObject[] = [];
    for (const [key, { atMs, before, bytes }] of this.#objects) {
      const shown = nowMs - atMs < this.listLagMs ? before : bytes;
      if (shown !== undefined) found.push({ key, sizeBytes: shown.length });
    }
    return found.sort((a, b) => compareUtf8(a.key, b.key));
  }
}

class SimBucket implements Bucket {
  readonly name = 'sim://bucket';
  readonly #store: SimBucketStore;
  readonly #clock: Clock;

  constructor(store: SimBucketStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  getRange(
    key: string,
    offset: number,
    byteCount: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call('getRange', key, signal, () => {
      const bytes = this.#store.bytes(key);
      if (bytes === undefined) throw new StarlingError('bucket.not_found', this.#facts(key));
      return new Uint8Array(bytes.subarray(offset, offset + byteCount));
    });
  }

  async put(key: string, body: BucketBody | Uint8Array, signal?: AbortSignal): Promise<void> {
    checkObjectKey(key);
    const given = body instanceof Uint8Array ? body : await body.read(0, body.sizeBytes);
    const bytes = new Uint8Array(given);
    await this.#call('put', key, signal, () => {
      this.#store.put(key, bytes);
    });
  }

  head(key: string, signal?: AbortSignal): Promise<BucketObject | undefined> {
    return this.#call('head', key, signal, () => {
      const bytes = this.#store.bytes(key);
      return bytes === undefined ? undefined : { key, sizeBytes: bytes.length };
    });
  }

  list(options: BucketListOptions, signal?: AbortSignal): Promise<BucketPage> {
    return this.#call('list', options.prefix, signal, () => pageOf(this.#store.listed(), options));
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#call('delete', key, signal, () => {
      if (this.#store.bytes(key) === undefined) return;
      this.#store.put(key, undefined);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #call<Result>(
    kind: BucketCallKind,
    key: string,
    signal: AbortSignal | undefined,
    work: () => Result,
  ): Promise<Result> {
    if (kind !== 'list') checkObjectKey(key);
    signal?.throwIfAborted();
    const store = this.#store;
    const call = { number: store.calls.length + 1, kind, key };
    store.calls.push(call);
    const fault = store.failWhen(call);
    const latencyMs = fault === 'hang' ? HANG_MS : store.latencyMs();
    if (latencyMs > 0) {
      await new Promise<void>((resolve) => this.#clock.after(latencyMs, resolve));
      signal?.throwIfAborted();
    }
    if (fault === 'denied') {
      throw new StarlingError('bucket.denied', { ...this.#facts(key), why: 'injected' });
    }
    if (fault === 'refused') throw this.#unavailable(key, 'injected, nothing was done');
    const result = work();
    if (fault === undefined) return result;
    throw this.#unavailable(key, 'injected, and it was done');
  }

  #unavailable(key: string, why: string): StarlingError {
    return new StarlingError('bucket.unavailable', { ...this.#facts(key), why });
  }

  #facts(key: string): { readonly bucket: string; readonly key: string } {
    return { bucket: this.name, key };
  }
}

/** One page of a listing; `page` is the last name of the one before. */
function pageOf(
  all: readonly BucketObject[],
  { countMax, delimiter, page = '', prefix }: BucketListOptions,
): BucketPage {
  const objects: BucketObject[] = [];
  const prefixes: string[] = [];
  let last = page;
  for (const object of all) {
    if (!object.key.startsWith(prefix)) continue;
    const cut = delimiter === undefined ? -1 : object.key.indexOf(delimiter, prefix.length);
    const name = cut < 0 ? object.key : object.key.slice(0, cut + 1);
    if (compareUtf8(name, last) <= 0) continue; // told already, alone or as a prefix
    if (objects.length + prefixes.length === countMax) return { objects, prefixes, next: last };
    last = name;
    if (cut < 0) objects.push(object);
    else prefixes.push(name);
  }
  return { objects, prefixes, next: undefined };
}
