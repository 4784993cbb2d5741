/**
 * Marks of blocks, as Thanos and Cortex write them: small documents beside the block, and a copy under
 * `markers/` where one listing finds all.
 *
 *   deletion     the block will be deleted some time after `timeMs`; until then readers may use it
 *   no-compact   the block stays out of compaction, for a reason
 *
 * The copy is written first and removed last: a mark that only one place has is still found.
 */
import { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket } from '../../platform/platform.ts';
import type { BlockId } from '../block/ulid.ts';
import { BadDocument, JsonObject } from './json.ts';
import { type MarkKind, markKeys } from './layout.ts';
import { readObject } from './objects.ts';

const MARK_VERSION = 1;
const MARK_BYTES_MAX = 64 * 1024;

export interface BlockMark {
  readonly id: BlockId;
  readonly kind: MarkKind;
  /** When it was marked; whole seconds. */
  readonly timeMs: number;
  /** For people. */
  readonly details: string;
  /** Of no-compact marks: `manual`, `index-size-exceeding`, … */
  readonly reason: string;
}

export function encodeMark({ details, id, kind, reason, timeMs }: BlockMark): Uint8Array {
  const seconds = Math.floor(timeMs / 1000);
  const rest =
    kind === 'deletion' ? { deletion_time: seconds } : { no_compact_time: seconds, reason };
  return Buffer.from(
    JSON.stringify({ id, version: MARK_VERSION, ...(details === '' ? {} : { details }), ...rest }),
  );
}

/** Throws `BadDocument`. */
export function parseMark(bytes: Uint8Array, id: BlockId, kind: MarkKind): BlockMark {
  const root = JsonObject.parse(Buffer.from(bytes).toString());
  if (root.blockId('id') !== id) throw new BadDocument('the mark is of another block');
  const version = root.integer('version', MARK_VERSION);
  if (version !== MARK_VERSION) throw new BadDocument(`version ${version} of a mark`);
  const seconds = root.integer(kind === 'deletion' ? 'deletion_time' : 'no_compact_time');
  return {
    id,
    kind,
    timeMs: seconds * 1000,
    details: root.text('details', ''),
    reason: root.text('reason', ''),
  };
}

/** Marks a block. An older mark of the kind is replaced. */
export async function putMark(bucket: Bucket, tenant: TenantId, mark: BlockMark): Promise<void> {
  const bytes = encodeMark(mark);
  const [own, copy] = markKeys(tenant, mark.id, mark.kind);
  await bucket.put(copy, bytes);
  await bucket.put(own, bytes);
}

/** Takes a mark away. */
export async function removeMark(
  bucket: Bucket,
  tenant: TenantId,
  { id, kind }: { readonly id: BlockId; readonly kind: MarkKind },
): Promise<void> {
  const [own, copy] = markKeys(tenant, id, kind);
  await bucket.delete(own);
  await bucket.delete(copy);
}

/** A block's mark, from either place. Throws `block.corrupt` for one that cannot be read. */
export async function readMark(
  bucket: Bucket,
  tenant: TenantId,
  { id, kind }: { readonly id: BlockId; readonly kind: MarkKind },
): Promise<BlockMark | undefined> {
  for (const key of markKeys(tenant, id, kind)) {
    const bytes = await readObject(bucket, key, MARK_BYTES_MAX);
    if (bytes === undefined) continue;
    try {
      return parseMark(bytes, id, kind);
    } catch (thrown) {
      if (!(thrown instanceof BadDocument)) throw thrown;
      throw new StarlingError('block.corrupt', {
        block: id,
        file: key,
        offset: 0,
        why: thrown.message,
      });
    }
  }
  return undefined;
}
