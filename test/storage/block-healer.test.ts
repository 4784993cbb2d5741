/**
 * Goal: a local block that cannot be read comes back from the bucket, or is set aside once it was told that its
 * time is missing; until then reads of its time fail by its name, and other times are answered. Method: a small
 * TSDB whose block is damaged in each file, with and without a bucket that has it; each disk call fails once.
 */
import t from 'tap';
import { parseTenantId } from '../../model/ids.ts';
import { SimBucketStore } from '../../sim/bucket.ts';
import type { BlockHealing } from '../../storage/block-healer.ts';
import { DAMAGED_KEPT_HOURS } from '../../storage/damaged-blocks.ts';
import type { BlockId } from '../../storage/block/ulid.ts';
import { blockKey } from '../../storage/bucket/layout.ts';
import { Shipper } from '../../storage/bucket/shipper.ts';
import { type FoundLoss, type Tsdb, restoreBlock } from '../../storage/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import {
  type ToyTsdb,
  batchOf,
  linesOf,
  metric,
  openTsdb,
  readAll,
  silentLog,
} from '../support/toy-tsdb.ts';

const HOUR_MS = 3_600_000;
const START = 1_699_999_200_000;
const DIRECTORY = '/data/tenant';
const tenant = parseTenantId('t');
const clock = new FakeClock(START + HOUR_MS);
const early = { minTimeMs: START, maxTimeMs: START + HOUR_MS };
const late = { minTimeMs: START + 3 * HOUR_MS, maxTimeMs: START + 4 * HOUR_MS };

interface Scene extends ToyTsdb {
  readonly disk: MemoryDisk;
  readonly bucket: SimBucketStore;
  readonly id: BlockId;
  readonly losses: FoundLoss[];
  readonly expected: readonly string[];
  readonly healing: BlockHealing;
}

/** What a restore waits for before it fetches anything. */
interface Slow {
  gate?: Promise<void>;
  /** What was set aside is not filled yet. */
  isMissing?: boolean;
}

/** A TSDB with a shipped block of the early hour and a head of the late one. */
async function scene(canRefill = true, slow: Slow = {}): Promise<Scene> {
  const disk = new MemoryDisk();
  const bucket = new SimBucketStore();
  const losses: FoundLoss[] = [];
  const side = bucket.sideOf(clock);
  const healing = healingOf(bucket, disk, canRefill, slow);
  const opened = await openTsdb(disk, optionsOf({ healing, losses }), clock);
  const { tsdb } = opened;
  write(tsdb, early.minTimeMs);
  const [meta] = await tsdb.flush();
  write(tsdb, late.minTimeMs);
  await tsdb.durable();
  const shipping = { clock, disk, bucket: side, log: silentLog, tenant, storeId: 's' };
  await (await Shipper.open({ ...shipping, directory: DIRECTORY })).ship();
  const id = meta?.id ?? ('' as BlockId); // never: there is a block
  const expected = linesOf(await readAll(tsdb, [], early));
  await opened.tsdb.close();
  await opened.committer.close();
  const again = await openTsdb(disk, optionsOf({ healing, losses }), clock);
  return { ...again, disk, bucket, id, losses, expected, healing };
}

function healingOf(
  bucket: SimBucketStore,
  disk: MemoryDisk,
  canRefill = true,
  slow: Slow = {},
): BlockHealing {
  const side = bucket.sideOf(clock);
  return {
    restore: async (id, pacer) => {
      await slow.gate;
      return restoreBlock({ bucket: side, disk, tenant, id, directory: DIRECTORY, pacer });
    },
    canRefill: () => canRefill,
    isWhole: () => slow.isMissing !== true,
  };
}

function optionsOf({ healing, losses }: Pick<Scene, 'healing' | 'losses'>) {
  const onLoss = (loss: FoundLoss): Promise<void> => {
    losses.push(loss);
    return Promise.resolve();
  };
  return { healing, onLoss };
}

function write(tsdb: Tsdb, fromMs: number): void {
  for (let i = 0; i < 300; i++) {
    const timeMs = fromMs + i * 10_000;
    const batch = batchOf(
      ['a', 'b', 'c'].map((name) => ({ labels: metric(name), samples: [[timeMs, i]] })),
    );
    tsdb.append(batch, timeMs);
  }
}

function damage({ disk, id }: Pick<Scene, 'disk' | 'id'>, file: string): void {
  const path = `${DIRECTORY}/${id}/${file}`;
  const bytes = Buffer.from(disk.fileBytes(path));
  const at = file === 'index' ? bytes.length - 30 : bytes.length - 20;
  bytes[at] = bytes[at]! ^ 0x10;
  disk.putFile(path, bytes);
}

const FILES = ['chunks/000001', 'index', 'meta.json'];

