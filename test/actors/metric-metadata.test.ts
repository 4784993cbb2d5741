// Goal: what senders say of metrics is checked, kept within its bounds and told in Prometheus' shape; a
// hostile body costs its sender an error and nobody anything else. Method: messages made by hand; the store,
// the push and the join on their own.
import fc from 'fast-check';
import t from 'tap';
import { Discards } from '../../actors/distributor/discards.ts';
import { createKnownSeries } from '../../actors/distributor/known-series.ts';
import { planMetadata, sendMetadata } from '../../actors/distributor/metadata-push.ts';
import { ingesterCodecs } from '../../actors/ingester/codecs.ts';
import { MetadataStore } from '../../actors/ingester/metadata-store.ts';
import { metadataFrames } from '../../actors/ingester/name-frames.ts';
import { runMetadataJob } from '../../actors/querier/metadata-job.ts';
import { packControl } from '../../actors/runtime/index.ts';
import { ANONYMOUS_TENANT, type InstanceId, parseTenantId } from '../../model/ids.ts';
import { SINGLE_TENANT_LIMITS } from '../../model/limits.ts';
import type { MetricMetadata } from '../../model/metadata.ts';
import { fingerprintKey, tenantFingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';
import { decodeMetadataMessage } from '../../model/wire/metadata-message.ts';
import {
  METADATA_PER_REQUEST_MAX,
  type WriteColumns,
  beginWriteRequestPass,
  continueWriteRequestPass,
  createWriteColumns,
} from '../../model/wire/remote-write.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { TurnQueue } from '../../platform/turn-queue.ts';
import { refusalOf } from '../support/refusal.ts';
import {
  type TestMetadata,
  field,
  metadataMessage,
  metadataRequest,
  uvarint,
  writeRequest,
} from '../support/remote-write-bodies.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const turns = new TurnQueue(createNodeClock());
const secret = Buffer.alloc(16, 5);
const other = parseTenantId('other');

function decode(message: Buffer, max_metadata_length = 1024): MetricMetadata {
  return decodeMetadataMessage(viewOf(message), 0, message.length, { max_metadata_length });
}

function pass(body: Buffer): WriteColumns {
  const columns = createWriteColumns(4, 4);
  const one = beginWriteRequestPass(body, body.length, fingerprintKey(secret), columns);
  while (!continueWriteRequestPass(one, 16)) continue;
  return columns;
}

t.test(
  'decodeMetadataMessage() reads what senders send, and refuses what Mimir refuses',
  async (t) => {
    const check = (given: TestMetadata, expected: Partial<MetricMetadata>): void => {
      const defaults = { name: 'up', type: 0, help: '', unit: '' };
      t.strictSame(decode(metadataMessage({ name: 'up', ...given })), { ...defaults, ...expected });
    };
    check({}, {});
    check(
      { type: 1, help: 'Requests.', unit: 'seconds' },
      { type: 1, help: 'Requests.', unit: 'seconds' },
    );
    check({ type: 7 }, { type: 7 });
    check({ type: 8 }, { type: 0 });
    check({ type: 2 ** 40 }, { type: 0 });
    check({ help: 'é'.repeat(600) }, { help: 'é'.repeat(512) });
    check({ help: Buffer.from([0x61, 0xff, 0x62]) }, { help: 'a\ufffdb' });
    check({ name: 'µ.latency ms' }, { name: 'µ.latency ms' });
    const long = 'n'.repeat(1025);
    const refused = (given: TestMetadata, id: string): void => {
      t.equal(refusalOf(() => decode(metadataMessage(given)))?.id, id);
    };
    refused({ help: 'h' }, 'metadata.missing_metric_name');
    refused({ name: '' }, 'metadata.missing_metric_name');
    refused({ name: long }, 'metadata.metric_name_too_long');
    refused({ name: 'up', unit: long }, 'metadata.unit_too_long');
    refused({ name: Buffer.from([0xc3]) }, 'metadata.invalid');
    refused({ name: 'up', unit: Buffer.from([0xed, 0xa0, 0x80]) }, 'metadata.invalid');
    t.equal(decode(metadataMessage({ name: long, help: long }), 0).help.length, 1025, '0 is off');
    const unknownField = Buffer.concat([
      field(9, Buffer.from('x')),
      metadataMessage({ name: 'up' }),
    ]);
    t.equal(decode(unknownField).name, 'up');
  },
);

t.test('every truncation and any bytes are metadata or a StarlingError', async (t) => {
  const whole = metadataMessage({ name: 'requests_total', type: 1, help: 'All.', unit: 'u' });
  for (let length = 0; length < whole.length; length++) {
    const error = refusalOf(() => decode(whole.subarray(0, length)));
    t.ok(error === undefined || /^(metadata|protobuf)\./.test(error.id));
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      refusalOf(() => decode(Buffer.from(bytes))); // throws anything but a StarlingError
    }),
    { seed },
  );
});

