/**
 * Goal: a block is in the bucket whole or not at all, is called shipped only when it is there, and any
 * failure is made good by trying again. Method: real blocks on a disk and a store in memory whose n-th
 * call fails, for every n; after each failure the process is started again.
 */
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import type { StarlingError } from '../../model/errors.ts';
import { parseTenantId } from '../../model/ids.ts';
import { makeDurableDirectory } from '../../platform/durable-directory.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { createNodeLog } from '../../platform/node/log.ts';
import { SimBucketStore } from '../../sim/bucket.ts';
import { BlockReader } from '../../storage/block/block-reader.ts';
import { type BlockFiles, diskBlockFiles } from '../../storage/block/byte-source.ts';
import { createSeriesEntry } from '../../storage/block/series-reader.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { readBucketMeta } from '../../storage/bucket/bucket-meta.ts';
import { putMark } from '../../storage/bucket/marks.ts';
import { type BlockDamage, Shipper } from '../../storage/bucket/shipper.ts';
import { Shipping } from '../../storage/bucket/shipping.ts';
import { deleteBlock } from '../../storage/compact/clean.ts';
import { blockIdTimeMs } from '../../storage/block/ulid.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { bitsOf, testBlockId, writeTestBlock } from '../support/block-contents.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';

const tenant = parseTenantId('Team.A');
const directory = '/data/tenants/team';
const clock = createNodeClock();
const log = createNodeLog('error');
const quiet = { ...log, warn: () => undefined };
const [A, B] = [testBlockId(1), testBlockId(2)];
/** Of bytes that are flipped. */
const FLIP_STRIDE = 11;

async function diskWithBlocks(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await makeDurableDirectory(disk, directory, 9);
  for (const [n, id] of [A, B].entries()) {
    const series = Array.from({ length: 20 }, (_, s) => ({
      labels: labelsFromPairs([['__name__', `m${s}`]]),
      samples: Array.from({ length: 30 }, (_, i) => ({ timeMs: n * 1e6 + i, bits: bitsOf(s * i) })),
    }));
    const range = { minTimeMs: n * 1e6, maxTimeMs: n * 1e6 + 999_999 };
    await writeTestBlock(disk, directory, id, series, range, { chunkSegmentBytesMax: 700 });
  }
  await disk.makeDirectory(`${directory}/${testBlockId(3)}.tmp-for-creation`);
  return disk;
}

/** Everything of a block is in the store as on the disk, described by its meta.json. */
async function checkWhole(store: SimBucketStore, disk: MemoryDisk, id: typeof A): Promise<boolean> {
  const found = await readBucketMeta(store.sideOf(clock), tenant, id);
  if (found === undefined) return false;
  const local = diskBlockFiles(disk, directory, id);
  for (const { path, sizeBytes } of found.files) {
    const bytes = store.bytes(`${tenant}/${id}/${path}`);
    const file = await local.open(path);
    const same = await file?.read(0, file.sizeBytes);
    if (bytes?.length !== sizeBytes || same === undefined) return false;
    if (Buffer.compare(bytes, same) !== 0) return false;
  }
  return found.files.filter(({ path }) => path.startsWith('chunks/')).length > 1;
}

t.test('ship() puts every block once, meta.json last', async (t) => {
  const disk = await diskWithBlocks();
  const store = new SimBucketStore();
  const options = {
    disk,
    bucket: store.sideOf(clock),
    log: quiet,
    tenant,
    storeId: 's1',
    clock,
    directory,
  };
  const shipper = await Shipper.open(options);
  t.notOk(shipper.isShipped(A));
  const [first, second] = await Promise.all([shipper.ship(), shipper.ship()]);
  t.strictSame([first, second], [2, 0], 'a second run finds nothing to do');
  for (const id of [A, B]) {
    t.ok(shipper.isShipped(id));
    t.ok(await checkWhole(store, disk, id));
    const puts = store.calls.filter(({ key, kind }) => kind === 'put' && key.includes(id));
    t.match(puts.at(-1)?.key, /meta\.json$/);
  }
  t.strictSame(
    store.keys().filter((key) => /tombstones|tmp/.test(key)),
    [],
    'neither empty tombstones nor what is half made',
  );
  const again = await Shipper.open(options);
  t.ok(again.isShipped(A));
  const calls = store.calls.length;
  t.equal(await again.ship(), 0);
  t.equal(store.calls.length, calls, 'what is written down is not asked of the store');
  await disk.removeTree(`${directory}/${A}`);
  t.equal(await again.ship(), 0);
  t.notOk(again.isShipped(A), 'what is not here needs no note');

  disk.putFile(`${directory}/thanos.shipper.json`, Buffer.from('{torn'));
  const torn = await Shipper.open(options);
  t.notOk(torn.isShipped(B));
  t.equal(await torn.ship(), 1, 'found in the bucket');
  t.equal(
    store.calls.slice(calls).filter(({ kind }) => kind === 'put').length,
    1,
    'meta.json only',
  );
});

