/** Small tools over any bucket: whole objects up to a bound, all pages of a listing, all of a prefix. */
import { StarlingError } from '../../model/errors.ts';
import type { Bucket, BucketObject, BucketPage } from '../../platform/platform.ts';

const PAGE_COUNT = 1000;

/** All of an object, or undefined when there is none. Throws `bucket.too_large`. */
export async function readObject(
  bucket: Bucket,
  key: string,
  bytesMax: number,
): Promise<Uint8Array | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await bucket.getRange(key, 0, bytesMax + 1);
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
  if (bytes.length <= bytesMax) return bytes;
  throw new StarlingError('bucket.too_large', {
    bucket: bucket.name,
    key,
    bytes: bytes.length,
    bytesMax,
  });
}

export function isNotFound(thrown: unknown): boolean {
  return thrown instanceof StarlingError && thrown.id === 'bucket.not_found';
}

/** All objects below a prefix, page by page. */
export async function* listObjects(bucket: Bucket, prefix: string): AsyncGenerator<BucketObject> {
  for await (const page of pages(bucket, prefix)) yield* page.objects;
}

/** The prefixes one level below a prefix, page by page. */
export async function* listPrefixes(bucket: Bucket, prefix: string): AsyncGenerator<string> {
  for await (const page of pages(bucket, prefix, '/')) yield* page.prefixes;
}

async function* pages(bucket: Bucket, prefix: string, delimiter?: '/'): AsyncGenerator<BucketPage> {
  let next: string | undefined;
  do {
    const page: BucketPage = await bucket.list({
      prefix,
      countMax: PAGE_COUNT,
      ...(delimiter === undefined ? {} : { delimiter }),
      ...(next === undefined ? {} : { page: next }),
    });
    yield page;
    next = page.next;
  } while (next !== undefined);
}
