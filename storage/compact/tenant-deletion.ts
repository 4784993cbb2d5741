/**
 * Deleting a tenant: a mark is put where Cortex puts it, and the compactor deletes every block it finds, at
 * once and again while the mark is there, because nodes may still ship what they hold.
 */
import type { TenantId } from '../../model/ids.ts';
import type { Bucket } from '../../platform/platform.ts';
import { BadDocument, JsonObject } from '../bucket/json.ts';
import { bucketIndexKey, tenantDeletionKey } from '../bucket/layout.ts';
import { readObject } from '../bucket/objects.ts';
import { allBlocks } from '../bucket/bucket-index.ts';
import type { TenantScan } from '../bucket/scan.ts';
import { deleteBlock } from './clean.ts';

const MARK_BYTES_MAX = 64 * 1024;

export interface TenantDeletion {
  /** When it was asked for; whole seconds. */
  readonly markedAtMs: number;
  /** When the last block was gone; undefined: not yet. */
  readonly finishedAtMs: number | undefined;
}

export async function putTenantDeletion(
  bucket: Bucket,
  tenant: TenantId,
  { finishedAtMs, markedAtMs }: TenantDeletion,
): Promise<void> {
  const seconds = (ms: number): number => Math.floor(ms / 1000);
  const json = {
    deletion_time: seconds(markedAtMs),
    ...(finishedAtMs === undefined ? {} : { finished_time: seconds(finishedAtMs) }),
  };
  await bucket.put(tenantDeletionKey(tenant), Buffer.from(JSON.stringify(json)));
}

/** Undefined: nobody wants the tenant deleted. A mark that cannot be read is one that nothing is known of. */
export async function readTenantDeletion(
  bucket: Bucket,
  tenant: TenantId,
): Promise<TenantDeletion | undefined> {
  const bytes = await readObject(bucket, tenantDeletionKey(tenant), MARK_BYTES_MAX);
  if (bytes === undefined) return undefined;
  try {
    const root = JsonObject.parse(Buffer.from(bytes).toString());
    const finished = root.integer('finished_time', 0);
    return {
      markedAtMs: root.integer('deletion_time') * 1000,
      finishedAtMs: finished === 0 ? undefined : finished * 1000,
    };
  } catch (thrown) {
    if (thrown instanceof BadDocument) return undefined; // nothing is deleted on doubt
    throw thrown;
  }
}

/** Deletes what there is of a marked tenant. Returns how many blocks went. */
export async function deleteTenantBlocks(
  bucket: Bucket,
  tenant: TenantId,
  scan: TenantScan,
  deletion: TenantDeletion,
  nowMs: number,
): Promise<number> {
  const { index, partial, broken } = scan;
  const ids = new Set([
    ...allBlocks(index).map(({ id }) => id),
    ...partial,
    ...broken.keys(),
    ...index.deletions.keys(),
    ...scan.noCompact,
  ]);
  for (const id of ids) await deleteBlock(bucket, tenant, id);
  await bucket.delete(bucketIndexKey(tenant));
  if (deletion.finishedAtMs === undefined) {
    await putTenantDeletion(bucket, tenant, { ...deletion, finishedAtMs: nowMs });
  }
  return ids.size;
}