t.test('the pass notes metadata wherever it stands, and bounds how much there is', async (t) => {
  const series = writeRequest([{ labels: [['__name__', 'a']], samples: [[1, 1]] }]);
  const metadata = metadataRequest([{ name: 'a' }, { name: 'bc' }]);
  const columns = pass(Buffer.concat([metadata, series, metadata]));
  t.match(columns, { metadataCount: 4, seriesCount: 1, sampleCount: 1 });
  t.equal(columns.metadataStops[3]! - columns.metadataStarts[3]!, 4);
  const tooMany = Buffer.alloc((METADATA_PER_REQUEST_MAX + 1) * 2);
  for (let at = 0; at < tooMany.length; at += 2) tooMany[at] = 0x1a;
  t.equal(refusalOf(() => pass(tooMany))?.id, 'request.too_many_samples');
  t.equal(pass(tooMany.subarray(2)).metadataCount, METADATA_PER_REQUEST_MAX);
  const huge = Buffer.concat([Buffer.from([0x1a]), uvarint(2 ** 31), Buffer.from('short')]);
  t.equal(refusalOf(() => pass(huge))?.id, 'protobuf.corrupt');
});

/** Plans and sends a request's metadata to `instances` nodes, of which `down` do not answer. */
async function push(body: Buffer, instances: number, down: readonly string[] = []) {
  const columns = pass(body);
  const discards = new Discards();
  const context = {
    tenant: ANONYMOUS_TENANT,
    limits: SINGLE_TENANT_LIMITS,
    seriesKey: tenantFingerprintKey(secret, ANONYMOUS_TENANT, 'series'),
    known: createKnownSeries(16),
    ring: {
      version: 1,
      replicationFactor: 3,
      positionOf: (hash: number) => hash,
      replicasAt: (hash: number, out: Uint16Array) => {
        for (let r = 0; r < 3; r++) out[r] = (hash + r) % instances;
        return 3;
      },
    },
  };
  const plan = await planMetadata(context, viewOf(body), columns, { discards, turns });
  const got = new Map<string, string[]>();
  const messages: number[] = [];
  const sending = {
    // Names that follow the rule for instances.
    instances: Array.from({ length: instances }, (_, i) => `n${i}` as InstanceId),
    writeQuorum: 2,
    send: async (instance: InstanceId, entries: readonly MetricMetadata[]): Promise<void> => {
      if (down.includes(instance)) throw new Error('down');
      messages.push(entries.length);
      got.set(instance, [...(got.get(instance) ?? []), ...entries.map(({ name }) => name)]);
    },
  };
  const error = await sendMetadata(plan, sending).then(
    () => undefined,
    (thrown: unknown) => thrown as { readonly id: string },
  );
  return { plan, discards, got, messages, error };
}

t.test('each entry reaches the three owners of its name, and needs two of them', async (t) => {
  const names = Array.from({ length: 2000 }, (_, i) => `metric_${i}`);
  const body = metadataRequest(names.map((name) => ({ name, type: 2, help: `About ${name}.` })));
  const { error, got, messages } = await push(body, 5);
  t.equal(error, undefined);
  const all = [...got.values()].flat();
  t.equal(all.length, 6000);
  t.strictSame([...new Set(all)].sort(), [...names].sort());
  t.ok(Math.max(...messages) <= 512);
  t.equal((await push(body, 5, ['n1'])).error, undefined, 'one may be away');
  t.equal((await push(body, 5, ['n1', 'n2'])).error?.id, 'write.no_quorum');
  t.equal((await push(metadataRequest([{ name: 'a' }]), 3, ['n0'])).error, undefined);
});

t.test('what is refused is counted by Mimir’s words, the rest is sent', async (t) => {
  const long = 'x'.repeat(2000);
  const { discards, got, plan } = await push(
    metadataRequest([
      {},
      { name: 'good' },
      { name: long },
      { name: 'u', unit: long },
      { help: 'h' },
    ]),
    3,
  );
  t.equal(plan.refused?.id, 'metadata.missing_metric_name');
  t.strictSame([...got.values()], [['good'], ['good'], ['good']]);
  t.strictSame(Object.fromEntries(discards.metadataByReason), {
    metadata_missing_metric_name: 2,
    metric_name_too_long: 1,
    unit_too_long: 1,
  });
});

const NO_LIMITS = { metricsMax: 0, perMetricMax: 0 };
const entry = (name: string, help = '', type = 1): MetricMetadata => ({
  name,
  type,
  help,
  unit: '',
});

