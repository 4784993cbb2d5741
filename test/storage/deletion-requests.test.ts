/**
 * Goal: requests to delete are the same for all who see the bucket, nothing is due on doubt, and a document that does
 * not hold deletes nothing. Method: a directory, the simulated store and a real S3 server (moto, with PROM_BIN);
 * clocks that are wrong, buckets that are away, documents that do not hold.
 */
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { parseTenantId } from '../../model/ids.ts';
import { parseBucketUrl } from '../../platform/bucket/url.ts';
import { openBucket } from '../../platform/node/bucket/open.ts';
import { S3Bucket } from '../../platform/node/bucket/s3.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { createNodeRandom } from '../../platform/node/random.ts';
import type { Bucket } from '../../platform/platform.ts';
import { SimBucketStore } from '../../sim/bucket.ts';
import { newBlockId } from '../../storage/block/ulid.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { encodeRequest, parseRequest, requestKey } from '../../storage/deletion/request.ts';
import {
  DeletionRequests,
  REFRESH_MS,
  REQUESTS_PER_TENANT_MAX,
} from '../../storage/deletion/requests.ts';
import { testBlockId } from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { motoProgram, startMoto } from '../support/moto.ts';
import { refusal } from '../support/refusal.ts';
import { silentLog } from '../support/toy-tsdb.ts';

const HOUR_MS = 3_600_000;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${seed}`);
const random = createNodeRandom();
const tenant = parseTenantId('team-a');
const other = parseTenantId('team-b');

const wanted = {
  selectors: [[{ name: '__name__', type: '=', value: 'm0' }]],
  range: { minTimeMs: Number.MIN_SAFE_INTEGER, maxTimeMs: Number.MAX_SAFE_INTEGER },
} as const;

function requestsOn(
  bucket: Bucket,
  clock: FakeClock,
  disk = new MemoryDisk(),
  isClockRight = (): boolean => true,
  cancelPeriodMs = 24 * HOUR_MS,
): DeletionRequests {
  return new DeletionRequests({
    isClockRight,
    ...{ bucket, clock, disk, log: silentLog, random, directory: '/' },
    cancelPeriodMs,
  });
}

async function checkRequests(t: Test, bucket: Bucket): Promise<void> {
  const clock = new FakeClock();
  const [a, b] = [requestsOn(bucket, clock), requestsOn(bucket, clock)];
  await b.refresh();
  t.strictSame(b.of(tenant), []);
  const request = await a.add(tenant, wanted);
  t.equal(request.range.maxTimeMs, clock.wallMs(), 'only what exists');
  t.strictSame(a.of(tenant), [request], 'in force where it was asked for');
  await b.refresh();
  t.strictSame(b.of(tenant), [request], 'and wherever the bucket is read');
  t.equal(b.of(tenant), b.of(tenant), 'made once');
  t.strictSame(b.of(other), [], 'for its tenant alone');
  t.strictSame(b.due(tenant), [], 'it can be cancelled');
  await t.rejects(b.cancel(other, request.id), refusal('deletion.not_found'));
  await b.cancel(tenant, request.id);
  await b.cancel(tenant, request.id);
  await a.refresh();
  t.strictSame(a.of(tenant), [], 'cancelled everywhere');
  clock.advance(1);
  const second = await b.add(tenant, wanted);
  clock.advance(25 * HOUR_MS);
  await a.refresh();
  t.strictSame(a.due(tenant), [], 'not known for long enough');
  clock.advance(HOUR_MS);
  await a.refresh();
  t.strictSame(
    a.due(tenant).map(({ id }) => id),
    [second.id],
  );
  await t.rejects(a.cancel(tenant, second.id), refusal('deletion.too_late', /are over/));
  await a.markProcessed(tenant, second.id);
  await b.refresh();
  t.strictSame(
    b.list(tenant).map(({ request: { id }, state }) => [id, state]),
    [
      [second.id, 'processed'],
      [request.id, 'cancelled'],
    ],
  );
  t.equal(b.of(tenant).length, 1, 'hidden for ever: an old block may come');
  a.close();
  b.close();
}

t.test('requests are the same for all who see the bucket', async (t) => {
  const clock = createNodeClock();
  const disk = createNodeDisk();
  const directory = `${t.testdir()}/bucket`;
  await checkRequests(t, await openBucket({ kind: 'file', directory }, { clock, disk, random }));
  await checkRequests(t, new SimBucketStore().sideOf(clock));
});

t.test('clocks may differ by ten minutes, however short the time to cancel is', async (t) => {
  const MINUTE_MS = HOUR_MS / 60;
  const check = async (cancelMinutes: number, afterMinutes: number, isDue: boolean) => {
    const clock = new FakeClock();
    const bucket = new SimBucketStore().sideOf(clock);
    const always = (): boolean => true;
    const requests = requestsOn(bucket, clock, new MemoryDisk(), always, cancelMinutes * MINUTE_MS);
    await requests.add(tenant, wanted);
    clock.advance(afterMinutes * MINUTE_MS);
    await requests.refresh();
    t.equal(requests.due(tenant).length > 0, isDue, `${cancelMinutes} ${afterMinutes}`);
  };
  await check(1, 10, false);
  await check(1, 11, true);
  await check(60, 69, false);
  await check(60, 70, true);
  await check(0, 0, true);
});

t.test('nothing is due to who may not know that it was cancelled', async (t) => {
  const clock = new FakeClock();
  const bucket = new SimBucketStore().sideOf(clock);
  let isRight = true;
  const a = requestsOn(bucket, clock);
  const b = requestsOn(bucket, clock, new MemoryDisk(), () => isRight);
  const cancelled = await a.add(tenant, wanted);
  const kept = await a.add(tenant, wanted);
  await b.refresh();
  clock.advance(23 * HOUR_MS);
  await a.cancel(tenant, cancelled.id);
  clock.advance(3 * HOUR_MS);
  t.strictSame(b.due(tenant), [], 'it has not read the bucket since it could be cancelled');
  await b.refresh();
  t.strictSame(b.due(tenant), [kept]);
  isRight = false;
  t.strictSame(b.due(tenant), [], 'its clock may be ahead');
  await t.rejects(b.add(tenant, wanted), refusal('node.not_ready', /clock/));
  await t.rejects(b.cancel(tenant, kept.id), refusal('node.not_ready', /clock/));
});

t.test('what is read counts also where a request is taken meanwhile', async (t) => {
  const clock = new FakeClock();
  const bucket = new SimBucketStore().sideOf(clock);
  const [a, b] = [requestsOn(bucket, clock), requestsOn(bucket, clock)];
  await a.refresh();
  const theirs = await b.add(tenant, wanted);
  const read = a.refresh();
  const own = await a.add(tenant, wanted);
  await read;
  const ids = a.of(tenant).map(({ id }) => id);
  t.strictSame(ids.sort(), [theirs.id, own.id].sort());
});

t.test('however many requests there are, they are read; cancelled ones make room', async (t) => {
  const clock = new FakeClock();
  const store = new SimBucketStore();
  const a = requestsOn(store.sideOf(clock), clock);
  const first = await a.add(tenant, wanted);
  for (let i = 0; i < REQUESTS_PER_TENANT_MAX; i++) {
    const id = newBlockId({ clock, random });
    store.put(requestKey(tenant, id, 'json'), encodeRequest({ ...first, id }));
    store.put(requestKey(tenant, id, 'cancelled'), Buffer.from('{}'));
  }
  await a.refresh();
  t.equal(a.list(tenant).length, REQUESTS_PER_TENANT_MAX + 1);
  await a.add(tenant, wanted);
  await a.refresh();
  t.equal(a.list(tenant).length, REQUESTS_PER_TENANT_MAX + 1, 'the oldest cancelled one went');
  t.equal(a.of(tenant).length, 2);
});

const moto = motoProgram();
t.test(
  'requests on a real S3 server',
  { skip: moto === undefined ? 'no moto-server in PROM_BIN' : false },
  async (t) => {
    const server = await startMoto(moto ?? '', 'test-bucket');
    t.teardown(() => server.stop());
    const location = parseBucketUrl(`s3://test-bucket/deep?endpoint=${server.endpoint}`);
    if (typeof location === 'string' || location.kind !== 's3') throw new Error('not S3');
    const clock = createNodeClock();
    await checkRequests(t, new S3Bucket({ location, clock, random, partBytes: 5 * 1024 * 1024 }));
  },
);

