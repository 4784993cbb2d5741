/**
 * Goal: whatever fails while blocks are downsampled, the blocks of samples stay as they are, and a run that is left
 * alone leaves exactly one block of aggregates of each, which holds all of its samples.
 * Method: the compactor over a simulated bucket with the n-th call failing or lost, for every n; two compactors at
 * once; samples that come later; the plan over drawings of blocks.
 */
import t from 'tap';
import { readBucketIndex, type DownsampledBlock } from '../../storage/bucket/bucket-index.ts';
import { readBucketMeta } from '../../storage/bucket/bucket-meta.ts';
import { CHUNK_AGGREGATES } from '../../storage/block/format.ts';
import { createSeriesEntry } from '../../storage/block/series-reader.ts';
import { AGGREGATE, splitAggregates } from '../../storage/chunk/aggregate-chunk.ts';
import { decodeXor, xorSampleCount } from '../../storage/chunk/xor-decode.ts';
import type { Compactor, CompactorOptions } from '../../storage/compact/compactor.ts';
import { planCompaction } from '../../storage/compact/plan.ts';
import {
  type DownsamplableBlock,
  downsamplingLevels,
  planDownsampling,
} from '../../storage/compact/plan-downsampling.ts';
import { openRemoteBlock, remoteBlockFiles } from '../../storage/compact/remote-block.ts';
import { Pacer } from '../../storage/pacer.ts';
import { verifyBlock } from '../../storage/tools/verify.ts';
import { testBlockId } from '../support/block-contents.ts';
import {
  CompactionWorld,
  HOUR_MS,
  START_MS,
  TENANT,
  seriesOfWindow,
} from '../support/compaction-world.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const DOWNSAMPLING: Partial<CompactorOptions> = { downsampling: downsamplingLevels(0) };
const MINUTES_5 = 300_000;

async function downsampledOf(world: CompactionWorld): Promise<readonly DownsampledBlock[]> {
  const index = await readBucketIndex(world.store.sideOf(world.clock), TENANT);
  const living = index?.downsampled?.filter(({ id }) => index.deletions.get(id) === undefined);
  return [...(living ?? [])].sort((a, b) => a.minTimeMs - b.minTimeMs);
}

/** `labels: samples counted, their sum` of each series. */
async function totalsOf(
  world: CompactionWorld,
  block: DownsampledBlock,
): Promise<readonly string[]> {
  const reader = await openRemoteBlock(world.store.sideOf(world.clock), TENANT, block.id);
  const lines: string[] = [];
  const entry = createSeriesEntry();
  for (const ref of await reader.select([])) {
    await reader.index.readSeries(ref, entry);
    const totals = [0, 0];
    for (const chunkRef of entry.chunkRefs) {
      const { data, encoding } = await reader.readChunk(chunkRef);
      if (encoding !== CHUNK_AGGREGATES) throw new Error(`encoding ${encoding}`);
      const places = splitAggregates(data, 0, data.length);
      if (places === undefined) throw new Error('does not split');
      for (const i of [AGGREGATE.count, AGGREGATE.sum]) {
        const from = places[i * 2]!;
        const values = new Float64Array(xorSampleCount(data, from));
        const words = new Uint32Array(values.buffer);
        decodeXor(data, from, places[i * 2 + 1]! - from, values.slice(), words, 0);
        totals[i]! += values.reduce((sum, value) => sum + value, 0);
      }
    }
    lines.push(`${(await reader.labels(entry)).join(',')}: ${totals.join(', ')}`);
  }
  await reader.close();
  return lines;
}

/** The same of what a query of all samples sees. */
function expectedTotals(lines: readonly string[], range: DownsampledBlock): readonly string[] {
  const totals = new Map<string, [number, number]>();
  for (const line of lines) {
    const [, labels = '', value = '', time = ''] = /^(\{.*\}) (\S+) (\S+)$/.exec(line) ?? [];
    if (Number(time) < range.minTimeMs || Number(time) >= range.maxTimeMs) continue;
    const [count, sum] = totals.get(labels) ?? [0, 0];
    totals.set(labels, [count + 1, sum + Number(value)]);
  }
  return [...totals].map(([, both]) => both.join(', ')).sort();
}

