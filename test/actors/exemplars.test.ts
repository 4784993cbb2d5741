// Goal: an exemplar is kept, logged and told as Prometheus does it, or dropped and counted without a word to the
// sender; a hostile one harms nobody. Method: pushes from the compressed body to a real TSDB on a disk in memory;
// the ring against a model that keeps lists.
import fc from 'fast-check';
import t from 'tap';
import { createKnownSeries } from '../../actors/distributor/known-series.ts';
import { type PushResult, createPushBuffers, runPush } from '../../actors/distributor/push.ts';
import { exemplarFrames } from '../../actors/ingester/name-frames.ts';
import { runExemplarsJob } from '../../actors/querier/exemplars-job.ts';
import { packControl } from '../../actors/runtime/index.ts';
import { StarlingError } from '../../model/errors.ts';
import { ANONYMOUS_TENANT, type InstanceId } from '../../model/ids.ts';
import { type Limits, SINGLE_TENANT_LIMITS } from '../../model/limits.ts';
import type { Matcher } from '../../model/matchers.ts';
import { decodeExemplarMessage } from '../../model/wire/exemplar-message.ts';
import { tenantFingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import { decodeWriteBatch } from '../../model/wire/write-batch.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { TurnQueue } from '../../platform/turn-queue.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { parseExpr, selectorsOf } from '../../promql/index.ts';
import { ExemplarRing } from '../../storage/exemplars.ts';
import type { Tsdb } from '../../storage/index.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal, refusalOf } from '../support/refusal.ts';
import {
  type TestExemplar,
  type TestSeries,
  exemplarMessage,
  pushBody,
} from '../support/remote-write-bodies.ts';
import { EVERYTHING, openTsdb } from '../support/toy-tsdb.ts';
import { MatchMemory } from '../../storage/deletion/verdicts.ts';

const NOW = 1_700_000_000_000;
const SECRET = Buffer.alloc(16, 1); // the one of the toy TSDB
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const trace = (id: string, at = NOW, value = 1): TestExemplar => ({
  labels: [['trace_id', id]],
  timestampMs: at,
  value,
});

/** A series with a sample, or without, and exemplars. */
const series = (
  name: string,
  exemplars: readonly TestExemplar[],
  at: number | null,
): TestSeries => ({
  labels: [['__name__', name]],
  samples: at === null ? [] : [[at, 1]],
  exemplars: exemplars.map(exemplarMessage),
});

interface Edge {
  tsdb: Tsdb;
  readonly push: (all: readonly TestSeries[]) => Promise<PushResult>;
  /** What instance 0 has, as `name trace@time=value`. */
  readonly told: () => readonly string[];
  /** Instances that do not answer. */
  down: readonly number[];
}

/** A distributor and `replicas` ingesters, of which the first is a real TSDB and the others only acknowledge. */
function edgeOf(tsdb: Tsdb, replicas = 1, limits: Partial<Limits> = {}): Edge {
  const known = createKnownSeries();
  const turns = new TurnQueue(createNodeClock());
  const send = async (instance: InstanceId, bytes: Uint8Array) => {
    const index = Number(instance.slice(1));
    if (edge.down.includes(index)) throw new StarlingError('internal', undefined);
    const none = { unknown: new Uint32Array(0), rejected: new Uint32Array(0), errors: [] };
    const batch = decodeWriteBatch(bytes);
    if (index > 0) return none;
    const result = edge.tsdb.append(batch, NOW);
    if (batch.exemplarCount > 0) edge.tsdb.appendExemplars(batch, NOW);
    return result;
  };
  const edge: Edge = {
    tsdb,
    down: [],
    push: (all) =>
      runPush(
        {
          context: {
            tenant: ANONYMOUS_TENANT,
            limits: { ...SINGLE_TENANT_LIMITS, ...limits },
            seriesKey: tenantFingerprintKey(SECRET, ANONYMOUS_TENANT, 'series'),
            known,
            ring: {
              version: 1,
              replicationFactor: replicas,
              positionOf: () => 0,
              replicasAt: (_position, out) => {
                for (let r = 0; r < replicas; r++) out[r] = r;
                return replicas;
              },
            },
          },
          rawKey: tenantFingerprintKey(SECRET, ANONYMOUS_TENANT, 'raw'),
          writeQuorum: Math.floor(replicas / 2) + 1,
          // Names that follow the rule for instances.
          instances: Array.from({ length: replicas }, (_, i) => `n${i}` as InstanceId),
          send: (instance, { bytes }) => send(instance, bytes),
          sendMetadata: async () => undefined,
          turns,
          admitSamples: () => undefined,
        },
        pushBody(all),
        createPushBuffers(),
      ),
    told: () => linesOf(edge.tsdb),
  };
  return edge;
}

function select(tsdb: Tsdb, selectors: readonly (readonly Matcher[])[], range = EVERYTHING) {
  return [...tsdb.selectExemplars(selectors, range)].filter((one) => one !== undefined);
}

function linesOf(tsdb: Tsdb, query = '{__name__=~".+"}', range = EVERYTHING): readonly string[] {
  const text = (labels: string): string => decodeLabels(Buffer.from(labels, 'latin1'))[1] ?? '-';
  return select(tsdb, selectorsOf(parseExpr(query)), range).flatMap((one) =>
    one.timestamps.map(
      (at, i) => `${text(one.series)} ${text(one.labels[i]!)}@${at - NOW}=${one.values[i]!}`,
    ),
  );
}

const ON = { exemplarsMax: () => 1000 };

t.test('exemplars are kept behind their series, in the rules of Prometheus', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk(), ON);
  const edge = edgeOf(tsdb);
  const first = await edge.push([
    series('a', [trace('t1')], NOW),
    series('a', [trace('t2', NOW + 1)], null), // as Prometheus sends them
    series('b', [trace('same'), trace('same'), trace('later', NOW + 5), trace('back', NOW)], NOW),
    series('unheard', [trace('lost')], null),
  ]);
  t.match(first, { refused: undefined, samplesStored: 2, exemplarsReceived: 7 });
  t.strictSame(edge.told(), ['a t1@0=1', 'a t2@1=1', 'b same@0=1', 'b later@5=1']);
  t.match(tsdb.stats().exemplars, {
    ...{ exemplarCount: 4, seriesCount: 2, appendedCount: 4 },
    ...{ outOfOrderCount: 1, failedCount: 1 },
  });
  await edge.push([series('a', [trace('t2', NOW + 1), trace('t0', NOW + 1, 0.5)], null)]);
  t.equal(edge.told().length, 4, 'a repetition, and one of a lower value');
  await edge.push([series('a', [trace('t3', NOW + 1, 1.5), { timestampMs: NOW + 2 }], null)]);
  t.strictSame(edge.told().slice(0, 4), ['a t1@0=1', 'a t2@1=1', 'a t3@1=1.5', 'a -@2=0']);
  await edge.push([series('a', [trace('old', -1), trace('future', NOW + 3_600_000)], null)]);
  t.equal(tsdb.stats().exemplars.failedCount, 3, 'times out of bounds');
  const told = (query: string, from: number, to: number): readonly string[] =>
    linesOf(tsdb, query, { minTimeMs: NOW + from, maxTimeMs: NOW + to });
  t.strictSame(told('rate(a[5m]) / on () sum(b)', 1, 1), ['a t2@1=1', 'a t3@1=1.5']);
  t.strictSame(told('b', 5, 9), ['b later@5=1']);
  t.strictSame(told('{__name__=~"a|b", pod=""}', 0, 0), ['a t1@0=1', 'b same@0=1']);
  t.strictSame(told('c', 0, 9), []);
  t.strictSame(told('a{pod!=""}', 0, 9), []);
});

