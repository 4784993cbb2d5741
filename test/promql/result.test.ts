// Goal: answers are written byte for byte as Prometheus writes them.
// Method: pieces whose text a real Prometheus 3.5 gave; numbers and strings against a naive writer.
import fc from 'fast-check';
import t from 'tap';
import { NO_LABELS } from '../../model/labels.ts';
import { encodeResult, type QueryResult } from '../../promql/index.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${seed}`);
const notes = { warnings: [], infos: [] };

function vectorText(timestampMs: number, value: number, label: string): string {
  const labels = [['v', label]];
  const values = Float64Array.of(value);
  return text({ resultType: 'vector', timestampMs, labels, values, ...notes });
}

function text(result: QueryResult): string {
  return Buffer.from(encodeResult(result)).toString();
}

t.test('encodeResult() writes labels as Prometheus does', async (t) => {
  const check = (label: string, expected: string): void => {
    const json = `{"resultType":"vector","result":[{"metric":{"v":${expected}},"value":[1,"2"]}]}`;
    t.equal(vectorText(1000, 2, label), json);
  };
  check('plain', '"plain"');
  check('a"b\\', String.raw`"a\"b\\"`);
  check('<&>', '"<&>"');
  check('tab\tnl\ncr\r', String.raw`"tab\tnl\ncr\r"`);
  check('bell\x07\b\f\v', String.raw`"bell\u0007\u0008\u000c\u000b"`);
  check('\\b\\f', String.raw`"\\b\\f"`);
  check('\x7f', '"\x7f"');
  check('\u2028', '"\u2028"');
  check('ü😀', '"ü😀"');
  check('a\udcffb', '"a\ufffdb"'); // a byte that is no UTF-8
});

t.test('encodeResult() writes times and samples as Prometheus does', async (t) => {
  const check = (timeMs: number, value: number, expected: string): void => {
    t.ok(vectorText(timeMs, value, 'x').includes(`"value":${expected}`), expected);
  };
  check(1_700_000_000_123, 1e21, '[1700000000.123,"1e+21"]');
  check(1_700_000_000_000, 1e-7, '[1700000000,"1e-07"]');
  check(-1, -0, '[-0.001,"-0"]');
  check(-1500, 0, '[-1.500,"0"]');
  check(1, 1e20, '[0.001,"100000000000000000000"]');
  check(9_007_199_254_740_991, NaN, '[9007199254740.991,"NaN"]');
  check(0, -Infinity, '[0,"-Inf"]');
  check(10, 2 ** 31, '[0.010,"2147483648"]');
  check(10, -(2 ** 31), '[0.010,"-2147483648"]');
});

t.test('encodeResult() writes scalars and strings in their own way', async (t) => {
  const scalar = { resultType: 'scalar', timestampMs: 1100, value: 1e-7, ...notes } as const;
  t.equal(text(scalar), '{"resultType":"scalar","result":[1.1,"0.0000001"]}');
  const string = {
    resultType: 'string',
    timestampMs: 1001,
    value: '<a>&\u2028\bü',
    ...notes,
  } as const;
  const expected = String.raw`{"resultType":"string","result":[1.001,"\u003ca\u003e\u0026\u2028\bü"]}`;
  t.equal(text(string), expected);
});

t.test('encodeResult() agrees with a naive writer on any matrix', async (t) => {
  const point = fc.tuple(fc.integer({ min: -1e13, max: 1e13 }), fc.double(), fc.boolean());
  const property = fc.property(fc.string(), fc.array(point, { maxLength: 50 }), (label, points) => {
    const timestamps = Float64Array.from(points, ([timeMs]) => timeMs);
    const values = Float64Array.from(points, ([, x, isWhole]) => (isWhole ? Math.trunc(x) : x));
    const ends = Uint32Array.of(points.length);
    const series = { labels: [['l', label]], ends, timestamps, values };
    const written = JSON.parse(text({ resultType: 'matrix', series, ...notes })) as {
      readonly result: readonly [{ metric: { l: string }; values: [number, string][] }];
    };
    const [{ metric, values: pairs }] = written.result;
    if (metric.l !== label) return false;
    return pairs.every(([seconds, sample], i) => {
      const number = sample === '+Inf' ? Infinity : sample === '-Inf' ? -Infinity : Number(sample);
      return seconds === timestamps[i]! / 1000 && Object.is(number, values[i]!);
    });
  });
  fc.assert(property, { seed });
  t.equal(
    text({
      resultType: 'matrix',
      series: {
        labels: [NO_LABELS],
        ends: Uint32Array.of(0),
        timestamps: new Float64Array(0),
        values: new Float64Array(0),
      },
      ...notes,
    }),
    '{"resultType":"matrix","result":[{"metric":{},"values":[]}]}',
  );
});
