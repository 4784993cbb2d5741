// Goal: selectionsOf() asks for what evaluate() reads, answers are encoded as Prometheus does, and
// what a default server does differently from the scripts (names dropped at once) holds.
// Method: tables of queries over small data; the columnar sums and rates against naive twins.
import fc from 'fast-check';
import t from 'tap';
import { StarlingError } from '../../model/errors.ts';
import { type Labels, labelsFromPairs, labelValue } from '../../model/labels.ts';
import { compileMatcher } from '../../model/matchers.ts';
import { STALE_NAN_HIGH, STALE_NAN_LOW } from '../../model/sample.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import { encodeResult, evaluate, parseExpr, selectionsOf } from '../../promql/index.ts';
import type { QueryParams, Selection } from '../../promql/index.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${seed}`);

interface Series {
  readonly labels: Labels;
  readonly samples: readonly (readonly [timeMs: number, value: number])[];
}

function series(pairs: Record<string, string>, ...values: readonly number[]): Series {
  const samples = values.map((value, i) => [i * 60_000, value] as const);
  return { labels: labelsFromPairs(Object.entries(pairs)), samples };
}

function columnsFor(all: readonly Series[], { matchers, minTimeMs, maxTimeMs }: Selection) {
  const compiled = matchers.map(compileMatcher);
  const found = all.filter(({ labels }) =>
    compiled.every((one) => one.matches(labelValue(labels, one.matcher.name))),
  );
  const samples = found.map((one) =>
    one.samples.filter(([at]) => at >= minTimeMs && at <= maxTimeMs),
  );
  let end = 0;
  const columns: SeriesColumns = {
    labels: found.map(({ labels }) => labels),
    ends: Uint32Array.from(samples, (kept) => (end += kept.length)),
    timestamps: Float64Array.from(samples.flat(), ([at]) => at),
    values: Float64Array.from(samples.flat(), ([, value]) => value),
  };
  return columns;
}

const base: QueryParams = {
  startMs: 120_000,
  endMs: 240_000,
  stepMs: 60_000,
  lookbackMs: 300_000,
  instant: false,
};
const instant: QueryParams = { ...base, instant: true };

function answer(query: string, params: QueryParams, all: readonly Series[]): string {
  const expr = parseExpr(query, { experimentalFunctions: true });
  const data = selectionsOf(expr, params).map((selection) => columnsFor(all, selection));
  try {
    const result = evaluate(expr, params, data, { samplesMax: 1000 });
    const notes = [...result.warnings, ...result.infos].map((note) => ` # ${note}`).join('');
    return Buffer.from(encodeResult(result)).toString() + notes;
  } catch (error) {
    if (!(error instanceof StarlingError)) throw error;
    return `${error.id}: ${error.message}`;
  }
}

const metrics: readonly Series[] = [
  series({ __name__: 'a', x: '1' }, 0, 1, 2, 3, 4),
  series({ __name__: 'a', x: '2' }, 0, 10, 20, 30, 40),
  series({ __name__: 'b', x: '1' }, 5, 5, 5, 5, 5),
  series({ __name__: 'requests_total' }, 0, 60, 120, 30, 90),
];

t.test('selectionsOf() finds every selector in tree order with its window', (t) => {
  const check = (
    query: string,
    ...expected: readonly (readonly [string, number, number])[]
  ): void => {
    const found = selectionsOf(parseExpr(query), { ...base, startMs: 600_000, endMs: 900_000 });
    const got = found.map((one) => [one.matchers.at(-1)?.value, one.minTimeMs, one.maxTimeMs]);
    t.same(got, expected, query);
  };
  check('a', ['a', 300_001, 900_000]);
  check('1');
  check('a offset 1m', ['a', 240_001, 840_000]);
  check('a offset -1m', ['a', 360_001, 960_000]);
  check('rate(a[1m])', ['a', 540_001, 900_000]);
  check('rate(a[1m] offset 1m)', ['a', 480_001, 840_000]);
  check('a @ 100', ['a', -199_999, 100_000]);
  check('rate(a[1m] @ start())', ['a', 540_001, 600_000]);
  check('rate(a[1m] @ end())', ['a', 840_001, 900_000]);
  check('max_over_time(a[5m:1m])', ['a', 60_001, 900_000]);
  check('max_over_time(rate(a[1m])[5m:1m] offset 2m)', ['a', 180_001, 780_000]);
  check('b / a', ['b', 300_001, 900_000], ['a', 300_001, 900_000]);
  check('topk(scalar(b), a)', ['b', 300_001, 900_000], ['a', 300_001, 900_000]);
  t.end();
});