t.test('exemplars of deleted samples are not told', async (t) => {
  const hidden: Deletion[] = [];
  const deletions = { hidden: () => hidden, gone: () => [], memory: new MatchMemory() };
  const { tsdb } = await openTsdb(new MemoryDisk(), { ...ON, deletions });
  const edge = edgeOf(tsdb);
  const traces = [trace('t0'), trace('t5', NOW + 5), trace('t9', NOW + 9)];
  await edge.push([series('a', traces, NOW), series('b', traces, NOW)]);
  const check = (id: string, query: string, range: TimeRange, left: readonly string[]): void => {
    hidden.push({ id, selectors: selectorsOf(parseExpr(query)), range });
    t.strictSame(edge.told(), left, query);
  };
  const all = edge.told();
  t.equal(all.length, 6);
  check('other series', 'c', EVERYTHING, all);
  check('other times', 'a', { minTimeMs: NOW + 6, maxTimeMs: NOW + 8 }, all);
  const withoutMiddle = all.filter((line) => line !== 'a t5@5=1');
  check('a time', '{__name__=~"a|c"}', { minTimeMs: NOW + 5, maxTimeMs: NOW + 5 }, withoutMiddle);
  check('b, or c', 'b + c', EVERYTHING, ['a t0@0=1', 'a t9@9=1']);
  check('all', 'a', { minTimeMs: NOW, maxTimeMs: NOW + 9 }, []);
});

