/**
 * Goal: compaction takes out of blocks what was deleted for good, says when nothing is left of it, and harms nothing
 * else, whatever fails and however many do the work. Method: a simulated bucket; the world's reader, which knows of
 * no deletions, so that it sees what blocks hold; failing calls, one after another.
 */
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { readBucketMeta } from '../../storage/bucket/bucket-meta.ts';
import { bucketIndexKey } from '../../storage/bucket/layout.ts';
import { readBucketIndex } from '../../storage/bucket/bucket-index.ts';
import type { CompactedDeletions } from '../../storage/compact/deletion-cuts.ts';
import { redundantBlocks } from '../../storage/compact/plan.ts';
import { type RetentionRule, retentionDeletions } from '../../storage/deletion/retention.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { selectBlockFrames } from '../../storage/block/select-block.ts';
import { type BlockId, parseBlockId } from '../../storage/block/ulid.ts';
import { openRemoteBlock } from '../../storage/compact/remote-block.ts';
import { Pacer } from '../../storage/pacer.ts';
import { bitsOf, testBlockId } from '../support/block-contents.ts';
import {
  CompactionWorld,
  HOUR_MS,
  START_MS,
  TENANT,
  seriesOfWindow,
} from '../support/compaction-world.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const series = (s: string): Deletion['selectors'] => [[{ name: 's', type: '=', value: s }]];
const ALL: Deletion['range'] = { minTimeMs: 0, maxTimeMs: START_MS + 1000 * HOUR_MS };

/** Deletions that are due, and those of which it was told that nothing is left. */
function deletionsOf(due: readonly Deletion[]): CompactedDeletions & { processed_: Set<string> } {
  const processed_ = new Set<string>();
  return {
    due: () => due,
    processed: async (_tenant, id) => void processed_.add(id),
    processed_,
  };
}

/** What is left of the world's lines. */
function left(world: CompactionWorld, due: readonly Deletion[]): readonly string[] {
  return world.expected.filter((line) => {
    const timeMs = Number(line.slice(line.lastIndexOf(' ') + 1));
    return !due.some(
      ({ range, selectors }) =>
        timeMs >= range.minTimeMs &&
        timeMs <= range.maxTimeMs &&
        line.includes(`s="${selectors[0]![0]!.value}"`),
    );
  });
}

/** Runs until nothing changes, and until what is marked is gone. */
async function settle(world: CompactionWorld, deletions: CompactedDeletions): Promise<void> {
  const compactor = world.compactor(new MemoryDisk(), { deletions });
  for (let i = 0; i < 3; i++) {
    await compactor.run();
    world.clock.advance(13 * HOUR_MS);
  }
  await compactor.run();
  t.equal(compactor.counts.jobsFailed, 0);
  await compactor.close();
}

t.test('blocks are written anew without what is due, and then it is processed', async (t) => {
  const world = await CompactionWorld.create({ windows: 1, replicas: 1, seriesCount: 3 });
  const middle = START_MS + HOUR_MS;
  const due = [
    { id: testBlockId(901), selectors: series('0'), range: { ...ALL, maxTimeMs: middle } },
    { id: testBlockId(902), selectors: series('nobody'), range: ALL },
    { id: testBlockId(903), selectors: series('1'), range: { minTimeMs: 0, maxTimeMs: 1 } },
  ];
  const deletions = deletionsOf(due);
  const [before] = world.blocks();
  const compactor = world.compactor(new MemoryDisk(), { deletions });
  await compactor.run();
  t.equal(world.blocks().length, 2, 'the old one is there for who reads by an older index');
  world.clock.advance(HOUR_MS);
  await compactor.run();
  t.strictSame(await world.read(), left(world, due), 'the index has the new one');
  t.same(deletions.processed_, new Set(due.map(({ id }) => id)));
  world.clock.advance(13 * HOUR_MS);
  await compactor.run();
  const jobs = compactor.counts.jobsDone;
  const [after] = world.blocks();
  t.equal(world.blocks().length, 1);
  t.not(after, before);
  t.equal(jobs, 1, 'once');
  const found = await readBucketMeta(world.bucket, TENANT, after as ReturnType<typeof testBlockId>);
  t.match(found?.meta, {
    level: 1,
    sources: [before],
    deletions: [testBlockId(901), testBlockId(902)],
  });
  t.ok(left(world, due).length < world.expected.length);
  await compactor.close();
});

