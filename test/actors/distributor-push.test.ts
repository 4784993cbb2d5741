// Goal: one push ends in exactly the answer that its replicas' answers allow, and every valid sample
// reaches its replicas once. Method: ingesters are functions; bodies are made by hand.
import fc from 'fast-check';
import t from 'tap';
import { createKnownSeries } from '../../actors/distributor/known-series.ts';
import {
  type IngesterPushAnswer,
  type PushResult,
  runPush,
  createPushBuffers,
} from '../../actors/distributor/push.ts';
import { SAMPLES_PER_CHUNK_MAX } from '../../actors/distributor/push-plan.ts';
import { RateLimiter } from '../../actors/distributor/rate-limit.ts';
import {
  type PushTally,
  countAcks,
  countAnswer,
  createTally,
  pushVerdict,
} from '../../actors/distributor/quorum.ts';
import { ClusterViews } from '../../actors/membership/cluster-view.ts';
import { type InstanceRecord, emptyRegistry, mergeRecords } from '../../membership/index.ts';
import { StarlingError } from '../../model/errors.ts';
import { ANONYMOUS_TENANT, type InstanceId, type TenantId } from '../../model/ids.ts';
import { SINGLE_TENANT_LIMITS } from '../../model/limits.ts';
import { tenantFingerprintKey } from '../../model/wire/fingerprint.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import { createWriteColumns } from '../../model/wire/remote-write.ts';
import { type WriteBatch, decodeWriteBatch } from '../../model/wire/write-batch.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { TurnQueue } from '../../platform/turn-queue.ts';
import { refusal } from '../support/refusal.ts';
import { instance } from '../support/registry-records.ts';
import { type TestSeries, pushBody } from '../support/remote-write-bodies.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const secret = Buffer.alloc(16, 5);

/** An ingester in a few lines: knows series by fingerprint, keeps samples in a map. */
class ToyIngester {
  readonly samples = new Map<string, number>();
  readonly #labels = new Map<string, string>();
  batches = 0;
  seriesWithLabels = 0;
  mode: 'down' | 'newer' | 'reject' | 'up' = 'up';
  /** What comes instead of an answer to batches that carry labels, after they were stored. */
  onLabels: (() => IngesterPushAnswer) | undefined;

  push(batch: WriteBatch): IngesterPushAnswer {
    this.batches++;
    if (this.mode === 'down')
      throw new StarlingError('node.unreachable', { instance: 'toy', why: 'down' });
    const unknown: number[] = [];
    const rejected: number[] = [];
    const errors: StarlingError[] = [];
    for (let i = 0; i < batch.seriesCount; i++) {
      const key = batch.fingerprints.subarray(i * 4, i * 4 + 4).join();
      const from = i === 0 ? 0 : batch.labelEnds[i - 1]!;
      if (batch.labelEnds[i]! > from) {
        this.seriesWithLabels++;
        this.#labels.set(key, decodeLabels(batch.labelBytes, from, batch.labelEnds[i]).join());
      }
      const labels = this.#labels.get(key);
      if (labels === undefined) unknown.push(i);
      else if (this.mode === 'newer') {
        rejected.push(i);
        errors.push(new StarlingError('internal', undefined, 'sample.invented_later'));
      } else if (this.mode === 'reject') {
        rejected.push(i);
        errors.push(
          new StarlingError('sample.out_of_order', {
            ...{ series: labels, timestampMs: 1, lastMs: 2, windowMs: 0 },
          }),
        );
      } else {
        for (let s = i === 0 ? 0 : batch.sampleEnds[i - 1]!; s < batch.sampleEnds[i]!; s++) {
          const value = new Float64Array(batch.values.slice(s * 2, s * 2 + 2).buffer)[0]!;
          this.samples.set(`${labels}@${batch.timestamps[s] ?? batch.timestamps[0]}`, value);
        }
      }
    }
    if (batch.labelBytes.length > 0 && this.onLabels !== undefined) return this.onLabels();
    return { unknown: Uint32Array.from(unknown), rejected: Uint32Array.from(rejected), errors };
  }

