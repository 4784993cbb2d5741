// Goal: bad and extreme remote-write bodies end in the documented answer, and leave what was there alone.
// Method: whole pushes, from compressed body to a real TSDB on a disk in memory, read back by a query.
import t from 'tap';
import { createKnownSeries } from '../../actors/distributor/known-series.ts';
import { type PushResult, runPush, createPushBuffers } from '../../actors/distributor/push.ts';
import { RateLimiter } from '../../actors/distributor/rate-limit.ts';
import { ANONYMOUS_TENANT, type InstanceId } from '../../model/ids.ts';
import { type Limits, SINGLE_TENANT_LIMITS } from '../../model/limits.ts';
import { tenantFingerprintKey } from '../../model/wire/fingerprint.ts';
import { createWriteColumns } from '../../model/wire/remote-write.ts';
import { decodeWriteBatch } from '../../model/wire/write-batch.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { TurnQueue } from '../../platform/turn-queue.ts';
import type { StarlingError } from '../../model/errors.ts';
import { encodeHistogramMessage } from '../../model/wire/histogram-encode.ts';
import { histogramSeries } from '../support/histograms.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import {
  type TestSeries,
  field,
  labelMessage,
  pushBody,
  sampleMessage,
  snappy,
} from '../support/remote-write-bodies.ts';
import { linesOf, openTsdb, selectAll } from '../support/toy-tsdb.ts';

const NOW = 1_700_000_000_000;
const SECRET = Buffer.alloc(16, 1); // the one of the toy TSDB
/** Between two turns of the loop; what is longer is not sliced. */
const SAMPLES_PER_TURN_MAX = 3 * 8192;

interface Store {
  /** A push of these series, or of a protobuf body. */
  readonly push: (series: readonly TestSeries[] | Buffer) => Promise<PushResult>;
  /** What the whole push was refused with, what its first bad series was, or 'stored'. */
  readonly outcome: (series: readonly TestSeries[] | Buffer) => Promise<string>;
  readonly lines: () => readonly string[];
  readonly turns: number;
  nowMs: number;
}

async function store(limits: Partial<Limits> = {}): Promise<Store> {
  const { tsdb } = await openTsdb(new MemoryDisk());
  const known = createKnownSeries();
  const rates = new RateLimiter();
  const merged = { ...SINGLE_TENANT_LIMITS, ...limits };
  const self = {
    turns: 0,
    nowMs: 0,
    push: (series: readonly TestSeries[] | Buffer): Promise<PushResult> =>
      runPush(
        {
          context: {
            tenant: ANONYMOUS_TENANT,
            limits: merged,
            seriesKey: tenantFingerprintKey(SECRET, ANONYMOUS_TENANT, 'series'),
            known,
            ring: {
              version: 1,
              replicationFactor: 1,
              positionOf: () => 0,
              replicasAt: (_position, out) => {
                out[0] = 0;
                return 1;
              },
            },
          },
          rawKey: tenantFingerprintKey(SECRET, ANONYMOUS_TENANT, 'raw'),
          writeQuorum: 1,
          instances: ['n0' as InstanceId], // any valid id
          send: async (_instance, { bytes }) => tsdb.append(decodeWriteBatch(bytes), NOW),
          sendMetadata: async () => undefined,
          turns: new TurnQueue({
            ...createNodeClock(),
            nextTurn: (callback) => {
              self.turns++;
              setImmediate(callback);
            },
          }),
          admitSamples: (samples) => rates.admit(ANONYMOUS_TENANT, samples, merged, self.nowMs),
        },
        Buffer.isBuffer(series) ? snappy(series) : pushBody(series),
        { ...createPushBuffers(), columns: createWriteColumns(16, 16) },
      ),
    outcome: (series: readonly TestSeries[] | Buffer): Promise<string> =>
      self.push(series).then(
        ({ refused }) => refused?.id ?? 'stored',
        (error: unknown) => (error as StarlingError).id,
      ),
    lines: () => linesOf(selectAll(tsdb)),
  };
  return self;
}

const named = (
  labels: readonly (readonly [string | Buffer, string | Buffer])[],
  at = NOW,
): TestSeries => ({ labels: [['__name__', 'm'], ...labels], samples: [[at, 1]] });

t.test('W21, W22 names of Object.prototype are stored and read back exactly', async (t) => {
  const before = Object.getOwnPropertyNames(Object.prototype).sort();
  const { outcome, lines } = await store();
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
  for (const name of names) {
    t.equal(await outcome([named([[name, '__proto__']])]), 'stored', name);
    const metric: TestSeries = { labels: [['__name__', name]], samples: [[NOW, 1]] };
    t.equal(await outcome([metric]), 'stored', name);
  }
  const text = lines().join('\n');
  t.equal(lines().length, names.length * 2);
  for (const name of names) t.ok(text.includes(name), name);
  t.same(Object.getOwnPropertyNames(Object.prototype).sort(), before);
});

t.test('W24, W27, W28 order does not matter, bytes do; invalid UTF-8 is refused', async (t) => {
  const { outcome, lines } = await store();
  const check = async (
    labels: readonly (readonly [string | Buffer, string | Buffer])[],
    expected: string,
    seriesCount: number,
  ): Promise<void> => {
    t.equal(await outcome([named(labels)]), expected, JSON.stringify(labels));
    t.equal(lines().length, seriesCount, JSON.stringify(labels));
  };
  const ab = [
    ['a', '1'],
    ['b', '2'],
  ] as const;
  await check(ab, 'stored', 1);
  await check([ab[1], ab[0]], 'stored', 1);
  await check([['n', '\u00e9']], 'stored', 2);
  await check([['n', 'e\u0301']], 'stored', 3);
  await check([['n', '\ufffd']], 'stored', 4);
  await check([['n', 'a\0b']], 'stored', 5);
  await check([['n', '\u202e']], 'stored', 6);
  await check([['\u{1f4a9}', 'x']], 'stored', 7);
  await check([['n', Buffer.of(0xff)]], 'series.label_invalid', 7);
  await check([['n', Buffer.of(0xed, 0xa0, 0x80)]], 'series.label_invalid', 7);
  await check([[Buffer.of(0xc0, 0x80), 'x']], 'series.label_invalid', 7);
});

