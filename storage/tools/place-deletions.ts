/**
 * The requests to delete series of one tenant's part of a bucket, for tools that work without a node: what nodes hide
 * and compaction may not have cut out yet. A document that does not hold deletes nothing, and is told.
 */
import type { TenantId } from '../../model/ids.ts';
import type { Bucket } from '../../platform/platform.ts';
import { RequestReader, listRequests } from '../deletion/bucket-requests.ts';
import type { DeletionRequest } from '../deletion/request.ts';

export interface PlaceDeletions {
  /** Those in force: not cancelled. */
  readonly requests: readonly DeletionRequest[];
  /** How many of them may have samples in blocks still. */
  readonly pendingCount: number;
  /** `key: why` of documents that do not hold. */
  readonly unreadable: readonly string[];
}

export const NO_PLACE_DELETIONS: PlaceDeletions = { requests: [], pendingCount: 0, unreadable: [] };

/** Throws `bucket.*`. */
export async function readPlaceDeletions(
  bucket: Bucket,
  tenant: TenantId,
): Promise<PlaceDeletions> {
  const { listed, marksOf } = await listRequests(bucket, tenant);
  const wanted = listed.filter(({ id }) => !marksOf(tenant, id).includes('cancelled'));
  const unreadable: string[] = [];
  const reader = new RequestReader(bucket, (key, why) => unreadable.push(`${key}: ${why}`));
  const requests = [...(await reader.read(wanted)).values()];
  const isPending = ({ id }: DeletionRequest): boolean =>
    !marksOf(tenant, id).includes('processed');
  return { requests, pendingCount: requests.filter(isPending).length, unreadable };
}
