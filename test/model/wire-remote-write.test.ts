// Goal: the one pass over a WriteRequest yields exactly what protobuf says, and refuses what is broken.
// Method: bodies made by hand; every truncation; random mutations; label validation case by case.
import fc from 'fast-check';
import t from 'tap';
import { refusal } from '../support/refusal.ts';
import { SINGLE_TENANT_LIMITS } from '../../model/limits.ts';
import {
  fingerprint,
  fingerprintKey,
  tenantFingerprintKey,
  viewOf,
} from '../../model/wire/fingerprint.ts';
import { canonicalLabels } from '../../model/wire/raw-labels.ts';
import {
  type WriteColumns,
  beginWriteRequestPass,
  continueWriteRequestPass,
  createWriteColumns,
} from '../../model/wire/remote-write.ts';
import {
  type TestSeries,
  field,
  seriesMessage,
  uvarint,
  writeRequest,
} from '../support/remote-write-bodies.ts';

const key = fingerprintKey(Buffer.alloc(16, 9));
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

function read(body: Buffer, seriesMax = 1000): WriteColumns {
  const columns = createWriteColumns(1, 1);
  const pass = beginWriteRequestPass(body, body.length, key, columns);
  while (!continueWriteRequestPass(pass, seriesMax)) continue;
  return columns;
}

const series = (index: number, samples = 1): TestSeries => ({
  labels: [
    ['__name__', `metric_${index}`],
    ['pod', 'a'.repeat(index % 200)],
  ],
  samples: Array.from(
    { length: samples },
    (_, i) => [1_700_000_000_000 + i, index + i / 7] as const,
  ),
});

t.test('the pass finds series, label ranges and samples', async (t) => {
  const all = Array.from({ length: 50 }, (_, i) => series(i, i % 4));
  for (const seriesMax of [1, 7, 1000]) {
    const body = writeRequest(all);
    const columns = read(body, seriesMax);
    t.equal(columns.seriesCount, all.length);
    t.equal(
      columns.sampleCount,
      all.reduce((sum, one) => sum + (one.samples?.length ?? 0), 0),
    );
    const values = new Float64Array(columns.values.buffer);
    let at = 0;
    all.forEach((one, i) => {
      const labels = canonicalLabels(
        viewOf(body),
        columns.labelStarts[i]!,
        columns.labelEnds[i]!,
        SINGLE_TENANT_LIMITS,
      );
      t.equal(labels[1], `metric_${i}`);
      for (const [timestampMs, value] of one.samples ?? []) {
        t.equal(columns.timestamps[at], timestampMs);
        t.equal(values[at++], value);
      }
      t.equal(columns.sampleEnds[i], at);
    });
  }
});

t.test('W33, W37 timestamps and value bits are exact', async (t) => {
  const check = (timestampMs: number | bigint, expectedMs: number, bits: bigint): void => {
    const columns = read(
      writeRequest([{ labels: [['__name__', 'x']], samples: [[timestampMs, bits]] }]),
    );
    t.equal(columns.timestamps[0], expectedMs);
    t.equal(columns.values[0], Number(bits & 0xffff_ffffn));
    t.equal(columns.values[1], Number(bits >> 32n));
  };
  check(0, 0, 0x7ff0_0000_0000_0002n); // stale NaN, signalling
  check(-1, -1, 0x7ff8_0000_0000_0001n); // ordinary NaN
  check(-1_700_000_000_123, -1_700_000_000_123, 0x8000_0000_0000_0000n); // -0
  check(2 ** 53 - 1, 2 ** 53 - 1, 1n); // smallest denormal
  check(-(2 ** 53) + 1, -(2 ** 53) + 1, 0x7ff0_0000_0000_0000n); // +Inf
  check(2n ** 63n - 1n, 2 ** 63, 0xfff0_0000_0000_0000n); // out of bounds stays out of bounds
  check(-(2n ** 63n), -(2 ** 63), 0x7ff8_dead_beef_0001n);
});

