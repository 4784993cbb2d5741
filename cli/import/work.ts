/** The work of `starling import …`. */
import { resolve } from 'node:path';
import { StarlingError } from '../../model/errors.ts';
import type { Bucket, Disk } from '../../platform/platform.ts';
import {
  type BlockPlace,
  type ByteSource,
  directoryPlace,
  importBlock,
  importOpenMetrics,
} from '../../storage/tools/index.ts';
import { CommandExit } from '../command-exit.ts';
import { UsageError } from '../query/time.ts';
import {
  type Given,
  type ToolsWorld,
  bucketOf,
  directoryOf,
  tenantOf,
  textsOf,
} from '../tools/world.ts';

type Work = (world: ToolsWorld, given: Given, words: readonly string[]) => Promise<void>;

export function importWork(name: string): Work {
  return name === 'openmetrics' ? importText : importBlocks;
}

async function withBucket(
  world: ToolsWorld,
  given: Given,
  use: (bucket: Bucket) => Promise<void>,
): Promise<void> {
  const bucket = await bucketOf(world, given);
  if (bucket === undefined) throw new UsageError('name the bucket: --bucket URL');
  try {
    await use(bucket);
  } finally {
    await bucket.close();
  }
}

interface Uploads {
  readonly place: BlockPlace;
  readonly labels: ReadonlyMap<string, string>;
  readonly isShallow: boolean;
}

/** Uploads all blocks of a place; a block that is refused keeps no other one. */
async function uploadAll(
  world: ToolsWorld,
  given: Given,
  bucket: Bucket,
  { isShallow, labels, place }: Uploads,
): Promise<void> {
  const tenant = tenantOf(world, given);
  const { clock, pacer } = world;
  let refusedCount = 0;
  for (const id of await place.ids()) {
    try {
      const options = { bucket, clock, pacer, tenant, labels, isShallow };
      const { meta, outcome, sizeBytes } = await importBlock(options, place.files(id));
      const { sampleCount, seriesCount } = meta.stats;
      const what = outcome === 'there' ? 'already in the bucket' : `uploaded, ${sizeBytes} bytes`;
      world.out(`${id} ${what}, ${seriesCount} series, ${sampleCount} samples\n`);
    } catch (thrown) {
      const isOwn = thrown instanceof StarlingError && (thrown.id as string).startsWith('block.');
      if (!isOwn) throw thrown;
      refusedCount++;
      world.err(`${thrown.message}\n`);
    }
  }
  if (refusedCount > 0) throw new CommandExit(1);
}

async function importBlocks(
  world: ToolsWorld,
  given: Given,
  [path = '']: readonly string[],
): Promise<void> {
  const directory = resolve(path);
  if ((await world.disk.stat(directory))?.kind !== 'directory') {
    throw new UsageError(`${directory} is not a directory`);
  }
  const labels = new Map(textsOf(given, 'label').map(readLabel));
  const place = directoryPlace(world.disk, directory);
  if ((await place.ids()).length === 0) throw new UsageError(`${directory} has no blocks`);
  const isShallow = given['shallow'] === true;
  await withBucket(world, given, (bucket) =>
    uploadAll(world, given, bucket, { place, labels, isShallow }),
  );
}

function readLabel(text: string): readonly [string, string] {
  const [, name = '', value = ''] = /^([a-zA-Z_][a-zA-Z0-9_]*)=(.+)$/.exec(text) ?? [];
  if (name !== '' && !name.startsWith('__')) return [name, value];
  throw new UsageError(`--label: '${text}' is not name=value, or its name begins with __`);
}

async function importText(
  world: ToolsWorld,
  given: Given,
  [path = '']: readonly string[],
): Promise<void> {
  const source = await openFile(world.disk, resolve(path));
  try {
    const own = directoryOf(given);
    const directory = own ?? directoryOf(given, 'scratch') ?? resolve('starling-import');
    const options = { ...world, source, directory };
    if (own !== undefined) {
      tellImport(world, await importOpenMetrics(options));
      return;
    }
    await withBucket(world, given, async (bucket) => {
      const imported = await importOpenMetrics(options);
      const ids = imported.blocks.map(({ id }) => id);
      const place = { ...directoryPlace(world.disk, directory), ids: () => Promise.resolve(ids) };
      const uploads = { place, labels: new Map<string, string>(), isShallow: true };
      await uploadAll(world, given, bucket, uploads);
      for (const id of ids) await world.disk.removeTree(`${directory}/${id}`);
      tellImport(world, imported);
    });
  } finally {
    await source.close();
  }
}

function tellImport(
  world: ToolsWorld,
  imported: {
    readonly blocks: readonly unknown[];
    readonly seriesCount: number;
    readonly sampleCount: number;
  },
): void {
  const { blocks, sampleCount, seriesCount } = imported;
  world.err(`${sampleCount} samples of ${seriesCount} series in ${blocks.length} blocks\n`);
}

async function openFile(disk: Disk, path: string): Promise<ByteSource> {
  const found = await disk.stat(path);
  if (found?.kind !== 'file') throw new UsageError(`${path} is not a file`);
  const file = await disk.open(path, 'read');
  return {
    sizeBytes: found.sizeBytes,
    read: (offset, byteCount) => file.read(offset, byteCount),
    close: () => file.close(),
  };
}