t.test('W39 exemplars that do not hold are dropped and counted, and nothing else is', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk(), ON);
  const edge = edgeOf(tsdb);
  const labels = (
    ...pairs: readonly (readonly [string | Buffer, string | Buffer])[]
  ): TestExemplar => ({
    ...{ labels: pairs, timestampMs: NOW, value: 1 },
  });
  const check = async (exemplar: TestExemplar, reason: string | undefined): Promise<void> => {
    const { discards, exemplarsReceived, refused } = await edge.push([
      series('m', [exemplar], NOW),
    ]);
    const expected = reason === undefined ? [] : [[reason, 1]];
    t.strictSame([...discards.exemplarsByReason], expected);
    t.equal(exemplarsReceived, reason === undefined ? 1 : 0);
    t.equal(refused, undefined);
  };
  await check(labels(['a', 'x'.repeat(127)]), undefined);
  await check(labels(['a', '💡'.repeat(127)]), undefined); // two units of a string, one character
  await check(labels(['a', 'x'.repeat(128)]), 'exemplar_labels_too_long');
  await check(labels(['a', 'x'.repeat(100_000)]), 'exemplar_labels_too_long');
  await check(
    labels(...Array.from({ length: 65 }, (_, i) => [`l${i}`, 'v'] as const)),
    'exemplar_labels_too_long',
  );
  await check(labels(['a', Buffer.from([0xff])]), 'exemplar_labels_invalid');
  await check(labels([Buffer.from([0xc3, 0x28]), 'v']), 'exemplar_labels_invalid');
  await check(labels(['', 'v']), 'exemplar_labels_invalid');
  await check(labels(['a', '1'], ['a', '2']), 'exemplar_labels_invalid');
  await check({ ...trace('t'), timestampMs: 2n ** 62n }, 'exemplar_timestamp_invalid');
  await check(labels(['z', '1'], ['empty', ''], ['b', '2']), undefined);
  t.equal(edge.told().length, 3);
  const bad: TestSeries = { ...series('m', [trace('t')], null), labels: [['no_name', 'x']] };
  const { discards, refused } = await edge.push([bad, series('good', [], NOW)]);
  t.equal(refused?.id, 'series.missing_metric_name');
  t.strictSame([...discards.exemplarsByReason], [['exemplar_series_invalid', 1]]);
});

t.test('bytes that are no exemplar are an error, every truncation of one included', async (t) => {
  const whole = exemplarMessage({ ...trace('abc'), timestampMs: -5n });
  t.match(decodeExemplarMessage(viewOf(whole), 0, whole.length), { timestampMs: -5 });
  t.match(decodeExemplarMessage(viewOf(whole), 0, 0), { timestampMs: 0, valueHigh: 0 });
  for (let length = 0; length < whole.length; length++) {
    const error = refusalOf(() =>
      decodeExemplarMessage(viewOf(whole.subarray(0, length)), 0, length),
    );
    t.ok(error === undefined || error.id === 'protobuf.corrupt');
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      refusalOf(() => decodeExemplarMessage(viewOf(bytes), 0, bytes.length)); // else it throws on
    }),
    { seed },
  );
  const { tsdb } = await openTsdb(new MemoryDisk(), ON);
  const edge = edgeOf(tsdb);
  const truncated = { ...series('a', [], NOW), exemplars: [whole.subarray(0, 5)] };
  await t.rejects(
    edge.push([series('b', [trace('t')], NOW), truncated]),
    refusal('protobuf.corrupt'),
  );
  t.strictSame(edge.told(), [], 'nothing of the request was taken');
});