t.test('W16 a body cut at any byte is refused or a whole number of series', async (t) => {
  const bodies = [series(1), series(2, 2), series(3)].map((one) => writeRequest([one]));
  const body = Buffer.concat(bodies);
  const whole = new Set([0, bodies[0]!.length, bodies[0]!.length + bodies[1]!.length]);
  for (let length = 0; length < body.length; length++) {
    const cut = body.subarray(0, length);
    if (whole.has(length)) t.doesNotThrow(() => read(cut));
    else t.throws(() => read(cut), refusal('protobuf.corrupt'), `cut at ${length}`);
  }
});

t.test('W17, W18 malformed fields are refused, naming the byte', async (t) => {
  const check = (name: string, body: Buffer): void => {
    t.throws(() => read(body), { id: 'protobuf.corrupt', message: /at byte \d+/ }, name);
  };
  check('field 0', Buffer.from('02', 'hex'));
  check('group start', Buffer.from('0b', 'hex'));
  check('group end', Buffer.from('0c', 'hex'));
  check('wire type 6', Buffer.from('0e', 'hex'));
  check('11-byte varint', Buffer.concat([Buffer.of(0x10), Buffer.alloc(10, 0xff), Buffer.of(1)]));
  check(
    'timestamp varint over 10 bytes',
    field(1, field(2, Buffer.concat([Buffer.of(0x10), Buffer.alloc(10, 0xff), Buffer.of(1)]))),
  );
  check('2 GiB length', Buffer.concat([Buffer.of(0x0a), uvarint(2 ** 31)]));
  check('6-byte length', Buffer.from('0affffffffff01', 'hex'));
  check('label longer than its series', field(1, Buffer.from('0a7f00', 'hex')));
  check('truncated double', field(1, field(2, Buffer.from('09aabb', 'hex'))));
});

t.test('W19 unknown fields are ignored', async (t) => {
  const unknown = Buffer.concat([
    field(9, Buffer.from('future')),
    Buffer.from('78ac02', 'hex'),
    Buffer.from('5d01020304', 'hex'),
    Buffer.from('590102030405060708', 'hex'),
  ]);
  const columns = read(
    Buffer.concat([unknown, field(1, Buffer.concat([seriesMessage(series(5)), unknown])), unknown]),
  );
  t.equal(columns.seriesCount, 1);
  t.equal(columns.sampleCount, 1);
});

t.test(`random mutations never do anything but decode or refuse (seed ${seed})`, async (t) => {
  const body = writeRequest([series(1), series(30, 3), series(150)]);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(body.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      (flips) => {
        const mutant = Buffer.from(body);
        for (const [at, byte] of flips) mutant[at] = byte;
        try {
          const columns = read(mutant);
          for (let i = 0; i < columns.seriesCount; i++) {
            canonicalLabels(
              viewOf(mutant),
              columns.labelStarts[i]!,
              columns.labelEnds[i]!,
              SINGLE_TENANT_LIMITS,
            );
          }
          return true;
        } catch (error) {
          return /^(protobuf|series)\./.test((error as { id: string }).id);
        }
      },
    ),
    { seed, numRuns: 5000 },
  );
  t.pass();
});

