/**
 * Every key in a bucket, and nowhere else. The layout is Cortex':
 *
 *   <tenant>/<ULID>/meta.json              what the block is: written last, deleted first
 *   <tenant>/<ULID>/index, chunks/000001 … as on disk (docs/format/block.md)
 *   <tenant>/<ULID>/deletion-mark.json     the block will be deleted
 *   <tenant>/<ULID>/no-compact-mark.json   the block is left out of compaction
 *   <tenant>/<ULID>/uploading-meta.json    meta.json of an upload through the API that is not finished
 *   <tenant>/<ULID>/validation.json        how far the validation of one is
 *   <tenant>/markers/<ULID>-<mark>.json    copies of all marks, so that one listing finds them
 *   <tenant>/markers/tenant-deletion-mark.json   all of the tenant's blocks go
 *   <tenant>/bucket-index.json.gz          all blocks and deletion marks
 *   __markers__/<tenant>/delete-series/…   requests to delete series (storage/deletion/request.ts)
 *
 * Parsing is strict: what we would not have written is somebody else's and is left alone.
 */
import { StarlingError } from '../../model/errors.ts';
import { type TenantId, parseTenantId } from '../../model/ids.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';

export type MarkKind = 'deletion' | 'no-compact';

const INDEX_NAME = 'bucket-index.json.gz';
const MARKERS = 'markers';

/** What all keys of a tenant begin with. */
export function tenantPrefix(tenant: TenantId): string {
  return `${tenant}/`;
}

export function blockKey(tenant: TenantId, id: BlockId, file: string): string {
  return `${tenant}/${id}/${file}`;
}

export const UPLOADING_META_FILE = 'uploading-meta.json';
export const VALIDATION_FILE = 'validation.json';

/** What all keys of a block begin with. */
export function blockPrefix(tenant: TenantId, id: BlockId): string {
  return `${tenant}/${id}/`;
}

/** The tenant will be deleted, or was. */
export function tenantDeletionKey(tenant: TenantId): string {
  return `${markersPrefix(tenant)}tenant-deletion-mark.json`;
}

export function bucketIndexKey(tenant: TenantId): string {
  return `${tenant}/${INDEX_NAME}`;
}

export function markName(kind: MarkKind): string {
  return `${kind}-mark.json`;
}

/** Where a mark stands beside its block, and its copy. */
export function markKeys(tenant: TenantId, id: BlockId, kind: MarkKind): readonly [string, string] {
  const name = markName(kind);
  return [blockKey(tenant, id, name), `${markersPrefix(tenant)}${id}-${name}`];
}

export function markersPrefix(tenant: TenantId): string {
  return `${tenant}/${MARKERS}/`;
}

/** The tenant whose prefix this is, or undefined. */
export function parseTenantPrefix(prefix: string): TenantId | undefined {
  if (!prefix.endsWith('/')) return undefined;
  try {
    return parseTenantId(prefix.slice(0, -1));
  } catch (thrown) {
    if (thrown instanceof StarlingError) return undefined;
    throw thrown;
  }
}

/** The block whose prefix this is, or undefined. */
export function parseBlockPrefix(tenant: TenantId, prefix: string): BlockId | undefined {
  if (!prefix.startsWith(tenantPrefix(tenant)) || !prefix.endsWith('/')) return undefined;
  return parseBlockId(prefix.slice(tenant.length + 1, -1));
}

/** The block and kind of a copied mark, or undefined. */
export function parseMarkerKey(
  tenant: TenantId,
  key: string,
): { readonly id: BlockId; readonly kind: MarkKind } | undefined {
  const prefix = markersPrefix(tenant);
  const match = /^([^-]+)-(deletion|no-compact)-mark\.json$/.exec(key.slice(prefix.length));
  const id = parseBlockId(match?.[1] ?? '');
  if (!key.startsWith(prefix) || match === null || id === undefined) return undefined;
  return { id, kind: match[2] === 'deletion' ? 'deletion' : 'no-compact' };
}