t.test('whatever bucket call fails, and however, the next try completes', async (t) => {
  for (const fault of ['refused', 'lost'] as const) {
    for (let n = 1, isDone = false; !isDone; n++) {
      const disk = await diskWithBlocks();
      const store = new SimBucketStore();
      store.failWhen = ({ number }) => (number === n ? fault : undefined);
      const options = {
        disk,
        bucket: store.sideOf(clock),
        log: quiet,
        tenant,
        storeId: 's1',
        clock,
        directory,
      };
      const shipper = await Shipper.open(options);
      const error = await shipper.ship().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      isDone = store.calls.length < n;
      store.failWhen = () => undefined;
      t.equal(error === undefined, isDone, `${fault} ${n}`);
      for (const id of [A, B]) {
        const isWhole = await checkWhole(store, disk, id);
        if (shipper.isShipped(id)) t.ok(isWhole, 'shipped is whole');
        const meta = store.bytes(`${tenant}/${id}/meta.json`);
        t.equal(meta !== undefined, isWhole, 'a block with meta.json is whole');
      }
      const next = disk.losePower();
      const again = await Shipper.open({ ...options, disk: next });
      await again.ship();
      t.ok(again.isShipped(A) && again.isShipped(B));
      t.ok((await checkWhole(store, next, A)) && (await checkWhole(store, next, B)));
    }
  }
});

t.test('whatever disk call fails, shipped means shipped after a loss of power too', async (t) => {
  for (let n = 1, isDone = false; !isDone; n++) {
    const disk = await diskWithBlocks();
    const store = new SimBucketStore();
    const from = disk.calls.length;
    disk.failWhen = ({ number }) => number === from + n;
    const noted: string[] = [];
    const damage = { of: () => undefined, note: (id: string) => void noted.push(id) };
    const given = { bucket: store.sideOf(clock), log: quiet, clock, damage };
    const options = { ...given, tenant, storeId: 's1', directory };
    const before = new Set<string>();
    try {
      const shipper = await Shipper.open({ ...options, disk });
      await shipper.ship().finally(() => {
        for (const id of [A, B]) if (shipper.isShipped(id)) before.add(id);
      });
    } catch (thrown) {
      t.match(thrown, { id: /disk\.failed|block\.corrupt/ });
    }
    isDone = disk.calls.length < from + n;
    t.strictSame(noted, [], 'a disk that fails is no damage');
    const next = disk.losePower();
    const shipper = await Shipper.open({ ...options, disk: next });
    for (const id of before) t.ok(shipper.isShipped(testBlockId(id === A ? 1 : 2)), `call ${n}`);
    for (const id of [A, B]) if (shipper.isShipped(id)) t.ok(await checkWhole(store, next, id));
    await shipper.ship();
    t.ok((await checkWhole(store, next, A)) && (await checkWhole(store, next, B)));
  }
});

t.test('a flipped bit anywhere keeps a block out of the bucket, or changes nothing', async (t) => {
  const whole = await diskWithBlocks();
  const expected = await contentsOf(diskBlockFiles(whole, directory, A));
  let refusedCount = 0;
  for (const file of ['index', 'chunks/000001', 'chunks/000002']) {
    const path = `${directory}/${A}/${file}`;
    for (let at = 0; at < whole.fileBytes(path).length; at += FLIP_STRIDE) {
      const disk = await diskWithBlocks();
      const bytes = Buffer.from(disk.fileBytes(path));
      bytes[at] = bytes[at]! ^ 0x04;
      disk.putFile(path, bytes);
      const store = new SimBucketStore();
      const known = new Map<string, StarlingError>();
      const damage: BlockDamage = {
        of: (id) => known.get(id),
        note: (id, error) => void known.set(id, error),
      };
      const given = { disk, bucket: store.sideOf(clock), log: quiet, clock, damage };
      const shipper = await Shipper.open({ ...given, tenant, storeId: 's1', directory });
      const error = await shipper.ship().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      t.ok(shipper.isShipped(B), 'it keeps no other one');
      // Of another version it may be whole: it is not shipped, and not set aside either.
      const isDamage = (error as StarlingError | undefined)?.id === 'block.corrupt';
      t.strictSame([...known.keys()], isDamage ? [A] : [], `${file} ${at}`);
      if (error === undefined) {
        const bucketed = diskBlockFiles(disk, directory, A);
        t.strictSame(await contentsOf(bucketed), expected, `${file} ${at} does not matter`);
        continue;
      }
      refusedCount++;
      t.match(error, { id: /block\.(corrupt|unsupported)/ });
      t.strictSame(
        store.keys().filter((key) => key.includes(A)),
        [],
        'not a file of it',
      );
      await t.rejects(
        shipper.ship(),
        error as StarlingError,
        'known damage is not looked at again',
      );
    }
  }
  t.ok(refusedCount > 100, `${refusedCount} were refused`);
});

