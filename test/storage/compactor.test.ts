/**
 * Goal: whatever fails and whoever dies while blocks are compacted, a query sees every sample, a run that is
 * left alone completes the work, and what is not needed goes, late enough for every reader.
 * Method: blocks of replicas in a simulated bucket; the n-th call of bucket or disk fails, is lost or kills the
 * process, for every n; two compactors at once; clocks that jump.
 */
import t from 'tap';
import { parseTenantId } from '../../model/ids.ts';
import type { Bucket, Disk } from '../../platform/platform.ts';
import { putMark } from '../../storage/bucket/marks.ts';
import { readBucketMeta } from '../../storage/bucket/bucket-meta.ts';
import { putTenantDeletion, readTenantDeletion } from '../../storage/compact/tenant-deletion.ts';
import { parseBlockId } from '../../storage/block/ulid.ts';
import {
  CompactionWorld,
  HOUR_MS,
  START_MS,
  TENANT,
  linesOf,
  seriesOfWindow,
} from '../support/compaction-world.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

/** Runs until what was marked is gone. */
async function settle(world: CompactionWorld, disk = new MemoryDisk()): Promise<void> {
  const compactor = world.compactor(disk);
  for (let hour = 0; hour < 30; hour++) {
    await compactor.run();
    world.clock.advance(HOUR_MS);
  }
  await compactor.run();
}

t.test('replicas and windows become a day; parents are marked, then deleted', async (t) => {
  const shape = { windows: 13, replicas: 3 };
  const world = await CompactionWorld.create(shape);
  const disk = new MemoryDisk();
  const compactor = world.compactor(disk);
  t.equal(world.blocks().length, 39);
  t.strictSame(await world.read(), world.expected);
  await compactor.run();
  t.strictSame(await world.read(), world.expected);
  t.strictSame(await disk.list('/data/compactor/team'), []);
  const status = compactor.status().tenants[0];
  t.match(status, { tenant: TENANT, jobs: [], held: [], broken: [], failure: '', partialCount: 0 });
  // 13 windows, two half days, one day; the last window is alone.
  t.match(compactor.counts, { jobsDone: 16, jobsFailed: 0, runsCompleted: 1, blocksDeleted: 0 });
  t.equal(world.blocks().length, 39 + 16, 'nothing is deleted yet');
  world.clock.advance(11 * HOUR_MS);
  await compactor.run();
  t.equal(world.blocks().length, 39 + 16);
  await settle(world);
  t.strictSame(await world.read(), world.expected);
  t.strictSame(world.orphans(), []);
  const metas = [];
  for (const name of world.blocks()) {
    const id = parseBlockId(name);
    if (id !== undefined) metas.push(await readBucketMeta(world.bucket, TENANT, id));
  }
  metas.sort((a, b) => (a?.meta.minTimeMs ?? 0) - (b?.meta.minTimeMs ?? 0));
  t.match(metas, [
    {
      origin: 'compactor',
      meta: { minTimeMs: START_MS, maxTimeMs: START_MS + 24 * HOUR_MS, level: 4 },
    },
    { meta: { minTimeMs: START_MS + 24 * HOUR_MS, level: 2 } },
  ]);
  t.equal(metas[0]?.meta.sources.length, 36);
  t.equal(metas[0]?.labels.get('__ingester_id__'), 'store-0,store-1,store-2');
});

/** What a job writes, and more. */
const CHANGED_WRITES = 8;
/** One job, all of whose calls are tried; and three after each other, of whose calls some are. */
const ONE_JOB = { windows: 1, replicas: 2, seriesCount: 1, samplesPerWindow: 4 };
const SMALL = { ...ONE_JOB, windows: 2 };
const SHAPES = [
  { shape: ONE_JOB, stride: 1 },
  { shape: SMALL, stride: 11 },
];

