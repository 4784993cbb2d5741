/**
 * What becomes of blocks that are not needed: they are marked first and deleted much later, so that nobody
 * who reads by an index of minutes ago misses one.
 *
 *   redundant, or past the retention ─► marked ─(delay)─► meta.json gone ─► files gone ─► marks gone
 *   no meta.json, and nothing changed for long ─► marked ─► …
 *
 * Invariants: a block is marked as redundant only while the one that replaces it is listed as whole and not
 * marked itself. A mark counts from the time written in it and, beside that, from when this process first saw
 * it, on the monotonic clock: a wall clock that jumps deletes nothing early. A mark of a time that did not come yet was
 * written by a clock that was wrong; one that is known to be right writes it anew, so that nobody waits until then. Every
 * step can be done again.
 */
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock, Log } from '../../platform/platform.ts';
import type { BlockId } from '../block/ulid.ts';
import { BLOCK_META_FILE } from '../filenames.ts';
import { blockKey, blockPrefix, markKeys } from '../bucket/layout.ts';
import { putMark, readMark, removeMark } from '../bucket/marks.ts';
import { listObjects } from '../bucket/objects.ts';
import type { TenantCatalogue } from './catalogue.ts';
import { redundantBlocks } from './plan.ts';

/** Clocks that count as right differ by less. */
const AHEAD_MS_MAX = 10 * 60_000;
/** Nobody reads by an index that is older, queries in flight included. */
export const MARKED_SEEN_MS_MIN = 40 * 60_000;

export interface CleanOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly log: Log;
  /** From the mark of a block to its deletion. */
  readonly deletionDelayMs: number;
  /** How long an upload may stand still. */
  readonly partialDelayMs: number;
  /** Whether this node's wall clock is known to be right. */
  readonly isClockRight: boolean;
  /** Blocks that end before this much ago are marked; 0: never. By what they hold. */
  readonly retentionMsOf: (resolutionMs: number) => number;
}

/** Why blocks were marked. */
export type MarkReason = 'compacted' | 'empty' | 'partial' | 'retention';

export interface Cleaned {
  readonly marked: ReadonlyMap<BlockId, MarkReason>;
  readonly deleted: readonly BlockId[];
  /** Their marks were of a time that did not come yet, and are of now. */
  readonly corrected: readonly BlockId[];
}

/** What a process remembers of one tenant between rounds. */
export class CleanMemory {
  /** Since when a deletion mark was seen, on the monotonic clock. */
  readonly marks = new Map<BlockId, number>();
  /** Of uploads that are not whole: what was there, and since when that is all. */
  readonly partials = new Map<BlockId, { readonly files: string; readonly sinceMs: number }>();
}

/** Marks what is not needed and deletes what was marked long ago. Throws `bucket.*`. */
export async function cleanTenant(
  options: CleanOptions,
  tenant: TenantId,
  catalogue: TenantCatalogue,
  memory: CleanMemory,
): Promise<Cleaned> {
  const { bucket, log } = options;
  const marked = new Map<BlockId, MarkReason>();
  const reasons = [
    ...(await stalePartials(options, tenant, catalogue, memory)),
    ...expired(options, catalogue),
    ...redundant(catalogue),
  ];
  for (const [id, { details, reason }] of reasons) {
    if (marked.has(id)) continue;
    await markForDeletion(options, tenant, id, details);
    marked.set(id, reason);
    log.info('block marked for deletion', { tenant, block: id, why: details });
  }
  const corrected = await correctMarks(options, tenant, catalogue);
  const deleted: BlockId[] = [];
  for (const id of due(options, catalogue, memory)) {
    await deleteBlock(bucket, tenant, id);
    memory.marks.delete(id);
    deleted.push(id);
    log.info('block deleted', { tenant, block: id });
  }
  return { marked, deleted, corrected };
}

type Reasons = readonly (readonly [
  BlockId,
  { readonly reason: MarkReason; readonly details: string },
])[];

/** Marks one block; it stays readable for the delay. */
export async function markForDeletion(
  { bucket, clock }: Pick<CleanOptions, 'bucket' | 'clock'>,
  tenant: TenantId,
  id: BlockId,
  details: string,
): Promise<void> {
  const mark = { id, kind: 'deletion', timeMs: clock.wallMs(), details, reason: '' } as const;
  await putMark(bucket, tenant, mark);
}

