/**
 * Goal: a data directory keeps who it is through restarts and crashes, and refuses to be used wrongly.
 * Method: a disk in memory; the n-th call fails, power is cut, the directory is opened again.
 */
import t from 'tap';
import { openIdentity } from '../../membership/identity.ts';
import { parseInstanceId } from '../../model/ids.ts';
import type { Random } from '../../platform/platform.ts';
import { refusal } from '../support/refusal.ts';
import { TinyDisk } from '../support/tiny-disk.ts';

const dataDirectory = '/data';

/** Counts up: each draw is another one. */
function countingRandom(): Random {
  let next = 0;
  return {
    float: () => 0,
    uint32: () => next++,
    bytes: (count) => new Uint8Array(count).fill(++next),
  };
}

t.test('openIdentity() gives a fresh directory an id, a store id and boot 1', async (t) => {
  const disk = new TinyDisk();
  const identity = await openIdentity({ disk, random: countingRandom(), dataDirectory });
  t.equal(identity.instanceId, 'starling-01010101');
  t.equal(identity.storeId, '02'.repeat(16));
  t.equal(identity.bootCounter, 1);
  t.equal(identity.isNew, true);
  t.equal(disk.text('/data/FORMAT'), '1\n');
});

t.test('openIdentity() keeps id and store id, and raises the boot counter each time', async (t) => {
  const disk = new TinyDisk();
  const random = countingRandom();
  const instanceId = parseInstanceId('a-1');
  const first = await openIdentity({ disk, random, dataDirectory, instanceId });
  for (let boot = 2; boot < 5; boot++) {
    disk.crash(); // also frees the lock
    const identity = await openIdentity({ disk, random, dataDirectory });
    t.equal(identity.instanceId, 'a-1');
    t.equal(identity.storeId, first.storeId);
    t.equal(identity.bootCounter, boot);
    t.equal(identity.isNew, false);
  }
});

t.test('C7 openIdentity() remembers the label of the cluster it was started with', async (t) => {
  const disk = new TinyDisk();
  const random = countingRandom();
  const open = (label?: string): ReturnType<typeof openIdentity> =>
    openIdentity({
      disk,
      random,
      dataDirectory,
      ...(label === undefined ? {} : { clusterLabel: label }),
    });
  await (await open()).close();
  const labelled = await open('a');
  await labelled.raiseBootCounter(7);
  await labelled.close();
  await t.rejects(open('b'), refusal('disk.other_cluster', /labelled a, not to b/));
  t.equal((await open('a')).bootCounter, 8);
});

t.test('Identity.raiseBootCounter() is durable and never lowers it', async (t) => {
  const disk = new TinyDisk();
  const random = countingRandom();
  const identity = await openIdentity({ disk, random, dataDirectory });
  await identity.raiseBootCounter(9);
  await identity.raiseBootCounter(3);
  t.equal(identity.bootCounter, 9);
  disk.crash();
  t.equal((await openIdentity({ disk, random, dataDirectory })).bootCounter, 10);
});

t.test(
  'C7 openIdentity() refuses another instance’s directory or a damaged one, and leaves it alone',
  async (t) => {
    const valid = '{"instanceId":"a","storeId":"00000000000000000000000000000000","bootCounter":3}';
    const check = async (
      files: Readonly<Record<string, string>>,
      id: Parameters<typeof refusal>[0],
      message: RegExp,
    ): Promise<void> => {
      const disk = new TinyDisk();
      for (const [name, content] of Object.entries(files)) disk.put(`/data/${name}`, content);
      const instanceId = parseInstanceId('b');
      const random = countingRandom();
      const wanted = { instanceId, clusterLabel: 'prod' };
      const opening = openIdentity({ disk, random, dataDirectory, ...wanted });
      await t.rejects(opening, refusal(id, message));
      t.strictSame(disk.written, 'FORMAT' in files ? [] : ['/data/FORMAT.tmp']);
      const lock = await disk.lock(dataDirectory);
      await lock.release(); // the refused process holds no lock
    };
    await check({ FORMAT: '2\n', IDENTITY: valid }, 'disk.format_newer', /format 2.*up to 1/);
    await check({ FORMAT: '999999999' }, 'disk.format_newer', /newer version/);
    await check({ FORMAT: 'x' }, 'disk.failed', /FORMAT/);
    await check({ IDENTITY: valid }, 'disk.other_instance', /belongs to instance a, not to b/);
    const labelled = (label: string): string =>
      valid.replace('"a"', '"b"').replace('3}', `3,"clusterLabel":${label}}`);
    await check(
      { FORMAT: '1', IDENTITY: labelled('"test"') },
      'disk.other_cluster',
      /labelled test, not to prod/,
    );
    await check({ FORMAT: '1', IDENTITY: labelled('7') }, 'disk.failed', /damaged/);
    const broken = [
      '',
      '{',
      '[]',
      'null',
      '{}',
      valid.replace('3', '0'),
      valid.replace('3', '1.5'),
    ];
    broken.push(valid.replace('"a"', '"__proto__"'), valid.replace('"0', '"z'), 'x'.repeat(9999));
    for (const text of broken) {
      await check({ FORMAT: '1', IDENTITY: text }, 'disk.failed', /IDENTITY: it is damaged/);
    }
  },
);

