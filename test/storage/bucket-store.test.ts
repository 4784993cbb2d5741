/**
 * Goal: blocks are read from a bucket in few requests and bounded memory, and a damaged index header heals.
 * Method: a real block, shipped into the simulated store; its calls are counted.
 */
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { parseTenantId } from '../../model/ids.ts';
import { makeDurableDirectory } from '../../platform/durable-directory.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { createNodeLog } from '../../platform/node/log.ts';
import { SimBucketStore } from '../../sim/bucket.ts';
import { BucketStore } from '../../storage/bucket/bucket-store.ts';
import { RangeCache } from '../../storage/bucket/range-cache.ts';
import { Shipper } from '../../storage/bucket/shipper.ts';
import {
  bitsOf,
  readTestBlock,
  seriesOfBlock,
  testBlockId,
  writeTestBlock,
} from '../support/block-contents.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';

const tenant = parseTenantId('t');
const clock = createNodeClock();
const log = { ...createNodeLog('error'), warn: () => undefined, info: () => undefined };
const id = testBlockId(1);

t.test('RangeCache joins near ranges, fetches nothing twice, and stays in its bound', async (t) => {
  const store = new SimBucketStore();
  const bucket = store.sideOf(clock);
  const bytes = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 7 + (i >>> 9)) & 0xff);
  await bucket.put('o', bytes);
  const object = { key: 'o', sizeBytes: bytes.length };
  const cache = new RangeCache(bucket, 500_000);
  const reads = (): number => store.calls.filter(({ kind }) => kind === 'getRange').length;
  const check = async (offset: number, byteCount: number): Promise<void> => {
    const found = await cache.read(object, offset, byteCount);
    t.ok(Buffer.from(bytes.subarray(offset, offset + byteCount)).equals(found), `${offset}`);
  };
  await cache.prefetch(object, [
    { offset: 10, byteCount: 20 },
    { offset: 100_000, byteCount: 20 },
    { offset: 2_000_000, byteCount: 20 },
  ]);
  t.equal(reads(), 2, 'two that are near, and one that is far');
  await check(15, 10);
  await check(100_005, 10);
  t.equal(reads(), 2);
  await Promise.all([check(1_000_000, 100_000), check(1_000_000, 100_000)]);
  t.equal(reads(), 3, 'what is on its way is waited for');
  await check(2_999_000, 5000);
  await check(0, 3_000_000);
  await check(3_000_000, 10);
  t.ok(cache.stats().bytes <= 500_000);
  store.failWhen = () => 'refused';
  await t.rejects(cache.read(object, 1_500_000, 10), refusal('bucket.unavailable'));
  store.failWhen = () => undefined;
  await check(1_500_000, 10);
});

t.test(
  'BucketStore reads a shipped block as the disk has it; a damaged header heals',
  async (t) => {
    const disk = new MemoryDisk();
    const directory = '/data/t';
    await makeDurableDirectory(disk, directory, 9);
    const series = Array.from({ length: 300 }, (_, s) => ({
      labels: labelsFromPairs([
        ['__name__', 'm'],
        ['s', `value-${s}`],
      ]),
      samples: Array.from({ length: 40 }, (_, i) => ({ timeMs: i * 15_000, bits: bitsOf(s * i) })),
    }));
    await writeTestBlock(disk, directory, id, series, { minTimeMs: 0, maxTimeMs: 7_199_999 });
    const sim = new SimBucketStore();
    const bucket = sim.sideOf(clock);
    await (
      await Shipper.open({ clock, disk, bucket, log, tenant, storeId: 's', directory })
    ).ship();
    const open = (): BucketStore => new BucketStore({ bucket, disk, log, directory: '/data/sg' });
    const contents = async (store: BucketStore): Promise<unknown> => {
      const use = await store.use(tenant, id);
      const refs = await use.reader.select([]);
      await use.prefetch.entries(refs);
      const found = await seriesOfBlock(use.reader);
      use.done();
      return found;
    };
    const expected = await readTestBlock(disk, directory, id);
    const first = open();
    t.strictSame(await contents(first), expected);
    const calls = sim.calls.length;
    t.strictSame(await contents(first), expected);
    t.equal(sim.calls.length, calls, 'all of it is at hand');
    const header = `/data/sg/t/${id}.index-header`;
    for (const damage of [
      Buffer.alloc(0),
      Buffer.from('junk'),
      disk.fileBytes(header).fill(7, 60, 90),
    ]) {
      disk.putFile(header, damage);
      t.strictSame(await contents(open()), expected);
    }
    await first.retain(tenant, new Set([id]));
    t.ok(await disk.stat(header));
    await first.retain(tenant, new Set());
    t.equal(await disk.stat(header), undefined);
    await t.rejects(first.use(tenant, testBlockId(9)), refusal('block.corrupt', /missing/));
    await bucket.delete(`t/${id}/chunks/000001`);
    await t.rejects(contents(open()), refusal('bucket.not_found'));
  },
);