t.test('W29 labels over their limits are refused, naming limit and actual size', async (t) => {
  const { push, lines } = await store();
  const check = async (
    labels: readonly (readonly [string, string])[],
    message: RegExp,
  ): Promise<void> => {
    const { refused, samplesStored } = await push([named(labels), named([], NOW + lines().length)]);
    t.match(refused, { http: 400, message });
    t.equal(samplesStored, 1, 'the rest is stored');
  };
  const many = (count: number, value = 'x'): [string, string][] =>
    Array.from({ length: count }, (_, i) => [`l${i}`, value]);
  await check([['n'.repeat(1025), 'x']], /1025.*1024/);
  await check([['a', 'v'.repeat(2049)]], /2049.*2048/);
  await check(many(30), /31.*30/);
  await check(many(17, 'v'.repeat(2000)), /max_labels_size_bytes is 32768/);
});

t.test('W30 a million samples of one series are taken in slices, more is 413', async (t) => {
  const count = 1_000_000;
  const edge = await store();
  const long = (samples: number): TestSeries => ({
    labels: [['__name__', 'long']],
    samples: Array.from({ length: samples }, (_, i) => [NOW - samples + i, i] as const),
  });
  t.match(await edge.push([long(count)]), { samplesStored: count, refused: undefined });
  t.ok(edge.turns > count / SAMPLES_PER_TURN_MAX, `the loop turned ${edge.turns} times`);
  const sample = field(2, sampleMessage(NOW, 1));
  const tooLong = Buffer.concat([
    field(1, labelMessage('__name__', 'long')),
    Buffer.alloc(sample.length * (2 ** 20 + 1), sample),
  ]);
  t.equal(await edge.outcome(field(1, tooLong)), 'request.too_many_samples');
});

t.test('W30 a request of very many series is taken in slices, more is 413', async (t) => {
  const count = 100_000;
  const edge = await store();
  const wide = Array.from({ length: count }, (_, i) => named([['i', String(i)]]));
  t.match(await edge.push(wide), { samplesStored: count, refused: undefined });
  t.ok(edge.turns > count / 4096, `the loop turned ${edge.turns} times`);
  const tooWide = Buffer.alloc(2 * (2 ** 20 + 1), field(1, Buffer.alloc(0)));
  t.equal(await edge.outcome(tooWide), 'request.too_many_samples');
});

t.test('W32 over the ingestion rate is 429 with nothing stored, and recovers', async (t) => {
  const edge = await store({ ingestion_rate: 10, ingestion_burst_size: 20 });
  const samples = (count: number, at: number): readonly TestSeries[] => [
    {
      labels: [['__name__', 'm']],
      samples: Array.from({ length: count }, (_, i) => [at + i, 1] as const),
    },
  ];
  t.equal(await edge.outcome(samples(20, NOW)), 'stored');
  const refused = await edge.push(samples(1, NOW + 100)).catch((error: unknown) => error);
  t.match(refused, { id: 'limit.ingestion_rate', http: 429, retryable: true });
  t.equal(edge.lines().length, 20);
  edge.nowMs += 1000;
  t.equal(await edge.outcome(samples(10, NOW + 100)), 'stored');
  t.equal(await edge.outcome(samples(1, NOW + 200)), 'limit.ingestion_rate');
  edge.nowMs -= 500; // a clock that goes back gives nothing and breaks nothing
  t.equal(await edge.outcome(samples(1, NOW + 200)), 'limit.ingestion_rate');
});

t.test(
  'W36 a sample out of order, outside of the window, is 400; the rest is stored',
  async (t) => {
    const edge = await store();
    t.equal(await edge.outcome([named([])]), 'stored');
    const old = NOW - 4 * 3_600_000;
    const { refused, samplesStored } = await edge.push([named([], old), named([['a', 'b']])]);
    t.match(refused, { http: 400, retryable: false, message: /m/ });
    t.equal(refused?.id, 'sample.out_of_order');
    t.equal(samplesStored, 1);
    t.equal(edge.lines().length, 2);
  },
);

t.test(
  'W38 a bad native histogram is 400, the rest is stored, also beside exemplars',
  async (t) => {
    const edge = await store();
    const good = histogramSeries('integer', { startMs: NOW, count: 3, seed: 1 }).map(
      ({ sample, timeMs }) => encodeHistogramMessage(timeMs, sample),
    );
    const bad = Buffer.from('0803', 'hex'); // a count of 3, and nothing in buckets
    const { refused, samplesStored } = await edge.push([
      { ...named([['kind', 'mixed']]), exemplars: 2 },
      { labels: named([['kind', 'histogram']]).labels, histograms: [good[0]!, bad, good[1]!] },
    ]);
    t.match(refused, { id: 'series.invalid_histogram', http: 400, message: /the count is 3/ });
    t.equal(samplesStored, 3);
    t.equal(edge.lines().length, 3);
    const none = await edge.push([{ labels: named([['kind', 'none']]).labels, histograms: 1 }]);
    t.match(none.refused, { id: 'series.invalid_histogram', message: /0 bytes/ });
    const again = { labels: named([['kind', 'histogram']]).labels, histograms: good };
    t.equal(await edge.outcome([again]), 'stored', 'two are there already');
    t.equal(edge.lines().length, 4);
  },
);