function sumsOf(lines: readonly string[]): readonly string[] {
  return lines.map((line) => line.replace(/^.*: /, '')).sort();
}

async function run(compactor: Compactor, world: CompactionWorld, hours: number): Promise<void> {
  for (let hour = 0; hour < hours; hour++) {
    await compactor.run();
    world.clock.advance(HOUR_MS);
  }
  await compactor.run();
}

t.test('a day becomes 5 minutes after 40 hours, and 1 hour after 10 days', async (t) => {
  const world = await CompactionWorld.create({ windows: 13, replicas: 2, samplesPerWindow: 60 });
  const compactor = world.compactor(new MemoryDisk(), DOWNSAMPLING);
  await compactor.run();
  const [fine, other] = await downsampledOf(world);
  t.match(
    [fine, other],
    [
      { resolutionMs: MINUTES_5, isExact: true, minTimeMs: START_MS },
      { resolutionMs: MINUTES_5, minTimeMs: START_MS + 24 * HOUR_MS },
    ],
  );
  if (fine === undefined) return;
  const bucket = world.store.sideOf(world.clock);
  const pacer = new Pacer(world.clock);
  const found = await verifyBlock({ files: remoteBlockFiles(bucket, TENANT, fine.id), pacer });
  t.strictSame(found.findings.kept, [], 'verified');
  t.ok(found.sampleCount > 20);
  t.strictSame(sumsOf(await totalsOf(world, fine)), expectedTotals(world.expected, fine));
  t.strictSame(await world.read(), world.expected, 'samples are where they were');
  const before = world.blocks().length;
  await compactor.run();
  t.equal(world.blocks().length, before, 'nothing is done twice');
  const meta = await readBucketMeta(world.bucket, TENANT, fine.id);
  t.match(meta, { resolutionMs: MINUTES_5, isExact: true, origin: 'compactor' });
  t.equal(meta?.meta.sources.length, 24);
  t.equal(meta?.labels.get('__ingester_id__'), 'store-0,store-1');
  world.clock.advance(10 * 24 * HOUR_MS);
  await run(compactor, world, 30);
  const all = await downsampledOf(world);
  t.strictSame(
    all.map(({ resolutionMs }) => resolutionMs).sort((a, b) => a - b),
    [MINUTES_5, MINUTES_5, HOUR_MS, HOUR_MS],
  );
  const coarse = all.find((one) => one.resolutionMs === HOUR_MS);
  t.ok(coarse);
  if (coarse === undefined) return;
  t.strictSame(sumsOf(await totalsOf(world, coarse)), sumsOf(await totalsOf(world, fine)));
  t.strictSame(await world.read(), world.expected);
  t.strictSame(world.orphans(), []);
});

t.test('whatever call fails, one block of aggregates is made in the end', async (t) => {
  for (const fault of ['refused', 'lost'] as const) {
    for (let n = 1, isDone = false; !isDone; n++) {
      const shape = { windows: 1, replicas: 1, seriesCount: 1, samplesPerWindow: 4 };
      const world = await CompactionWorld.create(shape);
      const from = world.store.calls.length;
      world.store.failWhen = ({ number }) => (number === from + n ? fault : undefined);
      const compactor = world.compactor(new MemoryDisk(), DOWNSAMPLING);
      await compactor.run();
      isDone = world.store.calls.length < from + n;
      world.store.failWhen = () => undefined;
      t.strictSame(await world.read(), world.expected);
      await run(compactor, world, n % 7 === 0 ? 30 : 0);
      const made = await downsampledOf(world);
      t.match(made, [{ resolutionMs: MINUTES_5 }], `${fault} ${n}`);
      for (const block of made) {
        t.strictSame(sumsOf(await totalsOf(world, block)), expectedTotals(world.expected, block));
      }
      t.strictSame(await world.read(), world.expected);
      if (n % 7 === 0) t.strictSame([world.blocks().length, world.orphans()], [2, []]);
    }
  }
});

