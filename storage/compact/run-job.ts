/**
 * One job of the compactor, from the parents in the bucket to the merged block in the bucket.
 *
 *   parents ──ranged reads──► merged on the local disk ──read from end to end──► uploaded, verified ──► in the bucket
 *
 * What takes the place of its parents must hold: they are removed because it is there (check-block.ts).
 * Until its meta.json is there, nothing of it can be seen. The parents stay as they are: they are marked by
 * whoever finds them redundant (clean.ts). Running it twice, here or elsewhere, makes two equal blocks, of
 * which all nodes keep the same one. On the disk there is at most the one block that is being made.
 */
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock, Disk, Random } from '../../platform/platform.ts';
import type { BlockReader } from '../block/block-reader.ts';
import { diskBlockFiles } from '../block/byte-source.ts';
import { checkWritten } from '../block/check-block.ts';
import type { BlockMeta } from '../block/meta.ts';
import { newBlockId } from '../block/ulid.ts';
import { encodeBucketMeta } from '../bucket/bucket-meta.ts';
import { uploadBlock } from '../bucket/upload.ts';
import { type Deletion, isFinalFor } from '../deletion/deletion.ts';
import { joinPath } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import type { CatalogueBlock } from './catalogue.ts';
import { mergeBlocks } from './merge.ts';
import { openRemoteBlock } from './remote-block.ts';

export interface JobOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly random: Random;
  readonly pacer: Pacer;
  /** Where the block is made: nobody else's, and empty. */
  readonly directory: string;
  readonly tenant: TenantId;
  readonly blocks: readonly CatalogueBlock[];
  /** Of one block: to what it is downsampled. */
  readonly resolutionMs: number | undefined;
  /** What of the samples is left out. */
  readonly deletions: readonly Deletion[];
  readonly onProgress: (phase: JobPhase, seriesCount: number) => void;
}

export type JobPhase = 'merging' | 'opening' | 'uploading';

/**
 * Merges the blocks and uploads the result. Undefined: all of their samples were deleted. Throws `block.*` for
 * a parent that is bad, `bucket.*`, `disk.failed`; nothing that could be seen is in the bucket then.
 */
export async function runJob(options: JobOptions): Promise<BlockMeta | undefined> {
  const { bucket, clock, directory, disk, onProgress, pacer, random, tenant } = options;
  await disk.makeDirectory(directory);
  let isUploading = false;
  try {
    const id = newBlockId({ clock, random });
    const meta = await mergeRemote(options, (readers) =>
      mergeBlocks(
        {
          disk,
          directory,
          id,
          pacer,
          resolutionMs: options.resolutionMs,
          // What goes on being deleted of a block is left until all of it can go.
          deletions: options.deletions.filter((one) =>
            options.blocks.every((block) => isFinalFor(one, block)),
          ),
          onProgress: (count) => {
            onProgress('merging', count);
          },
        },
        readers,
      ),
    );
    if (meta === undefined) return undefined;
    onProgress('uploading', meta.stats.seriesCount);
    const source = diskBlockFiles(disk, directory, id);
    await checkWritten(source, joinPath(directory, id), pacer);
    isUploading = true;
    await uploadBlock({ bucket, tenant, source }, (files) =>
      encodeBucketMeta(meta, tenant, {
        ...{ origin: 'compactor', files, ...inherited(options.blocks) },
        // Aggregates that only lose windows stay what they are; blocks of one job agree in it.
        resolutionMs: options.resolutionMs ?? options.blocks[0]?.resolutionMs ?? 0,
      }),
    );
    isUploading = false;
    return meta;
  } finally {
    // The name of a block that was not uploaded to the end is kept: what there is of it must be removed.
    if (!isUploading) await disk.removeTree(directory).catch(() => undefined); // the next job does it
  }
}

async function mergeRemote(
  { blocks, bucket, onProgress, tenant }: JobOptions,
  merge: (readers: readonly BlockReader[]) => Promise<BlockMeta | undefined>,
): Promise<BlockMeta | undefined> {
  const readers: BlockReader[] = [];
  try {
    for (const { id } of blocks) {
      onProgress('opening', 0);
      readers.push(await openRemoteBlock(bucket, tenant, id));
    }
    return await merge(readers);
  } finally {
    for (const reader of readers) await reader.close();
  }
}

/** What the merged block has of its parents beside samples. */
function inherited(blocks: readonly CatalogueBlock[]): {
  readonly stores: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
} {
  // Samples of unknown origin make the origin of all of them unknown: then it is always read.
  const isKnown = blocks.every(({ stores }) => stores.length > 0);
  const stores = isKnown ? [...new Set(blocks.flatMap((block) => block.stores))].sort() : [];
  return { stores, labels: blocks[0]?.labels ?? new Map<string, string>() };
}
