/**
 * WAL records and their frames. Goal: decode is the inverse of encode, the bytes are Prometheus', and
 * no broken record does more than give a reason. Method: properties, and bytes worked out by hand
 * from the format's description.
 */
import fc from 'fast-check';
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { frameRecord, framedLength } from '../../storage/wal/frame.ts';
import { canonicalBytes, labelsFromBytes } from '../../storage/wal/label-bytes.ts';
import { RecordDecoder, areSamplesBefore } from '../../storage/wal/record-decoder.ts';
import {
  encodeExemplarsRecord,
  encodeMetadataRecord,
  encodeSeriesRecord,
} from '../../storage/wal/record.ts';
import { SegmentScanner } from '../../storage/wal/segment-scanner.ts';
import { WalContents, samplesRecord } from '../support/wal-contents.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`seed ${seed}`);
const runs = { seed, numRuns: 300 };

const ref = fc.oneof(fc.nat(1000), fc.maxSafeInteger().map(Math.abs));
const time = fc.oneof(fc.integer(), fc.maxSafeInteger());
const labels = fc
  .uniqueArray(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ minLength: 1 })), {
    selector: ([name]) => Buffer.from(name).toString('hex'),
    maxLength: 6,
  })
  .map((pairs) => labelsFromPairs(pairs.map(([n, v]) => [wellFormed(n), wellFormed(v)] as const)))
  .filter((flat) => new Set(flat.filter((_, i) => i % 2 === 0)).size === flat.length / 2);
const samples = fc.array(
  fc.record({ ref, timestampMs: time, bits: fc.bigInt(0n, 2n ** 64n - 1n) }),
  {
    minLength: 1,
    maxLength: 50,
  },
);

function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

function decoded(record: Uint8Array): WalContents & { readonly why: string | undefined } {
  const contents = new WalContents();
  const why = new RecordDecoder(contents).decode(record);
  return Object.assign(contents, { why });
}