/** Damages a block and opens the directory again where only that shows it. */
async function damaged(file: string, canRefill = true, slow: Slow = {}): Promise<Scene> {
  const made = await scene(canRefill, slow);
  if (file === 'meta.json') {
    await made.tsdb.close();
    made.disk.putFile(`${DIRECTORY}/${made.id}/${file}`, Buffer.from('{"ulid":'));
    return { ...made, ...(await openTsdb(made.disk, optionsOf(made), clock)) };
  }
  damage(made, file);
  return made;
}

t.test('a damaged block that is in the bucket comes back from there', async (t) => {
  for (const file of FILES) {
    const { disk, expected, id, losses, tsdb } = await damaged(file);
    await t.rejects(readAll(tsdb, [], early), refusal('block.corrupt', new RegExp(id)), file);
    // Without meta.json nobody knows what its times are.
    if (file !== 'meta.json') {
      t.ok(linesOf(await readAll(tsdb, [], late)).length > 0, `${file}: other times are answered`);
    }
    await t.rejects(readAll(tsdb, [], early), refusal('block.corrupt'), 'and it goes on failing');
    await tsdb.maintain(clock.wallMs());
    t.strictSame(linesOf(await readAll(tsdb, [], early)), expected, file);
    t.strictSame(losses, []);
    t.strictSame(
      (await disk.list(DIRECTORY)).filter((name) => name.startsWith(id)),
      [id],
      'nothing is left beside it',
    );
    await tsdb.close();
  }
});

t.test(
  'to fetch one may take long: heads are cut meanwhile, and a tenant that closes ends it',
  async (t) => {
    let open = (): void => undefined;
    const slow: Slow = { gate: new Promise((resolve) => (open = resolve)) };
    const { bucket, disk, expected, id, losses, tsdb } = await damaged('index', true, slow);
    await t.rejects(readAll(tsdb, [], early), refusal('block.corrupt'));
    const healed = tsdb.maintain(clock.wallMs());
    t.equal((await tsdb.flush()).length, 1, 'the head is cut while the bucket is waited for');
    await tsdb.maintain(clock.wallMs()); // and does not begin another
    open();
    await healed;
    t.strictSame(linesOf(await readAll(tsdb, [], early)), expected);

    damage({ disk, id }, 'index');
    await tsdb.close();
    const again = await openTsdb(
      disk,
      optionsOf({ healing: healingOf(bucket, disk), losses }),
      clock,
    );
    await t.rejects(readAll(again.tsdb, [], early), refusal('block.corrupt'));
    const stopped = again.tsdb.maintain(clock.wallMs());
    await again.tsdb.close();
    await stopped;
    t.strictSame(losses, [], 'nothing is told as lost by who only stops');
    const names = (await disk.list(DIRECTORY)).filter((name) => name.endsWith('.damaged'));
    t.strictSame(names, []);
  },
);

t.test('one that is nowhere else is told as lost, then set aside', async (t) => {
  for (const file of FILES) {
    const { bucket, disk, id, losses, tsdb } = await damaged(file);
    bucket.put(blockKey(tenant, id, 'meta.json'), undefined);
    await t.rejects(readAll(tsdb, [], early), refusal('block.corrupt'));
    await tsdb.maintain(clock.wallMs());
    t.equal(losses.length, 1, file);
    const [loss] = losses;
    if (file !== 'meta.json') t.equal(loss?.fromMs, early.minTimeMs);
    t.ok((loss?.fromMs ?? 1) <= early.minTimeMs && (loss?.beforeMs ?? 0) > START + 2_990_000);
    t.ok((loss?.beforeMs ?? 0) <= START + 4 * HOUR_MS, 'it does not reach to now without need');
    const left = linesOf(await readAll(tsdb, [], early)); // the log may have some of it
    if (file !== 'meta.json') t.strictSame(left, [], 'the record says that it is missing');
    const names = (await disk.list(DIRECTORY)).filter((name) => name.startsWith(id));
    t.strictSame(names, [`${id}.damaged`], 'its files stay for people');
    await tsdb.close();
  }
});

t.test('one that is damaged in the bucket too, or that nobody could fill, stays', async (t) => {
  const both = await damaged('index');
  const key = blockKey(tenant, both.id, 'chunks/000001');
  const bytes = Buffer.from(both.bucket.bytes(key) ?? []);
  bytes[bytes.length - 20] = bytes[bytes.length - 20]! ^ 1;
  both.bucket.put(key, bytes);
  await t.rejects(readAll(both.tsdb, [], early), refusal('block.corrupt'));
  await both.tsdb.maintain(clock.wallMs());
  t.equal(both.losses.length, 1, 'others fill it again');
  await both.tsdb.close();

  const alone = await damaged('index', false);
  alone.bucket.failWhen = () => 'refused';
  await t.rejects(readAll(alone.tsdb, [], early), refusal('block.corrupt'));
  await alone.tsdb.maintain(clock.wallMs());
  await t.rejects(readAll(alone.tsdb, [], early), refusal('block.corrupt'), 'by its name');
  t.strictSame(alone.losses, []);
  alone.bucket.failWhen = () => undefined;
  clock.advance(HOUR_MS / 4);
  await alone.tsdb.maintain(clock.wallMs());
  t.strictSame(linesOf(await readAll(alone.tsdb, [], early)), alone.expected, 'a later try');
  await alone.tsdb.close();
});

