/**
 * Goal: a read of many cold blocks has several under way, never more than its bounds, ends what it began when
 * nobody waits any more, and names what could not be read. Method: real blocks shipped into the simulated
 * store, whose calls take time and are counted; virtual time passes when nothing else happens.
 */
import t from 'tap';
import type { BlocksSummary } from '../../actors/store-gateway/messages.ts';
import { StoreGatewayActor } from '../../actors/store-gateway/actor.ts';
import {
  BLOCKS_AT_ONCE_MAX,
  BLOCKS_PER_READ_MAX,
  BlockLanes,
} from '../../actors/store-gateway/block-lanes.ts';
import { StarlingError } from '../../model/errors.ts';
import { parseTenantId } from '../../model/ids.ts';
import { labelsFromPairs } from '../../model/labels.ts';
import { seriesCountOf } from '../../model/wire/series-frame.ts';
import { makeDurableDirectory } from '../../platform/durable-directory.ts';
import { createNodeLog } from '../../platform/node/log.ts';
import { TurnQueue } from '../../platform/turn-queue.ts';
import { SimBucketStore } from '../../sim/bucket.ts';
import { Shipper } from '../../storage/bucket/shipper.ts';
import { BucketIndexCache, BucketStore } from '../../storage/index.ts';
import { bitsOf, testBlockId, writeTestBlock } from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MatchMemory } from '../../storage/deletion/verdicts.ts';

const tenant = parseTenantId('t');
const log = { ...createNodeLog('error'), warn: () => undefined, info: () => undefined };
const LATENCY_MS = 20;
const BLOCKS = 100;
const range = { minTimeMs: 0, maxTimeMs: 1e12 };

/** A store-gateway with nothing on its disk, before a bucket with blocks of one series each. */
async function coldGateway() {
  const clock = new FakeClock(1_700_000_000_000);
  const disk = new MemoryDisk();
  const sim = new SimBucketStore();
  const bucket = sim.sideOf(clock);
  const directory = '/data/t';
  await makeDurableDirectory(disk, directory, 9);
  const ids = Array.from({ length: BLOCKS }, (_, i) => testBlockId(i + 1));
  for (const [i, id] of ids.entries()) {
    const labels = labelsFromPairs([['block', String(i)]]);
    const series = [{ labels, samples: [{ timeMs: 10 + i, bits: bitsOf(i) }] }];
    await writeTestBlock(disk, directory, id, series, { minTimeMs: 0, maxTimeMs: 7_199_999 });
  }
  await (await Shipper.open({ clock, disk, bucket, log, tenant, storeId: 's', directory })).ship();
  const calls = { now: 0, most: 0 };
  sim.latencyMs = () => LATENCY_MS;
  const counted = <Result>(call: () => Promise<Result>): Promise<Result> => {
    calls.most = Math.max(calls.most, ++calls.now);
    return call().finally(() => calls.now--);
  };
  const countedBucket = Object.assign(Object.create(bucket) as typeof bucket, {
    head: (...args: Parameters<typeof bucket.head>) => counted(() => bucket.head(...args)),
    getRange: (...args: Parameters<typeof bucket.getRange>) =>
      counted(() => bucket.getRange(...args)),
  });
  const gateway = new StoreGatewayActor({
    clock,
    turns: new TurnQueue(clock),
    store: new BucketStore({ bucket: countedBucket, disk, log, directory: '/data/sg' }),
    indexes: new BucketIndexCache(countedBucket, clock),
    owns: () => true,
    digest: () => 'digest',
    fingerprintOf: () => (_bytes, out) => out.fill(1),
    deletionsOf: () => ({ hidden: () => [], gone: () => [], memory: new MatchMemory() }),
    readDeletions: () => Promise.resolve(),
    onError: () => undefined,
  });
  return { bucket, calls, clock, gateway, ids, sim };
}

/** One read; `frameWaits` resolves when the asker has room for another frame. */
function read(
  gateway: StoreGatewayActor,
  blocks: readonly string[],
  frameWaits: () => Promise<void> = () => Promise.resolve(),
) {
  const frames: Uint8Array[] = [];
  const state = { isCancelled: false, framesNow: 0, framesMost: 0 };
  const done = new Promise<BlocksSummary | StarlingError>((resolve) => {
    gateway.receive({
      type: 'blocks-select',
      hints: { projection: undefined, newestOnly: false },
      scope: { tenant, range, selectors: [], blocks, limit: 0 },
      reply: {
        get isCancelled() {
          return state.isCancelled;
        },
        onCancel: () => undefined,
        frame: async (bytes) => {
          state.framesMost = Math.max(state.framesMost, ++state.framesNow);
          frames.push(bytes);
          await frameWaits();
          state.framesNow--;
        },
        end: resolve,
        fail: resolve,
      },
    });
  });
  return { done, frames, state };
}