t.test('a meta.json with another time than that of the samples keeps a block out', async (t) => {
  const path = `${directory}/${A}/meta.json`;
  const whole = (await diskWithBlocks()).fileBytes(path).toString();
  const told = JSON.parse(whole) as { readonly minTime: number; readonly maxTime: number };
  const check = async (change: Partial<typeof told>, expected: string): Promise<void> => {
    const disk = await diskWithBlocks();
    disk.putFile(path, Buffer.from(JSON.stringify({ ...told, ...change })));
    const damaged: string[] = [];
    const damage: BlockDamage = { of: () => undefined, note: (id) => void damaged.push(id) };
    const bucket = new SimBucketStore().sideOf(clock);
    const given = { disk, bucket, log: quiet, clock, damage };
    const shipper = await Shipper.open({ ...given, tenant, storeId: 's1', directory });
    const id = await shipper.ship().then(
      () => 'shipped',
      (thrown: unknown) => (thrown as StarlingError).id,
    );
    t.equal(id, expected, JSON.stringify(change));
    t.strictSame(damaged, expected === 'shipped' ? [] : [A]);
  };
  const hourMs = 3_600_000;
  await check({}, 'shipped');
  await check({ minTime: told.minTime - hourMs, maxTime: told.maxTime + hourMs }, 'shipped');
  await check({ minTime: told.maxTime - 1 }, 'block.corrupt');
  await check({ maxTime: told.minTime + 1 }, 'block.corrupt');
  await check(
    { minTime: told.minTime + 24 * hourMs, maxTime: told.maxTime + 24 * hourMs },
    'block.corrupt',
  );
  await check(
    { minTime: told.minTime - 24 * hourMs, maxTime: told.maxTime - 24 * hourMs },
    'block.corrupt',
  );
});

/** All series and their chunks. */
async function contentsOf(files: BlockFiles): Promise<readonly unknown[]> {
  const reader = await BlockReader.open(files);
  const rows: unknown[] = [];
  for (const ref of await reader.select([{ name: '__name__', type: '=~', value: 'm.*' }])) {
    const entry = createSeriesEntry();
    await reader.index.readSeries(ref, entry);
    const labels = await reader.labels(entry);
    for (const chunk of entry.chunkRefs) {
      const { data, encoding } = await reader.readChunk(chunk);
      rows.push([...labels, encoding, Buffer.from(data).toString('hex')]);
    }
  }
  await reader.close();
  return rows;
}

t.test('a store that forgets is found out; a broken block keeps no other one', async (t) => {
  const disk = await diskWithBlocks();
  const store = new SimBucketStore();
  const honest = store.sideOf(clock);
  const forgets = Object.assign(Object.create(honest) as typeof honest, {
    put: () => Promise.resolve(),
    getRange: honest.getRange.bind(honest),
    head: honest.head.bind(honest),
  });
  const options = { disk, bucket: honest, log: quiet, tenant, storeId: 's1', clock, directory };
  const lied = await Shipper.open({ ...options, bucket: forgets });
  await t.rejects(lied.ship(), refusal('bucket.unavailable', /it is not there/));
  t.notOk(lied.isShipped(A));
  disk.putFile(`${directory}/${A}/meta.json`, Buffer.from('{'));
  const shipper = await Shipper.open(options);
  await t.rejects(shipper.ship(), refusal('block.corrupt'));
  t.notOk(shipper.isShipped(A));
  t.ok(shipper.isShipped(B));
});