/** Blocks all of whose samples are in a whole block that stays. */
function redundant({ blocks, scan }: TenantCatalogue): Reasons {
  const staying = [...blocks.values()].filter(({ id }) => !scan.index.deletions.has(id));
  return [...redundantBlocks(staying)].map(([id, keeper]) => [
    id,
    { reason: 'compacted', details: `all of it is in the block ${keeper}` },
  ]);
}

function expired(
  { clock, retentionMsOf }: CleanOptions,
  { blocks, scan }: TenantCatalogue,
): Reasons {
  const nowMs = clock.wallMs();
  return [...blocks.values()]
    .filter(({ id, maxTimeMs, resolutionMs }) => {
      const retentionMs = retentionMsOf(resolutionMs);
      return retentionMs > 0 && maxTimeMs <= nowMs - retentionMs && !scan.index.deletions.has(id);
    })
    .map(({ id }) => [id, { reason: 'retention', details: 'it is past the retention period' }]);
}

/** Uploads that stood still for the delay, and have no meta.json. */
async function stalePartials(
  { bucket, clock, partialDelayMs }: CleanOptions,
  tenant: TenantId,
  { scan }: TenantCatalogue,
  { partials }: CleanMemory,
): Promise<Reasons> {
  const nowMs = clock.monotonicMs();
  const stale: BlockId[] = [];
  const present = new Set(scan.partial);
  for (const id of partials.keys()) if (!present.has(id)) partials.delete(id);
  for (const id of scan.partial) {
    if (scan.index.deletions.has(id)) continue;
    const names: string[] = [];
    for await (const { key, sizeBytes } of listObjects(bucket, blockPrefix(tenant, id))) {
      names.push(`${key} ${sizeBytes}`);
    }
    const files = names.join('\n');
    const known = partials.get(id);
    if (known?.files !== files) partials.set(id, { files, sinceMs: nowMs });
    else if (nowMs - known.sinceMs >= partialDelayMs) stale.push(id);
  }
  return stale.map((id) => [
    id,
    { reason: 'partial', details: 'its upload was never finished: it has no meta.json' },
  ]);
}

/** Writes marks anew that say a time ahead of a clock that is right. Says which. */
async function correctMarks(
  { bucket, clock, isClockRight, log }: CleanOptions,
  tenant: TenantId,
  { scan }: TenantCatalogue,
): Promise<readonly BlockId[]> {
  const corrected: BlockId[] = [];
  if (!isClockRight) return corrected;
  const nowMs = clock.wallMs();
  for (const [id, markedAtMs] of scan.index.deletions) {
    if (markedAtMs <= nowMs + AHEAD_MS_MAX) continue; // fast path: nearly all
    const mark = await readMark(bucket, tenant, { id, kind: 'deletion' });
    if (mark === undefined || mark.timeMs <= nowMs + AHEAD_MS_MAX) continue; // somebody was here
    await putMark(bucket, tenant, { ...mark, timeMs: nowMs });
    corrected.push(id);
    log.warn('a mark was of a time that did not come yet', { tenant, block: id, markedAtMs });
  }
  return corrected;
}

/** Blocks whose marks are old enough, and what is left of such. */
function due(
  { clock, deletionDelayMs }: CleanOptions,
  { scan }: TenantCatalogue,
  { marks }: CleanMemory,
): readonly BlockId[] {
  const { deletions } = scan.index;
  const nowMs = clock.monotonicMs();
  const found: BlockId[] = [];
  for (const id of marks.keys()) if (!deletions.has(id)) marks.delete(id);
  for (const [id, markedAtMs] of deletions) {
    const seenMs = marks.get(id) ?? nowMs;
    marks.set(id, seenMs);
    const isOld = clock.wallMs() - markedAtMs >= deletionDelayMs;
    if (isOld && nowMs - seenMs >= MARKED_SEEN_MS_MIN) found.push(id);
  }
  return found;
}

/**
 * Deletes all that there is of a block. Its deletion mark goes last, so that it is gone on with after a
 * failure: who finds a mark finds the rest.
 */
export async function deleteBlock(bucket: Bucket, tenant: TenantId, id: BlockId): Promise<void> {
  await bucket.delete(blockKey(tenant, id, BLOCK_META_FILE));
  const [mark] = markKeys(tenant, id, 'deletion');
  const keys: string[] = [];
  for await (const { key } of listObjects(bucket, blockPrefix(tenant, id))) keys.push(key);
  for (const key of keys) if (key !== mark) await bucket.delete(key);
  await removeMark(bucket, tenant, { id, kind: 'no-compact' });
  await removeMark(bucket, tenant, { id, kind: 'deletion' });
}
