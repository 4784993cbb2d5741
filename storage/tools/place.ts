/**
 * Where blocks are, for the tools: one tenant's part of a bucket, or a directory of blocks on disk (a
 * Prometheus' data directory, a tenant's directory of a node). Both list blocks and give their files; only a
 * bucket has marks.
 */
import { type StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import { attempt } from '../../platform/durable-file.ts';
import type { Bucket, Disk } from '../../platform/platform.ts';
import { type BlockFiles, diskBlockFiles } from '../block/byte-source.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';
import type { BucketMeta } from '../bucket/bucket-meta.ts';
import { blockPrefix, markersPrefix, parseMarkerKey } from '../bucket/layout.ts';
import { type BlockMark, readMark } from '../bucket/marks.ts';
import { listObjects } from '../bucket/objects.ts';
import { listBlocks } from '../bucket/scan.ts';
import { remoteBlockFiles } from '../compact/remote-block.ts';
import { BLOCK_CHUNKS_DIRECTORY, joinPath } from '../filenames.ts';
import { NO_PLACE_DELETIONS, type PlaceDeletions, readPlaceDeletions } from './place-deletions.ts';
import { readFullMeta } from './verify.ts';

export interface ListedBlock {
  readonly id: BlockId;
  /** Undefined: `problem` says why. */
  readonly meta: BucketMeta | undefined;
  readonly problem: string | undefined;
  /** All files. */
  readonly sizeBytes: number;
  readonly marks: readonly BlockMark[];
}

export interface BlockPlace {
  /** For people. */
  readonly name: string;
  /** Undefined: a directory. */
  readonly tenant: TenantId | undefined;
  ids(): Promise<readonly BlockId[]>;
  files(id: BlockId): BlockFiles;
  describe(id: BlockId): Promise<ListedBlock>;
  /** The requests to delete series; a directory has none. */
  deletions(): Promise<PlaceDeletions>;
}

/** What is asked of a bucket at once. */
const CONCURRENCY = 8;

/** All blocks of a place, sorted by their times, then names. Throws `bucket.*`, `disk.failed`. */
export async function listPlace(place: BlockPlace): Promise<readonly ListedBlock[]> {
  const ids = await place.ids();
  const listed = new Array<ListedBlock>(ids.length);
  let next = 0;
  const describeInTurn = async (): Promise<void> => {
    for (let i = next++; i < ids.length; i = next++) listed[i] = await place.describe(ids[i]!);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, describeInTurn));
  const startOf = ({ meta }: ListedBlock): number => meta?.meta.minTimeMs ?? Infinity;
  return listed.sort((a, b) => {
    const order = startOf(a) - startOf(b);
    return order === 0 || Number.isNaN(order) ? (a.id < b.id ? -1 : 1) : order;
  });
}

/** One tenant's part of a bucket. */
export async function bucketPlace(bucket: Bucket, tenant: TenantId): Promise<BlockPlace> {
  const marked = new Set<string>();
  for await (const { key } of listObjects(bucket, markersPrefix(tenant))) {
    const found = parseMarkerKey(tenant, key);
    if (found !== undefined) marked.add(`${found.id} ${found.kind}`);
  }
  const marksOf = async (id: BlockId): Promise<BlockMark[]> => {
    const marks: BlockMark[] = [];
    for (const kind of ['deletion', 'no-compact'] as const) {
      if (!marked.has(`${id} ${kind}`)) continue;
      const mark = await readMark(bucket, tenant, { id, kind });
      if (mark !== undefined) marks.push(mark);
    }
    return marks;
  };
  return {
    name: `${bucket.name} tenant ${tenant}`,
    tenant,
    ids: () => listBlocks(bucket, tenant),
    deletions: () => readPlaceDeletions(bucket, tenant),
    files: (id) => remoteBlockFiles(bucket, tenant, id),
    async describe(id) {
      const found = await readMeta(remoteBlockFiles(bucket, tenant, id));
      let sizeBytes = found.meta?.files.reduce((sum, file) => sum + file.sizeBytes, 0) ?? 0;
      if (sizeBytes === 0) {
        const objects = listObjects(bucket, blockPrefix(tenant, id));
        for await (const object of objects) sizeBytes += object.sizeBytes;
      }
      return { id, ...found, sizeBytes, marks: await marksOf(id) };
    },
  };
}

/** A directory of blocks. */
export function directoryPlace(disk: Disk, directory: string): BlockPlace {
  return {
    name: directory,
    tenant: undefined,
    async ids() {
      const names = await attempt(directory, () => disk.list(directory));
      return names.flatMap((name) => parseBlockId(name) ?? []);
    },
    files: (id) => diskBlockFiles(disk, directory, id),
    deletions: () => Promise.resolve(NO_PLACE_DELETIONS),
    async describe(id) {
      const found = await readMeta(diskBlockFiles(disk, directory, id));
      return { id, ...found, sizeBytes: await sizeOnDisk(disk, directory, id), marks: [] };
    },
  };
}

async function sizeOnDisk(disk: Disk, directory: string, id: BlockId): Promise<number> {
  const root = joinPath(directory, id);
  let sizeBytes = 0;
  for (const parent of [root, joinPath(root, BLOCK_CHUNKS_DIRECTORY)]) {
    for (const name of await attempt(parent, () => disk.list(parent))) {
      const found = await attempt(parent, () => disk.stat(joinPath(parent, name)));
      if (found?.kind === 'file') sizeBytes += found.sizeBytes;
    }
  }
  return sizeBytes;
}

async function readMeta(files: BlockFiles): Promise<Pick<ListedBlock, 'meta' | 'problem'>> {
  try {
    const meta = await readFullMeta(files);
    return { meta, problem: meta === undefined ? 'it has no meta.json' : undefined };
  } catch (thrown) {
    const error: StarlingError = toStarlingError(thrown);
    if (!error.id.startsWith('block.')) throw thrown;
    return { meta: undefined, problem: error.message };
  }
}
