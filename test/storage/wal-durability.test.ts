/**
 * Durability of the log. Goal: what was acknowledged is there after a kill and, in mode batch, after
 * a power loss, whichever disk call fails. Method: a disk in memory that knows what survives; the
 * fault loops fail call 1, 2, 3, … until a run meets no fault.
 */
import t from 'tap';
import { StarlingError } from '../../model/errors.ts';
import { refusal } from '../support/refusal.ts';
import { type DiskCall, MemoryDisk } from '../support/memory-disk.ts';
import {
  type NodeOptions,
  type OpenedNode,
  WAL_PATH,
  idsOf,
  numberedRecord,
  openBeside,
  openNode,
} from '../support/wal-contents.ts';

const SMALL_SEGMENT = 2 * 32 * 1024;

/** Appends one record and waits for it. */
async function put(node: OpenedNode, id: number, bytes = 0): Promise<void> {
  node.wal.append(numberedRecord(id, bytes));
  await node.wal.durable();
}

async function idsAfter(disk: MemoryDisk): Promise<number[]> {
  return idsOf((await openNode(disk)).contents);
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

t.test('durable() in mode batch survives power loss, at once and without a timer', async (t) => {
  const disk = new MemoryDisk();
  const node = await openNode(disk);
  await put(node, 1);
  await put(node, 2);
  t.strictSame(await idsAfter(disk.losePower()), [1, 2]);
});

t.test(
  'durable() in modes interval and os survives a kill; interval syncs by its timer',
  async (t) => {
    for (const mode of ['interval', 'os'] as const) {
      const killed = new MemoryDisk();
      await put(await openNode(killed, { mode }), 1);
      t.strictSame(await idsAfter(killed.loseProcess()), [1], `${mode}, killed`);
    }
    const disk = new MemoryDisk();
    const node = await openNode(disk, { mode: 'interval' });
    await put(node, 1);
    t.equal(disk.countOf('sync'), 0);
    node.clock.advance(100);
    await turns(5);
    t.equal(disk.countOf('sync'), 1);
    await put(node, 2);
    t.strictSame(await idsAfter(disk.losePower()), [1], 'what came after the last sync is gone');
  },
);

t.test('durable() shares a write and a sync between the callers of a turn', async (t) => {
  const disk = new MemoryDisk();
  const node = await openNode(disk);
  await put(node, 0);
  const writes = (): number =>
    disk.calls.filter(({ kind, path }) => kind === 'write' && path.startsWith(`${WAL_PATH}/`))
      .length;
  const before = { write: writes(), sync: disk.countOf('sync') };
  const firsts = [1, 2, 3].map((id) => put(node, id));
  await turns(2); // their batch is on the disk now
  const seconds = [4, 5, 6].map((id) => put(node, id));
  await Promise.all([...firsts, ...seconds]);
  t.equal(writes() - before.write, 2);
  t.equal(disk.countOf('sync') - before.sync, 2);
  t.strictSame(await idsAfter(disk.losePower()), [0, 1, 2, 3, 4, 5, 6]);
});

t.test('durable() of a caller that appended nothing waits for what others appended', async (t) => {
  const disk = new MemoryDisk();
  const node = await openNode(disk);
  await node.wal.durable();
  t.equal(disk.countOf('write'), 0, 'nothing to wait for');
  node.wal.append(numberedRecord(1));
  void node.wal.durable();
  await node.wal.durable();
  t.equal(disk.countOf('sync'), 1);
  node.wal.append(numberedRecord(2));
  const first = node.wal.durable();
  while (disk.calls.at(-1)?.kind !== 'write') await turns(1);
  t.equal(disk.countOf('sync'), 1);
  await node.wal.durable(); // in the middle of that write
  t.equal(disk.countOf('sync'), 2);
  await first;
});

t.test('one committer syncs several logs at once, up to its bound', async (t) => {
  const disk = new MemoryDisk();
  const node = await openNode(disk);
  const logs = [node.wal];
  for (let i = 0; i < 8; i++) logs.push(await openBeside(node, disk, `/wal-${i}`));
  logs.forEach((log, i) => log.append(numberedRecord(i)));
  await Promise.all(logs.map((log) => log.durable()));
  t.equal(disk.syncsAtOnceMax, 3);
  t.equal(disk.countOf('sync'), 9);
});

t.test('a log that refuses for what waits heals with the disk, whoever asks it then', async (t) => {
  const disk = new MemoryDisk();
  const node = await openNode(disk, { pendingBytesMax: 100 });
  await put(node, 1);
  disk.failWhen = ({ kind }) => kind === 'write' || kind === 'truncate';
  await t.rejects(put(node, 2, 50), refusal('wal.write_failed'));
  t.throws(() => node.wal.append(numberedRecord(3, 80)), refusal('wal.write_failed', /heal/));
  await turns(5);
  disk.failWhen = () => false;
  t.throws(() => node.wal.append(numberedRecord(3, 80)), refusal('wal.write_failed'));
  await turns(20); // that refusal made the log try
  await put(node, 3, 80);
  t.strictSame(await idsAfter(disk.losePower()), [1, 2, 3]);
});

t.test('a failed write is told, kept, and written again when the disk heals', async (t) => {
  for (const retriesBody of [true, false]) {
    const disk = new MemoryDisk();
    const node = await openNode(disk);
    await put(node, 1);
    disk.failCode = 'ENOSPC';
    disk.failWhen = ({ kind }) => kind === 'write' || kind === 'truncate';
    await t.rejects(put(node, 2), refusal('wal.write_failed', /ENOSPC/));
    await t.rejects(put(node, 3), refusal('wal.write_failed', /ENOSPC/));
    await t.rejects(node.wal.durable(), refusal('wal.write_failed'), 'also without an append');
    disk.failWhen = () => false;
    // The head holds 2 and 3 already, so the retry appends nothing, or something else.
    await (retriesBody ? node.wal.durable() : put(node, 4));
    const expected = retriesBody ? [1, 2, 3] : [1, 2, 3, 4];
    t.strictSame(await idsAfter(disk.losePower()), expected);
    t.equal(node.fatals.length, 0);
  }
});

t.test(
  'after a failed write the torn end is cut, the segment ended and the next begun',
  async (t) => {
    const disk = new MemoryDisk();
    const node = await openNode(disk);
    await put(node, 1);
    const goodBytes = disk.fileBytes(`${WAL_PATH}/00000000`).length;
    disk.failWhen = ({ kind }) => kind === 'write';
    await t.rejects(put(node, 2, 500), refusal('wal.write_failed'));
    t.ok(disk.fileBytes(`${WAL_PATH}/00000000`).length > goodBytes, 'a torn end');
    disk.failWhen = () => false;
    await put(node, 3);
    t.equal(disk.fileBytes(`${WAL_PATH}/00000000`).length, goodBytes);
    t.equal(node.wal.segment, 1);
    const calls = disk.calls.filter(({ path }) => path.startsWith(`${WAL_PATH}/`));
    const order = calls.map(({ kind, path }) => `${kind} ${path.slice(-1)}`).join(', ');
    t.match(
      order,
      /truncate 0, sync 0, close 0, open 1,/,
      'the cut is durable before what follows',
    );
    const { contents, replayed } = await openNode(disk.losePower());
    t.strictSame(idsOf(contents), [1, 2, 3]);
    t.strictSame([replayed.damageCount, replayed.tornBytes], [0, 0]);
  },
);

t.test('a disk that stays full makes no heap of segments', async (t) => {
  const disk = new MemoryDisk();
  const node = await openNode(disk);
  disk.failWhen = ({ kind }) => kind === 'write';
  for (let id = 1; id <= 20; id++) await t.rejects(put(node, id), refusal('wal.write_failed'));
  disk.failWhen = () => false;
  await node.wal.durable();
  t.strictSame(await disk.list(WAL_PATH), ['00000000']);
  t.equal((await idsAfter(disk.losePower())).length, 20);
});

t.test('append() refuses when too many bytes wait, and names the reason', async (t) => {
  const disk = new MemoryDisk();
  const node = await openNode(disk, { pendingBytesMax: 100 });
  node.wal.append(numberedRecord(1));
  node.wal.append(numberedRecord(2));
  t.throws(() => node.wal.append(numberedRecord(3, 60)), refusal('node.overloaded', /100/));
  disk.failWhen = ({ kind }) => kind === 'write';
  await t.rejects(node.wal.durable(), refusal('wal.write_failed'));
  t.throws(() => node.wal.append(numberedRecord(3, 60)), refusal('wal.write_failed'));
  disk.failWhen = () => false;
  await node.wal.durable();
  await put(node, 3, 60);
  t.strictSame(await idsAfter(disk.losePower()), [1, 2, 3]);
});

t.test('a failed sync is final: nobody is acked any more, onFatal is called once', async (t) => {
  const check = async (mode: 'batch' | 'interval', kind: DiskCall['kind']): Promise<void> => {
    const disk = new MemoryDisk();
    const node = await openNode(disk, { mode });
    const acked: number[] = [];
    if (kind === 'sync') {
      acked.push(1);
      await put(node, 1);
    }
    disk.failWhen = (call) => call.kind === kind;
    const doomed = put(node, 2);
    if (mode === 'interval') {
      await doomed;
      node.clock.advance(100);
      await turns(5);
    } else await t.rejects(doomed, refusal('wal.sync_failed'), mode);
    disk.failWhen = () => false;
    t.throws(() => node.wal.append(numberedRecord(3)), refusal('wal.sync_failed'));
    await t.rejects(node.wal.durable(), refusal('wal.sync_failed'));
    await t.rejects(node.wal.close(), refusal('wal.sync_failed'));
    t.equal(node.fatals.length, 1);
    t.equal(disk.countOf('sync'), mode === 'batch' && kind === 'sync' ? 2 : disk.countOf('sync'));
    if (mode === 'batch') t.strictSame((await idsAfter(disk.losePower())).slice(0, 1), acked);
  };
  await check('batch', 'sync');
  await check('batch', 'syncDirectory');
  await check('interval', 'sync');
});

t.test('a failed sync fails those who wait for other logs too', async (t) => {
  const disk = new MemoryDisk();
  const node = await openNode(disk);
  const other = await openBeside(node, disk, '/other');
  disk.failWhen = ({ kind, path }) => kind === 'sync' && path.startsWith(WAL_PATH);
  other.append(numberedRecord(9));
  const results = await Promise.allSettled([put(node, 1), other.durable()]);
  t.equal(results[0].status, 'rejected');
  t.throws(() => other.append(numberedRecord(10)), refusal('wal.sync_failed'));
  t.equal(node.fatals.length, 1);
});

t.test('close() writes and syncs what is pending in every mode, twice without harm', async (t) => {
  for (const mode of ['batch', 'interval', 'os'] as const) {
    const disk = new MemoryDisk();
    const node = await openNode(disk, { mode });
    node.wal.append(numberedRecord(1));
    await Promise.all([node.wal.close(), node.wal.close()]);
    t.equal(disk.countOf('close'), disk.countOf('open'), `${mode}: no handle stays open`);
    t.strictSame(await idsAfter(disk.losePower()), [1], mode);
  }
});

t.test('an idle log makes no segment, and reopening makes none either', async (t) => {
  const disk = new MemoryDisk();
  for (let i = 0; i < 3; i++) await (await openNode(disk)).wal.close();
  t.strictSame(await disk.list(WAL_PATH), []);
  const node = await openNode(disk);
  await put(node, 1);
  await node.wal.close();
  const again = await openNode(disk);
  t.equal(again.wal.segment, 1, 'never writes to a segment of an earlier process');
});

/** One life of a log: opens, writes, checkpoints, closes. Collects what was acknowledged. */
async function live(disk: MemoryDisk, acked: Set<number>, options: NodeOptions): Promise<void> {
  const node = await openNode(disk, { ...options, segmentBytesMax: SMALL_SEGMENT });
  for (let id = 1; id <= 18; id++) {
    try {
      const wanted = [id, id + 100];
      for (const one of wanted) node.wal.append(numberedRecord(one, 9000));
      await node.wal.durable();
      for (const one of wanted) acked.add(one);
      if (id % 6 === 0) await node.wal.checkpoint(() => true, 0);
    } catch (thrown) {
      if (!(thrown instanceof StarlingError)) throw thrown;
    }
  }
  await node.wal.close();
}

t.test('whichever disk call fails, every acknowledged record is there afterwards', async (t) => {
  const check = async (mode: 'batch' | 'interval', isLasting: boolean): Promise<number> => {
    for (let failed = 1; ; failed++) {
      const disk = new MemoryDisk();
      disk.failWhen = ({ number }) =>
        number === failed || (isLasting && number > failed && number < failed + 6);
      const acked = new Set<number>();
      await live(disk, acked, { mode }).catch((thrown: unknown) => {
        if (!(thrown instanceof StarlingError)) throw thrown;
      });
      const found = new Set(
        await idsAfter(mode === 'batch' ? disk.losePower() : disk.loseProcess()),
      );
      const lost = [...acked].filter((id) => !found.has(id));
      if (lost.length > 0) {
        const { kind, path } = disk.calls[failed - 1]!;
        t.fail(`call ${failed}, ${kind} ${path}: lost ${lost.join(' ')}`);
      }
      if (disk.calls.length < failed) {
        t.equal(acked.size, 36, 'the last run met no fault');
        return failed;
      }
    }
  };
  t.ok((await check('batch', false)) > 100);
  t.ok((await check('batch', true)) > 100);
  t.ok((await check('interval', false)) > 50);
});

t.test(
  'whichever disk call is the last before power loss, acknowledged records are there',
  async (t) => {
    for (let last = 1; ; last++) {
      const disk = new MemoryDisk();
      const acked = new Set<number>();
      let crashed: MemoryDisk | undefined;
      const died = new Promise<void>((resolve) => {
        disk.failWhen = ({ number }) => {
          if (number === last) {
            crashed = disk.losePower();
            resolve();
          }
          return false;
        };
      });
      await Promise.race([died, live(disk, acked, {})]);
      if (crashed === undefined) return t.ok(last > 100);
      const found = new Set(await idsAfter(crashed));
      const lost = [...acked].filter((id) => !found.has(id));
      t.strictSame(lost, [], `power lost at call ${last}`);
    }
  },
);

t.test('what a replay found is durable before anybody counts on it', async (t) => {
  const disk = new MemoryDisk();
  const node = await openNode(disk);
  await put(node, 1);
  disk.failWhen = ({ kind }) => kind === 'sync';
  await t.rejects(put(node, 2), refusal('wal.sync_failed'));
  const restarted = disk.loseProcess(); // the record is readable, but no sync brings it down any more
  const { contents } = await openNode(restarted);
  t.strictSame(idsOf(contents), [1, 2]);
  t.strictSame(
    await idsAfter(restarted.losePower()),
    [1, 2],
    'a repetition of 2 may be acknowledged',
  );
});
