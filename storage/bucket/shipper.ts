/**
 * Ships the blocks of one tenant's directory to the bucket.
 *
 *   chunks/000001 … ─► index ─► tombstones ─► (all there, with their sizes) ─► meta.json ─► written down
 *
 * Invariants: meta.json is put last, so a block is in the bucket whole or not at all; `isShipped` is true
 * only once everything was found there with its size and that is durable here. Whatever fails, doing it
 * again goes on: what is there with its size is not sent again.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { Bucket, Disk, Log } from '../../platform/platform.ts';
import { readBlockMeta } from '../block/block-reader.ts';
import { type BlockFiles, type ByteSource, diskBlockFiles } from '../block/byte-source.ts';
import { EMPTY_TOMBSTONES_BYTES } from '../block/tombstones.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';
import {
  BLOCK_INDEX_FILE,
  BLOCK_META_FILE,
  BLOCK_TOMBSTONES_FILE,
  blockChunksName,
} from '../filenames.ts';
import { type BlockFile, encodeBucketMeta } from './bucket-meta.ts';
import { blockKey } from './layout.ts';
import { readShipped, writeShipped } from './shipped-file.ts';

export interface ShipperOptions {
  readonly disk: Disk;
  readonly bucket: Bucket;
  readonly log: Log;
  readonly tenant: TenantId;
  /** Of this instance's disk. */
  readonly storeId: string;
  /** The tenant's: blocks are directories in it. */
  readonly directory: string;
}

export class Shipper {
  readonly #options: ShipperOptions;
  readonly #shipped: Set<BlockId>;
  #running: Promise<number> | undefined;

  private constructor(options: ShipperOptions, shipped: Set<BlockId>) {
    this.#options = options;
    this.#shipped = shipped;
  }

  /** Reads what was shipped before. Throws `disk.failed`. */
  static async open(options: ShipperOptions): Promise<Shipper> {
    return new Shipper(options, await readShipped(options.disk, options.directory));
  }

  /** True once all of a block is in the bucket for sure: only then may it be deleted here. */
  isShipped(id: BlockId): boolean {
    return this.#shipped.has(id);
  }

  /** The local blocks that are shipped. */
  shipped(): ReadonlySet<BlockId> {
    return this.#shipped;
  }

  /**
   * Ships all blocks that are not in the bucket, oldest name first; returns how many. A call while one
   * runs begins after it, so that what is on disk at the call is shipped when it resolves. A block that
   * cannot be read keeps no other one; after all were tried the first failure is thrown.
   */
  async ship(): Promise<number> {
    while (this.#running !== undefined) await this.#running.catch(() => undefined); // told to its caller
    this.#running = this.#shipAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #shipAll(): Promise<number> {
    const { directory, disk, log, tenant } = this.#options;
    const names = await attempt(directory, () => disk.list(directory));
    const local = new Set(names.flatMap((name) => parseBlockId(name) ?? []));
    for (const id of this.#shipped) if (!local.has(id)) this.#shipped.delete(id);
    let failure: StarlingError | undefined;
    let count = 0;
    for (const id of local) {
      if (this.#shipped.has(id)) continue;
      try {
        const files = await this.#shipBlock(id);
        const shipped = new Set(this.#shipped).add(id);
        await writeShipped(disk, directory, shipped);
        this.#shipped.add(id);
        count++;
        const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
        log.info('block shipped', { tenant, block: id, sizeBytes });
      } catch (thrown) {
        const error = toStarlingError(thrown);
        if (await this.#isGone(id)) continue; // removed while it was read
        failure ??= error;
        log.warn('block not shipped', { tenant, block: id, error: error.message });
        if (error.id.startsWith('bucket.')) break; // the next block would fare the same
      }
    }
    if (failure !== undefined) throw failure;
    return count;
  }

  /** Puts what is missing of a block into the bucket. Returns its files. */
  async #shipBlock(id: BlockId): Promise<readonly BlockFile[]> {
    const { bucket, directory, disk, tenant } = this.#options;
    const source = diskBlockFiles(disk, directory, id);
    const meta = await readBlockMeta(source);
    const files: BlockFile[] = [];
    for await (const { file, path } of filesOf(source)) {
      try {
        await this.#putVerified(blockKey(tenant, id, path), file);
        files.push({ path, sizeBytes: file.sizeBytes });
      } finally {
        await file.close();
      }
    }
    const stores = [this.#options.storeId];
    const facts = { origin: 'receive', files: files.sort(byPath), stores } as const;
    const key = blockKey(tenant, id, BLOCK_META_FILE);
    const bytes = encodeBucketMeta(meta, tenant, facts);
    await bucket.put(key, bytes);
    await this.#verify(key, bytes.length);
    return files;
  }

  async #putVerified(key: string, file: ByteSource): Promise<void> {
    const { bucket } = this.#options;
    if ((await bucket.head(key))?.sizeBytes === file.sizeBytes) return; // from a try before
    await bucket.put(key, file);
    await this.#verify(key, file.sizeBytes);
  }

  /** A store that took an object must have it. */
  async #verify(key: string, sizeBytes: number): Promise<void> {
    const { bucket } = this.#options;
    const found = await bucket.head(key);
    if (found?.sizeBytes === sizeBytes) return;
    const what = found === undefined ? 'it is not there' : `it has ${found.sizeBytes} bytes`;
    const why = `${sizeBytes} bytes were put, and ${what}`;
    throw new StarlingError('bucket.unavailable', { bucket: bucket.name, key, why });
  }

  async #isGone(id: BlockId): Promise<boolean> {
    const { directory, disk } = this.#options;
    const names = await disk.list(directory).catch(() => [id]);
    return !names.includes(id);
  }
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

function byPath(a: BlockFile, b: BlockFile): number {
  return a.path < b.path ? -1 : 1;
}
