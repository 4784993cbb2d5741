/**
 * The bucket index: one compressed document a tenant with all its blocks and deletion marks, so that a
 * reader need not list the bucket. Version 1 as Cortex has it; version 2 (Mimir: more fields) is read too.
 *
 * Our own additions, which others ignore: `sources` of each block, the level 1 blocks that are in it, by which an
 * ingester knows that what it shipped is still reachable after it was compacted; `stores`, whose samples
 * these are, by which a reader knows whether an ingester has them too.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock } from '../../platform/platform.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';
import { BadDocument, JsonObject } from './json.ts';
import { bucketIndexKey } from './layout.ts';
import { readObject } from './objects.ts';

const INDEX_VERSION = 1;
const INDEX_VERSION_MAX = 2;
const INDEX_BYTES_MAX = 32 * 1024 * 1024;
const INDEX_TEXT_BYTES_MAX = 256 * 1024 * 1024;
/** An index is written by a listing that began this much ago at most. */
const LISTING_AGE_MAX_MS = 2 * 60_000;
/** Chunk files are 000001, 000002, … */
const SEGMENTS_FORMAT = '1b6d';

export interface IndexedBlock {
  readonly id: BlockId;
  readonly minTimeMs: number;
  /** The first millisecond after it. */
  readonly maxTimeMs: number;
  /** 0: not known. */
  readonly segmentCount: number;
  readonly uploadedAtMs: number;
  /** Empty: not known, or itself only. */
  readonly sources: readonly BlockId[];
  /** Store ids of the instances whose samples are in it; empty: somebody else made it. */
  readonly stores: readonly string[];
}

/** A block of aggregates: it stands for samples that other blocks have, or had. */
export interface DownsampledBlock extends IndexedBlock {
  readonly resolutionMs: number;
  /** See `BucketMeta`. */
  readonly isExact: boolean;
}

export interface BucketIndex {
  /** The blocks of samples. */
  readonly blocks: readonly IndexedBlock[];
  /** Apart, so that a reader who does not know of them is not given them. Absent: none. */
  readonly downsampled?: readonly DownsampledBlock[] | undefined;
  /** Blocks that will be deleted, and when they were marked. They are among `blocks` while they are whole. */
  readonly deletions: ReadonlyMap<BlockId, number>;
  /** Whole seconds. */
  readonly updatedAtMs: number;
}

export function encodeBucketIndex(index: BucketIndex): Uint8Array {
  const json = {
    version: INDEX_VERSION,
    blocks: index.blocks.map(encodeBlock),
    ...(index.downsampled !== undefined && {
      downsampled_blocks: index.downsampled.map((block) => ({
        ...encodeBlock(block),
        resolution: block.resolutionMs,
        ...(block.isExact && { exact: true }),
      })),
    }),
    block_deletion_marks: [...index.deletions].map(([id, timeMs]) => ({
      block_id: id,
      deletion_time: seconds(timeMs),
    })),
    updated_at: seconds(index.updatedAtMs),
  };
  return gzipSync(JSON.stringify(json));
}

function encodeBlock(block: IndexedBlock): object {
  return {
    block_id: block.id,
    min_time: block.minTimeMs,
    max_time: block.maxTimeMs,
    ...(block.segmentCount === 0
      ? {}
      : { segments_format: SEGMENTS_FORMAT, segments_num: block.segmentCount }),
    uploaded_at: seconds(block.uploadedAtMs),
    ...(block.sources.length === 0 ? {} : { sources: block.sources }),
    ...(block.stores.length === 0 ? {} : { stores: block.stores }),
  };
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}

/** All blocks of an index, whatever they hold. */
export function allBlocks({ blocks, downsampled = [] }: BucketIndex): readonly IndexedBlock[] {
  return downsampled.length === 0 ? blocks : [...blocks, ...downsampled];
}

/** Throws `BadDocument`. */
export function parseBucketIndex(bytes: Uint8Array): BucketIndex {
  let text: string;
  try {
    text = gunzipSync(bytes, { maxOutputLength: INDEX_TEXT_BYTES_MAX }).toString();
  } catch (thrown) {
    throw new BadDocument(`not gzip: ${thrown instanceof Error ? thrown.message : ''}`);
  }
  const root = JsonObject.parse(text);
  const version = root.integer('version');
  if (version < INDEX_VERSION || version > INDEX_VERSION_MAX) {
    throw new BadDocument(`version ${version}, this one reads up to ${INDEX_VERSION_MAX}`);
  }
  const deletions = new Map<BlockId, number>();
  for (const mark of root.list('block_deletion_marks')) {
    deletions.set(mark.blockId('block_id'), mark.integer('deletion_time') * 1000);
  }
  const downsampled = root.list('downsampled_blocks').map((block) => ({
    ...parseBlock(block),
    resolutionMs: block.integer('resolution'),
    isExact: block.flag('exact'),
  }));
  return {
    blocks: root.list('blocks').map(parseBlock),
    ...(downsampled.length > 0 && { downsampled }),
    deletions,
    updatedAtMs: root.integer('updated_at') * 1000,
  };
}

function parseBlock(block: JsonObject): IndexedBlock {
  const minTimeMs = block.integer('min_time');
  const maxTimeMs = block.integer('max_time');
  if (minTimeMs > maxTimeMs) throw new BadDocument('min_time of a block is after max_time');
  const isKnown = block.text('segments_format', '') === SEGMENTS_FORMAT;
  return {
    id: block.blockId('block_id'),
    minTimeMs,
    maxTimeMs,
    segmentCount: isKnown ? Math.max(0, block.integer('segments_num', 0)) : 0,
    uploadedAtMs: block.integer('uploaded_at', 0) * 1000,
    sources: block.strings('sources').flatMap((text) => parseBlockId(text) ?? []),
    stores: block.strings('stores'),
  };
}

/** The tenant's index; undefined when there is none. Throws `bucket.corrupt` when it cannot be read. */
export async function readBucketIndex(
  bucket: Bucket,
  tenant: TenantId,
): Promise<BucketIndex | undefined> {
  const key = bucketIndexKey(tenant);
  const bytes = await readObject(bucket, key, INDEX_BYTES_MAX);
  if (bytes === undefined) return undefined;
  try {
    return parseBucketIndex(bytes);
  } catch (thrown) {
    if (!(thrown instanceof BadDocument)) throw thrown;
    const facts = { bucket: bucket.name, key, why: thrown.message };
    throw new StarlingError('bucket.corrupt', facts, thrown);
  }
}

/**
 * Writes the index that a listing showed. Throws `bucket.unavailable` when that listing is old (this process was
 * held, or the store is slow): somebody else may have written a newer one, which this one would undo.
 */
export async function writeBucketIndex(
  { bucket, clock }: { readonly bucket: Bucket; readonly clock: Clock },
  tenant: TenantId,
  { index, scannedAtMs }: { readonly index: BucketIndex; readonly scannedAtMs: number },
): Promise<void> {
  const ageMs = Math.round(clock.monotonicMs() - scannedAtMs);
  if (ageMs > LISTING_AGE_MAX_MS) {
    const why = `the listing for it took ${ageMs} ms, more than ${LISTING_AGE_MAX_MS}`;
    const key = bucketIndexKey(tenant);
    throw new StarlingError('bucket.unavailable', { bucket: bucket.name, key, why });
  }
  await bucket.put(bucketIndexKey(tenant), encodeBucketIndex(index));
}
