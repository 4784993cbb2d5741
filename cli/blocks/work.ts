/** The work of `starling blocks …`: finds the blocks, asks storage/tools, prints rows. */
import { resolve } from 'node:path';
import type { Bucket } from '../../platform/platform.ts';
import {
  type BlockPlace,
  type PlaceDeletions,
  type MarkKind,
  type Repaired,
  blockStatistics,
  bucketPlace,
  directoryPlace,
  isFault,
  listBucketTenants,
  listPlace,
  putMark,
  removeMark,
  repairInBucket,
  repairInDirectory,
  verifyBlock,
} from '../../storage/tools/index.ts';
import { CommandExit } from '../command-exit.ts';
import { type Rows, csvText, tableText } from '../query/output.ts';
import { UsageError } from '../query/time.ts';
import {
  type Given,
  type ToolsWorld,
  ToolFailure,
  blockIdOf,
  bucketOf,
  directoryOf,
  tenantOf,
  textOf,
} from '../tools/world.ts';
import { rowsOfFindings, rowsOfListing, rowsOfStatistics } from './rows.ts';

type Work = (world: ToolsWorld, given: Given, words: readonly string[]) => Promise<void>;

const WORKS: ReadonlyMap<string, Work> = new Map([
  ['inspect', inspect],
  ['ls', list],
  ['mark', mark],
  ['repair', repair],
  ['verify', verify],
]);

export function blocksWork(name: string): Work {
  const work = WORKS.get(name);
  if (work === undefined) throw new UsageError(`blocks: there is no '${name}'`);
  return work;
}

/** Where to look, and the bucket if it is one. The bucket is closed after `use`. */
async function withPlaces(
  world: ToolsWorld,
  given: Given,
  use: (places: readonly BlockPlace[], bucket: Bucket | undefined) => Promise<void>,
  wantsAllTenants = false,
): Promise<void> {
  const directory = directoryOf(given);
  if (directory !== undefined) {
    if (textOf(given, 'bucket') !== undefined) {
      throw new UsageError('--bucket and --directory: name one of them');
    }
    if ((await world.disk.stat(directory))?.kind !== 'directory') {
      throw new UsageError(`--directory: ${directory} is not a directory`);
    }
    return use([directoryPlace(world.disk, directory)], undefined);
  }
  const bucket = await bucketOf(world, given);
  if (bucket === undefined)
    throw new UsageError('name the blocks: --bucket URL or --directory DIR');
  try {
    const named = textOf(given, 'tenant');
    const isAll = wantsAllTenants && named === undefined;
    const tenants = isAll ? await listBucketTenants(bucket) : [tenantOf(world, given)];
    const places: BlockPlace[] = [];
    for (const tenant of tenants) places.push(await bucketPlace(bucket, tenant));
    await use(places, bucket);
  } finally {
    await bucket.close();
  }
}

function print(world: ToolsWorld, given: Given, rows: Rows, json: unknown): void {
  const kind = textOf(given, 'output') ?? 'table';
  if (kind === 'json') world.out(`${JSON.stringify(json)}\n`);
  else if (kind === 'csv') world.out(csvText(rows, true));
  else if (kind === 'table') world.out(tableText(rows));
  else throw new UsageError(`--output: '${kind}' is not one of table, json, csv`);
}

async function list(world: ToolsWorld, given: Given): Promise<void> {
  await withPlaces(
    world,
    given,
    async (places) => {
      const listed = [];
      for (const place of places) {
        for (const block of await listPlace(place)) listed.push({ tenant: place.tenant, ...block });
        tellDeletions(world, place.name, await place.deletions());
      }
      const json = listed.map(({ meta, tenant, ...rest }) => ({
        tenant,
        ...rest,
        ...(meta === undefined
          ? {}
          : { ...meta.meta, labels: Object.fromEntries(meta.labels), origin: meta.origin }),
      }));
      print(world, given, rowsOfListing(listed), json);
    },
    true,
  );
}

/** The counts of a listing have what requests delete and compaction has not cut out yet. */
function tellDeletions(
  world: ToolsWorld,
  name: string,
  { pendingCount, unreadable }: PlaceDeletions,
): void {
  if (pendingCount > 0)
    world.err(`${name}: ${pendingCount} requests to delete series are not cut out of all blocks\n`);
  for (const text of unreadable) world.err(`a request to delete series is not read: ${text}\n`);
}

async function inspect(world: ToolsWorld, given: Given, words: readonly string[]): Promise<void> {
  const id = blockIdOf(words[0] ?? '');
  await withPlaces(world, given, async ([place]) => {
    if (place === undefined) return;
    const described = await place.describe(id);
    const statistics = await blockStatistics(place.files(id), world.pacer);
    const json = { marks: described.marks, ...statistics };
    print(world, given, rowsOfStatistics(statistics, described), json);
  });
}

