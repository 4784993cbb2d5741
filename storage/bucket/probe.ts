/**
 * What a bucket can do, tried at start: a small object is put, looked at, read in part, listed and deleted.
 * A store that lies (answers another range, forgets) is found before blocks are trusted to it.
 */
import type { Bucket } from '../../platform/platform.ts';

/** No tenant has this name. */
const PROBE_PREFIX = '@starling-probe/';
const SIZE_BYTES = 1000;

/**
 * What does not work as it must; empty when all does. Nobody else uses `name` at the same time. Throws what
 * the bucket throws.
 */
export async function probeBucket(bucket: Bucket, name: string): Promise<readonly string[]> {
  const key = PROBE_PREFIX + name;
  const bytes = Uint8Array.from({ length: SIZE_BYTES }, (_, i) => (i * 7) & 0xff);
  const problems: string[] = [];
  const check = (what: string, isRight: boolean): void => {
    if (!isRight) problems.push(what);
  };
  await bucket.put(key, bytes);
  try {
    check('an object does not have its size', (await bucket.head(key))?.sizeBytes === SIZE_BYTES);
    const part = await bucket.getRange(key, 10, 20);
    check('a ranged read is wrong', Buffer.compare(part, bytes.subarray(10, 30)) === 0);
    const { objects } = await bucket.list({ prefix: key, countMax: 2 });
    check('a new object is not listed', objects.length === 1 && objects[0]?.key === key);
  } finally {
    await bucket.delete(key);
  }
  check('a deleted object is still there', (await bucket.head(key)) === undefined);
  return problems;
}