t.test('a node that starts while the bucket is away knows what it knew', async (t) => {
  const clock = new FakeClock();
  const store = new SimBucketStore();
  const disk = new MemoryDisk();
  const first = requestsOn(store.sideOf(clock), clock, disk);
  await first.open(false);
  t.throws(() => first.checkKnown(), refusal('node.not_ready', /not read from the bucket yet/));
  await first.refresh();
  first.checkKnown();
  const { id } = await first.add(tenant, wanted);
  first.close();
  store.failWhen = () => 'refused';
  const again = requestsOn(store.sideOf(clock), clock, disk);
  await again.open(false);
  again.checkKnown();
  t.strictSame(
    again.of(tenant).map((one) => one.id),
    [id],
  );
  await t.rejects(again.add(tenant, wanted), refusal('bucket.unavailable'));
  t.equal(again.of(tenant).length, 1, 'what is not in the bucket is not told as taken');
  store.failWhen = () => undefined;
  store.listLagMs = 60_000;
  store.nowMs = () => clock.wallMs();
  const { id: late } = await again.add(tenant, wanted);
  await again.refresh();
  t.same(new Set(again.of(tenant).map((one) => one.id)), new Set([id, late]), 'listings may lag');
  again.close();
  const fresh = requestsOn(store.sideOf(clock), clock);
  await fresh.open(true);
  fresh.checkKnown();
  fresh.close();
});

