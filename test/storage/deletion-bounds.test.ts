/**
 * Goal: many requests to delete cost a bounded amount: of memory, of the disk, of a start and of each read.
 * Method: counted calls of disk, bucket and blocks; copies that are torn or damaged at any byte.
 */
import fc from 'fast-check';
import t from 'tap';
import { parseTenantId } from '../../model/ids.ts';
import type { Bucket } from '../../platform/platform.ts';
import { createNodeRandom } from '../../platform/node/random.ts';
import { SimBucketStore } from '../../sim/bucket.ts';
import { BlockReader } from '../../storage/block/block-reader.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { deletedRefs } from '../../storage/block/select-block.ts';
import { READS_AT_ONCE } from '../../storage/deletion/bucket-requests.ts';
import { COMPILED_COST_MAX, compiledSelector } from '../../storage/deletion/compiled.ts';
import {
  RequestCopy,
  decodeCopy,
  encodeAddition,
  encodeCopy,
} from '../../storage/deletion/copy.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { encodeRequest, requestKey } from '../../storage/deletion/request.ts';
import {
  DeletionRequests,
  REQUESTS_BYTES_PER_TENANT_MAX,
} from '../../storage/deletion/requests.ts';
import { bitsOf, testBlockId, writeTestBlock } from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import { EVERYTHING, metric, silentLog } from '../support/toy-tsdb.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${seed}`);
const random = createNodeRandom();
const tenant = parseTenantId('team-a');
const other = parseTenantId('team-b');

function wantedOf(value: string): Omit<Deletion, 'id'> {
  const range = { minTimeMs: Number.MIN_SAFE_INTEGER, maxTimeMs: Number.MAX_SAFE_INTEGER };
  return { selectors: [[{ name: '__name__', type: '=', value }]], range };
}

function requestsOn(bucket: Bucket, clock: FakeClock, disk = new MemoryDisk()): DeletionRequests {
  const cancelPeriodMs = 24 * 3_600_000;
  const seams = { bucket, clock, disk, log: silentLog, random };
  return new DeletionRequests({
    ...seams,
    ...{ directory: '/', cancelPeriodMs, isClockRight: () => true },
  });
}

const COPY = '/deletions.log';

t.test('taking a request adds a line to the copy; now and then it is written anew', async (t) => {
  const clock = new FakeClock();
  const store = new SimBucketStore();
  const disk = new MemoryDisk();
  const requests = requestsOn(store.sideOf(clock), clock, disk);
  await requests.add(tenant, wantedOf('m0'));
  const before = disk.fileBytes(COPY).length;
  const renames = disk.countOf('rename');
  for (let i = 1; i <= 100; i++) await requests.add(tenant, wantedOf(`m${i}`));
  t.equal(disk.countOf('rename'), renames, 'nothing was written anew');
  t.ok(disk.fileBytes(COPY).length > 100 * before * 0.5);
  const large = 'x'.repeat(100_000);
  for (let i = 0; i < 30; i++) {
    const { id } = await requests.add(tenant, wantedOf(`${large}${i}`));
    await requests.cancel(tenant, id); // a second line of the same length
  }
  t.ok(disk.countOf('rename') > renames);
  t.ok(disk.fileBytes(COPY).length < 9_000_000, 'no more than twice what is of use, and a little');
  const again = requestsOn(store.sideOf(clock), clock, disk.losePower());
  await again.open(false);
  t.strictSame(again.list(tenant), requests.list(tenant));
  again.close();
});

t.test('the copy is bounded over restarts too', async (t) => {
  const disk = new MemoryDisk();
  const id = testBlockId(1);
  const range = { minTimeMs: 0, maxTimeMs: 5 };
  const request = { ...wantedOf('x'.repeat(250_000)), range, id, createdAtMs: 10 };
  const one = { tenant, id, marks: [], request };
  let most = 0;
  for (let restart = 0; restart < 10; restart++) {
    const copy = new RequestCopy(disk, '/', silentLog);
    await copy.read();
    for (let i = 0; i < 3; i++) {
      await copy.put([one], () => [one]);
      most = Math.max(most, disk.fileBytes(COPY).length);
    }
  }
  t.ok(most < 2 * 250_500 + 1024 * 1024, `${most} bytes`);
});

t.test('a disk that fails at any call of a copy loses none that comes after', async (t) => {
  for (let n = 1; ; n++) {
    const clock = new FakeClock();
    const store = new SimBucketStore();
    const disk = new MemoryDisk();
    const requests = requestsOn(store.sideOf(clock), clock, disk);
    await requests.add(tenant, wantedOf('m0'));
    let left = n;
    disk.failWhen = () => --left === 0;
    for (let i = 1; i <= 3; i++) await requests.add(tenant, wantedOf(`m${i}`));
    const isOver = left > 0;
    disk.failWhen = () => false;
    await requests.refresh(); // what was not written goes now
    const next = disk.losePower();
    store.failWhen = () => 'refused';
    const again = requestsOn(store.sideOf(clock), clock, next);
    await again.open(false);
    again.checkKnown();
    t.strictSame(again.list(tenant), requests.list(tenant), `call ${n}`);
    again.close();
    if (isOver) break;
  }
});

