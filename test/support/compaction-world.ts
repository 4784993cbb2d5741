/**
 * A tenant whose blocks are in a simulated bucket, a compactor on a disk in memory, and a reader that sees what
 * the querier sees: the blocks that the bucket index names and a query would need, all of their samples.
 */
import { neededBlocks } from '../../actors/querier/needed-blocks.ts';
import { labelsFromPairs } from '../../model/labels.ts';
import { type TenantId, parseTenantId } from '../../model/ids.ts';
import { makeDurableDirectory } from '../../platform/durable-directory.ts';
import { createNodeLog } from '../../platform/node/log.ts';
import type { Bucket, Disk } from '../../platform/platform.ts';
import { SimBucketStore } from '../../sim/bucket.ts';
import { SimRandom } from '../../sim/random.ts';
import { readBucketIndex } from '../../storage/bucket/bucket-index.ts';
import { Shipper } from '../../storage/bucket/shipper.ts';
import { updateBucketIndex } from '../../storage/bucket/shipping.ts';
import { Compactor, type CompactorOptions } from '../../storage/compact/compactor.ts';
import { openRemoteBlock } from '../../storage/compact/remote-block.ts';
import {
  type TestSample,
  type TestSeries,
  bitsOf,
  dumpLines,
  seriesOfBlock,
  testBlockId,
  writeTestBlock,
} from './block-contents.ts';
import { FakeClock } from './fake-clock.ts';
import { MemoryDisk } from './memory-disk.ts';

export const HOUR_MS = 3_600_000;
export const START_MS = 1_699_920_000_000; // midnight, UTC
export const TENANT = parseTenantId('Team.A');
export const quietLog = {
  ...createNodeLog('error'),
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export interface WorldShape {
  /** Windows of two hours, and copies of each. */
  readonly windows: number;
  readonly replicas: number;
  readonly seriesCount?: number;
  readonly samplesPerWindow?: number;
}

/** Everything about one tenant. */
export class CompactionWorld {
  readonly clock = new FakeClock(START_MS + 100 * HOUR_MS);
  readonly store = new SimBucketStore();
  readonly bucket: Bucket = this.store.sideOf(this.clock);
  /** What every reader must see, at any time. */
  expected: readonly string[] = [];
  #blockCount = 0;

  static async create(shape: WorldShape): Promise<CompactionWorld> {
    const world = new CompactionWorld();
    const all: TestSeries[] = [];
    for (let window = 0; window < shape.windows; window++) {
      for (let replica = 0; replica < shape.replicas; replica++) {
        const series = seriesOfWindow(shape, window, replica);
        all.push(...series);
        await world.ship(series, window, `store-${replica}`);
      }
    }
    world.expected = linesOf(all);
    return world;
  }

  /** Ships a block of two hours, and has it in the index. */
  async ship(
    series: readonly TestSeries[],
    window: number,
    storeId: string,
    tenant: TenantId = TENANT,
  ): Promise<void> {
    const { bucket, clock } = this;
    const disk = new MemoryDisk();
    const directory = '/data/t';
    await makeDurableDirectory(disk, directory, 9);
    const minTimeMs = START_MS + window * 2 * HOUR_MS;
    const range = { minTimeMs, maxTimeMs: minTimeMs + 2 * HOUR_MS - 1 };
    await writeTestBlock(disk, directory, testBlockId(++this.#blockCount), series, range);
    const given = { bucket, clock, disk, log: quietLog };
    const shipper = await Shipper.open({ ...given, tenant, storeId, directory });
    await shipper.ship();
    await updateBucketIndex({ bucket, clock, log: quietLog }, tenant);
  }

  compactor(disk: Disk, changes: Partial<CompactorOptions> = {}): Compactor {
    return new Compactor({
      bucket: this.bucket,
      clock: this.clock,
      disk,
      log: quietLog,
      random: new SimRandom(this.store.calls.length),
      directory: '/data/compactor',
      rangesMs: [2 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS],
      waitMs: 0,
      deletionDelayMs: 12 * HOUR_MS,
      isClockRight: () => true,
      jobBytesMax: 1e9,
      partialDelayMsOf: () => 24 * HOUR_MS,
      retentionMsOf: () => 0,
      downsampling: [],
      ownsTenant: () => true,
      ownsJob: () => true,
      ...changes,
    });
  }

  /** What a query over everything gets now. Throws when a block that it needs cannot be read. */
  async read(tenant: TenantId = TENANT): Promise<readonly string[]> {
    const bucket = this.store.sideOf(this.clock);
    const index = await readBucketIndex(bucket, tenant);
    if (index === undefined) return [];
    const range = { minTimeMs: 0, maxTimeMs: Number.MAX_SAFE_INTEGER };
    const options = { range, oldestTimeMs: Number.MAX_SAFE_INTEGER, stores: new Set<string>() };
    const found: TestSeries[] = [];
    for (const { id } of neededBlocks(index, options)) {
      const reader = await openRemoteBlock(bucket, tenant, id);
      found.push(...(await seriesOfBlock(reader)));
      await reader.close();
    }
    return linesOf(found);
  }

  /** Blocks that are whole, by the keys of the bucket. */
  blocks(tenant: TenantId = TENANT): readonly string[] {
    return this.store
      .keys()
      .filter((key) => key.startsWith(`${tenant}/`) && key.endsWith('/meta.json'))
      .map((key) => key.split('/')[1] ?? '');
  }

  /** Keys that belong to no whole block and are no index. */
  orphans(tenant: TenantId = TENANT): readonly string[] {
    const whole = new Set(this.blocks(tenant));
    return this.store
      .keys()
      .filter((key) => key.startsWith(`${tenant}/`) && !key.endsWith('bucket-index.json.gz'))
      .filter((key) => !whole.has(key.split('/')[1] ?? ''));
  }
}

/** The samples of all, each once. */
export function linesOf(all: readonly TestSeries[]): readonly string[] {
  return [...new Set(dumpLines([...all]))].sort();
}

/** Series of a window; each replica lacks some samples that others have. */
export function seriesOfWindow(
  { replicas, samplesPerWindow = 10, seriesCount = 2 }: WorldShape,
  window: number,
  replica: number,
): readonly TestSeries[] {
  return Array.from({ length: seriesCount }, (_, s) => ({
    labels: labelsFromPairs([
      ['__name__', 'm'],
      ['s', String(s)],
    ]),
    samples: Array.from({ length: samplesPerWindow }, (_, i): TestSample => {
      const last = 2 * HOUR_MS - 1; // on both borders
      const at = Math.round((i * last) / (samplesPerWindow - 1));
      const timeMs = START_MS + window * 2 * HOUR_MS + at;
      return { timeMs, bits: bitsOf(s * 1000 + window * 10 + i) };
    }).filter((_, i) => replicas === 1 || (i + s + window) % (replicas + 2) !== replica),
  }));
}