t.test('healing that fails at any disk call leaves nothing wrong behind', async (t) => {
  for (const isShipped of [true, false]) {
    let calls = 0;
    for (let failAt = 1; ; failAt++) {
      const made = await damaged('index');
      if (!isShipped) made.bucket.put(blockKey(tenant, made.id, 'meta.json'), undefined);
      await t.rejects(readAll(made.tsdb, [], early), refusal('block.corrupt'));
      let count = 0;
      made.disk.failWhen = () => ++count === failAt;
      await made.tsdb.maintain(clock.wallMs());
      made.disk.failWhen = () => false;
      calls = count;
      clock.advance(HOUR_MS / 4);
      await made.tsdb.maintain(clock.wallMs());
      const found = linesOf(await readAll(made.tsdb, [], early));
      const isTold = made.losses.length > 0;
      t.ok(isTold || found.join() === made.expected.join(), `call ${failAt}: whole, or told`);
      await made.tsdb.close();
      if (failAt > calls) break;
    }
    t.ok(calls > 2, `${calls} calls`);
  }
});

t.test('a crash at any disk call of healing loses no block without a word', async (t) => {
  // Long after the block was made: the log has nothing of it any more.
  const dropLog = async (disk: MemoryDisk): Promise<void> => {
    for (const name of await disk.list(`${DIRECTORY}/wal`)) {
      await disk.remove(`${DIRECTORY}/wal/${name}`);
    }
    await disk.remove(`${DIRECTORY}/wal.synced`).catch(() => undefined);
  };
  for (const kind of ['process', 'power']) {
    let restoredCount = 0;
    let count = 0;
    for (let crashAt = 1; crashAt === 1 || count >= crashAt - 1; crashAt++) {
      const made = await damaged('chunks/000001', false);
      const { disk, expected, id, losses, tsdb } = made;
      await t.rejects(readAll(tsdb, [], early), refusal('block.corrupt'));
      count = 0;
      disk.failWhen = () => ++count >= crashAt;
      await tsdb.maintain(clock.wallMs()).catch(() => undefined);
      const after = kind === 'power' ? disk.losePower() : disk.loseProcess();
      await tsdb.close().catch(() => undefined);
      await dropLog(after);
      const again = await openTsdb(after, optionsOf(made), clock);
      const found = await readAll(again.tsdb, [], early).then(linesOf, () => undefined);
      if (found !== undefined) {
        restoredCount++;
        t.strictSame(found, expected, `${kind}, call ${crashAt}`);
      }
      t.strictSame(losses, []);
      const names = (await after.list(DIRECTORY)).filter((name) => name.startsWith(id));
      t.strictSame(names, [id], 'nothing is left beside it');
      await again.tsdb.close();
      await again.committer.close();
    }
    t.ok(count > 10 && restoredCount > 1, `${kind}: ${count} calls, ${restoredCount} restored`);
  }
});

// The last one: its clock goes on for weeks.
t.test(
  'what was set aside goes when its time is filled and it was kept for two weeks',
  async (t) => {
    const slow: Slow = { isMissing: true };
    const { bucket, disk, id, tsdb, ...made } = await damaged('index', true, slow);
    bucket.put(blockKey(tenant, id, 'meta.json'), undefined);
    await t.rejects(readAll(tsdb, [], early), refusal('block.corrupt'));
    const directory = `${DIRECTORY}/${id}.damaged`;
    let opened = tsdb;
    const run = async (hours: number): Promise<boolean> => {
      for (let i = 0; i < hours; i++) {
        clock.advance(HOUR_MS);
        await opened.maintain(START); // wall clocks count nothing
      }
      return (await disk.stat(directory)) !== undefined;
    };
    t.ok(await run(DAMAGED_KEPT_HOURS + 10), 'it may be all that is left');
    slow.isMissing = false;
    t.ok(await run(DAMAGED_KEPT_HOURS - 1));
    await tsdb.close();
    ({ tsdb: opened } = await openTsdb(disk, optionsOf({ ...made, losses: [] }), clock));
    t.ok(await run(0), 'a start counts no hour');
    disk.putFile(`${directory}/KEPT`, Buffer.from('335'));
    disk.failWhen = ({ kind, path }) => kind === 'remove' && path.startsWith(directory);
    t.ok(await run(1), 'a disk that fails');
    disk.failWhen = () => false;
    disk.putFile(`${directory}/KEPT`, Buffer.from('9999999999'));
    t.ok(await run(1), 'a count that cannot be begins anew');
    t.ok(await run(DAMAGED_KEPT_HOURS - 2));
    t.notOk(await run(1));
    await opened.close();
  },
);