t.test(
  'a block that is being healed is not shipped anew after compaction took it away',
  async (t) => {
    const disk = await diskWithBlocks();
    const store = new SimBucketStore();
    const bucket = store.sideOf(clock);
    const options = { disk, bucket, log: quiet, tenant, storeId: 's1', clock, directory };
    const shipper = await Shipper.open(options);
    t.equal(await shipper.ship(), 2);
    await deleteBlock(bucket, tenant, A);
    const swap = async (from: string, to: string): Promise<void> => {
      await disk.rename(`${directory}/${from}`, `${directory}/${to}`);
      t.equal(await shipper.ship(), 0, `${from} is ${to}`);
    };
    await swap(A, `${A}.restored`); // as it lies while the bad copy is moved away
    await swap(`${A}.restored`, A);
    t.ok(shipper.isShipped(A));
    t.strictSame(
      store.keys().filter((key) => key.includes(`/${A}/`)),
      [],
      'the bucket has what replaced it',
    );
    await swap(A, `${A}.damaged`);
    t.notOk(shipper.isShipped(A), 'set aside: it is no block any more');
  },
);

t.test(
  'a local block may go when the index had it for a while, or the bucket let it go',
  async (t) => {
    const disk = await diskWithBlocks();
    const store = new SimBucketStore();
    const wall = new FakeClock(blockIdTimeMs(A) + 1000);
    let retentionMs = 0;
    let gone: readonly Deletion[] = [];
    const options = {
      clock: wall,
      disk,
      bucket: store.sideOf(wall),
      log: { ...quiet, info: () => undefined },
      storeId: 's1',
      directoryOf: () => directory,
      ownsIndex: () => true,
      retentionMsOf: () => retentionMs,
      goneOf: () => gone,
    };
    let shipping = new Shipping(options);
    t.notOk(shipping.mayRemove(tenant, A));
    t.equal(await shipping.ship(tenant), 2);
    t.notOk(shipping.mayRemove(tenant, A), 'readers may have an older index');
    wall.advance(20 * 60_000);
    t.ok(shipping.mayRemove(tenant, A));
    t.ok(shipping.isIndexed(tenant, A));
    wall.advance(11 * 60_000);
    t.notOk(shipping.isIndexed(tenant, A), 'the look at the index is too old to say so');
    await shipping.ship(tenant);
    t.ok(shipping.isIndexed(tenant, A));
    const mark = {
      id: A,
      kind: 'deletion',
      timeMs: wall.wallMs(),
      details: '',
      reason: '',
    } as const;
    await putMark(store.sideOf(wall), tenant, mark);
    wall.advance(15 * 60_000);
    await shipping.ship(tenant);
    t.notOk(shipping.isIndexed(tenant, A), 'readers are about to leave it out');
    wall.advance(15 * 60_000);
    await deleteBlock(store.sideOf(wall), tenant, A);
    await shipping.ship(tenant);
    t.notOk(
      shipping.mayRemove(tenant, A),
      'it is not in the bucket any more, and nobody wanted that',
    );
    retentionMs = 60_000;
    t.ok(shipping.mayRemove(tenant, A));
    t.notOk(shipping.isIndexed(tenant, A), 'nobody finds it there');
    retentionMs = 24 * 3_600_000;
    t.notOk(shipping.mayRemove(tenant, A));
    let looked: Shipping | undefined = shipping;
    // What of it goes for good, what of it may be removed when all who asked are answered, and why.
    const check = async (maxTimeMs: number, isGone: boolean, why: string): Promise<void> => {
      const selectors = [[{ name: '__name__', type: '=~', value: 'm.*' } as const]];
      gone = [{ id: `until ${maxTimeMs}`, selectors, range: { minTimeMs: 0, maxTimeMs } }];
      wall.advance(15 * 60_000);
      await shipping.ship(tenant);
      const isFirst = shipping !== looked;
      looked = shipping;
      if (isFirst) t.notOk(shipping.mayRemove(tenant, A), 'a listing may lag');
      wall.advance(20 * 60_000);
      t.equal(shipping.mayRemove(tenant, A), isGone, why);
    };
    await check(28, false, 'each series has a sample more');
    await check(29, true, 'all of it was deleted');
    gone = [];
    wall.advance(15 * 60_000);
    await shipping.ship(tenant);
    t.notOk(shipping.mayRemove(tenant, A), 'it was not, after all');
    await shipping.close();
    shipping = new Shipping(options);
    await check(29, true, 'a restart knows it too');
    await shipping.close();
  },
);