t.test(
  'exemplars need a quorum, reach series that an ingester forgot, and can be off',
  async (t) => {
    const opened = await openTsdb(new MemoryDisk(), ON);
    const edge = edgeOf(opened.tsdb, 3);
    await edge.push([series('a', [trace('t1')], NOW)]);
    edge.down = [2];
    t.match(await edge.push([series('a', [trace('t2', NOW + 1)], null)]), { refused: undefined });
    edge.down = [1, 2];
    await t.rejects(
      edge.push([series('a', [trace('t3', NOW + 2)], null)]),
      refusal('write.no_quorum'),
    );
    edge.down = [];
    t.match(await edge.push([series('a', [trace('t3', NOW + 2)], null)]), { refused: undefined });
    t.strictSame(edge.told(), ['a t1@0=1', 'a t2@1=1', 'a t3@2=1']);
    const empty = await openTsdb(new MemoryDisk(), ON);
    edge.tsdb = empty.tsdb; // the distributor still believes that it knows the series
    await edge.push([series('a', [trace('t4', NOW + 3)], NOW + 3)]);
    t.strictSame(edge.told(), ['a t4@3=1'], 'labels and exemplar were sent again');
    const off = edgeOf(empty.tsdb, 1, { max_global_exemplars_per_user: 0 });
    const { discards, exemplarsReceived } = await off.push([
      series('a', [trace('t5', NOW + 9)], NOW + 9),
    ]);
    t.strictSame(
      [exemplarsReceived, discards.exemplarsByReason.size, off.told().length],
      [0, 0, 1],
    );
  },
);

t.test('many exemplars of many series are cut into messages and all arrive', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk(), { exemplarsMax: () => 100_000 });
  const edge = edgeOf(tsdb);
  const all = Array.from({ length: 3000 }, (_, i) =>
    series(`m${i % 1000}`, [trace(`t${i}-${'x'.repeat(100)}`, NOW + i)], i < 1000 ? NOW : null),
  );
  await edge.push(all);
  t.equal(edge.told().length, 3000);
  t.equal(tsdb.stats().exemplars.seriesCount, 1000);
});

t.test('what was acknowledged is there after power is lost, as often as it is', async (t) => {
  let disk = new MemoryDisk();
  let { tsdb } = await openTsdb(disk, ON);
  const edge = edgeOf(tsdb);
  await edge.push([series('a', [trace('t1'), trace('t2', NOW + 1, Number.NaN)], NOW)]);
  await tsdb.durable();
  for (let boot = 0; boot < 2; boot++) {
    const expected = edge.told();
    t.equal(expected.length, 2 + boot);
    disk = disk.losePower();
    ({ tsdb } = await openTsdb(disk, ON));
    edge.tsdb = tsdb;
    t.strictSame(edge.told(), expected);
    await edge.push([series('a', [trace(`boot${boot}`, NOW + 2 + boot)], null)]);
    await tsdb.durable();
  }
  const less = await openTsdb(disk.losePower(), { exemplarsMax: () => 1 });
  t.strictSame(linesOf(less.tsdb), ['a boot1@3=1'], 'a lower limit keeps the newest');
});

