/** What every `Bucket` does: a directory, an S3 server, the simulated store. */
import fc from 'fast-check';
import type { Test } from 'tap';

import type { Bucket, BucketListOptions, BucketPage } from '../../../platform/platform.ts';
import { refusal } from '../refusal.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** `bucket` is empty before and after. `partBytes`: from which size it uploads in parts. */
export async function checkBucket(t: Test, bucket: Bucket, partBytes: number): Promise<void> {
  await checkContents(t, bucket);
  await checkLarge(t, bucket, partBytes);
  await checkLists(t, bucket);
  await checkKeys(t, bucket);
}

async function checkContents(t: Test, bucket: Bucket): Promise<void> {
  const key = 'contents/a b+c/=ü😀';
  t.equal(await bucket.head(key), undefined);
  await t.rejects(bucket.getRange(key, 0, 1), refusal('bucket.not_found'));
  await bucket.delete(key);
  await bucket.put(key, bytesOf('hello, world'));
  t.strictSame(await bucket.head(key), { key, sizeBytes: 12 });
  t.equal(text(await bucket.getRange(key, 0, 5)), 'hello');
  t.equal(text(await bucket.getRange(key, 7, 100)), 'world', 'a range is shorter at the end');
  t.equal(text(await bucket.getRange(key, 12, 1)), '', 'and empty from the end on');
  t.equal(text(await bucket.getRange(key, 100, 10)), '');
  const own = await bucket.getRange(key, 0, 5);
  own.fill(0);
  t.equal(text(await bucket.getRange(key, 0, 5)), 'hello', 'what was read belongs to the caller');
  await bucket.put(key, bytesOf('bye'));
  t.equal(text(await bucket.getRange(key, 0, 100)), 'bye', 'a put replaces all of it');
  await bucket.put('contents/empty', new Uint8Array(0));
  t.strictSame(await bucket.head('contents/empty'), { key: 'contents/empty', sizeBytes: 0 });
  t.equal(text(await bucket.getRange('contents/empty', 0, 10)), '');
  t.equal(await bucket.head('contents'), undefined, 'a prefix is no object');
  await t.rejects(bucket.getRange('contents', 0, 1), refusal('bucket.not_found'));
  await t.rejects(bucket.getRange(`${key}/below`, 0, 1), refusal('bucket.not_found'));
  const parts = Array.from({ length: 8 }, (_, i) => bytesOf(String(i).repeat(2000)));
  await Promise.all(parts.map((part) => bucket.put('contents/race', part)));
  const winner = text(await bucket.getRange('contents/race', 0, 10_000));
  t.ok(
    parts.some((part) => text(part) === winner),
    'puts at once: one of them, whole',
  );
  const gone = new Error('the caller left');
  await t.rejects(bucket.put(key, bytesOf('late'), AbortSignal.abort(gone)), gone);
  await t.rejects(bucket.getRange(key, 0, 1, AbortSignal.abort(gone)), gone);
  t.equal(text(await bucket.getRange(key, 0, 100)), 'bye');
  for (const each of [key, 'contents/empty', 'contents/race', key]) await bucket.delete(each);
  t.equal(await bucket.head(key), undefined);
}

async function checkLarge(t: Test, bucket: Bucket, partBytes: number): Promise<void> {
  const bytes = new Uint8Array(partBytes * 2 + 1000);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31 + (i >>> 8)) & 0xff;
  const body = {
    sizeBytes: bytes.length,
    read: async (offset: number, byteCount: number) => bytes.slice(offset, offset + byteCount),
  };
  await bucket.put('large', body);
  t.strictSame(await bucket.head('large'), { key: 'large', sizeBytes: bytes.length });
  const found = await bucket.getRange('large', 0, bytes.length + 1);
  t.ok(Buffer.from(bytes).equals(found), 'an object of several parts is whole');
  const middle = await bucket.getRange('large', partBytes - 3, 10);
  t.ok(Buffer.from(bytes.subarray(partBytes - 3, partBytes + 7)).equals(middle));
  const broken = { ...body, read: () => Promise.reject(new Error('the source broke')) };
  await t.rejects(bucket.put('large', broken));
  t.equal((await bucket.head('large'))?.sizeBytes, bytes.length, 'a failed put changes nothing');
  await bucket.delete('large');
}