t.test(
  'whatever bucket call fails, and however, nothing is lost and the rest is done later',
  async (t) => {
    const plans = SHAPES.flatMap((plan) =>
      (['refused', 'lost'] as const).map((fault) => ({ ...plan, fault })),
    );
    for (const { fault, shape, stride } of plans) {
      for (let n = 1, isDone = false; !isDone; n += stride) {
        const world = await CompactionWorld.create(shape);
        const from = world.store.calls.length;
        world.store.failWhen = ({ number }) => (number === from + n ? fault : undefined);
        const disk = new MemoryDisk();
        const compactor = world.compactor(disk);
        await compactor.run();
        isDone = world.store.calls.length < from + n;
        world.store.failWhen = () => undefined;
        if (fault === 'refused') t.equal(compactor.counts.runsCompleted, isDone ? 1 : 0, `${n}`);
        t.strictSame(await world.read(), world.expected);
        await compactor.run();
        t.strictSame(await world.read(), world.expected);
        if (n % 5 !== 1) continue;
        await settle(world, disk);
        t.strictSame(await world.read(), world.expected);
        t.equal(world.blocks().length, 1);
        t.strictSame(world.orphans(), []);
      }
    }
  },
);

/** The bucket of a process that is killed at its n-th call: that is done or not, and none answers. */
function dyingBucket(
  bucket: Bucket,
  n: number,
  isDone: boolean,
): { bucket: Bucket; died: Promise<void> } {
  let count = 0;
  let onDeath = (): void => undefined;
  const died = new Promise<void>((resolve) => (onDeath = resolve));
  const call = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    count++;
    if (count < n) return work();
    if (count === n && isDone) await work().catch(() => undefined);
    onDeath();
    return new Promise(() => undefined);
  };
  return {
    died,
    bucket: {
      ...bucket,
      name: bucket.name,
      getRange: (...args) => call(() => bucket.getRange(...args)),
      put: (...args) => call(() => bucket.put(...args)),
      head: (...args) => call(() => bucket.head(...args)),
      list: (...args) => call(() => bucket.list(...args)),
      delete: (...args) => call(() => bucket.delete(...args)),
      close: () => bucket.close(),
    },
  };
}

t.test(
  'a process that is killed or loses power at any call of the bucket loses nothing',
  async (t) => {
    const plans = SHAPES.flatMap((plan) => [false, true].map((isDone) => ({ ...plan, isDone })));
    for (const { isDone, shape, stride } of plans) {
      for (let n = 1, isEnd = false; !isEnd; n += stride) {
        const world = await CompactionWorld.create(shape);
        const { bucket, died } = dyingBucket(world.bucket, n, isDone);
        const disk = new MemoryDisk();
        const run = world.compactor(disk, { bucket }).run();
        isEnd = (await Promise.race([run.then(() => 'end'), died.then(() => 'died')])) === 'end';
        t.strictSame(await world.read(), world.expected, `call ${n}, ${isDone ? '' : 'not '}done`);
        const next = n % 2 === 0 ? disk.losePower() : disk.loseProcess();
        await world.compactor(next).run();
        t.strictSame(await world.read(), world.expected);
        if (n % 8 > 1) continue;
        await settle(world, next);
        t.strictSame(await world.read(), world.expected);
        t.equal(world.blocks().length, 1);
        if (n % 2 !== 0) t.strictSame(world.orphans(), []);
      }
    }
  },
);

t.test('whatever disk call fails, nothing is lost and the next run completes', async (t) => {
  for (let n = 1, isDone = false; !isDone; n++) {
    const world = await CompactionWorld.create(ONE_JOB);
    const disk = new MemoryDisk();
    disk.failWhen = ({ number }) => number === n;
    const compactor = world.compactor(disk);
    await compactor.run();
    isDone = disk.calls.length < n;
    disk.failWhen = () => false;
    t.strictSame(await world.read(), world.expected, `call ${n}`);
    const again = world.compactor(disk.losePower());
    await again.run();
    t.strictSame(await world.read(), world.expected);
    t.match(again.status().tenants[0], { jobs: [], failure: '' });
  }
});