t.test('openIdentity() refuses a file in which any one bit flipped', async (t) => {
  for (const label of [undefined, 'prod']) {
    const disk = new TinyDisk();
    const random = countingRandom();
    const wanted = label === undefined ? {} : { clusterLabel: label };
    await (await openIdentity({ disk, random, dataDirectory, ...wanted })).close();
    const file = Buffer.from(disk.text('/data/IDENTITY') ?? '');
    for (let bit = 0; bit < file.length * 8; bit++) {
      const flipped = Buffer.from(file);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      disk.put('/data/IDENTITY', flipped);
      const opening = openIdentity({ disk, random, dataDirectory });
      await t.rejects(opening, refusal('disk.failed', /IDENTITY: it is damaged/), `bit ${bit}`);
    }
    disk.put('/data/IDENTITY', file);
    t.equal((await openIdentity({ disk, random, dataDirectory })).bootCounter, 2);
  }
});

t.test(
  'openIdentity() reads a file of before there were checksums, and gives it one',
  async (t) => {
    const disk = new TinyDisk();
    const older = { instanceId: 'a', storeId: '0'.repeat(32), bootCounter: 3 };
    const check = async (text: string, bootCounter: number): Promise<void> => {
      disk.put('/data/IDENTITY', text);
      const identity = await openIdentity({ disk, random: countingRandom(), dataDirectory });
      t.equal(identity.bootCounter, bootCounter);
      await identity.close();
      t.match(
        disk.text('/data/IDENTITY') ?? '',
        new RegExp(`:${bootCounter}.*,"crc32c":"[0-9a-f]{8}"}\n$`),
      );
    };
    await check(`${JSON.stringify(older)}\n`, 4);
    await check(`${JSON.stringify({ ...older, clusterLabel: 'prod' })}\n`, 4);
    await check(disk.text('/data/IDENTITY') ?? '', 5);
  },
);

t.test('openIdentity() refuses a second process until the first is gone', async (t) => {
  const disk = new TinyDisk();
  const random = countingRandom();
  const first = await openIdentity({ disk, random, dataDirectory });
  await t.rejects(openIdentity({ disk, random, dataDirectory }), refusal('disk.locked', /\/data/));
  await first.close();
  await first.close();
  t.equal((await openIdentity({ disk, random, dataDirectory })).bootCounter, 2);
});

t.test(
  'openIdentity() survives a failure of any disk call: no boot counter is used twice',
  async (t) => {
    const disk = new TinyDisk();
    const random = countingRandom();
    const used = new Set<number>();
    let storeId: string | undefined;
    let didFinish = false;
    for (let call = 1; !didFinish; call++) {
      disk.failAtCall = call;
      try {
        await openIdentity({ disk, random, dataDirectory });
        didFinish = true;
      } catch (error) {
        t.match(error, refusal('disk.failed', /injected/));
      }
      disk.crash({ keepsUnsynced: call % 2 === 0 });
      const identity = await openIdentity({ disk, random, dataDirectory });
      storeId ??= identity.storeId;
      t.equal(identity.storeId, storeId);
      t.notOk(used.has(identity.bootCounter));
      used.add(identity.bootCounter);
      disk.crash();
    }
    t.ok(used.size > 8, 'the loop met every call');
  },
);
