/**
 * Puts a block into the bucket.
 *
 *   chunks/000001 … ─► index ─► tombstones ─► meta.json ─► (all there, with their sizes)
 *
 * Invariants: meta.json is put last, so a block is in the bucket whole or not at all; a call that resolves
 * has seen every file there with its size after that. Whatever fails, doing it again goes on: what is there
 * with its size is not sent again.
 */
import { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket } from '../../platform/platform.ts';
import type { BlockFiles, ByteSource } from '../block/byte-source.ts';
import { EMPTY_TOMBSTONES_BYTES } from '../block/tombstones.ts';
import {
  BLOCK_INDEX_FILE,
  BLOCK_META_FILE,
  BLOCK_TOMBSTONES_FILE,
  blockChunksName,
} from '../filenames.ts';
import type { BlockFile } from './bucket-meta.ts';
import { blockKey } from './layout.ts';

export interface UploadOptions {
  readonly bucket: Bucket;
  readonly tenant: TenantId;
  readonly source: BlockFiles;
}

/** Puts what is missing of a block; `describe` makes its meta.json. Returns its other files, by path. */
export async function uploadBlock(
  { bucket, source, tenant }: UploadOptions,
  describe: (files: readonly BlockFile[]) => Uint8Array,
): Promise<readonly BlockFile[]> {
  const files: BlockFile[] = [];
  for await (const { file, path } of filesOf(source)) {
    try {
      await putVerified(bucket, blockKey(tenant, source.id, path), file);
      files.push({ path, sizeBytes: file.sizeBytes });
    } finally {
      await file.close();
    }
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  const key = blockKey(tenant, source.id, BLOCK_META_FILE);
  const bytes = describe(files);
  await bucket.put(key, bytes);
  try {
    for (const { path, sizeBytes } of files) {
      await verify(bucket, blockKey(tenant, source.id, path), sizeBytes);
    }
    await verify(bucket, key, bytes.length);
  } catch (thrown) {
    // Somebody cleaned up meanwhile: a block that is not whole must not look as if it were.
    if (thrown instanceof NotThere) await bucket.delete(key);
    throw thrown;
  }
  return files;
}

/** A `bucket.unavailable` of a store that answered. */
class NotThere extends StarlingError<'bucket.unavailable'> {}

async function putVerified(bucket: Bucket, key: string, file: ByteSource): Promise<void> {
  if ((await bucket.head(key))?.sizeBytes === file.sizeBytes) return; // from a try before
  await bucket.put(key, file);
  await verify(bucket, key, file.sizeBytes);
}

/** A store that took an object must have it. */
async function verify(bucket: Bucket, key: string, sizeBytes: number): Promise<void> {
  const found = await bucket.head(key);
  if (found?.sizeBytes === sizeBytes) return;
  const what = found === undefined ? 'it is not there' : `it has ${found.sizeBytes} bytes`;
  const why = `${sizeBytes} bytes were put, and ${what}`;
  throw new NotThere('bucket.unavailable', { bucket: bucket.name, key, why });
}

/** The files of a block but meta.json, in the order in which they are put. Who takes one closes it. */
async function* filesOf(
  source: BlockFiles,
): AsyncGenerator<{ readonly path: string; readonly file: ByteSource }> {
  for (let segment = 1; ; segment++) {
    const path = blockChunksName(segment);
    const file = await source.open(path);
    if (file === undefined) break;
    yield { path, file };
  }
  for (const path of [BLOCK_INDEX_FILE, BLOCK_TOMBSTONES_FILE]) {
    const file = await source.open(path);
    if (file === undefined) continue;
    const isEmpty = path === BLOCK_TOMBSTONES_FILE && file.sizeBytes <= EMPTY_TOMBSTONES_BYTES;
    if (isEmpty) await file.close();
    else yield { path, file };
  }
}