t.test('a node looks at the bucket every half a minute', async (t) => {
  const clock = new FakeClock();
  const store = new SimBucketStore();
  const [writer, reader] = [0, 1].map(() => requestsOn(store.sideOf(clock), clock)) as [
    DeletionRequests,
    DeletionRequests,
  ];
  await reader.open(true);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 50; i++) await turn();
  };
  clock.advance(0);
  await settle();
  await writer.add(tenant, wanted);
  clock.advance(REFRESH_MS);
  await settle();
  t.equal(reader.of(tenant).length, 1);
  reader.close();
});

t.test('a document that leaves a doubt deletes nothing, and is told', async (t) => {
  const clock = new FakeClock();
  const store = new SimBucketStore();
  const requests = requestsOn(store.sideOf(clock), clock);
  const good = await requests.add(tenant, wanted);
  const id = testBlockId(7);
  const document = {
    ...(JSON.parse(Buffer.from(encodeRequest({ ...good, id })).toString()) as object),
  };
  t.strictSame(parseRequest(encodeRequest(good), good.id), good);
  let broken = 0;
  const check = async (text: string): Promise<void> => {
    store.put(requestKey(tenant, id, 'json'), Buffer.from(text));
    await requests.refresh();
    t.equal(requests.brokenCount, 1, text.slice(0, 100));
    t.strictSame(requests.of(tenant), [good]);
    broken++;
  };
  const with_ = (changes: object): string => JSON.stringify({ ...document, ...changes });
  const one = (matchers: readonly object[]): string => with_({ selectors: [{ matchers }] });
  await check('');
  await check('{');
  await check('[]');
  await check('null');
  await check(with_({ version: 2 }));
  await check(with_({ request_id: good.id }));
  await check(with_({ start_time: 5, end_time: 4 }));
  await check(with_({ start_time: '5' }));
  await check(with_({ end_time: clock.wallMs() + 1 }));
  await check(with_({ created_at: 1e300 }));
  await check(with_({ selectors: [] }));
  await check(with_({ selectors: {} }));
  await check(with_({ selectors: Array.from({ length: 101 }, () => ({ matchers: [] })) }));
  await check(one([]));
  await check(one([{ name: 'a', type: '==', value: 'b' }]));
  await check(one([{ name: 'a', type: '=', value: '' }]));
  await check(one([{ name: 'a', type: '=~', value: '.*' }]));
  await check(one([{ name: 'a', type: '=~', value: '(' }]));
  await check(one([{ name: 'a', type: '=~', value: `(${'a'.repeat(10)}{1000}){1000}` }]));
  await check(one([{ name: 'a', type: '=' }]));
  await check(one(Array.from({ length: 101 }, () => ({ name: 'a', type: '=', value: 'b' }))));
  await check(`"${'x'.repeat(300_000)}"`);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e6 }), (cut) => {
      const bytes = encodeRequest(good);
      try {
        parseRequest(bytes.subarray(0, cut % bytes.length), good.id);
        return false;
      } catch (thrown) {
        return thrown instanceof Error && thrown.name === 'BadDocument';
      }
    }),
    { seed },
  );
  store.put(requestKey(tenant, id, 'json'), Buffer.from(with_({})));
  await requests.refresh();
  t.equal(requests.brokenCount, 0);
  t.equal(requests.of(tenant).length, 2, 'mended');
  for (const key of ['__markers__/x', '__markers__/../delete-series/0.json', '__markers__/a/b/c'])
    store.put(key, Buffer.from('{'));
  await requests.refresh();
  t.equal(requests.brokenCount, 0, 'what is not ours is left alone');
  t.ok(broken > 20);
});

t.test('what a request may be', async (t) => {
  const clock = new FakeClock();
  const store = new SimBucketStore();
  const requests = requestsOn(store.sideOf(clock), clock);
  const check = (changes: Partial<Omit<Deletion, 'id'>>, why: RegExp): Promise<unknown> =>
    t.rejects(requests.add(tenant, { ...wanted, ...changes }), refusal('request.parameter', why));
  await check({ selectors: [] }, /no selector/);
  await check({ selectors: [[]] }, /matches every series/);
  await check({ selectors: [[{ name: 'a', type: '!=', value: 'b' }]] }, /matches every series/);
  await check(
    { range: { minTimeMs: clock.wallMs() + 1, maxTimeMs: clock.wallMs() + 2 } },
    /begins in the future/,
  );
  const value = 'x'.repeat(300_000);
  await check({ selectors: [[{ name: 'a', type: '=', value }]] }, /the limit is/);
  t.strictSame(store.keys(), []);
  for (let i = 0; i < 1000; i++) {
    const id = testBlockId(i + 1);
    const request = { ...wanted, id, createdAtMs: 2, range: { minTimeMs: 0, maxTimeMs: 1 } };
    store.put(requestKey(tenant, id, 'json'), encodeRequest(request));
  }
  await requests.refresh();
  t.equal(requests.of(tenant).length, 1000);
  await t.rejects(requests.add(tenant, wanted), refusal('deletion.too_many', /1000/));
  await requests.add(other, wanted);
});
