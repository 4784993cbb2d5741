/**
 * Puts a repaired block in the place of the damaged one.
 *
 *   bucket      repaired on the local disk ─► uploaded, meta.json last ─► the old one marked for deletion
 *   directory   repaired in the directory ─► the old one renamed to <ULID>.damaged
 *
 * At any moment at least one of the two is there. The compactor takes the new one for the better (it is one level
 * above), so a crash between the two steps does no harm; doing it again makes another, equal one.
 */
import type { TenantId } from '../../model/ids.ts';
import { StarlingError } from '../../model/errors.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { Bucket, Clock, Disk, Random } from '../../platform/platform.ts';
import { diskBlockFiles } from '../block/byte-source.ts';
import { checkWritten } from '../block/check-block.ts';
import { type BlockId, newBlockId } from '../block/ulid.ts';
import {
  type BucketMeta,
  encodeBucketMeta,
  foreignLabels,
  storesOf,
} from '../bucket/bucket-meta.ts';
import { putMark } from '../bucket/marks.ts';
import { uploadBlock } from '../bucket/upload.ts';
import { damagedBlockName, joinPath } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import type { BlockPlace } from './place.ts';
import { type Repaired, repairBlock } from './repair.ts';
import { readFullMeta } from './verify.ts';

export interface ReplaceOptions {
  readonly place: BlockPlace;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly random: Random;
  readonly pacer: Pacer;
}

/** Repairs a block of a directory. Throws as `repairBlock`. */
export async function repairInDirectory(
  { clock, disk, pacer, place, random }: ReplaceOptions,
  directory: string,
  old: BlockId,
): Promise<Repaired> {
  const files = place.files(old);
  await refuseDownsampled(place, old);
  const id = newBlockId({ clock, random });
  const repaired = await repairBlock({ files, disk, directory, id, pacer });
  if (repaired.meta === undefined) return repaired;
  const path = joinPath(directory, old);
  await attempt(path, () => disk.rename(path, joinPath(directory, damagedBlockName(old))));
  await attempt(directory, () => disk.syncDirectory(directory));
  return repaired;
}

/** Repairs a block of a bucket; `scratch` is a directory for the new one. Throws as `repairBlock`. */
export async function repairInBucket(
  { clock, disk, pacer, place, random }: ReplaceOptions,
  where: { readonly bucket: Bucket; readonly tenant: TenantId; readonly scratch: string },
  old: BlockId,
): Promise<Repaired> {
  const { bucket, scratch, tenant } = where;
  await refuseDownsampled(place, old);
  const id = newBlockId({ clock, random });
  await attempt(scratch, () => disk.makeDirectory(scratch));
  const repaired = await repairBlock({
    files: place.files(old),
    disk,
    directory: scratch,
    id,
    pacer,
  });
  const { meta, oldMeta } = repaired;
  if (meta === undefined) return repaired;
  try {
    const source = diskBlockFiles(disk, scratch, id);
    await checkWritten(source, joinPath(scratch, id), pacer);
    await uploadBlock({ bucket, tenant, source }, (files) =>
      encodeBucketMeta(meta, tenant, { origin: 'bucket.repair', files, ...inherited(oldMeta) }),
    );
    const details = `repaired as the block ${id}`;
    const mark = {
      id: old,
      kind: 'deletion',
      timeMs: clock.wallMs(),
      details,
      reason: '',
    } as const;
    await putMark(bucket, tenant, mark);
  } finally {
    await disk.removeTree(joinPath(scratch, id)).catch(() => undefined); // only a copy
  }
  return repaired;
}

function inherited(old: BucketMeta | undefined): {
  readonly stores: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
} {
  if (old === undefined) return { stores: [], labels: new Map<string, string>() };
  return { stores: storesOf(old), labels: foreignLabels(old) };
}

/** Chunks of downsampled blocks are of a kind that is not read here: repair would drop them all. */
async function refuseDownsampled(place: BlockPlace, id: BlockId): Promise<void> {
  const meta = await readFullMeta(place.files(id)).catch(() => undefined); // told by `repairBlock`
  if (meta === undefined || meta.resolutionMs === 0) return;
  const why = `it is downsampled to ${meta.resolutionMs} ms, blocks of resolution 0 can be repaired`;
  throw new StarlingError('block.unsupported', { block: id, file: 'meta.json', why });
}