t.test('two compactors at once, and samples that come later, leave one block', async (t) => {
  const shape = { windows: 1, replicas: 1 };
  const world = await CompactionWorld.create(shape);
  const both = [1, 2].map(() => world.compactor(new MemoryDisk(), DOWNSAMPLING));
  await Promise.all(both.map((one) => one.run()));
  for (const one of both) await run(one, world, 20);
  const [first, ...others] = await downsampledOf(world);
  t.strictSame(others, []);
  await world.ship(seriesOfWindow({ ...shape, replicas: 2, samplesPerWindow: 7 }, 0, 1), 0, 'late');
  for (const one of both) await run(one, world, 20);
  const after = await downsampledOf(world);
  t.equal(after.length, 1);
  t.not(after[0]?.id, first?.id);
  t.equal(after[0]?.sources.length, 2);
  t.strictSame(world.orphans(), []);
});

t.test('retention is by resolution', async (t) => {
  const world = await CompactionWorld.create({ windows: 1, replicas: 1 });
  const compactor = world.compactor(new MemoryDisk(), {
    ...DOWNSAMPLING,
    retentionMsOf: (_tenant, resolutionMs) => (resolutionMs === 0 ? 200 * HOUR_MS : 0),
  });
  await run(compactor, world, 120);
  t.strictSame(await world.read(), []);
  t.match(await downsampledOf(world), [{ resolutionMs: MINUTES_5 }]);
  await run(compactor, world, 100);
  const resolutions = (await downsampledOf(world)).map(({ resolutionMs }) => resolutionMs);
  t.strictSame(
    resolutions.sort((a, b) => a - b),
    [MINUTES_5, HOUR_MS],
    'made without samples',
  );
});

function block(n: number, from: number, to: number, more = {}): DownsamplableBlock {
  return {
    ...{ id: testBlockId(n), minTimeMs: from * HOUR_MS, maxTimeMs: to * HOUR_MS, level: 1 },
    ...{ sources: [testBlockId(n)], group: '', sizeBytes: 1, uploadedAtMs: 0, unfit: undefined },
    ...{ resolutionMs: 0, isExact: false, labelGroup: '' },
    ...more,
  };
}

t.test('planDownsampling() takes what is finished, old enough and not there yet', (t) => {
  const check = (
    blocks: readonly DownsamplableBlock[],
    nowHours: number,
    expected: readonly string[],
    noCompact: readonly number[] = [],
  ): void => {
    const options = {
      ...{ deleted: new Set<never>(), noCompact: new Set(noCompact.map(testBlockId)) },
      nowMs: nowHours * HOUR_MS,
    };
    const plan = planCompaction(blocks, {
      ...{ ...options, rangesMs: [2 * HOUR_MS, 24 * HOUR_MS], waitMs: 0 },
      ...{ jobBlocksMax: 64, jobBytesMax: 1e12 },
    });
    const levels = downsamplingLevels(0);
    const jobs = planDownsampling(blocks, plan, { ...options, levels });
    t.strictSame(
      jobs.map((job) => `${job.blocks[0]?.id.slice(-1)} ${(job.resolutionMs ?? 0) / 60_000}m`),
      expected,
    );
  };
  const fine = { resolutionMs: MINUTES_5, isExact: true, group: 'resolution=300000' };
  const day = block(1, 0, 24);
  check([day], 63, []);
  check([day], 64, ['1 5m']);
  check([day], 64, [], [1]);
  check([block(1, 0, 24, { unfit: 'it failed' })], 64, []);
  check([block(1, 0, 2), block(2, 2, 4)], 64, [], []); // they become one first
  const of1 = { ...fine, sources: [testBlockId(1)] };
  check([day, block(3, 0, 24, of1)], 64, []);
  check([day, block(3, 0, 24, of1)], 24 + 240, ['3 60m']);
  check([block(3, 0, 24, { ...of1, isExact: false })], 24 + 240, []); // what others made
  check([day, block(3, 0, 24, { ...of1, isExact: false })], 64, ['1 5m']);
  check([day, block(3, 0, 24, { ...of1, labelGroup: 'a="b"' })], 64, ['1 5m']);
  check([block(1, 0, 24, { labelGroup: 'a="b"' })], 64, []);
  check([block(1, 0, 24, { sources: [1, 2].map(testBlockId) }), block(3, 0, 24, of1)], 64, [
    '1 5m',
  ]);
  t.strictSame(downsamplingLevels(100 * HOUR_MS)[0], {
    resolutionMs: MINUTES_5,
    afterMs: 124 * HOUR_MS,
  });
  t.end();
});