  forget(name: string): void {
    for (const [key, labels] of this.#labels)
      if (labels.includes(`,${name},`)) this.#labels.delete(key);
  }

  forgetSeries(): void {
    this.#labels.clear();
  }
}

function cluster(rf: number, instances = rf) {
  const ingesters = Array.from({ length: instances }, () => new ToyIngester());
  const ids = ingesters.map((_, i) => `n${i}` as InstanceId);
  const known = createKnownSeries();
  let version = 1;
  const push = async (series: readonly TestSeries[]): Promise<PushResult> =>
    runPush(
      {
        context: {
          tenant: ANONYMOUS_TENANT,
          limits: SINGLE_TENANT_LIMITS,
          seriesKey: tenantFingerprintKey(secret, ANONYMOUS_TENANT, 'series'),
          known,
          ring: {
            version,
            replicationFactor: rf,
            positionOf: (hash) => hash,
            replicasAt: (hash, out) => {
              for (let r = 0; r < rf; r++) out[r] = (hash + r) % instances;
              return rf;
            },
          },
        },
        rawKey: tenantFingerprintKey(secret, ANONYMOUS_TENANT, 'raw'),
        writeQuorum: Math.floor(rf / 2) + 1,
        instances: ids,
        send: async (instance, { bytes }) =>
          ingesters[ids.indexOf(instance)]!.push(decodeWriteBatch(bytes)),
        sendMetadata: async () => undefined,
        turns: new TurnQueue(createNodeClock()),
        admitSamples: () => undefined,
      },
      pushBody(series),
      { ...createPushBuffers(), columns: createWriteColumns(16, 16) },
    );
  return { ingesters, push, changeRing: () => (version += 1) };
}

const series = (index: number, samples = 1, at = 1000): TestSeries => ({
  labels: [
    ['__name__', `m${index}`],
    ['i', String(index)],
  ],
  samples: Array.from({ length: samples }, (_, s) => [at + s, index * 1e6 + s] as const),
});

t.test('every sample reaches each of its replicas, once the labels and then without', async (t) => {
  const { ingesters, push, changeRing } = cluster(3, 5);
  const all = Array.from({ length: 300 }, (_, i) => series(i));
  const first = await push(all);
  t.match(first, { samplesStored: 300, refused: undefined });
  const held = (): number => ingesters.reduce((sum, one) => sum + one.samples.size, 0);
  const labelled = (): number => ingesters.reduce((sum, one) => sum + one.seriesWithLabels, 0);
  t.equal(held(), 900);
  t.equal(labelled(), 900);
  await push(all.map((_, i) => series(i, 1, 2000)));
  t.equal(held(), 1800);
  t.equal(labelled(), 900, 'known series travel without labels');
  changeRing();
  await push(all.map((_, i) => series(i, 1, 3000)));
  t.equal(labelled(), 1800, 'a new ring version sends them once more');
});

t.test('an ingester that lost its series is sent the labels in the same push', async (t) => {
  const { ingesters, push } = cluster(1);
  await push([series(1), series(2)]);
  ingesters[0]!.forgetSeries();
  t.match(await push([series(1, 2, 5000), series(2, 1, 5000)]), {
    samplesStored: 3,
    refused: undefined,
  });
  t.equal(ingesters[0]!.samples.get('__name__,m1,i,1@5001'), 1e6 + 1);
});

t.test('a long series is cut into several batches, in order', async (t) => {
  const { ingesters, push } = cluster(1);
  const count = SAMPLES_PER_CHUNK_MAX * 2 + 17;
  t.match(await push([series(1, count), series(2)]), { samplesStored: count + 1 });
  t.equal(ingesters[0]!.samples.size, count + 1);
  t.equal(ingesters[0]!.batches, 3);
});

t.test('W41 a quorum of acks is a success, fewer is a retryable 503', async (t) => {
  const check = async (modes: readonly ToyIngester['mode'][], expected: string): Promise<void> => {
    const { ingesters, push } = cluster(3);
    modes.forEach((mode, i) => (ingesters[i]!.mode = mode));
    const outcome = await push([series(1), series(2)]).then(
      (result) => result.refused?.id ?? 'stored',
      (error: unknown) => (error as StarlingError).id,
    );
    t.equal(outcome, expected, modes.join());
  };
  await check(['up', 'up', 'up'], 'stored');
  await check(['up', 'down', 'up'], 'stored');
  await check(['down', 'down', 'up'], 'write.no_quorum');
  await check(['down', 'down', 'down'], 'write.no_quorum');
  await check(['reject', 'up', 'up'], 'stored');
  await check(['reject', 'reject', 'up'], 'sample.out_of_order');
  await check(['reject', 'reject', 'reject'], 'sample.out_of_order');
  await check(['reject', 'up', 'down'], 'write.no_quorum');
});

t.test(
  'a row whose fate is open is told with who failed and who refused it, and why',
  async (t) => {
    const { ingesters, push } = cluster(3);
    (['reject', 'up', 'down'] as const).forEach((mode, i) => (ingesters[i]!.mode = mode));
    const why = /1 acknowledged: n2: .*down; n0 refused it: sample-out-of-order/;
    await t.rejects(push([series(1)]), refusal('write.no_quorum', why));
  },
);

t.test('W23, W25, W26, W42 bad series are refused, the rest is stored', async (t) => {
  const { ingesters, push } = cluster(3);
  const check = async (bad: TestSeries['labels'], id: string): Promise<void> => {
    const before = ingesters[0]!.samples.size;
    const at = 10_000 + before;
    const result = await push([
      series(1, 1, at),
      { labels: bad, samples: [[at, 1]] },
      series(2, 1, at),
    ]);
    t.equal(result.refused?.id, id);
    t.equal(result.samplesStored, 2);
    t.equal(ingesters[0]!.samples.size, before + 2);
  };
  await check([['a', 'b']], 'series.missing_metric_name');
  await check(
    [
      ['__name__', 'x'],
      ['a', '1'],
      ['a', '2'],
    ],
    'series.duplicate_label',
  );
  await check(
    [
      ['__name__', 'x'],
      ['', '1'],
    ],
    'series.label_invalid',
  );
  await check([['__name__', Buffer.of(0xc0)]], 'series.metric_name_invalid');
  await check([], 'series.missing_metric_name');
});

t.test('W23 a bad series without samples is refused too', async (t) => {
  const { push } = cluster(3);
  const result = await push([{ labels: [['a', 'b']] }, series(1)]);
  t.match(result, { samplesStored: 1, refused: { id: 'series.missing_metric_name' } });
  t.match(await push([{ labels: [['a', 'b']] }]), { refused: { http: 400 } });
});

t.test('the answer names the error that counted, not one that a quorum overruled', async (t) => {
  const { ingesters, push } = cluster(3);
  ingesters[0]!.mode = 'reject';
  const bad: TestSeries = { labels: [['a', 'b']], samples: [[1, 1]] };
  t.match(await push([series(1), bad]), { refused: { id: 'series.missing_metric_name' } });
  t.match(await push([{ ...series(1), histograms: 1 }]), {
    refused: { id: 'series.invalid_histogram' },
  });
});

t.test('runPush() settles whatever an ingester answers', async (t) => {
  const none = new Uint32Array();
  const check = async (
    onLabels: (() => IngesterPushAnswer) | undefined,
    mode: ToyIngester['mode'],
    expected: string,
  ): Promise<void> => {
    const { ingesters, push } = cluster(1);
    Object.assign(ingesters[0]!, { onLabels, mode });
    const outcome = await push([series(1), series(2)]).then(
      ({ refused, released }) => released.then(() => refused?.id ?? 'stored'),
      (error: unknown) => (error as StarlingError).id,
    );
    t.equal(outcome, expected);
  };
  const answer = (unknown: readonly number[], rejected: readonly number[]): IngesterPushAnswer => ({
    unknown: Uint32Array.from(unknown),
    rejected: Uint32Array.from(rejected),
    errors: [],
  });
  await check(undefined, 'newer', 'sample.refused');
  await check(() => answer([2], []), 'up', 'write.no_quorum');
  await check(() => answer([1, 0], []), 'up', 'write.no_quorum');
  await check(() => answer([], [7]), 'up', 'write.no_quorum');
  await check(() => answer([0], []), 'up', 'write.no_quorum');
  await check(() => answer([], [0]), 'up', 'sample.refused');
  await check(() => ({ unknown: none, rejected: none, errors: [] }), 'up', 'stored');
});

t.test('rows that were acknowledged stay so when sending the others again fails', async (t) => {
  const { ingesters, push } = cluster(3);
  const at = (timeMs: number): readonly TestSeries[] => [1, 2, 3].map((i) => series(i, 1, timeMs));
  await push(at(1000));
  // On two replicas the second series alone is sent again, and that fails on one of them.
  ingesters[2]!.mode = 'down';
  for (const one of ingesters.slice(0, 2)) one.forget('m2');
  ingesters[1]!.onLabels = () => {
    throw new StarlingError('node.unreachable', { instance: 'b', why: 'gone' });
  };
  await t.rejects(push(at(2000)), refusal('write.no_quorum', /gone/));
  ingesters[2]!.mode = 'up';
  ingesters[1]!.forget('m2');
  t.match(await push(at(3000)), { samplesStored: 3, refused: undefined });
});

t.test(
  'bad native histograms are refused with a reason, floats beside them are stored',
  async (t) => {
    const { ingesters, push } = cluster(1);
    const result = await push([{ ...series(1), histograms: 2, exemplars: 1 }]);
    t.equal(result.refused?.id, 'series.invalid_histogram');
    t.equal(ingesters[0]!.samples.size, 1);
  },
);

t.test('too few registered replicas is a 503 before anything is sent', async (t) => {
  const { ingesters } = cluster(3);
  const result = runPush(
    {
      context: {
        tenant: ANONYMOUS_TENANT,
        limits: SINGLE_TENANT_LIMITS,
        seriesKey: tenantFingerprintKey(secret, ANONYMOUS_TENANT, 'series'),
        known: createKnownSeries(),
        ring: { version: 1, replicationFactor: 3, positionOf: () => 0, replicasAt: () => 1 },
      },
      rawKey: tenantFingerprintKey(secret, ANONYMOUS_TENANT, 'raw'),
      writeQuorum: 2,
      instances: ['n0' as InstanceId],
      send: () => Promise.reject(new Error('must not be called')),
      sendMetadata: async () => undefined,
      turns: new TurnQueue(createNodeClock()),
      admitSamples: () => undefined,
    },
    pushBody([series(1)]),
    createPushBuffers(),
  );
  await t.rejects(result, refusal('write.no_quorum', /replication factor/));
  t.equal(ingesters[0]!.batches, 0);
});

t.test('the table of known series grows without forgetting', async (t) => {
  const { ingesters, push } = cluster(1);
  const many = Array.from({ length: 20_000 }, (_, i) => series(i));
  await push(many);
  await push(many.map((_, i) => series(i, 1, 9000)));
  t.equal(ingesters[0]!.seriesWithLabels, 20_000);
});

t.test(`countAcks() is countAnswer() of every row (seed ${seed})`, async (t) => {
  const pendingOf = (tally: PushTally): number =>
    5 - (tally.acks[1]! + tally.rejects[1]! + tally.failures[1]!);
  const answers = fc.array(fc.constantFrom('ack', 'fail', 'reject', 'all'), { maxLength: 5 });
  fc.assert(
    fc.property(answers, (steps) => {
      const together = createTally(3, Uint8Array.of(5, 5, 5), 3);
      const each = createTally(3, Uint8Array.of(5, 5, 5), 3);
      for (const step of steps) {
        if (step === 'all') {
          countAcks(together, Int32Array.of(0, -2, 2, 7), 3);
          for (let row = 0; row < 3; row++) countAnswer(each, row, 'ack');
        } else {
          countAnswer(together, 1, step);
          countAnswer(each, 1, step);
        }
        if (pendingOf(each) === 0) break;
      }
      t.strictSame(together, each);
    }),
    { seed },
  );
});

t.test('countAnswer() decides a row as soon as it can and never twice', async (t) => {
  const verdictOf = (answers: readonly ('ack' | 'fail' | 'reject')[], quorum = 2): string => {
    const tally = createTally(1, Uint8Array.of(3), quorum);
    for (const answer of answers) countAnswer(tally, 0, answer);
    return pushVerdict(tally);
  };
  t.equal(verdictOf([]), 'pending');
  t.equal(verdictOf(['ack']), 'pending');
  t.equal(verdictOf(['ack', 'ack']), 'stored');
  t.equal(verdictOf(['ack', 'ack', 'fail']), 'stored');
  t.equal(verdictOf(['reject', 'reject']), 'refused');
  t.equal(verdictOf(['fail', 'fail']), 'failed');
  t.equal(verdictOf(['ack', 'reject']), 'pending');
  t.equal(verdictOf(['ack', 'reject', 'fail']), 'failed');
  t.throws(() => verdictOf(['ack', 'ack', 'ack', 'ack']), /more answers than replicas/);
});

t.test('RateLimiter keeps buckets only of tenants that used theirs lately', async (t) => {
  const rates = new RateLimiter();
  const limits = { ...SINGLE_TENANT_LIMITS, ingestion_rate: 10, ingestion_burst_size: 20 };
  const refused = refusal('limit.ingestion_rate', /ingestion_rate 10/);
  rates.admit('busy' as TenantId, 20, { ...limits, ingestion_rate: 0.001 }, 0);
  for (let i = 0; i < 20_000; i++) rates.admit(`t${i}` as TenantId, 1, limits, i);
  t.ok(rates.bucketCount < 2048, `${rates.bucketCount} buckets`);
  t.throws(
    () => rates.admit('busy' as TenantId, 20, limits, 1),
    refused,
    'what is used up stays so',
  );
});

t.test(
  'publish() raises the version for new replica sets, not for a boot or an address',
  async (t) => {
    const views = new ClusterViews();
    const check = (change: Partial<InstanceRecord>, isNewRing: boolean): void => {
      const before = views.current.version;
      const two = [instance('a', change), instance('b')];
      const after = views.publish(mergeRecords(emptyRegistry(), two).registry).version;
      t.equal(after > before, isNewRing, JSON.stringify(change));
    };
    check({}, true);
    check({}, false);
    check({ bootCounter: 2, version: 5 }, false);
    check({ addresses: { http: 'x:1', grpc: 'x:2', gossip: 'x:3' } }, false);
    check({ state: 'LEAVING' }, true);
    check({ state: 'LEAVING', zone: 'elsewhere' }, true);
    check({ state: 'LEAVING', zone: 'elsewhere', tokenSeed: 8 }, true);
  },
);
