/**
 * A block of the bucket, read once from end to end: large ranges, few of them kept, nothing on the local disk
 * and nothing in the caches of those who answer queries.
 */
import type { TenantId } from '../../model/ids.ts';
import type { Bucket } from '../../platform/platform.ts';
import { BlockReader } from '../block/block-reader.ts';
import type { BlockFiles } from '../block/byte-source.ts';
import type { BlockId } from '../block/ulid.ts';
import { isNotFound } from '../bucket/objects.ts';
import { blockKey } from '../bucket/layout.ts';

const INDEX_PAGES = { pageBytes: 256 * 1024, pagesMax: 8 };
const CHUNK_PAGES = { pageBytes: 1024 * 1024, pagesMax: 2 };

/** Opens a block. Throws `block.*` (also when it is not there) and `bucket.*`. */
export function openRemoteBlock(
  bucket: Bucket,
  tenant: TenantId,
  id: BlockId,
): Promise<BlockReader> {
  const files = remoteBlockFiles(bucket, tenant, id);
  return BlockReader.open(files, { indexPages: INDEX_PAGES, chunkPages: CHUNK_PAGES });
}

/** The files of a block in the bucket, asked for one by one. */
export function remoteBlockFiles(bucket: Bucket, tenant: TenantId, id: BlockId): BlockFiles {
  return {
    id,
    async open(path) {
      const key = blockKey(tenant, id, path);
      const found = await bucket.head(key);
      if (found === undefined) return undefined;
      return {
        sizeBytes: found.sizeBytes,
        read: (offset, byteCount) => readRange(bucket, key, offset, byteCount),
        close: () => Promise.resolve(),
      };
    },
  };
}

/** An object that went away is one that became shorter: the reader names the block. */
async function readRange(
  bucket: Bucket,
  key: string,
  offset: number,
  byteCount: number,
): Promise<Uint8Array> {
  try {
    return await bucket.getRange(key, offset, byteCount);
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
    return new Uint8Array(0);
  }
}
