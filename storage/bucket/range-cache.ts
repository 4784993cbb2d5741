/**
 * Bytes of objects, in pages, bounded in memory. All reads of blocks in a bucket go through it:
 *
 *   wanted pages   ..##....#.......................##..
 *   requests       [========]                     [==]       near ones together, up to a bound
 *
 * Pages that are being fetched are waited for, not fetched twice. Objects never change, so a page never
 * has to be thrown away but for room: those that were used longest ago go first.
 */
import type { Bucket } from '../../platform/platform.ts';

const PAGE_BYTES = 32 * 1024;
/** Pages nobody wants, fetched so that two requests become one: a request costs more than these. */
const GAP_PAGES_MAX = 8;
const REQUEST_PAGES_MAX = 64;
const REQUESTS_AT_ONCE_MAX = 16;

/** An object that never changes. */
export interface CachedObject {
  readonly key: string;
  readonly sizeBytes: number;
}

export interface ByteRange {
  readonly offset: number;
  readonly byteCount: number;
}

export interface RangeCacheStats {
  readonly bytes: number;
  readonly hits: number;
  readonly misses: number;
  readonly requests: number;
  readonly requestedBytes: number;
}

export class RangeCache {
  readonly #bucket: Bucket;
  readonly #bytesMax: number;
  /** Oldest use first. */
  readonly #pages = new Map<string, Uint8Array>();
  readonly #loading = new Map<string, Promise<Uint8Array>>();
  readonly #waiting: (() => void)[] = [];
  #requestsNow = 0;
  #bytes = 0;
  #hits = 0;
  #misses = 0;
  #requests = 0;
  #requestedBytes = 0;

  constructor(bucket: Bucket, bytesMax: number) {
    this.#bucket = bucket;
    this.#bytesMax = bytesMax;
  }

  stats(): RangeCacheStats {
    return {
      bytes: this.#bytes,
      hits: this.#hits,
      misses: this.#misses,
      requests: this.#requests,
      requestedBytes: this.#requestedBytes,
    };
  }

  /** The bytes of a range, fewer where the object ends. They stay valid; others may have them too. */
  async read(object: CachedObject, offset: number, byteCount: number): Promise<Uint8Array> {
    const end = Math.min(offset + byteCount, object.sizeBytes);
    if (end <= offset) return new Uint8Array(0);
    const first = Math.floor(offset / PAGE_BYTES);
    const last = Math.floor((end - 1) / PAGE_BYTES);
    const numbers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    this.#request(object, numbers);
    if (first === last) {
      const page = await this.#page(object, first);
      return page.subarray(offset - first * PAGE_BYTES, end - first * PAGE_BYTES);
    }
    const target = new Uint8Array(end - offset);
    let filled = 0;
    for (const number of numbers) {
      const page = await this.#page(object, number);
      const from = Math.max(0, offset - number * PAGE_BYTES);
      const part = page.subarray(from, end - number * PAGE_BYTES);
      target.set(part, filled);
      filled += part.length;
    }
    return target.subarray(0, filled);
  }

  /** Fetches what is missing of many ranges in as few requests as makes sense. */
  async prefetch(object: CachedObject, ranges: readonly ByteRange[]): Promise<void> {
    const wanted = new Set<number>();
    for (const { byteCount, offset } of ranges) {
      const end = Math.min(offset + byteCount, object.sizeBytes);
      for (let at = Math.floor(offset / PAGE_BYTES); at * PAGE_BYTES < end; at++) wanted.add(at);
    }
    const numbers = [...wanted].sort((a, b) => a - b);
    this.#request(object, numbers);
    for (const number of numbers) await this.#loading.get(keyOf(object, number));
  }

  /** The page, which was asked for a moment ago. */
  async #page(object: CachedObject, number: number): Promise<Uint8Array> {
    const key = keyOf(object, number);
    for (;;) {
      const page = this.#pages.get(key);
      if (page !== undefined) {
        this.#pages.delete(key); // used last: to the end
        this.#pages.set(key, page);
        return page;
      }
      const loading = this.#loading.get(key);
      if (loading !== undefined) return loading;
      this.#request(object, [number]); // it came and went, because of others
    }
  }

  /** Begins fetching those pages that are neither here nor on their way. `numbers` rise. */
  #request(object: CachedObject, numbers: readonly number[]): void {
    const missing = numbers.filter((number) => {
      const key = keyOf(object, number);
      return !this.#pages.has(key) && !this.#loading.has(key);
    });
    this.#hits += numbers.length - missing.length;
    this.#misses += missing.length;
    for (let from = 0; from < missing.length;) {
      const first = missing[from]!;
      let to = from + 1;
      while (
        to < missing.length &&
        missing[to]! - missing[to - 1]! <= GAP_PAGES_MAX + 1 &&
        missing[to]! - first < REQUEST_PAGES_MAX
      ) {
        to++;
      }
      this.#fetch(object, missing.slice(from, to));
      from = to;
    }
  }

  /** One request for these pages, and what lies between them. */
  #fetch(object: CachedObject, numbers: readonly number[]): void {
    const first = numbers[0]!;
    const offset = first * PAGE_BYTES;
    const end = Math.min((numbers.at(-1) ?? first) * PAGE_BYTES + PAGE_BYTES, object.sizeBytes);
    const fetched = this.#inSlot(() => this.#bucket.getRange(object.key, offset, end - offset));
    this.#requests++;
    this.#requestedBytes += end - offset;
    for (const number of numbers) {
      const key = keyOf(object, number);
      const from = (number - first) * PAGE_BYTES;
      const page = fetched
        .then((bytes) => {
          const copy = bytes.slice(from, from + PAGE_BYTES); // the others of the request may go
          this.#keep(key, copy);
          return copy;
        })
        .finally(() => this.#loading.delete(key));
      page.catch(() => undefined); // told to who waits for it
      this.#loading.set(key, page);
    }
  }

  #keep(key: string, page: Uint8Array): void {
    this.#pages.set(key, page);
    this.#bytes += page.length;
    for (const [oldest, { length }] of this.#pages) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#pages.delete(oldest);
      this.#bytes -= length;
    }
  }

  async #inSlot<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#requestsNow >= REQUESTS_AT_ONCE_MAX) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#requestsNow++;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift(); // it inherits the slot
      if (next === undefined) this.#requestsNow--;
      else next();
    }
  }
}

function keyOf({ key }: CachedObject, number: number): string {
  return `${key}#${number}`;
}