/** Lets virtual time pass until the work is done; how long it took. */
async function timeOf(clock: FakeClock, work: Promise<unknown>): Promise<number> {
  const startMs = clock.monotonicMs();
  const state = { isDone: false };
  void work.finally(() => (state.isDone = true));
  while (!state.isDone) {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(LATENCY_MS);
  }
  return clock.monotonicMs() - startMs;
}

t.test('cold blocks are read several at a time, in few round trips each', async (t) => {
  const { calls, clock, gateway, ids } = await coldGateway();
  const { done, frames, state } = read(gateway, ids);
  const tookMs = await timeOf(clock, done);
  const summary = (await done) as BlocksSummary; // what a store-gateway answers
  t.strictSame([...summary.blocks].sort(), [...ids].sort());
  t.strictSame(summary.failures, []);
  const series = frames.reduce((sum, frame) => sum + seriesCountOf(frame), 0);
  t.equal(series, BLOCKS);
  t.ok(calls.most >= BLOCKS_PER_READ_MAX / 2, `${calls.most} calls at once`);
  t.ok(calls.most <= BLOCKS_PER_READ_MAX * 2, 'two of a block at most: it and its tombstones');
  const roundTrips = tookMs / LATENCY_MS;
  t.ok(roundTrips <= 40, `${roundTrips} round trips; one after another they are 300`);
  t.equal(state.framesMost, 1, 'a frame waits for the one before it');
});

t.test('a read that nobody waits for begins no more blocks, and holds none', async (t) => {
  const { clock, gateway, ids, sim } = await coldGateway();
  const { state } = read(gateway, ids);
  await new Promise((resolve) => setImmediate(resolve));
  clock.advance(LATENCY_MS);
  state.isCancelled = true;
  for (let i = 0; i < 100; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(LATENCY_MS);
  }
  const touched = new Set(
    sim.calls.filter(({ kind }) => kind === 'getRange').map(({ key }) => key.split('/')[1]),
  );
  t.ok(touched.size <= BLOCKS_PER_READ_MAX, `${touched.size} blocks`);
  const again = read(gateway, ids.slice(0, 3));
  await timeOf(clock, again.done);
  const next = (await again.done) as BlocksSummary; // as above
  t.equal(next.blocks.length, 3, 'the next read is served');
});

t.test('a block that is gone is named, a bucket that fails fails the read', async (t) => {
  const { bucket, clock, gateway, ids, sim } = await coldGateway();
  sim.latencyMs = () => 0;
  await bucket.delete(`t/${ids[7]!}/meta.json`);
  const first = read(gateway, ids.slice(0, 20));
  await timeOf(clock, first.done);
  const summary = (await first.done) as BlocksSummary; // as above
  t.equal(summary.blocks.length, 19);
  t.match(summary.failures, [/missing/]);
  sim.failWhen = () => 'refused';
  const second = read(gateway, ids.slice(30));
  await timeOf(clock, second.done);
  t.match(await second.done, { id: 'bucket.unavailable' });
});

t.test('BlockLanes: many reads share the blocks at once, and each has one', async (t) => {
  const lanes = new BlockLanes();
  const gates: (() => void)[] = [];
  let begun = 0;
  const items = Array.from({ length: 40 }, (_, i) => i);
  const work = (): Promise<void> => {
    begun++;
    return new Promise((resolve) => gates.push(resolve));
  };
  const reads = Array.from({ length: 100 }, () => lanes.each(items, work, () => false));
  t.ok(begun >= 100, 'none waits for another one');
  let most = 0;
  while (begun < 4000) {
    most = Math.max(most, lanes.blocksNow);
    gates.splice(Math.floor(gates.length / 2), 1)[0]?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const open of gates) open();
  await Promise.all(reads);
  t.ok(most <= BLOCKS_AT_ONCE_MAX + 100, `${most} at once`);
  t.equal(lanes.blocksNow, 0);
  await lanes.each([], work, () => false);
  await t.rejects(
    lanes.each(
      [1, 2],
      () => Promise.reject(new Error('broken')),
      () => false,
    ),
    { message: 'broken' },
  );
  t.equal(lanes.blocksNow, 0);
});
