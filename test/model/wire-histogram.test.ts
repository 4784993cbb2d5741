// Goal: histogram messages are taken when a chunk and a log can hold them, and refused with a reason
// otherwise, whatever their bytes. Method: messages by hand, one fault each; random bytes and mutations.
import t from 'tap';
import { CUSTOM_SCHEMA } from '../../model/histogram.ts';
import { histogramText } from '../../model/histogram-text.ts';
import { BUCKETS_MAX, INTEGER_COUNT_MAX } from '../../model/histogram-sample.ts';
import { StarlingError } from '../../model/errors.ts';
import { encodeHistogramMessage } from '../../model/wire/histogram-encode.ts';
import { decodeHistogramMessage } from '../../model/wire/histogram-message.ts';
import { KINDS, histogramSeries, randomOf, sampleLine } from '../support/histograms.ts';
import { field, uvarint } from '../support/remote-write-bodies.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const zigzag = (value: number): Buffer => uvarint(value < 0 ? -2 * value - 1 : 2 * value);
const tagged = (number: number, kind: number, bytes: Buffer): Buffer =>
  Buffer.concat([uvarint(number * 8 + kind), bytes]);
const double = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
};
const span = (offset: number, length: number): Buffer =>
  Buffer.concat([tagged(1, 0, zigzag(offset)), tagged(2, 0, uvarint(length))]);

interface Parts {
  readonly count?: number;
  readonly countFloat?: number;
  readonly sum?: number;
  readonly schema?: number;
  readonly threshold?: number;
  readonly zero?: number;
  readonly zeroFloat?: number;
  readonly spans?: readonly (readonly [number, number])[];
  readonly deltas?: readonly number[];
  readonly counts?: readonly number[];
  readonly negativeSpans?: readonly (readonly [number, number])[];
  readonly negativeDeltas?: readonly number[];
  readonly bounds?: readonly number[];
}

function message(parts: Parts): Buffer {
  const { spans = [], negativeSpans = [] } = parts;
  return Buffer.concat([
    ...(parts.count === undefined ? [] : [tagged(1, 0, uvarint(parts.count))]),
    ...(parts.countFloat === undefined ? [] : [tagged(2, 1, double(parts.countFloat))]),
    tagged(3, 1, double(parts.sum ?? 1)),
    tagged(4, 0, zigzag(parts.schema ?? 0)),
    tagged(5, 1, double(parts.threshold ?? 0)),
    ...(parts.zero === undefined ? [] : [tagged(6, 0, uvarint(parts.zero))]),
    ...(parts.zeroFloat === undefined ? [] : [tagged(7, 1, double(parts.zeroFloat))]),
    ...negativeSpans.map(([offset, length]) => field(8, span(offset, length))),
    field(9, Buffer.concat((parts.negativeDeltas ?? []).map(zigzag))),
    ...spans.map(([offset, length]) => field(11, span(offset, length))),
    field(12, Buffer.concat((parts.deltas ?? []).map(zigzag))),
    field(13, Buffer.concat((parts.counts ?? []).map(double))),
    tagged(15, 0, uvarint(5)),
    ...(parts.bounds === undefined ? [] : [field(16, Buffer.concat(parts.bounds.map(double)))]),
  ]);
}

/** The text of the histogram, or why it was refused. */
function outcome(bytes: Uint8Array): string {
  try {
    const { sample } = decodeHistogramMessage(bytes, 0, bytes.length);
    return sample.isStale ? 'stale' : histogramText(sample.histogram);
  } catch (thrown) {
    if (thrown instanceof StarlingError && thrown.http === 400) return thrown.message;
    throw thrown;
  }
}