t.test(
  'timestamp() of a pinned selector looks at the pinned time, among what the offset fetched',
  (t) => {
    const check = (query: string, expected: string): void => {
      const got = answer(query, { ...instant, startMs: 240_000 }, metrics);
      t.match(got, expected, query);
    };
    check('timestamp(a{x="1"} @ 60)', '"60"');
    check('timestamp(a{x="1"} offset -1m @ 60)', '"60"');
    check('timestamp(a{x="1"} offset 1m @ 120)', '"60"');
    check('timestamp(a{x="1"} offset 5m @ 240)', '"result":[]');
    check('timestamp(a{x="1"} offset 1m)', '"180"');
    t.end();
  },
);

t.test('selectionsOf() tells which labels and samples the query reads', (t) => {
  const check = (query: string, labels: string, newestOnly: boolean): void => {
    const [found] = selectionsOf(parseExpr(query), instant);
    const { kind = 'all', names = [] } = found?.projection ?? {};
    t.same([[kind, ...names].join(' '), found?.newestOnly], [labels, newestOnly], query);
  };
  check('a', 'all', true);
  check('a[5m]', 'all', false);
  check('sum(a)', 'only', true);
  check('sum by (x)({__name__=~"a|b"})', 'only x', true);
  check('sum without (x)(a)', 'without x __name__', true);
  check('sum by (x)(rate(a[1m]))', 'only __name__ x', false);
  check('sum without (x)(rate(a[1m]))', 'without x __type__ __unit__', false);
  check('sum without (x)(last_over_time(a[1m]) > 1)', 'without x __name__', false);
  check('sum by (__type__)(-a)', 'all', true);
  check('timestamp(a offset -1m @ 60)', 'all', false);
  check('sum without (x)(-a)', 'without x __type__ __unit__', true);
  check('sum by (x)(rate({__name__=~"a|b"}[1m]))', 'all', false); // equal rows must be seen
  check('max by (x)(2 * (a) > 1)', 'only __name__ x', true);
  check('count_values by (x)("v", a)', 'only x', true);
  check('quantile(0.5, a)', 'only', true);
  check('sum(a + a)', 'all', true);
  check('sum(topk by (x)(3, a))', 'all', true);
  check('sum(max by (y)(a))', 'only y', true);
  check('sum(label_replace(a, "x", "$1", "y", "(.*)"))', 'all', true);
  check('sum(max_over_time(a[5m:1m]))', 'all', false);
  check('sum(histogram_quantile(0.5, a))', 'all', true);
  t.end();
});

t.test('encodeResult() writes what Prometheus writes', (t) => {
  const check = (query: string, params: QueryParams, expected: string): void => {
    t.equal(answer(query, params, metrics), expected, query);
  };
  const vector = (rows: string): string => `{"resultType":"vector","result":[${rows}]}`;
  const scalar = (value: string): string => `{"resultType":"scalar","result":[120,"${value}"]}`;
  check('1e-7', instant, scalar('0.0000001'));
  check('1.5e22', instant, scalar('15000000000000000000000'));
  check('-Inf', instant, scalar('-Inf'));
  check('"a\\"b"', instant, '{"resultType":"string","result":[120,"a\\"b"]}');
  check('vector(1e-7)', instant, vector('{"metric":{},"value":[120,"1e-07"]}'));
  check('vector(1e21)', instant, vector('{"metric":{},"value":[120,"1e+21"]}'));
  check('vector(-0)', instant, vector('{"metric":{},"value":[120,"-0"]}'));
  check('vector(1)', { ...instant, startMs: 1100 }, vector('{"metric":{},"value":[1.100,"1"]}'));
  check('1', { ...instant, startMs: 1100 }, '{"resultType":"scalar","result":[1.1,"1"]}');
  check('nothing', instant, vector(''));
  check('nothing', base, '{"resultType":"matrix","result":[]}');
  const b = '{"metric":{"__name__":"b","x":"1"},"values":[[60,"5"],[120,"5"]]}';
  check('b[2m]', instant, `{"resultType":"matrix","result":[${b}]}`);
  const sum = '{"metric":{},"values":[[120,"22"],[180,"33"],[240,"44"]]}';
  check('sum(a)', base, `{"resultType":"matrix","result":[${sum}]}`);
  t.end();
});