t.test('the store keeps each thing said once, per tenant, until nobody repeats it', async (t) => {
  const store = new MetadataStore({ retainMs: 1000 });
  const select = (tenant = ANONYMOUS_TENANT, metric?: string, limit = 0) =>
    [...store.select(tenant, { limit, metric }, 1000)].flat();
  const expire = (nowMs: number): void => {
    for (const _ of store.expire(nowMs)) continue;
  };
  store.note(ANONYMOUS_TENANT, [entry('a', 'x'), entry('a', 'y'), entry('b')], NO_LIMITS, 0);
  store.note(ANONYMOUS_TENANT, [entry('a', 'x')], NO_LIMITS, 900);
  t.strictSame(
    select().map(({ ageMs, help, name }) => [name, help, ageMs]),
    [
      ['a', 'x', 100],
      ['a', 'y', 1000],
      ['b', '', 1000],
    ],
  );
  t.equal(select(ANONYMOUS_TENANT, 'a').length, 2);
  t.equal(select(ANONYMOUS_TENANT, 'c').length, 0);
  t.equal(select(ANONYMOUS_TENANT, undefined, 1).length, 2, 'one metric, both entries');
  t.strictSame(select(other), [], 'nothing of another tenant');
  store.note(other, [entry('mine')], NO_LIMITS, 0);
  t.strictSame(
    select(other).map(({ name }) => name),
    ['mine'],
  );
  expire(1001);
  t.strictSame(
    select().map(({ help, name }) => [name, help]),
    [['a', 'x']],
  );
  expire(1901);
  t.strictSame([select(), select(other)], [[], []]);
  t.match(store.stats(), { bytes: 0, entryCount: 0, createdCount: 4, removedCount: 4 });
});

t.test('the store stays within its limits, whatever is said', async (t) => {
  const limits = { metricsMax: 3, perMetricMax: 2 };
  const store = new MetadataStore({ retainMs: 1000, bytesMax: 4000 });
  for (let i = 0; i < 50; i++) {
    store.note(ANONYMOUS_TENANT, [entry(`m${i % 10}`, `h${i}`)], limits, i);
  }
  t.match(store.stats(), { entryCount: 6, receivedCount: 50 });
  for (let i = 0; i < 50; i++) store.note(other, [entry(`m${i}`, 'h'.repeat(200))], NO_LIMITS, i);
  const { bytes, dropped } = store.stats();
  t.ok(bytes <= 4000 && bytes > 3000);
  t.match(Object.fromEntries(dropped), {
    max_metadata_per_user: 35,
    max_metadata_per_metric: 9,
    max_metadata_bytes: Number,
  });
  const many = new MetadataStore({ retainMs: 1000 });
  for (let i = 0; i < 1500; i++) many.note(other, [entry('m', `h${i}`)], NO_LIMITS, 0);
  t.equal(many.stats().entryCount, 1000, 'a metric without a limit has one all the same');
});

t.test('runMetadataJob() joins replicas, newest first, and cuts as Prometheus does', async (t) => {
  const told = (name: string, help: string, ageMs: number, type = 1) => ({
    ...{ name, help, type, unit: '', ageMs },
  });
  const frames = [
    ...metadataFrames([told('b', 'old', 3_000_000), told('b', 'new', 1), told('__proto__', '', 1)]),
    ...metadataFrames([told('b', 'new', 70_000), told('a', '<é>', 0, 4)]),
  ];
  const run = (limit: number, limitPerMetric: number): unknown => {
    const input = { frames, limit, limitPerMetric, stopFlag: new Int32Array(1) };
    const { data } = runMetadataJob(input);
    return Object.entries(JSON.parse(Buffer.from(data).toString()) as Record<string, unknown>);
  };
  const a = ['a', [{ type: 'gaugehistogram', unit: '', help: '<é>' }]];
  const newer = { type: 'counter', unit: '', help: 'new' };
  const older = { type: 'counter', unit: '', help: 'old' };
  const proto = { type: 'counter', unit: '', help: '' };
  t.strictSame(run(-1, -1), [['__proto__', [proto]], a, ['b', [newer, older]]]);
  t.strictSame(run(-1, 1), [['__proto__', [proto]], a, ['b', [newer]]]);
  t.strictSame(run(2, 0), [['__proto__', [proto]], a]);
  t.strictSame(run(0, -1), []);
  const broken = { frames: [packControl([[1, 2]])], limit: 0, limitPerMetric: 0 };
  t.equal(
    refusalOf(() => runMetadataJob({ ...broken, stopFlag: new Int32Array(1) }))?.id,
    'internal',
  );
});

t.test('what instances send each other of metadata is checked', async (t) => {
  const codec = ingesterCodecs.get('push-metadata');
  const message = { type: 'push-metadata', tenant: ANONYMOUS_TENANT, entries: [entry('a')] };
  const bytes = codec?.encodeMessage(message) ?? new Uint8Array(0);
  t.strictSame(codec?.decodeMessage(bytes), message);
  const check = (bad: unknown): void => {
    t.equal(refusalOf(() => codec?.decodeMessage(packControl(bad)))?.id, 'protobuf.corrupt');
  };
  check({ tenant: 5, entries: [] });
  check({ tenant: 'a', entries: [{ ...entry('a'), type: 8 }] });
  check({ tenant: 'a', entries: [{ ...entry('a'), help: 5 }] });
  check({ tenant: 'a', entries: Array.from({ length: 513 }, () => entry('a')) });
  for (let length = 0; length < bytes.length; length++) {
    t.ok(refusalOf(() => codec?.decodeMessage(bytes.subarray(0, length))));
  }
});