/** A disk that changes a bit of its n-th write, which only shows when it is read. */
function changing(disk: MemoryDisk, n: number): Disk {
  let count = 0;
  return new Proxy<Disk>(disk, {
    get(target, name) {
      if (name !== 'open') return (Reflect.get(target, name) as () => unknown).bind(target);
      return async (path: string, mode: 'create' | 'read' | 'read-write') => {
        const file = await target.open(path, mode);
        const write = (bytes: Uint8Array, offset: number): Promise<void> => {
          const copy = new Uint8Array(bytes);
          if (++count === n) copy[copy.length >> 1]! ^= 0x10;
          return file.write(copy, offset);
        };
        const read = file.read.bind(file);
        const truncate = file.truncate.bind(file);
        const [sync, close] = [file.sync.bind(file), file.close.bind(file)];
        return { path, write, read, truncate, sync, close };
      };
    },
  });
}

t.test(
  'a disk that keeps something else than was written: parents stay, and the next run completes',
  async (t) => {
    let refusedCount = 0;
    for (let n = 1; n <= CHANGED_WRITES; n++) {
      const world = await CompactionWorld.create(ONE_JOB);
      const compactor = world.compactor(changing(new MemoryDisk(), n));
      await compactor.run();
      t.strictSame(await world.read(), world.expected, `write ${n}`);
      refusedCount += compactor.counts.jobsFailed;
      t.equal(compactor.counts.blocksQuarantined, 0, 'no block is blamed for the disk');
      await settle(world);
      t.strictSame(await world.read(), world.expected);
      t.equal(world.blocks().length, 1);
    }
    t.ok(refusedCount >= 3, `${refusedCount} blocks were not uploaded`);
  },
);

t.test('two that own everything do no harm', async (t) => {
  for (let late = 0; late < 40; late += 5) {
    const world = await CompactionWorld.create(SMALL);
    const first = world.compactor(new MemoryDisk());
    const second = world.compactor(new MemoryDisk());
    const from = world.store.calls.length;
    const runs = [first.run()];
    while (world.store.calls.length < from + late)
      await new Promise((resolve) => setImmediate(resolve));
    runs.push(second.run());
    await Promise.all(runs);
    t.strictSame(await world.read(), world.expected, `${late} calls later`);
    await Promise.all([settle(world), settle(world)]);
    t.strictSame(await world.read(), world.expected);
    t.equal(world.blocks().length, 1);
    t.strictSame(world.orphans(), []);
  }
});

t.test(
  'a bad block is named and left out after its second failure, and halts nobody',
  async (t) => {
    const world = await CompactionWorld.create({ windows: 3, replicas: 2 });
    const bad = world.blocks()[1] ?? '';
    const key = `${TENANT}/${bad}/chunks/000001`;
    const bytes = world.store.bytes(key)?.slice() ?? new Uint8Array(0);
    bytes[20]! ^= 1;
    await world.bucket.put(key, bytes);
    const compactor = world.compactor(new MemoryDisk());
    await compactor.run();
    t.match(compactor.counts, { jobsFailed: 1, blocksQuarantined: 0, jobsDone: 2, runsFailed: 1 });
    await compactor.run();
    t.match(compactor.counts, { jobsFailed: 2, blocksQuarantined: 1 });
    t.match(compactor.status().tenants[0], { noCompactCount: 1, jobs: [], failure: '' });
    const mark = JSON.parse(
      Buffer.from(world.store.bytes(`${TENANT}/${bad}/no-compact-mark.json`) ?? []).toString(),
    ) as { readonly details: string };
    t.match(mark, { id: bad, reason: 'block.corrupt', details: /checksum of a chunk is wrong/ });
    await settle(world);
    t.ok(world.blocks().includes(bad), 'it stays for people to look at');
    t.equal(world.blocks().length, 2);
  },
);