t.test('jobs of other kinds leave out the same, and a block that comes late too', async (t) => {
  const world = await CompactionWorld.create({ windows: 12, replicas: 2 });
  const due = [{ id: testBlockId(901), selectors: series('0'), range: ALL }];
  const deletions = deletionsOf(due);
  await settle(world, deletions);
  t.strictSame(await world.read(), left(world, due));
  t.equal(world.blocks().length, 1, 'a day in one block');
  t.ok(deletions.processed_.has(testBlockId(901)));
  await world.ship(seriesOfWindow({ windows: 1, replicas: 1 }, 3, 0), 3, 'late');
  await settle(world, deletions);
  for (const line of await world.read()) t.notMatch(line, /s="0"/);
  const all = [
    {
      id: testBlockId(904),
      selectors: [[{ name: '__name__', type: '=' as const, value: 'm' }]],
      range: ALL,
    },
  ];
  await settle(world, deletionsOf(all));
  t.strictSame(world.blocks(), [], 'a block without any sample goes');
  t.strictSame((await readBucketIndex(world.bucket, TENANT))?.blocks, []);
  t.ok(world.store.bytes(bucketIndexKey(TENANT)));
});

t.test('downsampled blocks lose the windows that were deleted from', async (t) => {
  const world = await CompactionWorld.create({ windows: 0, replicas: 1 });
  const samples = Array.from({ length: 480 }, (_, i) => ({
    timeMs: START_MS + i * 15_000,
    bits: bitsOf(i),
  }));
  for (const s of ['0', '1']) {
    await world.ship([{ labels: labelsFromPairs([['s', s]]), samples }], 0, `store-${s}`);
  }
  const downsampling = [{ resolutionMs: 300_000, afterMs: 0 }];
  const first = world.compactor(new MemoryDisk(), { downsampling });
  await first.run();
  world.clock.advance(13 * HOUR_MS);
  await first.run();
  await first.close();
  t.equal(world.blocks().length, 2, 'one of samples, one of aggregates');
  const range = { minTimeMs: START_MS + 610_000, maxTimeMs: START_MS + 620_000 };
  const due = [{ id: testBlockId(901), selectors: series('0'), range }];
  const deletions = deletionsOf(due);
  const second = world.compactor(new MemoryDisk(), { downsampling, deletions });
  await second.run();
  world.clock.advance(13 * HOUR_MS);
  await second.run();
  await second.run();
  t.equal(second.counts.jobsFailed, 0);
  t.equal(second.counts.jobsDone, 2);
  await second.close();
  t.ok(deletions.processed_.has(testBlockId(901)));
  const metas = await Promise.all(
    world
      .blocks()
      .map((id) => readBucketMeta(world.bucket, TENANT, id as ReturnType<typeof testBlockId>)),
  );
  const counts = metas.map((one) => [one?.resolutionMs, one?.isExact, one?.meta.stats.sampleCount]);
  t.same(new Set(counts.map((one) => one.join())), new Set(['0,false,959', '300000,true,49']));
});

t.test('windows after a gap stay when only time of the gap is deleted', async (t) => {
  const world = await CompactionWorld.create({ windows: 0, replicas: 1 });
  const samples = [1, 31, 61, 91].map((minute) => ({
    timeMs: START_MS + minute * 60_000,
    bits: bitsOf(minute),
  }));
  await world.ship([{ labels: labelsFromPairs([['s', '0']]), samples }], 0, 'store');
  const downsampling = [{ resolutionMs: 300_000, afterMs: 0 }];
  const first = world.compactor(new MemoryDisk(), { downsampling });
  await first.run();
  await first.close();
  /** The block of aggregates, and how many samples its chunks hold. */
  const coarse = async (): Promise<{ readonly id: BlockId; readonly count: number }> => {
    const ids = world.blocks().flatMap((id) => parseBlockId(id) ?? []);
    const metas = await Promise.all(ids.map((id) => readBucketMeta(world.bucket, TENANT, id)));
    const found = metas.flatMap((one) => (one?.resolutionMs === 300_000 ? [one.meta] : []));
    t.equal(found.length, 1);
    return { id: found[0]!.id, count: found[0]!.stats.sampleCount };
  };
  const { count } = await coarse();
  /** What a read of it shows. */
  const read = async (deletions: readonly Deletion[]): Promise<Buffer> => {
    const reader = await openRemoteBlock(world.bucket, TENANT, (await coarse()).id);
    const frames: Uint8Array[] = [];
    const pacer = new Pacer(world.clock);
    const selection = { reader, selectors: [], range: ALL, pacer, fingerprint: () => undefined };
    const hints = { projection: undefined, newestOnly: false, value: 'count' } as const;
    for await (const frame of selectBlockFrames({ ...selection, deletions }, hints)) {
      if (frame !== undefined) frames.push(frame.slice());
    }
    await reader.close();
    return Buffer.concat(frames);
  };
  const check = async (n: number, from: number, to: number, isSame: boolean): Promise<void> => {
    const range = { minTimeMs: START_MS + from * 60_000, maxTimeMs: START_MS + to * 60_000 };
    const due = [{ id: testBlockId(n), selectors: series('0'), range }];
    t.equal((await read(due)).equals(await read([])), isSame, `read without ${from} to ${to} min`);
    await settle(world, deletionsOf(due));
    t.equal((await coarse()).count === count, isSame, `made without ${from} to ${to} min`);
  };
  await check(901, 10, 12, true);
  await check(902, 35.5, 59.9, true);
  await check(903, 32, 33, false);
});

