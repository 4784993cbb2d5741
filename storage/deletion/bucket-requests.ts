/**
 * The requests of a bucket, reading: one listing tells all names and states; documents that are not known yet are
 * read `READS_AT_ONCE` at a time. A document that does not hold is told once, and is no request.
 */
import { toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket } from '../../platform/platform.ts';
import type { BlockId } from '../block/ulid.ts';
import { BadDocument } from '../bucket/json.ts';
import { isNotFound, listObjects, readObject } from '../bucket/objects.ts';
import {
  type DeletionRequest,
  REQUEST_BYTES_MAX,
  type RequestMark,
  parseRequest,
  parseRequestKey,
  requestsPrefix,
} from './request.ts';

/** A first start reads as many documents as there are: not one after another, nor all at once. */
export const READS_AT_ONCE = 16;

export interface ListedRequest {
  readonly tenant: TenantId;
  readonly id: BlockId;
  readonly key: string;
}

export interface RequestListing {
  readonly listed: readonly ListedRequest[];
  readonly marksOf: (tenant: TenantId, id: BlockId) => readonly RequestMark[];
}

/** What the bucket shows, of all tenants or of one. Throws `bucket.*`. */
export async function listRequests(bucket: Bucket, only?: TenantId): Promise<RequestListing> {
  const marks = new Map<string, RequestMark[]>();
  const listed: ListedRequest[] = [];
  for await (const { key } of listObjects(bucket, requestsPrefix(only))) {
    const parsed = parseRequestKey(key);
    if (parsed === undefined) continue;
    const { id, kind, tenant } = parsed;
    if (kind === 'json') listed.push({ tenant, id, key });
    else {
      const name = `${tenant}/${id}`;
      const known = marks.get(name);
      if (known === undefined) marks.set(name, [kind]);
      else known.push(kind);
    }
  }
  return { listed, marksOf: (tenant, id) => marks.get(`${tenant}/${id}`) ?? [] };
}

export class RequestReader {
  readonly #bucket: Bucket;
  readonly #onBroken: (key: string, why: string) => void;
  /** Keys of documents that cannot be read, and why. */
  readonly #broken = new Map<string, string>();

  /** `onBroken` is told of each document once, and again when it does not hold for another reason. */
  constructor(bucket: Bucket, onBroken: (key: string, why: string) => void) {
    this.#bucket = bucket;
    this.#onBroken = onBroken;
  }

  get brokenCount(): number {
    return this.#broken.size;
  }

  /** Forgets what was broken and is listed no more. */
  forgetUnlisted(listed: readonly ListedRequest[]): void {
    if (this.#broken.size === 0) return; // fast path
    const keys = new Set(listed.map(({ key }) => key));
    for (const key of this.#broken.keys()) if (!keys.has(key)) this.#broken.delete(key);
  }

  /** By their keys; what is gone or does not hold is left out. Throws `bucket.*`. */
  async read(wanted: readonly ListedRequest[]): Promise<ReadonlyMap<string, DeletionRequest>> {
    const found = new Map<string, DeletionRequest>();
    await eachInLanes(wanted, async ({ id, key }) => {
      const request = await this.#readOne(key, id);
      if (request !== undefined) found.set(key, request);
    });
    return found;
  }

  /** Those of which the bucket has the document, listed or not. Throws `bucket.*`. */
  async present(wanted: readonly ListedRequest[]): Promise<readonly ListedRequest[]> {
    const found = new Set<ListedRequest>();
    await eachInLanes(wanted, async (one) => {
      if ((await this.#bucket.head(one.key)) !== undefined) found.add(one);
    });
    return wanted.filter((one) => found.has(one));
  }

  async #readOne(key: string, id: BlockId): Promise<DeletionRequest | undefined> {
    try {
      const bytes = await readObject(this.#bucket, key, REQUEST_BYTES_MAX);
      if (bytes === undefined) return undefined;
      const request = parseRequest(bytes, id);
      this.#broken.delete(key);
      return request;
    } catch (thrown) {
      const error = toStarlingError(thrown);
      if (isNotFound(thrown)) return undefined;
      const isBad = thrown instanceof BadDocument || error.id === 'bucket.too_large';
      if (!isBad) throw error;
      const why = thrown instanceof BadDocument ? thrown.message : error.message;
      if (this.#broken.get(key) !== why) this.#onBroken(key, why);
      this.#broken.set(key, why);
      return undefined;
    }
  }
}

/** Works on each, `READS_AT_ONCE` at a time. The first failure is thrown when all that was begun has ended. */
async function eachInLanes<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  let next = 0;
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    while (next < items.length && failures.length === 0) {
      await work(items[next++]!).catch((thrown: unknown) => failures.push(thrown));
    }
  };
  await Promise.all(Array.from({ length: Math.min(READS_AT_ONCE, items.length) }, lane));
  if (failures.length > 0) throw failures[0];
}