const copied = [1, 2, 3, 4, 5].map((n) => {
  const id = testBlockId(n);
  const range = { minTimeMs: 0, maxTimeMs: n };
  const request = {
    ...wantedOf(`ü${n}${'x'.repeat(n > 3 ? 600 : 0)}`),
    range,
    id,
    createdAtMs: 10,
  };
  return { tenant, id, marks: n === 2 ? (['cancelled'] as const) : [], request };
});

/** The file after each addition. */
function copiesOf(...parts: readonly (typeof copied)[]): readonly Buffer[] {
  const [first = [], ...more] = parts;
  const files = [Buffer.from(encodeCopy(first))];
  for (const part of more) {
    const last = files.at(-1) ?? Buffer.alloc(0);
    files.push(Buffer.concat([last, encodeAddition(part, last.length)]));
  }
  return files;
}

t.test('a copy has the newest of each request', (t) => {
  const [bytes = Buffer.alloc(0)] = copiesOf(copied);
  const first = bytes.indexOf('\n') + 1;
  t.strictSame(decodeCopy(bytes), {
    copied: copied.map((one) => ({ ...one, marks: [...one.marks] })),
    isTorn: false,
    usedBytes: bytes.length - first,
  });
  const gone = { ...copied[0]!, request: undefined };
  const forgotten = Buffer.concat([bytes, encodeAddition([gone, copied[1]!], bytes.length)]);
  t.strictSame(
    decodeCopy(forgotten).copied.map(({ id }) => id),
    copied.slice(1).map(({ id }) => id),
  );
  const expected = encodeCopy(copied.slice(1));
  t.equal(decodeCopy(forgotten).usedBytes, expected.length - Buffer.from(expected).indexOf(10) - 1);
  t.end();
});

t.test('a copy whose last addition is torn in any of its sectors has what was before', (t) => {
  const [, before = Buffer.alloc(0), whole = before] = copiesOf(
    copied.slice(0, 2),
    copied.slice(2, 3),
    copied.slice(3),
  );
  const sectorBytes = 512;
  const from = Math.floor(before.length / sectorBytes);
  const count = Math.ceil(whole.length / sectorBytes) - from;
  t.ok(count > 2);
  for (let mask = 0; mask < 2 ** count; mask++) {
    const bytes = Buffer.alloc(whole.length);
    before.copy(bytes);
    let size = before.length;
    for (let k = 0; k < count; k++) {
      if ((mask & (1 << k)) === 0) continue;
      const start = (from + k) * sectorBytes;
      size = whole.copy(bytes, start, start, start + sectorBytes) + start;
    }
    const result = resultOf(bytes.subarray(0, Math.max(size, before.length)));
    const isWhole = mask === 2 ** count - 1;
    t.ok(isWhole ? result === 5 : result !== 'unreadable' && result >= 3, `${mask}: ${result}`);
  }
  t.end();
});

t.test('a copy that is damaged before its last addition does not hold', (t) => {
  const files = copiesOf(copied.slice(0, 2), copied.slice(2, 3), copied.slice(3));
  const [written = Buffer.alloc(0), before = written, whole = written] = files;
  fc.assert(
    fc.property(
      fc.constantFrom(...files),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.integer({ min: 1, max: 255 }),
      (file, part, flip) => {
        const at = Math.floor(part * file.length);
        const cut = resultOf(file.subarray(0, at));
        if ((cut === 'unreadable') !== at < written.length) return false;
        const damaged = Buffer.from(file);
        damaged[at] = damaged[at]! ^ flip;
        const result = resultOf(damaged);
        const durable = file === whole ? before : written;
        if (at < durable.length) return result === 'unreadable';
        return result !== 'unreadable' && result >= (file === whole ? 3 : 2);
      },
    ),
    { seed, numRuns: 1000 },
  );
  t.end();
});

function resultOf(bytes: Uint8Array): number | 'unreadable' {
  try {
    return decodeCopy(bytes).copied.length;
  } catch (thrown) {
    if (thrown instanceof Error && thrown.name === 'BadDocument') return 'unreadable';
    throw thrown;
  }
}