t.test(
  'decodeHistogramMessage() takes what Prometheus takes, and says why it refuses',
  async (t) => {
    const check = (parts: Parts, expected: RegExp | string): void => {
      t.match(outcome(message(parts)), expected, JSON.stringify(parts));
    };
    check({}, '{count:0, sum:1}');
    check({ count: 3, spans: [[1, 2]], deltas: [1, 1] }, '{count:3, sum:1, (1,2]:1, (2,4]:2}');
    check({ count: 3, zero: 3, threshold: 0.5 }, '{count:3, sum:1, [-0.5,0.5]:3}');
    check({ count: 1, negativeSpans: [[1, 1]], negativeDeltas: [1] }, '[-2,-1):1');
    check({ countFloat: 2.5, spans: [[1, 1]], counts: [2.5] }, '{count:2.5, sum:1, (1,2]:2.5}');
    check({ count: 9, sum: NaN, spans: [[1, 1]], deltas: [2] }, '{count:9, sum:NaN, (1,2]:2}');
    check(
      { schema: CUSTOM_SCHEMA, count: 1, spans: [[1, 1]], deltas: [1], bounds: [1, 2] },
      '(1,2]:1',
    );
    check({ schema: 10, count: 4, spans: [[1, 4]], deltas: [1, 0, 0, 0] }, /sum:1, \(1,1.0027.*:4/);

    check(
      { count: 3, spans: [[1, 1]], deltas: [2] },
      /2 observations in buckets, but the count is 3/,
    );
    check({ count: 1, spans: [[1, 1]], deltas: [2] }, /2 observations/);
    check({ count: 1, sum: NaN, spans: [[1, 1]], deltas: [2] }, /2 observations/);
    check({ count: 1, spans: [[1, 2]], deltas: [1] }, /spans need 2 buckets, there are 1/);
    check({ count: 1, spans: [[1, 1]], deltas: [1, 0] }, /spans need 1 buckets, there are 2/);
    check({ count: 1, spans: [[1, 2 ** 32 - 1]], deltas: [1] }, /spans need 4294967295 buckets/);
    check(
      {
        count: 2,
        spans: [
          [1, 1],
          [-1, 1],
        ],
        deltas: [1, 0],
      },
      /span 1 has the offset -1/,
    );
    check({ count: 2, spans: [[2 ** 31 - 1, 1]], deltas: [2] }, /bucket index 2147483647/);
    check({ count: 1, spans: [[0, 2]], deltas: [2, -3] }, /positive bucket 1 counts -1/);
    check(
      { count: 1, negativeSpans: [[0, 1]], negativeDeltas: [-1] },
      /negative bucket 0 counts -1/,
    );
    check({ countFloat: 1, spans: [[0, 1]], counts: [-1] }, /positive bucket 0 counts -1/);
    check({ countFloat: 1, spans: [[0, 1]], counts: [NaN] }, /counts NaN/);
    check({ countFloat: -1 }, /the count -1/);
    check({ countFloat: 1, zeroFloat: -1 }, /zero bucket counts -1/);
    check(
      { count: INTEGER_COUNT_MAX + 1, zero: INTEGER_COUNT_MAX + 1 },
      /send it as a float histogram/,
    );
    check({ schema: 127 }, /schema 127/);
    check({ schema: -5 }, /schema -5/);
    check({ threshold: -1 }, /zero threshold -1/);
    check({ threshold: NaN }, /zero threshold NaN/);
    check({ bounds: [1] }, /custom bounds in an exponential schema/);
    const custom = { schema: CUSTOM_SCHEMA };
    check({ ...custom, bounds: [2, 1] }, /custom bound 1 comes after 2/);
    check({ ...custom, bounds: [1, 1] }, /custom bound 1 comes after 1/);
    check({ ...custom, bounds: [1, Infinity] }, /Infinity is not finite/);
    check({ ...custom, bounds: [NaN] }, /NaN is not finite/);
    check(
      { ...custom, count: 1, spans: [[2, 1]], deltas: [1], bounds: [1] },
      /1 custom bounds are too few/,
    );
    check({ ...custom, zero: 1, count: 1 }, /custom buckets with a zero count/);
    check({ ...custom, threshold: 1 }, /custom buckets with a zero threshold/);
    check(
      { ...custom, count: 1, negativeSpans: [[0, 1]], negativeDeltas: [1] },
      /negative buckets/,
    );
    const many = Array.from({ length: BUCKETS_MAX + 1 }, () => 0);
    check({ spans: [[0, BUCKETS_MAX + 1]], deltas: many }, /more than 16384 buckets/);
  },
);

t.test('stale markers are told by the bits of the sum', (t) => {
  const stale = Buffer.concat([Buffer.of(0x19), Buffer.from('020000000000f07f', 'hex')]);
  t.equal(outcome(stale), 'stale');
  const { sample } = decodeHistogramMessage(stale, 0, stale.length);
  const again = Buffer.from(encodeHistogramMessage(7, sample));
  t.equal(outcome(again), 'stale');
  t.end();
});

t.test('negative timestamps are read as they are', (t) => {
  const at = (bytes: Buffer): number => decodeHistogramMessage(bytes, 0, bytes.length).timestampMs;
  t.equal(at(tagged(15, 0, uvarint(-3n))), -3);
  t.match(outcome(tagged(15, 0, uvarint(2n ** 62n))), /timestamp/);
  t.end();
});

t.test(`hostile messages are taken or refused, never worse (seed ${seed})`, (t) => {
  const random = randomOf(seed);
  let taken = 0;
  for (const kind of KINDS) {
    for (const { sample, timeMs } of histogramSeries(kind, { startMs: 0, count: 40, seed })) {
      const good = encodeHistogramMessage(timeMs, sample);
      for (let to = 0; to < good.length; to += 7) outcome(good.slice(0, to));
      for (let i = 0; i < 40; i++) {
        const bad = good.slice();
        for (let n = 0; n < 3; n++)
          bad[Math.floor(random() * bad.length)] = Math.floor(random() * 256);
        if (!outcome(bad).includes('invalid')) taken++;
      }
      t.equal(
        decodeHistogramMessage(good, 0, good.length).timestampMs,
        timeMs,
        sampleLine({ sample, timeMs }).slice(0, 40),
      );
    }
  }
  t.ok(taken > 0);
  t.end();
});