async function checkLists(t: Test, bucket: Bucket): Promise<void> {
  const keys = ['a', 'b/1', 'b/2', 'b/c/3', 'b-', 'b0', 'bb/4', 'B/5', 'ü/6', '😀/7', 'a.b', '!/8'];
  for (const key of keys) await bucket.put(key, bytesOf(key));
  const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const countMax of [1, 3, 1000]) {
    const all = await listAll(t, bucket, { prefix: '', countMax });
    t.strictSame(all, { objects: sorted, prefixes: [] }, `pages of ${countMax}`);
    t.strictSame(await listAll(t, bucket, { prefix: '', delimiter: '/', countMax }), {
      objects: ['a', 'a.b', 'b-', 'b0'],
      prefixes: ['!/', 'B/', 'b/', 'bb/', 'ü/', '😀/'],
    });
    t.strictSame(await listAll(t, bucket, { prefix: 'b/', delimiter: '/', countMax }), {
      objects: ['b/1', 'b/2'],
      prefixes: ['b/c/'],
    });
    t.strictSame(await listAll(t, bucket, { prefix: 'b/', countMax }), {
      objects: ['b/1', 'b/2', 'b/c/3'],
      prefixes: [],
    });
    t.strictSame(await listAll(t, bucket, { prefix: 'none/', countMax }), {
      objects: [],
      prefixes: [],
    });
  }
  const { objects } = await bucket.list({ prefix: 'b/c', countMax: 5 });
  t.strictSame(objects, [{ key: 'b/c/3', sizeBytes: 5 }]);
  const whole = await bucket.list({ prefix: 'b/c/3', delimiter: '/', countMax: 5 });
  t.strictSame(whole.objects, [{ key: 'b/c/3', sizeBytes: 5 }], 'a prefix may be a whole key');
  await bucket.delete('b/c/3');
  t.strictSame(await listAll(t, bucket, { prefix: 'b/', delimiter: '/', countMax: 5 }), {
    objects: ['b/1', 'b/2'],
    prefixes: [],
  });
  for (const key of keys) await bucket.delete(key);
  t.strictSame(await bucket.list({ prefix: '', delimiter: '/', countMax: 9 }), {
    objects: [],
    prefixes: [],
    next: undefined,
  });
}

/** All pages of a listing; no page is larger than asked for. */
async function listAll(
  t: Test,
  bucket: Bucket,
  options: BucketListOptions,
): Promise<{ readonly objects: readonly string[]; readonly prefixes: readonly string[] }> {
  const objects: string[] = [];
  const prefixes: string[] = [];
  let page: string | undefined;
  do {
    const found: BucketPage = await bucket.list(
      page === undefined ? options : { ...options, page },
    );
    if (found.objects.length + found.prefixes.length > options.countMax) t.fail('a page too large');
    objects.push(...found.objects.map(({ key }) => key));
    prefixes.push(...found.prefixes);
    page = found.next;
  } while (page !== undefined);
  return { objects, prefixes };
}

const BAD_KEYS = [
  ...[
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    '../a',
    'a/../b',
    'a/..',
    './a',
    'a\\b',
    'a\0b',
    'a\nb',
  ],
  ...['\ud800', '.uploading/x', 'x'.repeat(256), 'x/'.repeat(500) + 'x'],
];

async function checkKeys(t: Test, bucket: Bucket): Promise<void> {
  const refused = refusal('bucket.key_invalid');
  for (const key of BAD_KEYS) {
    const work = async (): Promise<unknown> => bucket.put(key, bytesOf('x'));
    await t.rejects(work(), refused, JSON.stringify(key.slice(0, 20)));
    await t.rejects(async () => bucket.getRange(key, 0, 1), refused);
    await t.rejects(async () => bucket.head(key), refused);
    await t.rejects(async () => bucket.delete(key), refused);
  }
  const long = `${'x'.repeat(255)}/${'y'.repeat(255)}`;
  await bucket.put(long, bytesOf('x'));
  t.equal((await bucket.list({ prefix: '', countMax: 2 })).objects[0]?.key, long);
  await bucket.delete(long);
}

/** Any puts and deletes leave what a plain map would hold. */
export async function checkBucketAgainstModel(
  bucket: Bucket,
  options: { readonly seed: number; readonly runs: number },
): Promise<void> {
  const key = fc
    .array(fc.constantFrom('a', 'b', 'é', 'c.d'), { minLength: 1, maxLength: 3 })
    .map((parts) => `${parts.join('/')}.o`);
  const step = fc.record({ key, size: fc.option(fc.nat(5000)) });
  const property = fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
    const model = new Map<string, number>();
    for (const { key, size } of steps) {
      if (size === null) await bucket.delete(key);
      else await bucket.put(key, new Uint8Array(size).fill(size & 0xff));
      if (size === null) model.delete(key);
      else model.set(key, size);
    }
    const { objects } = await bucket.list({ prefix: '', countMax: 100 });
    const found = new Map(objects.map((object) => [object.key, object.sizeBytes]));
    let isSame = found.size === model.size;
    for (const [key, size] of model) {
      const bytes = await bucket.getRange(key, 0, 10_000);
      isSame &&= found.get(key) === size && bytes.length === size;
      isSame &&= bytes.every((byte) => byte === (size & 0xff));
      await bucket.delete(key);
    }
    return isSame;
  });
  await fc.assert(property, { seed: options.seed, numRuns: options.runs });
}
