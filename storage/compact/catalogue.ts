/**
 * What the compactor knows of a tenant's blocks: the scan of the bucket, and of each whole block what its
 * meta.json says. Blocks never change, so each meta.json is read once.
 */
import type { StarlingError } from '../../model/errors.ts';
import { toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock, Log } from '../../platform/platform.ts';
import type { BlockId } from '../block/ulid.ts';
import {
  type BucketIndex,
  type IndexedBlock,
  allBlocks,
  readBucketIndex,
} from '../bucket/bucket-index.ts';
import { type BucketMeta, foreignLabels, readBucketMeta, storesOf } from '../bucket/bucket-meta.ts';
import { type TenantScan, scanTenant } from '../bucket/scan.ts';
import type { PlannedBlock } from './plan.ts';

/** A block as the compactor needs it. */
export interface CatalogueBlock extends PlannedBlock {
  /** Store ids of the instances whose samples are in it; empty: not known. */
  readonly stores: readonly string[];
  /** External labels that are not ours. */
  readonly labels: ReadonlyMap<string, string>;
  /** 0: it has all samples. */
  readonly resolutionMs: number;
  /** Blocks of aggregates that others made are not worked on. */
  readonly isExact: boolean;
  /** `group` without what says how it was downsampled. */
  readonly labelGroup: string;
  /** Why it is never compacted; undefined: it may be. */
  readonly unfit: string | undefined;
}

export interface TenantCatalogue {
  readonly scan: TenantScan;
  /** The whole blocks, those that will be deleted too. */
  readonly blocks: ReadonlyMap<BlockId, CatalogueBlock>;
  /** Blocks that cannot be read, and why. */
  readonly broken: ReadonlyMap<BlockId, StarlingError>;
}

export interface CatalogueOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly log: Log;
}

/** Looks at a tenant's part of the bucket. `known`: what was read before. Throws `bucket.*`. */
export async function readCatalogue(
  { bucket, clock, log }: CatalogueOptions,
  tenant: TenantId,
  known: ReadonlyMap<BlockId, CatalogueBlock>,
): Promise<TenantCatalogue> {
  const previous = await readIndexIfSound(bucket, tenant, log);
  const scan = await scanTenant(bucket, tenant, { clock, previous });
  const broken = new Map(scan.broken);
  const blocks = new Map<BlockId, CatalogueBlock>();
  for (const block of allBlocks(scan.index)) {
    try {
      const found = known.get(block.id) ?? (await readBlock(bucket, tenant, block));
      if (found !== undefined) blocks.set(block.id, found);
    } catch (thrown) {
      const error = toStarlingError(thrown);
      if (!error.id.startsWith('block.')) throw error; // it is about the bucket
      broken.set(block.id, error);
    }
  }
  return { scan, blocks, broken };
}

/** The index, or undefined where there is none that can be read: the bucket is listed anyway. */
async function readIndexIfSound(
  bucket: Bucket,
  tenant: TenantId,
  log: Log,
): Promise<BucketIndex | undefined> {
  try {
    return await readBucketIndex(bucket, tenant);
  } catch (thrown) {
    const error = toStarlingError(thrown);
    if (error.id !== 'bucket.corrupt') throw error;
    log.warn('bucket index made anew', { tenant, error: error.message });
    return undefined;
  }
}

async function readBlock(
  bucket: Bucket,
  tenant: TenantId,
  indexed: IndexedBlock,
): Promise<CatalogueBlock | undefined> {
  const found = await readBucketMeta(bucket, tenant, indexed.id);
  if (found === undefined) return undefined; // deleted meanwhile
  const { files, meta } = found;
  const labels = foreignLabels(found);
  return {
    id: meta.id,
    minTimeMs: meta.minTimeMs,
    maxTimeMs: meta.maxTimeMs,
    level: meta.level,
    sources: meta.sources,
    deletions: meta.deletions,
    group: groupOf(found, labels),
    resolutionMs: found.resolutionMs,
    isExact: found.isExact,
    labelGroup: groupOf({ ...found, resolutionMs: 0 }, labels),
    sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    uploadedAtMs: indexed.uploadedAtMs,
    stores: storesOf(found),
    labels,
    unfit: unfitness(found),
  };
}

/** Blocks with other external labels are other people's samples, or parts of a split block. */
function groupOf(
  { isExact, resolutionMs }: BucketMeta,
  labels: ReadonlyMap<string, string>,
): string {
  const texts = [...labels].map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  if (resolutionMs > 0) texts.push(`resolution=${resolutionMs}${isExact ? '' : ' of others'}`);
  return texts.join(',');
}

function unfitness({ meta, resolutionMs }: BucketMeta): string | undefined {
  if (resolutionMs > 0) return 'it is downsampled';
  return meta.hasFailed ? 'its meta.json says that a compaction of it failed' : undefined;
}