async function verify(world: ToolsWorld, given: Given, words: readonly string[]): Promise<void> {
  const named = words.map(blockIdOf);
  let faultCount = 0;
  await withPlaces(world, given, async ([place]) => {
    if (place === undefined) return;
    const reports = [];
    for (const id of named.length > 0 ? named : await place.ids()) {
      const isShallow = given['shallow'] === true;
      const report = await verifyBlock({ files: place.files(id), pacer: world.pacer, isShallow });
      const { findings, ...counts } = report;
      faultCount += findings.faultCount;
      const { faultCount: faults, kept } = findings;
      world.err(`${id}: ${faults === 0 ? 'whole' : `${faults} faults`}, ${described(counts)}\n`);
      reports.push({ block: id, ...counts, faultCount: faults, findings: kept });
    }
    const found = reports.flatMap(({ block, findings }) =>
      findings.map((finding) => ({ block, ...finding })),
    );
    const isTable = (textOf(given, 'output') ?? 'table') === 'table';
    if (!isTable || found.length > 0) print(world, given, rowsOfFindings(found), reports);
  });
  if (faultCount > 0) throw new CommandExit(1);
}

function described(counts: {
  readonly seriesCount: number;
  readonly chunkCount: number;
  readonly sampleCount: number;
}): string {
  return `${counts.seriesCount} series, ${counts.chunkCount} chunks, ${counts.sampleCount} samples`;
}

async function mark(world: ToolsWorld, given: Given, words: readonly string[]): Promise<void> {
  const kinds: MarkKind[] = [];
  if (given['deletion'] === true) kinds.push('deletion');
  if (given['compact'] === false) kinds.push('no-compact'); // commander's way to say --no-compact
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) {
    throw new UsageError('name the mark: --deletion or --no-compact');
  }
  const isRemoval = given['remove'] === true;
  const reason = textOf(given, 'reason') ?? '';
  if (!isRemoval && reason === '') throw new UsageError('--reason: say why, for those who find it');
  await withPlaces(world, given, async ([place], bucket) => {
    if (place?.tenant === undefined || bucket === undefined) {
      throw new UsageError('--directory: marks belong to buckets');
    }
    const known = new Set(await place.ids());
    const ids = words.map(blockIdOf);
    for (const id of ids) {
      if (!known.has(id)) throw new ToolFailure(`${place.name} has no block ${id}`);
    }
    for (const id of ids) {
      if (isRemoval) await removeMark(bucket, place.tenant, { id, kind });
      else {
        const timeMs = world.clock.wallMs();
        const stated = kind === 'deletion' ? '' : 'manual';
        await putMark(bucket, place.tenant, { id, kind, timeMs, details: reason, reason: stated });
      }
      world.err(`${id}: ${kind} mark ${isRemoval ? 'removed' : 'written'}\n`);
    }
  });
}

async function repair(world: ToolsWorld, given: Given, words: readonly string[]): Promise<void> {
  const id = blockIdOf(words[0] ?? '');
  await withPlaces(world, given, async ([place], bucket) => {
    if (place === undefined) return;
    if (await isWhole(world, place, id)) {
      world.err(`${id}: nothing is wrong with it, so nothing was written\n`);
      return;
    }
    const options = { ...world, place };
    const { tenant } = place;
    let repaired: Repaired;
    if (tenant === undefined || bucket === undefined) {
      repaired = await repairInDirectory(options, place.name, id);
    } else {
      const scratch = directoryOf(given, 'scratch') ?? resolve('starling-repair');
      repaired = await repairInBucket(options, { bucket, tenant, scratch }, id);
    }
    tellRepair(world, given, id, repaired);
    if (repaired.meta === undefined) {
      throw new ToolFailure(`nothing of ${id} can be read, so nothing was written`);
    }
  });
}

async function isWhole(
  { pacer }: ToolsWorld,
  place: BlockPlace,
  id: ReturnType<typeof blockIdOf>,
): Promise<boolean> {
  const { findings } = await verifyBlock({ files: place.files(id), pacer });
  return findings.faultCount === 0;
}

function tellRepair(world: ToolsWorld, given: Given, id: string, repaired: Repaired): void {
  const { findings, lostChunkCount, lostSeriesCount, meta } = repaired;
  const { kept } = findings;
  if (kept.length > 0 || textOf(given, 'output') === 'json') {
    const json = { block: id, repaired: meta?.id, lostSeriesCount, lostChunkCount, findings: kept };
    print(world, given, rowsOfFindings(kept.map((one) => ({ block: id, ...one }))), json);
  }
  const lost = `${lostSeriesCount} series and ${lostChunkCount} chunks could not be read`;
  if (meta !== undefined) world.err(`${id}: written anew as ${meta.id}; ${lost}\n`);
  const noted = kept.filter((one) => !isFault(one)).length;
  if (noted > 0) world.err(`${noted} of the findings are notes\n`);
}
