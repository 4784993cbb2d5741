/**
 * The files of a block in a bucket, as a `BlockReader` wants them: sizes from meta.json (or asked of the
 * store), bytes through the range cache, the index' head and tail from the local disk.
 */
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Disk } from '../../platform/platform.ts';
import type { BlockFiles, ByteSource } from '../block/byte-source.ts';
import type { BlockId } from '../block/ulid.ts';
import { BLOCK_INDEX_FILE, BLOCK_META_FILE, BLOCK_TOMBSTONES_FILE } from '../filenames.ts';
import { parseBucketMeta } from './bucket-meta.ts';
import { openIndexHeader } from './index-header.ts';
import { blockKey } from './layout.ts';
import { readObject } from './objects.ts';
import { BLOCK_META_BYTES_MAX } from '../block/meta.ts';
import type { CachedObject, RangeCache } from './range-cache.ts';

export interface BucketBlockOptions {
  readonly bucket: Bucket;
  readonly disk: Disk;
  readonly cache: RangeCache;
  readonly tenant: TenantId;
  readonly id: BlockId;
  /** Where the index header is kept. */
  readonly headerPath: string;
}

/** Files whose bytes come through the cache, once they were opened. */
export interface BucketBlockFiles extends BlockFiles {
  readonly objects: ReadonlyMap<string, CachedObject>;
}

export function bucketBlockFiles(options: BucketBlockOptions): BucketBlockFiles {
  const { bucket, cache, disk, headerPath, id, tenant } = options;
  /** By path; undefined: the block's writer did not tell. Known once meta.json was read. */
  let sizes: ReadonlyMap<string, number> | undefined;
  const sizeOf = async (path: string): Promise<number | undefined> => {
    if (sizes !== undefined && path !== BLOCK_TOMBSTONES_FILE) return sizes.get(path);
    return (await bucket.head(blockKey(tenant, id, path)))?.sizeBytes;
  };
  const openMeta = async (): Promise<ByteSource | undefined> => {
    const bytes = await readObject(
      bucket,
      blockKey(tenant, id, BLOCK_META_FILE),
      BLOCK_META_BYTES_MAX,
    );
    if (bytes === undefined) return undefined;
    const { files } = parseBucketMeta(bytes, id);
    if (files.length > 0) sizes = new Map(files.map(({ path, sizeBytes }) => [path, sizeBytes]));
    return {
      sizeBytes: bytes.length,
      read: (offset, byteCount) => Promise.resolve(bytes.slice(offset, offset + byteCount)),
      close: () => Promise.resolve(),
    };
  };
  const objects = new Map<string, CachedObject>();
  return {
    id,
    objects,
    async open(path) {
      if (path === BLOCK_META_FILE) return openMeta();
      const sizeBytes = await sizeOf(path);
      if (sizeBytes === undefined) return undefined;
      const object = { key: blockKey(tenant, id, path), sizeBytes };
      objects.set(path, object);
      const source: ByteSource = {
        sizeBytes,
        read: (offset, byteCount) => cache.read(object, offset, byteCount),
        close: () => Promise.resolve(),
      };
      return path === BLOCK_INDEX_FILE ? openIndexHeader(disk, headerPath, source) : source;
    },
  };
}