t.test('evaluate() drops names at once and fails as Prometheus does', (t) => {
  const check = (query: string, expected: string): void => {
    t.equal(answer(query, instant, metrics), expected, query);
  };
  const fails = (text: string): string => `query.execution: ${text}`;
  const same = fails('vector cannot contain metrics with the same labelset');
  check('-{x="1"}', same);
  check('label_replace(a, "x", "", "x", ".*")', same);
  check('abs({x="1"})', same);
  check(
    'b + on() a',
    fails(
      'found duplicate series for the match group {} on the right hand-side of the operation: [{__name__="a", x="1"}, {__name__="a", x="2"}];many-to-many matching not allowed: matching labels must be unique on one side',
    ),
  );
  const explicit = 'many-to-one matching must be explicit (group_left/group_right)';
  check('a + on() b', fails(`multiple matches for labels: ${explicit}`));
  check('topk(NaN, a)', fails('Parameter value is NaN'));
  const twoErrors = 'a{x="1"} - on() a{x="2"} - on() (a{x="1"} or a{x="2"})';
  const duplicates = fails('found duplicate series for the match group {} on the right hand-side');
  t.match(answer(twoErrors, instant, metrics), duplicates);
  t.equal(
    answer('sum_over_time(a[1h:1ms])', instant, metrics),
    // Of one series: the grid is too large before any series is looked at.
    'query.too_large: the query needs 3600000 samples, the limit is 1000: narrow the selector or the range',
  );
  t.end();
});

t.test('evaluate() tells what looks wrong, with the place', (t) => {
  const check = (query: string, expected: string): void => {
    const [, ...notes] = answer(query, instant, metrics).split(' # ');
    t.equal(notes.join('|'), expected, query);
  };
  const counter = 'metric might not be a counter, name does not end in _total/_sum/_count/_bucket';
  check('rate(requests_total[5m])', '');
  check('sum(rate(a[5m]))', `PromQL info: ${counter}: "a" (1:10)`);
  const between = 'PromQL warning: quantile value should be between 0 and 1';
  check('quantile(2, a)', `${between}, got 2 (1:10)`);
  check('quantile_over_time(-1, a[5m])', `${between}, got -1 (1:20)`);
  t.end();
});

t.test('evaluate() sees no sample from a stale marker on', (t) => {
  const values = new Float64Array([1, 0, 3]);
  new Uint32Array(values.buffer).set([STALE_NAN_LOW, STALE_NAN_HIGH], 2);
  const columns: SeriesColumns = {
    labels: [['__name__', 'a']],
    ends: Uint32Array.of(3),
    timestamps: Float64Array.of(120_000, 180_000, 240_000),
    values,
  };
  const run = (query: string): string => {
    const result = evaluate(parseExpr(query), base, [columns], { samplesMax: 1000 });
    return Buffer.from(encodeResult(result))
      .toString()
      .replace(/.*"values":/, '');
  };
  t.equal(run('a'), '[[120,"1"],[240,"3"]]}]}');
  t.equal(run('count_over_time(a[2m])'), '[[120,"1"],[180,"1"],[240,"1"]]}]}');
  t.end();
});

t.test('sum() and increase() equal naive twins', (t) => {
  const value = fc.integer({ min: 0, max: 1000 });
  const rows = fc.array(fc.array(value, { minLength: 5, maxLength: 5 }), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(rows, (lists) => {
      const all = lists.map((list, i) => series({ __name__: 'c_total', i: String(i) }, ...list));
      const last = lists.reduce((sum, list) => sum + list[4]!, 0);
      const wanted = `{"resultType":"vector","result":[{"metric":{},"value":[240,"${last}"]}]}`;
      t.equal(answer('sum(c_total)', { ...instant, startMs: 240_000 }, all), wanted);
      for (const list of lists) {
        const one = [series({ __name__: 'c_total' }, ...list)];
        const text = answer('increase(c_total[3m])', { ...instant, startMs: 240_000 }, one);
        const got = Number(/,"([^"]+)"\]\}\]\}$/.exec(text)?.[1]);
        t.ok(Math.abs(got - naiveIncrease(list)) < 1e-9, `${list.join()}: ${got}`);
      }
    }),
    { seed, numRuns: 50 },
  );
  t.end();
});

/** Over (60 s, 240 s]: samples at 120, 180, 240; one gap of 60 s to the left edge. */
function naiveIncrease([, , first = 0, second = 0, third = 0]: readonly number[]): number {
  const grown = (from: number, to: number): number => (to < from ? to : to - from);
  const total = grown(first, second) + grown(second, third);
  const toZeroS = total > 0 ? (120 * first) / total : Infinity;
  return (total * (120 + Math.min(60, toZeroS))) / 120;
}