t.test('what is past the retention of its series goes when all of its block is', async (t) => {
  const world = await CompactionWorld.create({ windows: 2, replicas: 1 });
  const rule = (periodMs: number): RetentionRule => ({
    text: `{s="0"}:${periodMs}ms`,
    matchers: series('0')[0]!,
    periodMs,
  });
  // The clock is 100 h after the start of the first window.
  const check = async (periodMs: number, goneWindows: number): Promise<void> => {
    const due = (): readonly Deletion[] =>
      retentionDeletions([rule(periodMs)], START_MS + 100 * HOUR_MS).due;
    const compactor = world.compactor(new MemoryDisk(), {
      deletions: { due, processed: async () => void t.fail('it is for ever') },
      rangesMs: [2 * HOUR_MS],
      deletionDelayMs: 0,
    });
    await compactor.run();
    const { jobsDone } = compactor.counts;
    world.clock.advance(HOUR_MS);
    await compactor.run();
    t.equal(compactor.counts.jobsDone, jobsDone, 'once');
    await compactor.close();
    const gone = { minTimeMs: 0, maxTimeMs: START_MS + goneWindows * 2 * HOUR_MS - 1 };
    const all = [{ id: 'x', selectors: series('0'), range: gone }];
    t.strictSame(await world.read(), left(world, all), `${periodMs}`);
  };
  await check(76 * HOUR_MS, 0);
  await check(75 * HOUR_MS, 0);
  await check(74 * HOUR_MS, 1);
  await check(72 * HOUR_MS, 2);
  const { hidden } = retentionDeletions([rule(5)], 105);
  t.match(hidden, [{ range: { maxTimeMs: 100 } }], 'reads show it until then');
  t.strictSame(retentionDeletions([], 5), { hidden: [], due: [] });
});

t.test('fail the n-th call: nothing else is lost, and in the end all is done', async (t) => {
  const due = [{ id: testBlockId(901), selectors: series('0'), range: ALL }];
  let isOver = false;
  for (let n = 1; !isOver; n++) {
    const world = await CompactionWorld.create({ windows: 2, replicas: 1 });
    const from = world.store.calls.length;
    world.store.failWhen = ({ number }) =>
      number === from + n ? (n % 2 === 0 ? 'lost' : 'refused') : undefined;
    const deletions = deletionsOf(due);
    const one = world.compactor(new MemoryDisk(), { deletions });
    await one.run();
    isOver = world.store.calls.length < from + n;
    await one.close();
    world.store.failWhen = () => undefined;
    const lines = new Set(await world.read());
    for (const line of left(world, due)) if (!lines.has(line)) t.fail(`call ${n}: lost ${line}`);
    const two = [0, 1].map(() => world.compactor(new MemoryDisk(), { deletions }));
    for (let i = 0; i < 3; i++) {
      await Promise.all(two.map((compactor) => compactor.run()));
      world.clock.advance(25 * HOUR_MS);
    }
    for (const compactor of two) await compactor.close();
    t.strictSame(await world.read(), left(world, due), `call ${n}`);
    t.strictSame(world.orphans(), []);
    t.ok(deletions.processed_.size === 1, `call ${n}: told`);
  }
});

t.test('of two blocks with the same sources the one without most stays', (t) => {
  const block = (n: number, deletions: readonly string[]) => ({
    ...{ id: testBlockId(n), minTimeMs: 0, maxTimeMs: 10, level: 1, sources: [testBlockId(1)] },
    ...{ group: '', sizeBytes: 1, uploadedAtMs: 0, deletions },
  });
  const check = (blocks: readonly ReturnType<typeof block>[], kept: number): void => {
    const redundant = redundantBlocks(blocks);
    t.strictSame(
      blocks.map(({ id }) => id).filter((id) => !redundant.has(id)),
      [testBlockId(kept)],
    );
  };
  check([block(1, []), block(2, ['a'])], 2);
  check([block(3, ['a', 'b']), block(2, ['a'])], 3);
  check([block(3, ['a']), block(2, ['b'])], 2);
  t.end();
});
