/**
 * The blocks of a bucket, opened as they are asked for and kept open for a while. Three things make reads
 * cheap: readers that stay open, index headers on the local disk, pages of the rest in memory; each has
 * its bound.
 *
 *   <directory>/<tenant>/<ULID>.index-header
 *
 * Any block of the bucket can be read at any time; which blocks are asked here again and again, so that
 * their headers and pages are at hand, is the asker's choice.
 */
import { assert } from '../../model/assert.ts';
import { toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { Bucket, Disk, Log } from '../../platform/platform.ts';
import { BlockReader } from '../block/block-reader.ts';
import type { PageOptions } from '../block/byte-source.ts';
import type { BlockPrefetch } from '../block/block-selection.ts';
import { ReaderPool, type ReaderUse } from '../block/reader-pool.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';
import { joinPath } from '../filenames.ts';
import { tenantPathParts } from '../tsdb-manager.ts';
import { type BucketBlockFiles, bucketBlockFiles } from './bucket-block-files.ts';
import { removeIndexHeader } from './index-header.ts';
import { blockPrefetch } from './prefetch.ts';
import { type CachedObject, RangeCache } from './range-cache.ts';

const CACHE_BYTES_MAX = 256 * 1024 * 1024;
/** The cache has the pages; a reader keeps a few of its own, to go over them without waiting. */
const READER_PAGES: PageOptions = { pageBytes: 32 * 1024, pagesMax: 8 };
const READERS_IDLE_MAX = 128;
const HEADER_SUFFIX = '.index-header';

export interface BucketStoreOptions {
  readonly bucket: Bucket;
  readonly disk: Disk;
  readonly log: Log;
  /** For index headers. */
  readonly directory: string;
  readonly cacheBytesMax?: number;
}

export interface BucketBlockUse extends ReaderUse {
  /** Gets what reading these series will need, in few requests. */
  readonly prefetch: BlockPrefetch;
}

export class BucketStore {
  /** All bytes of blocks come through it. */
  readonly cache: RangeCache;
  readonly #options: BucketStoreOptions;
  readonly #readers = new ReaderPool(READERS_IDLE_MAX);
  /** What the pool may have. */
  readonly #keys = new Set<string>();
  readonly #objects = new WeakMap<BlockReader, ReadonlyMap<string, CachedObject>>();

  constructor(options: BucketStoreOptions) {
    this.#options = options;
    this.cache = new RangeCache(options.bucket, options.cacheBytesMax ?? CACHE_BYTES_MAX);
  }

  /**
   * A block, open; give it back. Throws `block.*` (also when it is not there), `bucket.*`, `disk.failed`.
   */
  async use(tenant: TenantId, id: BlockId): Promise<BucketBlockUse> {
    const key = `${tenant}/${id}`;
    this.#keys.add(key);
    const { done, reader } = await this.#readers.use(key, () => this.#open(tenant, id));
    const objects = this.#objects.get(reader);
    assert(objects !== undefined, 'bucket store: a reader of somebody else');
    return {
      reader,
      done,
      prefetch: blockPrefetch(objects, this.cache),
    };
  }

  /** Forgets all blocks of a tenant but these: their readers, and what is on disk of them. */
  async retain(tenant: TenantId, keep: ReadonlySet<BlockId>): Promise<void> {
    const { disk } = this.#options;
    const directory = this.#directoryOf(tenant);
    for (const name of await attempt(directory, () => disk.list(directory))) {
      const id = parseBlockId(name.slice(0, -HEADER_SUFFIX.length));
      if (!name.endsWith(HEADER_SUFFIX) || id === undefined || keep.has(id)) continue;
      this.#readers.forget(`${tenant}/${id}`);
      this.#keys.delete(`${tenant}/${id}`);
      await removeIndexHeader(disk, joinPath(directory, name));
    }
  }

  /** Closes all readers, those in use when their use ends. */
  close(): void {
    for (const key of this.#keys) this.#readers.forget(key);
    this.#keys.clear();
  }

  async #open(tenant: TenantId, id: BlockId): Promise<BlockReader> {
    const { bucket, disk, log } = this.#options;
    const headerPath = joinPath(this.#directoryOf(tenant), id + HEADER_SUFFIX);
    const files = bucketBlockFiles({ bucket, disk, cache: this.cache, tenant, id, headerPath });
    try {
      return await this.#openReader(files);
    } catch (thrown) {
      const error = toStarlingError(thrown);
      if (error.id !== 'block.corrupt') throw error;
      // It may be the copy on this disk that is damaged.
      await removeIndexHeader(disk, headerPath);
      log.warn('index header made anew', { tenant, block: id, error: error.message });
      return this.#openReader(files);
    }
  }

  async #openReader(files: BucketBlockFiles): Promise<BlockReader> {
    const pages = { indexPages: READER_PAGES, chunkPages: READER_PAGES };
    const reader = await BlockReader.open(files, pages);
    this.#objects.set(reader, files.objects);
    return reader;
  }

  #directoryOf(tenant: TenantId): string {
    return joinPath(this.#options.directory, ...tenantPathParts(tenant));
  }
}