function hex(text: string): Uint8Array {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

t.test('encodeSamplesRecord() writes the bytes of the format', (t) => {
  const record = samplesRecord([
    { ref: 10, timestampMs: 1000, bits: 0x3ff0000000000000n },
    { ref: 9, timestampMs: 1064, bits: 0x7ff0000000000002n },
  ]);
  const header = '02 000000000000000a 00000000000003e8';
  const first = '00 00 3ff0000000000000';
  const second = '01 8001 7ff0000000000002';
  t.equal(Buffer.from(record).toString('hex'), `${header}${first}${second}`.replaceAll(' ', ''));
  t.end();
});

t.test('encodeSeriesRecord() writes the bytes of the format', (t) => {
  const record = encodeSeriesRecord([
    { ref: 258, labels: ['__name__', 'up'] },
    { ref: 259, labels: [] },
  ]);
  const expected = `01 0000000000000102 01 08${Buffer.from('__name__').toString('hex')} 02 7570 0000000000000103 00`;
  t.equal(Buffer.from(record).toString('hex'), expected.replaceAll(' ', ''));
  t.end();
});

t.test('areSamplesBefore() tells what decode() does, or that it cannot tell', (t) => {
  const near = fc.record({
    ref: fc.nat(5000),
    timestampMs: fc.integer({ min: -100_000, max: 100_000 }),
    bits: fc.bigInt(0n, 2n ** 64n - 1n),
  });
  const isOlder = (list: readonly { timestampMs: number }[], timeMs: number): boolean =>
    list.every(({ timestampMs }) => timestampMs < timeMs);
  fc.assert(
    fc.property(
      fc.array(near, { minLength: 1 }),
      fc.integer({ min: -1e5, max: 1e5 }),
      (list, at) => {
        t.equal(areSamplesBefore(samplesRecord(list), at), isOlder(list, at));
      },
    ),
    runs,
  );
  fc.assert(
    fc.property(samples, time, fc.nat(), (list, at, length) => {
      const record = samplesRecord(list);
      if (areSamplesBefore(record, at)) t.ok(isOlder(list, at));
      const cut = record.subarray(0, length % record.length);
      if (areSamplesBefore(cut, at)) t.equal(decoded(cut).why, undefined);
    }),
    runs,
  );
  t.end();
});

t.test('decode() gives back samples, whatever their refs, times and bits', (t) => {
  fc.assert(
    fc.property(samples, (list) => {
      const { why, samples: read } = decoded(samplesRecord(list));
      return why === undefined && sameSamples(read, list);
    }),
    runs,
  );
  t.end();
});

function sameSamples(a: WalContents['samples'], b: WalContents['samples']): boolean {
  const text = (list: WalContents['samples']): string =>
    list.map((one) => `${one.ref} ${one.timestampMs} ${one.bits}`).join('\n');
  return text(a) === text(b);
}

t.test('decode() hands a long record over in slices, in order', (t) => {
  const list = Array.from({ length: 10_000 }, (_, i) => ({
    ref: i,
    timestampMs: -i,
    bits: BigInt(i),
  }));
  const { samples: read, why } = decoded(samplesRecord(list));
  t.equal(why, undefined);
  t.ok(sameSamples(read, list));
  t.end();
});

t.test('decode() gives back series, exemplars and metadata', (t) => {
  const text = fc.string({ unit: 'binary' }).map(wellFormed);
  fc.assert(
    fc.property(fc.array(fc.tuple(ref, labels), { minLength: 1 }), text, (list, help) => {
      const series = list.map(([one, set]) => ({ ref: one, labels: set }));
      t.strictSame(decoded(encodeSeriesRecord(series)).series, series);
      const exemplars = list.map(([one, set], i) => ({
        ref: one,
        timestampMs: i * 1000 - 3,
        valueLow: i,
        valueHigh: 0x3ff00000,
        labels: set,
      }));
      t.strictSame(decoded(encodeExemplarsRecord(exemplars)).exemplars, exemplars);
      const metadata = list.map(([one]) => ({ ref: one, metricType: 2, unit: 'bytes', help }));
      t.strictSame(decoded(encodeMetadataRecord(metadata)).metadata, metadata);
    }),
    { seed, numRuns: 60 },
  );
  t.end();
});

t.test('decode() gives a reason for a record cut anywhere, and nothing wrong', (t) => {
  const list = [1, 2, 3].map((n) => ({ ref: n, timestampMs: n, bits: BigInt(n) }));
  const record = samplesRecord(list);
  for (let length = 2; length < record.length; length++) {
    const { samples: read, why } = decoded(record.subarray(0, length));
    const isBetweenSamples = length >= 17 && (length - 17) % 10 === 0;
    t.equal(why === undefined, isBetweenSamples, `cut to ${length}`);
    t.ok(sameSamples(read, list.slice(0, read.length)));
  }
  t.end();
});

t.test('decode() refuses what cannot be', (t) => {
  const check = (bytes: string, expected: RegExp): void => {
    t.match(decoded(hex(bytes)).why, expected, bytes);
  };
  check('', /empty/);
  check('01 0000000000000001 02 0162 0131 0161 0131', /type 1/); // names fall
  check('01 0000000000000001 02 0161 0131 0161 0131', /type 1/); // a name twice
  check('01 0000000000000001 ff ffffffffffffffff 01', /type 1/); // 2^63 pairs
  check('01 ffffffffffffffff 00', /type 1/); // a ref beyond 2^53
  check('02 0000000000000001 0000000000000000 03 00 0000000000000000', /type 2/); // ref 1 - 2
  check('02 0000000000000001 7fffffffffffffff 00 00 0000000000000000', /type 2/); // time 2^63 - 1
  check('06 01 02 ffffffff0f', /type 6/); // fields that are not there
  t.end();
});

t.test('decode() tells the types it does not read, and accepts empty samples', (t) => {
  t.strictSame(decoded(hex('03')).skipped, [], 'tombstones are read');
  t.match(decoded(hex('03 00')).why, /type 3 does not decode/);
  t.strictSame(decoded(hex('07 00')).skipped, [], 'histograms are read');
  t.strictSame(decoded(hex('0b')).skipped, [11]);
  t.equal(decoded(hex('02')).why, undefined);
  t.end();
});

t.test('decode() survives any bytes', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 6 }),
      (bytes, type) => {
        bytes[0] = type;
        decoded(bytes);
      },
    ),
    { seed, numRuns: 3000 },
  );
  t.end();
});

t.test('labelsFromBytes() is the inverse of canonicalBytes(), and refuses broken bytes', (t) => {
  fc.assert(
    fc.property(labels, (set) => {
      t.strictSame(labelsFromBytes(canonicalBytes(set)), set);
    }),
    { seed, numRuns: 60 },
  );
  for (const broken of ['05', '0161', '016101', 'ff'])
    t.equal(labelsFromBytes(hex(broken)), undefined);
  t.end();
});

t.test('frameRecord() and the scanner agree for records of any length at any offset', (t) => {
  const length = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 100_000 }));
  fc.assert(
    fc.property(fc.array(length, { minLength: 1, maxLength: 12 }), (lengths) => {
      const records = lengths.map((size, i) => new Uint8Array(size).fill(i + 1));
      const size = records.reduce((sum, record) => sum + framedLength(record.length, sum), 0);
      const segment = new Uint8Array(size);
      let at = 0;
      for (const record of records) {
        at = frameRecord(record, 0, record.length, at, segment, at);
      }
      t.equal(at, size);
      const read: string[] = [];
      const scanner = new SegmentScanner('segment', {
        onRecord: (record) => {
          read.push(`${record[0]} ${record.length}`);
          return undefined;
        },
        onDamage: ({ why }) => t.fail(why),
      });
      for (let page = 0; page < size; page += 32768) {
        scanner.scanPage(segment.subarray(page, page + 32768), page);
      }
      t.strictSame(scanner.finish(), { goodBytes: size, torn: undefined });
      t.strictSame(
        read,
        records.map((record) => `${record[0]} ${record.length}`),
      );
    }),
    { seed, numRuns: 60 },
  );
  t.end();
});
