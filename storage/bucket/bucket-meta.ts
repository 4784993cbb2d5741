/**
 * meta.json of a block in a bucket: Prometheus' own, and the section `thanos` that Thanos and Cortex add:
 * whose block it is, where it came from, how its samples were thinned, and the size of every file, so that
 * a reader opens the block without asking for each.
 */
import { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket } from '../../platform/platform.ts';
import { BLOCK_META_FILE } from '../filenames.ts';
import {
  BLOCK_META_BYTES_MAX,
  type BlockMeta,
  encodeBlockMeta,
  parseBlockMeta,
} from '../block/meta.ts';
import type { BlockId } from '../block/ulid.ts';
import { BadDocument, JsonObject } from './json.ts';
import { blockKey } from './layout.ts';
import { readObject } from './objects.ts';

/** Who made a block, as Thanos' `source` names it. */
export type BlockOrigin = 'bucket.repair' | 'bucket.upload' | 'compactor' | 'receive';

const TENANT_LABEL = '__org_id__';
/** Cortex' own name; its tools leave it out when they compare blocks. */
const STORES_LABEL = '__ingester_id__';

export interface BlockFile {
  /** Path below the block's directory. */
  readonly path: string;
  readonly sizeBytes: number;
}

export interface BucketMeta {
  readonly meta: BlockMeta;
  /** External labels. */
  readonly labels: ReadonlyMap<string, string>;
  /** Between samples of a downsampled block; 0 for one with all its samples. */
  readonly resolutionMs: number;
  /** Downsampled by us: answers from it over whole windows are those from all samples. */
  readonly isExact: boolean;
  readonly origin: string;
  /** All files but meta.json, sorted by path; empty when the writer did not tell. */
  readonly files: readonly BlockFile[];
}

/** The bytes of meta.json of a tenant's block with these files. */
export function encodeBucketMeta(
  meta: BlockMeta,
  tenant: TenantId,
  facts: {
    readonly origin: BlockOrigin;
    readonly files: readonly BlockFile[];
    /** Of the instances whose samples are in it. */
    readonly stores: readonly string[];
    /** Other external labels. */
    readonly labels?: ReadonlyMap<string, string>;
    /** 0, or absent: all samples are there. */
    readonly resolutionMs?: number;
  },
): Uint8Array {
  const own = JSON.parse(Buffer.from(encodeBlockMeta(meta)).toString()) as object; // just encoded
  const files = facts.files.map(({ path, sizeBytes }) => ({
    rel_path: path,
    size_bytes: sizeBytes,
  }));
  const { resolutionMs = 0 } = facts;
  const thanos = {
    version: 1,
    labels: {
      ...Object.fromEntries(facts.labels ?? []),
      [TENANT_LABEL]: tenant,
      [STORES_LABEL]: facts.stores.join(','),
    },
    downsample: { resolution: resolutionMs, ...(resolutionMs > 0 && { exact: true }) },
    source: facts.origin,
    segment_files: segmentsOf(facts.files),
    files: [...files, { rel_path: BLOCK_META_FILE }],
  };
  return Buffer.from(JSON.stringify({ ...own, thanos }, undefined, '\t'));
}

/** The store ids of the instances whose samples are in a block; empty: somebody else made it. */
export function storesOf({ labels }: BucketMeta): readonly string[] {
  return (labels.get(STORES_LABEL) ?? '').split(',').filter((store) => store !== '');
}

/** External labels that are not ours: whoever made the block tells its samples apart by them. */
export function foreignLabels({ labels }: BucketMeta): ReadonlyMap<string, string> {
  const foreign = [...labels].filter(([name]) => name !== TENANT_LABEL && name !== STORES_LABEL);
  return new Map(foreign.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * What a bucket takes over of a block that somebody made: never which deletions it was made without, since only
 * what is not marked so is looked at when they are cut out.
 */
export function foreignMeta({ meta }: BucketMeta): BlockMeta {
  const sources = meta.sources.length === 0 ? [meta.id] : meta.sources;
  return { ...meta, sources, deletions: [] };
}

/** Names of chunk files without their directory. */
export function segmentsOf(files: readonly BlockFile[]): readonly string[] {
  return files.flatMap(({ path }) => (/^chunks\/(\d{6})$/.exec(path) ?? []).slice(1)).sort();
}

/** Reads meta.json of a block. Throws `block.corrupt` or `block.unsupported`. */
export function parseBucketMeta(bytes: Uint8Array, id: BlockId): BucketMeta {
  const meta = parseBlockMeta(bytes, id);
  try {
    const thanos = JsonObject.parse(Buffer.from(bytes).toString()).object('thanos');
    const downsample = thanos?.object('downsample');
    const files = (thanos?.list('files') ?? [])
      .map((file) => ({ path: file.text('rel_path'), sizeBytes: file.integer('size_bytes', -1) }))
      .filter(({ path, sizeBytes }) => path !== BLOCK_META_FILE && sizeBytes >= 0)
      .sort((a, b) => (a.path < b.path ? -1 : 1));
    return {
      meta,
      labels: thanos?.object('labels')?.texts() ?? new Map<string, string>(),
      resolutionMs: Math.max(0, downsample?.integer('resolution', 0) ?? 0),
      isExact: downsample?.flag('exact') ?? false,
      origin: thanos?.text('source', '') ?? '',
      files,
    };
  } catch (thrown) {
    if (!(thrown instanceof BadDocument)) throw thrown;
    const facts = { block: id, file: BLOCK_META_FILE, offset: 0, why: thrown.message };
    throw new StarlingError('block.corrupt', facts, thrown);
  }
}

/** meta.json of a block in a bucket; undefined: there is no such block, or not all of it yet. */
export async function readBucketMeta(
  bucket: Bucket,
  tenant: TenantId,
  id: BlockId,
): Promise<BucketMeta | undefined> {
  const key = blockKey(tenant, id, BLOCK_META_FILE);
  const bytes = await readObject(bucket, key, BLOCK_META_BYTES_MAX);
  return bytes === undefined ? undefined : parseBucketMeta(bytes, id);
}
