/**
 * Puts one block that somebody made into a tenant's part of a bucket: rules (block-rules.ts), verification, then
 * the upload, meta.json last. Doing it again does nothing, also after the block was compacted with others there.
 */
import { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock } from '../../platform/platform.ts';
import type { BlockFiles } from '../block/byte-source.ts';
import { EMPTY_TOMBSTONES_BYTES } from '../block/tombstones.ts';
import type { BlockId } from '../block/ulid.ts';
import { type BucketIndex, readBucketIndex } from '../bucket/bucket-index.ts';
import {
  type BlockFile,
  type BucketMeta,
  encodeBucketMeta,
  foreignLabels,
  foreignMeta,
  readBucketMeta,
} from '../bucket/bucket-meta.ts';
import { readMark } from '../bucket/marks.ts';
import { uploadBlock } from '../bucket/upload.ts';
import { BLOCK_INDEX_FILE, BLOCK_TOMBSTONES_FILE, blockChunksName } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import { checkBlockFiles, checkBlockMeta } from './block-rules.ts';
import { isFault } from './findings.ts';
import { readFullMeta, verifyBlock } from './verify.ts';

export interface ImportOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly pacer: Pacer;
  readonly tenant: TenantId;
  /** Further external labels. */
  readonly labels: ReadonlyMap<string, string>;
  /** Checksums of chunks only. */
  readonly isShallow: boolean;
}

export interface ImportedBlock {
  readonly meta: BucketMeta['meta'];
  /** `there`: it, or a block made of it, is in the bucket already. */
  readonly outcome: 'there' | 'uploaded';
  readonly sizeBytes: number;
}

/** Throws `block.refused`, `block.corrupt`, `bucket.*`; then the bucket shows nothing of it. */
export async function importBlock(
  { bucket, clock, isShallow, labels, pacer, tenant }: ImportOptions,
  source: BlockFiles,
): Promise<ImportedBlock> {
  const own = await readFullMeta(source);
  if (own === undefined) throw refusal(source.id, 'meta', 'it has no meta.json');
  const nowMs = clock.wallMs();
  checkBlockMeta(own, { tenant, nowMs, retentionMs: 0, sizeBytesMax: 0 });
  const files = await filesOf(source);
  checkBlockFiles(source.id, files, { sizeBytesMax: 0 });
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  if (await isThere({ bucket, tenant }, source.id, files)) {
    return { meta: own.meta, outcome: 'there', sizeBytes };
  }
  await refuseFaults(source, pacer, isShallow);
  const external = new Map([...foreignLabels(own), ...labels]);
  external.delete('__tenant_id__');
  const meta = foreignMeta(own);
  await uploadBlock({ bucket, tenant, source }, (uploaded) => {
    const facts = {
      origin: 'bucket.upload',
      files: uploaded,
      stores: [],
      labels: external,
    } as const;
    return encodeBucketMeta(meta, tenant, facts);
  });
  return { meta, outcome: 'uploaded', sizeBytes };
}

/** Throws `block.refused` with the first faults of a block. */
export async function refuseFaults(
  source: BlockFiles,
  pacer: Pacer,
  isShallow: boolean,
): Promise<void> {
  const { findings } = await verifyBlock({ files: source, pacer, isShallow });
  if (findings.faultCount === 0) return;
  const [first] = findings.kept.filter(isFault);
  const where = first === undefined ? '' : `${first.id} in ${first.file}: ${first.what}`;
  const more = findings.faultCount > 1 ? `, and ${findings.faultCount - 1} more faults` : '';
  throw refusal(source.id, 'whole', `${where}${more}`);
}

/** True when a rerun has nothing to do. Throws `block.refused` when another block has the name. */
async function isThere(
  { bucket, tenant }: { readonly bucket: Bucket; readonly tenant: TenantId },
  id: BlockId,
  files: readonly BlockFile[],
): Promise<boolean> {
  const index: BucketIndex | undefined = await readBucketIndex(bucket, tenant);
  const holder = index?.blocks.find((block) => block.id !== id && block.sources.includes(id));
  if (holder !== undefined && index?.deletions.has(holder.id) === false) return true;
  const known = await readBucketMeta(bucket, tenant, id);
  if (known === undefined) return false;
  if ((await readMark(bucket, tenant, { id, kind: 'deletion' })) !== undefined) {
    throw refusal(id, 'marked', 'the bucket has it, marked for deletion: remove the mark first');
  }
  const there = sizesOf(known.files);
  const here = sizesOf(files);
  if (there !== here) throw refusal(id, 'name', `the bucket has (${there}), this one is (${here})`);
  return true;
}

function sizesOf(files: readonly BlockFile[]): string {
  const counted = files.filter(
    ({ path, sizeBytes }) => path !== BLOCK_TOMBSTONES_FILE || sizeBytes > EMPTY_TOMBSTONES_BYTES,
  );
  return counted.map(({ path, sizeBytes }) => `${path} ${sizeBytes} bytes`).join(', ');
}

async function filesOf(source: BlockFiles): Promise<readonly BlockFile[]> {
  const files: BlockFile[] = [];
  const look = async (path: string): Promise<boolean> => {
    const file = await source.open(path);
    await file?.close();
    if (file !== undefined) files.push({ path, sizeBytes: file.sizeBytes });
    return file !== undefined;
  };
  for (let segment = 1; await look(blockChunksName(segment)); segment++);
  await look(BLOCK_INDEX_FILE);
  await look(BLOCK_TOMBSTONES_FILE);
  return files;
}

function refusal(block: string, rule: string, why: string): StarlingError {
  return new StarlingError('block.refused', { block, rule, why });
}