t.test('marks: the delay holds whatever the wall clock does; no-compact blocks stay', async (t) => {
  const world = await CompactionWorld.create(SMALL);
  const kept = parseBlockId(world.blocks()[0] ?? '');
  if (kept === undefined) throw new Error('no block');
  const mark = { id: kept, kind: 'no-compact', timeMs: 0, details: '', reason: 'manual' } as const;
  await putMark(world.bucket, TENANT, mark);
  let wallShiftMs = 0;
  const { clock } = world;
  const jumping = {
    wallMs: () => clock.wallMs() + wallShiftMs,
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs: number, callback: () => void) => clock.after(delayMs, callback),
    nextTurn: (callback: () => void) => {
      clock.nextTurn(callback);
    },
    afterPromises: (callback: () => void) => clock.afterPromises(callback),
  };
  const compactor = world.compactor(new MemoryDisk(), { clock: jumping });
  await compactor.run();
  const before = world.blocks().length;
  wallShiftMs = 365 * 24 * HOUR_MS;
  await compactor.run();
  t.equal(world.blocks().length, before);
  t.strictSame(await world.read(), world.expected);
  clock.advance(HOUR_MS);
  await compactor.run();
  t.equal(world.blocks().length, 2, 'the one that was made, and the one that stays');
  t.ok(world.blocks().includes(kept));
  t.strictSame(await world.read(), world.expected);
});

t.test('a mark of a time that did not come yet is put right by a clock that is', async (t) => {
  const check = async (isRight: boolean, hours: number, count: number): Promise<void> => {
    const world = await CompactionWorld.create(ONE_JOB);
    const ahead = Object.assign(Object.create(world.clock) as typeof world.clock, {
      wallMs: () => world.clock.wallMs() + 30 * 24 * HOUR_MS,
      monotonicMs: () => world.clock.monotonicMs(),
      nextTurn: (callback: () => void) => {
        world.clock.nextTurn(callback);
      },
    });
    await world.compactor(new MemoryDisk(), { clock: ahead, isClockRight: () => false }).run();
    const compactor = world.compactor(new MemoryDisk(), { isClockRight: () => isRight });
    for (let hour = 0; hour <= hours; hour++) {
      await compactor.run();
      world.clock.advance(HOUR_MS);
    }
    t.equal(world.blocks().length, count, `${isRight} ${hours}`);
    t.strictSame(await world.read(), world.expected);
  };
  await check(true, 11, 3);
  await check(true, 12, 1);
  await check(false, 12, 3);
  await check(false, 29 * 24, 3);
  await check(false, 31 * 24, 1);
});

t.test('retention, uploads that were given up, tenants that are deleted', async (t) => {
  const world = await CompactionWorld.create({ windows: 14, replicas: 1 });
  const other = parseTenantId('other');
  const otherSeries = seriesOfWindow(SMALL, 0, 1);
  await world.ship(otherSeries, 0, 's', other);
  const partial = world.blocks()[0]?.replace(/...$/, 'ZZZ') ?? '';
  await world.bucket.put(`${TENANT}/${partial}/index`, new Uint8Array(10));
  const compactor = world.compactor(new MemoryDisk(), {
    retentionMsOf: (tenant) => (tenant === TENANT ? 76 * HOUR_MS : 0),
  });
  await compactor.run();
  t.match(compactor.counts.blocksMarked, { retention: 12 });
  t.equal((await world.read()).length, world.expected.length, 'readable until they are ignored');
  for (let hour = 0; hour < 20; hour++) {
    world.clock.advance(HOUR_MS);
    await compactor.run();
  }
  t.equal(world.blocks().length, 0, 'the clock went on');
  t.strictSame(await world.read(), []);
  t.ok(
    world.orphans().some((key) => key.includes(partial)),
    'not yet',
  );
  for (let hour = 0; hour < 26; hour++) {
    world.clock.advance(HOUR_MS);
    await compactor.run();
  }
  t.strictSame(world.orphans(), []);
  t.strictSame(await world.read(other), linesOf(otherSeries), 'others are not touched');

  await putTenantDeletion(world.bucket, other, { markedAtMs: 1000, finishedAtMs: undefined });
  await compactor.run();
  t.strictSame(await world.read(other), []);
  t.match(await readTenantDeletion(world.bucket, other), { markedAtMs: 1000 });
  t.not((await readTenantDeletion(world.bucket, other))?.finishedAtMs, undefined);
  t.strictSame(world.blocks(other), []);
  await world.ship(otherSeries, 0, 's', other);
  await compactor.run();
  t.strictSame(world.blocks(other), [], 'what comes later goes too');
});
