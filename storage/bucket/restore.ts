/**
 * A block of the bucket, back on the local disk under its own name: for one whose local copy cannot be read.
 *
 *   <directory>/<ULID>.tmp-for-creation/<ULID>/     fetched, synced, read from end to end; then the caller's
 *
 * Invariant: what is given back was read completely, checksums and all; a crash leaves a temporary directory.
 */
import { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { Bucket, Disk } from '../../platform/platform.ts';
import { AppendFile } from '../block/append-file.ts';
import { writeFile } from '../block/block-writer.ts';
import { diskBlockFiles } from '../block/byte-source.ts';
import { checkBlock } from '../block/check-block.ts';
import { type BlockMeta, encodeBlockMeta } from '../block/meta.ts';
import type { BlockId } from '../block/ulid.ts';
import {
  BLOCK_CHUNKS_DIRECTORY,
  BLOCK_INDEX_FILE,
  BLOCK_META_FILE,
  BLOCK_TOMBSTONES_FILE,
  blockCreationName,
  joinPath,
} from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import { readBucketMeta } from './bucket-meta.ts';
import { blockKey } from './layout.ts';

const PIECE_BYTES = 1024 * 1024;
const FILE_PATTERN = /^chunks\/\d{6}$/;

export interface RestoreOptions {
  readonly bucket: Bucket;
  readonly disk: Disk;
  readonly tenant: TenantId;
  readonly id: BlockId;
  /** The tenant's directory. */
  readonly directory: string;
  readonly pacer: Pacer;
}

/**
 * Fetches and checks a block; returns its meta. It lies in `restoredPath`, to be renamed. Undefined: the bucket
 * has no such block. Throws `block.*` for one that is damaged there too, `bucket.*`, `disk.failed`.
 */
export async function restoreBlock(options: RestoreOptions): Promise<BlockMeta | undefined> {
  const { bucket, directory, disk, id, pacer, tenant } = options;
  const found = await readBucketMeta(bucket, tenant, id);
  if (found === undefined || found.files.length === 0 || found.resolutionMs > 0) return undefined;
  const parent = joinPath(directory, blockCreationName(id));
  const target = restoredPath(directory, id);
  if ((await attempt(parent, () => disk.stat(parent))) !== undefined) {
    await attempt(parent, () => disk.removeTree(parent));
  }
  for (const path of [parent, target, joinPath(target, BLOCK_CHUNKS_DIRECTORY)]) {
    await attempt(path, () => disk.makeDirectory(path));
  }
  for (const { path, sizeBytes } of found.files) {
    if (!isBlockFile(path)) throw strange(id, path);
    await fetchFile(options, path, sizeBytes);
  }
  await writeFile(disk, joinPath(target, BLOCK_META_FILE), encodeBlockMeta(found.meta));
  await checkBlock(diskBlockFiles(disk, parent, id), pacer);
  for (const path of [joinPath(target, BLOCK_CHUNKS_DIRECTORY), target, parent]) {
    await attempt(path, () => disk.syncDirectory(path));
  }
  return found.meta;
}

/** Where a restored block lies until it is renamed. */
export function restoredPath(directory: string, id: BlockId): string {
  return joinPath(directory, blockCreationName(id), id);
}

/** Nothing else: a bucket's words are checked before they become paths. */
function isBlockFile(path: string): boolean {
  return path === BLOCK_INDEX_FILE || path === BLOCK_TOMBSTONES_FILE || FILE_PATTERN.test(path);
}

async function fetchFile(
  { bucket, directory, disk, id, pacer, tenant }: RestoreOptions,
  path: string,
  sizeBytes: number,
): Promise<void> {
  const file = await AppendFile.create(disk, joinPath(restoredPath(directory, id), path));
  try {
    for (let offset = 0; offset < sizeBytes; offset += PIECE_BYTES) {
      const byteCount = Math.min(PIECE_BYTES, sizeBytes - offset);
      file.putBytes(await bucket.getRange(blockKey(tenant, id, path), offset, byteCount));
      await file.drain();
      await pacer.pause();
    }
    await file.finish();
  } finally {
    await file.close();
  }
}

function strange(id: BlockId, path: string): StarlingError {
  const why = `the bucket names a file ${JSON.stringify(path.slice(0, 80))}`;
  return new StarlingError('block.corrupt', { block: id, file: BLOCK_META_FILE, offset: 0, why });
}
