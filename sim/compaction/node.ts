/**
 * A node of the compaction story: it ships blocks as an ingester does, compacts as a compactor does, and reads
 * as a querier does, all through the code that ships. No ring and no gossip: every node
 * takes itself for the owner of everything, or of what a hash gives it, which is the worst that can be.
 */
import { neededBlocks } from '../../actors/querier/needed-blocks.ts';
import { labelsFromPairs } from '../../model/labels.ts';
import { parseTenantId } from '../../model/ids.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { Platform } from '../../platform/platform.ts';
import { type SourceSeries, cutBlock } from '../../storage/block/cut.ts';
import { SeriesSamples } from '../../storage/block/series-samples.ts';
import type { ChunkBytes } from '../../storage/block/format.ts';
import { newBlockId } from '../../storage/block/ulid.ts';
import { updateBucketIndex } from '../../storage/bucket/shipping.ts';
import { Shipper } from '../../storage/bucket/shipper.ts';
import { openRemoteBlock } from '../../storage/compact/remote-block.ts';
import { BucketIndexCache, Compactor, Pacer } from '../../storage/index.ts';
import { type Deletion, NO_DELETIONS } from '../../storage/deletion/deletion.ts';
import { addBlockSamples } from '../block-samples.ts';
import { LEVELS, RULE_SERIES, ageMaxOf, ruledOut } from './ages.ts';
import { type BlockAnswer, type BlockQuery, queryBlocks } from './query.ts';

export const HOUR_MS = 3_600_000;
export const WINDOW_MS = 2 * HOUR_MS;
export const TENANT = parseTenantId('tenant-0');
const INTERVAL_MS = HOUR_MS / 2;
const DIRECTORY = '/data/tenants/t';

/** Samples of series by number: time to value. Values are whole numbers. */
export type Contents = ReadonlyMap<number, ReadonlyMap<number, number>>;

export interface CompactionNode {
  readonly compactor: Compactor;
  /** Cuts a block of one window and ships all that is on the disk. */
  ship(range: TimeRange, contents: Contents): Promise<void>;
  /** What a query of a closed range gets from the bucket now. */
  read(range: TimeRange): Promise<Contents>;
  /** What a PromQL query gets from it; undefined: nothing was ever shipped. */
  query(query: BlockQuery): Promise<BlockAnswer | undefined>;
}

export interface CompactionNodeOptions {
  readonly storeId: string;
  /** Which jobs it takes for its own. */
  readonly ownsJob: (key: string) => boolean;
  /** Blocks are downsampled, and go by age. */
  readonly hasAges: boolean;
  /** Whether the node's clock is known to be right: others tell it. */
  readonly isClockRight: () => boolean;
}

export async function bootCompactionNode(
  platform: Platform,
  { hasAges, isClockRight, ownsJob, storeId }: CompactionNodeOptions,
): Promise<CompactionNode> {
  const { bucket, clock, disk, log, random } = platform;
  const compactor = new Compactor({
    bucket,
    clock,
    disk,
    log,
    random,
    directory: '/data/compactor',
    rangesMs: [1, 6, 12].map((count) => count * WINDOW_MS),
    waitMs: 25 * 60_000,
    deletionDelayMs: WINDOW_MS,
    isClockRight,
    jobBytesMax: 1e9,
    partialDelayMsOf: () => 4 * HOUR_MS,
    retentionMsOf: (_tenant, resolutionMs) =>
      hasAges && isClockRight() ? ageMaxOf(resolutionMs) : 0,
    downsampling: hasAges ? LEVELS : [],
    deletions: {
      due: () => (hasAges && isClockRight() ? ruledOut(clock.wallMs()).due : NO_DELETIONS),
      processed: () => Promise.resolve(),
    },
    ownsTenant: () => true,
    ownsJob: (_tenant, key) => ownsJob(key),
  });
  const runLater = (delayMs: number): void => {
    clock.after(delayMs, () => {
      void compactor.run().then(() => {
        runLater(INTERVAL_MS * (0.9 + 0.2 * random.float()));
      });
    });
  };
  runLater(INTERVAL_MS * random.float());
  await disk.makeDirectory(DIRECTORY);
  const indexes = new BucketIndexCache(bucket, clock);
  const hiddenNow = (): readonly Deletion[] =>
    hasAges ? ruledOut(clock.wallMs()).hidden : NO_DELETIONS;
  return {
    compactor,
    query: async (query) => {
      const index = await indexes.get(TENANT);
      if (index === undefined) return undefined;
      return queryBlocks({ bucket, clock, tenant: TENANT, index, hidden: hiddenNow() }, query);
    },
    ship: (range, contents) => shipBlock(platform, storeId, range, contents),
    read: async (range) => {
      const found = new Map<number, Map<number, number>>();
      const index = await indexes.get(TENANT);
      if (index === undefined) return found;
      const stores = new Set<string>();
      const needed = neededBlocks(index, { range, oldestTimeMs: Number.MAX_SAFE_INTEGER, stores });
      for (const { id } of needed) {
        // Nothing is cached: the most that a reader can depend on the bucket.
        const block = await openRemoteBlock(bucket, TENANT, id);
        try {
          await addBlockSamples(block, range, found);
        } finally {
          await block.close();
        }
      }
      for (const { range: hidden } of hiddenNow()) {
        const samples = found.get(RULE_SERIES) ?? new Map<number, number>();
        for (const timeMs of samples.keys()) if (timeMs <= hidden.maxTimeMs) samples.delete(timeMs);
      }
      return found;
    },
  };
}

async function shipBlock(
  platform: Platform,
  storeId: string,
  range: TimeRange,
  contents: Contents,
): Promise<void> {
  const { bucket, clock, disk, log } = platform;
  const pacer = new Pacer(clock);
  const series = [...contents].sort(([a], [b]) => a - b).map(sourceSeries);
  const source = {
    symbols: () => series.flatMap(({ labels }) => labels),
    series: () => series,
  };
  const id = newBlockId(platform);
  await cutBlock({ disk, directory: DIRECTORY, id, pacer }, source, range);
  const given = { bucket, clock, disk, log };
  const options = { ...given, tenant: TENANT, storeId, directory: DIRECTORY };
  await (await Shipper.open(options)).ship();
  await updateBucketIndex({ bucket, clock, log }, TENANT);
}

function sourceSeries([number, samples]: readonly [
  number,
  ReadonlyMap<number, number>,
]): SourceSeries {
  const columns = new SeriesSamples();
  const words = new Uint32Array(2);
  const value = new Float64Array(words.buffer);
  for (const [timeMs, sample] of [...samples].sort(([a], [b]) => a - b)) {
    value[0] = sample;
    columns.push(timeMs, words[0]!, words[1]!);
  }
  const chunks: ChunkBytes[] = [];
  columns.encode(chunks);
  const labels = labelsFromPairs([
    ['__name__', 'sim'],
    // One digit, so that the numbers sort as the texts do.
    ['series', String(number)],
  ]);
  return { labels, chunks };
}