t.test('the ring keeps the newest of all series, as lists would', async (t) => {
  const one = fc.record({
    series: fc.constantFrom('a', 'b', 'c', 'long'.repeat(40)),
    at: fc.integer({ min: 0, max: 30 }),
    value: fc.constantFrom(0, 1, 2),
    labels: fc.constantFrom('', 'x', 'y'),
  });
  fc.assert(
    fc.property(
      fc.array(one, { maxLength: 400 }),
      fc.integer({ min: 1, max: 90 }),
      (all, countMax) => {
        const ring = new ExemplarRing(() => countMax);
        const kept: { series: string; line: string; order: readonly [number, number, string] }[] =
          [];
        for (const { at, labels, series: name, value } of all) {
          const what = ring.add(name, { timestampMs: at, value, labels });
          const order = [at, value, labels] as const;
          const last = kept.findLast((other) => other.series === name)?.order;
          const isNewer = last === undefined || isAfter(order, last);
          if ((what === 'appended') !== isNewer) return false;
          if (isNewer) kept.push({ series: name, line: `${name} ${order.join()}`, order });
          if (kept.length > countMax) kept.shift();
        }
        const told = [...ring.select(() => true, { minTimeMs: 0, maxTimeMs: 100 })]
          .filter((found) => found !== undefined)
          .flatMap(({ labels, series: name, timestamps, values }) =>
            timestamps.map((at, i) => `${name} ${at},${values[i]!},${labels[i]!}`),
          );
        // The bound of bytes may have cut more, from the oldest on.
        const expected = kept.slice(kept.length - told.length).map(({ line }) => line);
        return (
          JSON.stringify(told.sort()) === JSON.stringify(expected.sort()) &&
          ring.stats().exemplarCount === told.length
        );
      },
    ),
    { seed },
  );
  const bounded = new ExemplarRing(() => 100);
  for (let i = 0; i < 1000; i++) {
    bounded.add(`${i}`.repeat(200), { timestampMs: i, value: 0, labels: 'x'.repeat(100) });
  }
  const { exemplarCount, seriesCount } = bounded.stats();
  t.ok(exemplarCount > 10 && exemplarCount < 50, 'the bytes of their series count');
  t.equal(seriesCount, exemplarCount);
  t.equal(new ExemplarRing(() => 0).add('a', { timestampMs: 1, value: 1, labels: '' }), 'disabled');
});

function isAfter(
  a: readonly [number, number, string],
  b: readonly [number, number, string],
): boolean {
  for (let i = 0; i < 3; i++) if (a[i] !== b[i]) return a[i]! > b[i]!;
  return false;
}

t.test('runExemplarsJob() joins replicas and prints as Prometheus does', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk(), ON);
  const edge = edgeOf(tsdb);
  const odd: TestExemplar = { ...trace('ü"<', NOW + 1, -Infinity), timestampMs: NOW + 1 };
  await edge.push([
    series('b', [trace('t1'), odd], NOW),
    {
      ...series('a', [trace('t', NOW + 250, 1e21)], NOW),
      labels: [
        ['__name__', 'a'],
        ['__proto__', 'p'],
      ],
    },
  ]);
  const mine = select(tsdb, [[]]);
  const run = (frames: readonly Uint8Array[]): string =>
    Buffer.from(runExemplarsJob({ frames, stopFlag: new Int32Array(1) }).data).toString();
  const a = `{"seriesLabels":{"__name__":"a","__proto__":"p"},"exemplars":[{"labels":{"trace_id":"t"},"value":"1e+21","timestamp":1700000000.25}]}`;
  const first = `{"labels":{"trace_id":"t1"},"value":"1","timestamp":1700000000}`;
  const second = `{"labels":{"trace_id":"ü\\"<"},"value":"-Inf","timestamp":1700000000.001}`;
  const b = `{"seriesLabels":{"__name__":"b"},"exemplars":[${first},${second}]}`;
  t.equal(run([...exemplarFrames(mine)]), `[${a},${b}]`);
  const some = mine.map((one) => ({
    ...one,
    timestamps: one.timestamps.slice(-1),
    values: one.values.slice(-1),
    labels: one.labels.slice(-1),
  }));
  t.equal(run([...exemplarFrames(some), ...exemplarFrames(mine)]), `[${a},${b}]`, 'each once');
  t.equal(run([]), '[]');
  const broken = (rows: unknown): void => {
    t.equal(refusalOf(() => run([packControl(rows)]))?.id, 'internal');
  };
  broken(5);
  broken([['\u0005a', [1], [1], [1]]]);
  broken([['\u0005a', [1], [1], ['']]]);
  broken([['', [1], [1], ['\u0005a']]]);
});
