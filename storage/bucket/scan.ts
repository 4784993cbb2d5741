/**
 * What a bucket holds, by listing it: tenants, and the blocks and marks of one. Blocks never change, so
 * those which an earlier index knows are not read again.
 *
 *   listing of <tenant>/          -> blocks, whole or partial (no meta.json)
 *   listing of <tenant>/markers/  -> marks
 *
 * What cannot be read is told, not thrown: one bad block never hides the others.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock } from '../../platform/platform.ts';
import type { BlockId } from '../block/ulid.ts';
import {
  type BucketIndex,
  type DownsampledBlock,
  type IndexedBlock,
  allBlocks,
} from './bucket-index.ts';
import { readBucketMeta, segmentsOf, storesOf } from './bucket-meta.ts';
import {
  markersPrefix,
  parseBlockPrefix,
  parseMarkerKey,
  parseTenantPrefix,
  tenantPrefix,
} from './layout.ts';
import { readMark } from './marks.ts';
import { listObjects, listPrefixes } from './objects.ts';

export interface TenantScan {
  /** When it began, on the monotonic clock. */
  readonly scannedAtMs: number;
  readonly index: BucketIndex;
  readonly noCompact: ReadonlySet<BlockId>;
  /** Blocks without meta.json: being uploaded, or being deleted, or left over. */
  readonly partial: readonly BlockId[];
  /** Blocks whose meta.json or marks cannot be read, and why. */
  readonly broken: ReadonlyMap<BlockId, StarlingError>;
}

/** Tenants with anything in the bucket. */
export async function listBucketTenants(bucket: Bucket): Promise<readonly TenantId[]> {
  const tenants: TenantId[] = [];
  for await (const prefix of listPrefixes(bucket, '')) {
    const tenant = parseTenantPrefix(prefix);
    if (tenant !== undefined) tenants.push(tenant);
  }
  return tenants;
}

/** Blocks of a tenant that have a prefix in the bucket, whole or not. */
export async function listBlocks(bucket: Bucket, tenant: TenantId): Promise<readonly BlockId[]> {
  const blocks: BlockId[] = [];
  for await (const prefix of listPrefixes(bucket, tenantPrefix(tenant))) {
    const id = parseBlockPrefix(tenant, prefix);
    if (id !== undefined) blocks.push(id);
  }
  return blocks;
}

/** Everything of one tenant. `previous`: an earlier index of it. Throws what a listing throws. */
export async function scanTenant(
  bucket: Bucket,
  tenant: TenantId,
  { clock, previous }: { readonly clock: Clock; readonly previous: BucketIndex | undefined },
): Promise<TenantScan> {
  const scannedAtMs = clock.monotonicMs();
  const nowMs = clock.wallMs();
  const broken = new Map<BlockId, StarlingError>();
  const { deletions, noCompact } = await scanMarks(bucket, tenant, { clock, previous, broken });
  // A block that is being deleted may have lost its meta.json since.
  const before: readonly ScannedBlock[] = previous === undefined ? [] : allBlocks(previous);
  const unmarked = before.filter(({ id }) => !deletions.has(id));
  const known = new Map(unmarked.map((block) => [block.id, block]));
  const blocks: IndexedBlock[] = [];
  const downsampled: DownsampledBlock[] = [];
  const partial: BlockId[] = [];
  for (const id of await listBlocks(bucket, tenant)) {
    try {
      const block = known.get(id) ?? (await readBlock(bucket, tenant, id, nowMs));
      if (block === undefined) partial.push(id);
      else if (isDownsampled(block)) downsampled.push(block);
      else blocks.push(block);
    } catch (thrown) {
      broken.set(id, blockError(thrown));
    }
  }
  const updatedAtMs = Math.floor(nowMs / 1000) * 1000;
  const index = {
    ...{ blocks, deletions, updatedAtMs },
    ...(downsampled.length > 0 && { downsampled }),
  };
  return { scannedAtMs, index, noCompact, partial, broken };
}

type ScannedBlock = DownsampledBlock | IndexedBlock;

function isDownsampled(block: ScannedBlock): block is DownsampledBlock {
  return 'resolutionMs' in block;
}

async function readBlock(
  bucket: Bucket,
  tenant: TenantId,
  id: BlockId,
  nowMs: number,
): Promise<ScannedBlock | undefined> {
  const found = await readBucketMeta(bucket, tenant, id);
  if (found === undefined) return undefined;
  const { files, isExact, meta, resolutionMs } = found;
  return {
    ...(resolutionMs > 0 && { resolutionMs, isExact }),
    id,
    minTimeMs: meta.minTimeMs,
    maxTimeMs: meta.maxTimeMs,
    segmentCount: segmentsOf(files).length,
    uploadedAtMs: nowMs,
    sources: meta.sources,
    stores: storesOf(found),
  };
}

async function scanMarks(
  bucket: Bucket,
  tenant: TenantId,
  {
    broken,
    clock,
    previous,
  }: {
    readonly broken: Map<BlockId, StarlingError>;
    readonly clock: Clock;
    readonly previous: BucketIndex | undefined;
  },
): Promise<{
  readonly deletions: ReadonlyMap<BlockId, number>;
  readonly noCompact: ReadonlySet<BlockId>;
}> {
  const nowMs = clock.wallMs();
  const deletions = new Map<BlockId, number>();
  const noCompact = new Set<BlockId>();
  for await (const { key } of listObjects(bucket, markersPrefix(tenant))) {
    const marker = parseMarkerKey(tenant, key);
    if (marker === undefined) continue;
    if (marker.kind === 'no-compact') {
      noCompact.add(marker.id);
      continue;
    }
    try {
      const known = previous?.deletions.get(marker.id);
      // One of a time that did not come yet is written anew some day (clean.ts).
      const isSettled = known !== undefined && known <= nowMs;
      const timeMs = isSettled ? known : (await readMark(bucket, tenant, marker))?.timeMs;
      if (timeMs !== undefined) deletions.set(marker.id, timeMs);
    } catch (thrown) {
      broken.set(marker.id, blockError(thrown));
    }
  }
  return { deletions, noCompact };
}

/** The error if it is about one block; others are about the bucket and are thrown. */
function blockError(thrown: unknown): StarlingError {
  const error = toStarlingError(thrown);
  if (error.id === 'block.corrupt' || error.id === 'block.unsupported') return error;
  if (error.id === 'bucket.too_large') return error;
  throw error;
}