t.test(
  'W21, W22, W24, W25, W27, W28, W29 canonicalLabels() sorts, keeps names exactly, says what is wrong',
  async (t) => {
    const labelsOf = (labels: TestSeries['labels']): readonly string[] => {
      const body = writeRequest([{ labels }]);
      const columns = read(body);
      return canonicalLabels(
        viewOf(body),
        columns.labelStarts[0]!,
        columns.labelEnds[0]!,
        SINGLE_TENANT_LIMITS,
      );
    };
    const accepts = (labels: TestSeries['labels'], expected: readonly string[]): void => {
      t.same(labelsOf(labels), expected);
    };
    const refuses = (labels: TestSeries['labels'], id: string, message: RegExp): void => {
      t.throws(() => labelsOf(labels), { id, message });
    };
    const name = ['__name__', 'up'] as const;
    accepts([['z', '1'], name, ['a', '2']], ['__name__', 'up', 'a', '2', 'z', '1']);
    accepts([name, ['a', '']], ['__name__', 'up']);
    accepts(
      [name, ['__proto__', 'constructor'], ['toString', '__proto__']],
      ['__name__', 'up', '__proto__', 'constructor', 'toString', '__proto__'],
    );
    accepts([['__name__', '__proto__']], ['__name__', '__proto__']);
    accepts(
      [name, ['dotted.name with space', 'line\nbreak']],
      ['__name__', 'up', 'dotted.name with space', 'line\nbreak'],
    );
    accepts(
      [name, ['\uffff', 'bmp'], ['😀', 'emoji']],
      ['__name__', 'up', '\uffff', 'bmp', '😀', 'emoji'],
    );
    accepts(
      [name, ['e\u0301', 'nfd'], ['\u00e9', 'nfc']],
      ['__name__', 'up', 'e\u0301', 'nfd', '\u00e9', 'nfc'],
    );
    accepts(
      [name, ['nul', 'a\0b'], ['bidi', '\u202e']],
      ['__name__', 'up', 'bidi', '\u202e', 'nul', 'a\0b'],
    );
    refuses(
      [name, ['a', '1'], ['b', '2'], ['a', '3']],
      'series.duplicate_label',
      /"a" appears twice/,
    );
    refuses([name, ['a', '1'], ['a', '']], 'series.duplicate_label', /"a"/);
    refuses([name, ['', 'x']], 'series.label_invalid', /empty name/);
    refuses([['a', '1']], 'series.missing_metric_name', /__name__/);
    refuses([['__name__', '']], 'series.missing_metric_name', /__name__/);
    refuses([], 'series.missing_metric_name', /__name__/);
    refuses([['__name__', Buffer.of(0xff)]], 'series.metric_name_invalid', /UTF-8/);
    refuses([name, ['a', Buffer.of(0xed, 0xa0, 0x80)]], 'series.label_invalid', /UTF-8/);
    refuses(
      [name, ['n'.repeat(1025), 'x']],
      'series.label_name_too_long',
      /is 1025 bytes, max_label_name_length is 1024/,
    );
    refuses(
      [name, ['a', 'v'.repeat(2049)]],
      'series.label_value_too_long',
      /is 2049 bytes, max_label_value_length is 2048/,
    );
    refuses(
      [name, ...Array.from({ length: 30 }, (_, i) => [`l${i}`, 'x'] as const)],
      'series.too_many_labels',
      /has 31 labels, max_label_names_per_series is 30/,
    );
    refuses(
      [name, ...Array.from({ length: 17 }, (_, i) => [`l${i}`, 'v'.repeat(2000)] as const)],
      'series.labels_too_large',
      /max_labels_size_bytes is 32768/,
    );
  },
);

t.test(
  'fingerprint() depends on every byte, the length, the key, the tenant and the purpose',
  async (t) => {
    const print = (bytes: Buffer, k = key): string => {
      const out = new Uint32Array(4);
      fingerprint(k, viewOf(bytes), 0, bytes.length, out, 0);
      return out.join();
    };
    const seen = new Set<string>();
    let count = 0;
    const add = (text: string): void => {
      seen.add(text);
      count++;
    };
    for (let length = 0; length < 70; length++) {
      const bytes = Buffer.alloc(length);
      add(print(bytes));
      for (let at = 0; at < length; at++) {
        bytes[at] = 1;
        add(print(bytes));
        bytes[at] = 0;
      }
    }
    const secret = Buffer.alloc(16, 3);
    for (const tenant of ['a', 'A', 'b']) {
      for (const purpose of ['raw', 'series'] as const)
        add(print(Buffer.from('x'), tenantFingerprintKey(secret, tenant, purpose)));
    }
    t.equal(seen.size, count, 'no two inputs share a fingerprint');
    const padded = Buffer.concat([
      Buffer.alloc(3),
      Buffer.from('label bytes at an odd offset'),
      Buffer.alloc(5),
    ]);
    const out = new Uint32Array(6);
    fingerprint(key, viewOf(padded), 3, padded.length - 5, out, 2);
    t.equal(out.subarray(2).join(), print(Buffer.from('label bytes at an odd offset')));
  },
);