t.test(
  'requests of a tenant take no more bytes than the limit; cancelled ones make room',
  async (t) => {
    const clock = new FakeClock();
    const store = new SimBucketStore();
    const requests = requestsOn(store.sideOf(clock), clock);
    const value = 'x'.repeat(250_000);
    const [first] = [await requests.add(tenant, wantedOf(value))];
    const countMax = Math.floor(REQUESTS_BYTES_PER_TENANT_MAX / encodeRequest(first).length);
    for (let i = 1; i < countMax; i++) await requests.add(tenant, wantedOf(value));
    const why = new RegExp(`of this tenant .* the limit is ${REQUESTS_BYTES_PER_TENANT_MAX}`);
    await t.rejects(requests.add(tenant, wantedOf(value)), refusal('deletion.too_large', why));
    t.equal(store.keys().length, countMax, 'nothing was taken');
    await requests.add(other, wantedOf(value));
    await requests.cancel(tenant, first.id);
    await requests.add(tenant, wantedOf(value));
    t.equal(requests.list(tenant).length, countMax, 'the cancelled one went');
  },
);

t.test('a first start reads some requests at a time', async (t) => {
  const clock = new FakeClock();
  const store = new SimBucketStore();
  for (let n = 1; n <= 200; n++) {
    const id = testBlockId(n);
    const range = { minTimeMs: 0, maxTimeMs: 1 };
    store.put(
      requestKey(tenant, id, 'json'),
      encodeRequest({ ...wantedOf('m'), range, id, createdAtMs: 1 }),
    );
  }
  const inner = store.sideOf(clock);
  let [now, most] = [0, 0];
  const bucket = Object.create(inner, {
    getRange: {
      value: async (...args: Parameters<Bucket['getRange']>) => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setImmediate(resolve));
        return inner.getRange(...args).finally(() => now--);
      },
    },
    list: { value: (...args: Parameters<Bucket['list']>) => inner.list(...args) },
  }) as Bucket; // all of `inner`, but for two calls
  const requests = requestsOn(bucket, clock);
  await requests.refresh();
  t.equal(requests.of(tenant).length, 200);
  t.equal(most, READS_AT_ONCE);
  store.failWhen = ({ kind }) => (kind === 'getRange' ? 'refused' : undefined);
  const failing = requestsOn(bucket, clock);
  await t.rejects(failing.refresh(), refusal('bucket.unavailable'));
  t.throws(() => failing.checkKnown(), refusal('node.not_ready'), 'part of them is not all');
});

t.test('a selector of a deletion is compiled once, and what is kept is bounded', (t) => {
  const selector = [{ name: 'a', type: '=~', value: '(a+|b)+c' }] as const;
  const compiled = compiledSelector(selector);
  t.equal(compiledSelector(selector), compiled, 'the same');
  for (let i = 0; i < 80; i++)
    compiledSelector([{ name: 'a', type: '=~', value: `(x|y){900}(x|y){900}${i}` }]);
  const again = compiledSelector(selector);
  t.not(again, compiled, 'the oldest went');
  t.ok(again[0]!.matches('aabc'));
  t.notOk(again[0]!.matches('aabcd'));
  t.end();
});

t.test('what is kept of selectors is bounded by their length, of every kind of matcher', (t) => {
  const check = (name: string, type: '=' | '!=' | '=~' | '!~', value: string): void => {
    const selector = [{ name: 'a', type: '=', value: 'b' }] as const;
    const compiled = compiledSelector(selector);
    const oneCost = name.length + value.length;
    for (let cost = 0; cost <= COMPILED_COST_MAX; cost += oneCost) {
      compiledSelector([{ name, type, value }]);
    }
    t.not(compiledSelector(selector), compiled, `the oldest went for ${type} of ${oneCost}`);
  };
  const long = 'x'.repeat(250_000);
  check('a', '=', long);
  check('a', '!=', long);
  check(long, '=', 'b');
  check('a', '=~', long.slice(0, 4096));
  check('a', '!~', long.slice(0, 4096));
  t.end();
});

t.test('a block is asked once of deletions that have nothing in it', async (t) => {
  const disk = new MemoryDisk();
  const samples = [{ timeMs: 1000, bits: bitsOf(1) }];
  const series = [metric('m0'), metric('m1')].map((labels) => ({ labels, samples }));
  await writeTestBlock(disk, '/d', testBlockId(1), series, { minTimeMs: 0, maxTimeMs: 2000 });
  const reader = await BlockReader.open(diskBlockFiles(disk, '/d', testBlockId(1)));
  let asked = 0;
  const select = reader.selectCompiled.bind(reader);
  reader.selectCompiled = (matchers) => {
    asked++;
    return select(matchers);
  };
  const deletions = Array.from({ length: 300 }, (_unused, i) => ({
    id: testBlockId(i + 1),
    selectors: [
      [{ name: '__name__', type: '=~', value: i === 7 ? 'm1' : `.*other${i}.*` } as const],
    ],
    range: EVERYTHING,
  }));
  const check = async (expectedAsked: number): Promise<void> => {
    asked = 0;
    t.equal([...(await deletedRefs(reader, deletions)).all()].length, 1);
    t.equal(asked, expectedAsked);
  };
  await check(300);
  await check(1);
  for (let n = 0; n < 5000; n++) reader.noteWithout(`other ${n}`);
  await check(300); // what was remembered longest ago went
  await reader.close();
});
