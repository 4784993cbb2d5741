// Goal: the optimiser's passes do what they say, and no answer, error or annotation shows that they ran.
// Method: tables of what each pass makes of a query; random queries over random data, answered without
// passes, with all, and with one alone (scripts.test.ts does so with all acceptance scripts). SEED and RUNS
// choose the queries.
import t from 'tap';
import { StarlingError } from '../../model/errors.ts';
import { labelsFromPairs, labelValue } from '../../model/labels.ts';
import { compileMatcher } from '../../model/matchers.ts';
import { projectLabels } from '../../model/projection.ts';
import { withScratch } from '../../model/scratch-memory.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import {
  evaluate,
  evaluatePlan,
  explained,
  type ExplainedNode,
  EXPERIMENTAL_LANGUAGE,
  type Expr,
  parseExpr,
  type PassName,
  PASSES,
  planOf,
  printExpr,
  printMatcher,
  type QueryParams,
  type QueryResult,
  type Selection,
  selectionsOf,
  Trace,
} from '../../promql/index.ts';
import { inScratch } from '../support/scratch-columns.ts';
import { crossing } from './crossing-queries.ts';
import {
  DATA_END_MS,
  DATA_START_MS,
  type DataSeries,
  columnsOf,
  dataSet,
  Dice,
  QueryWriter,
} from './engine-queries.ts';
import { told } from './told.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const runs = Number(process.env['RUNS'] ?? 200);
const SAMPLES_MAX = 50_000_000;

const base: QueryParams = {
  startMs: 600_000,
  endMs: 900_000,
  stepMs: 60_000,
  lookbackMs: 300_000,
  instant: false,
};

function planned(query: string, passes: readonly PassName[], params: Partial<QueryParams> = {}) {
  return planOf(parseExpr(query, EXPERIMENTAL_LANGUAGE), { ...base, ...params, passes });
}

t.test('fold_constants: what is one number at every step becomes that number', (t) => {
  const check = (query: string, expected: string, params: Partial<QueryParams> = {}): void => {
    t.equal(printExpr(planned(query, ['fold_constants'], params).expr), expected, query);
  };
  check('1 + 2 * 3', '7');
  check('x * (1024 * 8)', 'x * 8192');
  check('x > -(2 ^ 3)', 'x > -8');
  check('pi() * 2', String(Math.PI * 2));
  check('1 > bool 2', '0');
  check('scalar(vector(2)) + 1', '3');
  check('topk(1 + 1, x)', 'topk(2, x)');
  check('max_of(1, 2) - min_of(1, 2)', '1');
  check('end() - start() + range() + step()', '660');
  check('end() - start() + range() + step()', '0', { instant: true });
  check('max_over_time((x * (2 * 3))[5m:1m])', 'max_over_time((x * 6)[5m:1m])');
  check('time() + 1', 'time() + 1');
  check('vector(1 + 1)', 'vector(2)');
  check('label_replace(x, "a", "b", "c", "d")', 'label_replace(x, "a", "b", "c", "d")');
  t.end();
});

t.test('fold_constants: a folded parameter is warned of where it was written', (t) => {
  const query = 'quantile((1 + 1), x)';
  for (const passes of [[], ['fold_constants']] as const) {
    const { warnings } = answered(parseExpr(query), { ...base, text: query, passes }, []);
    t.same(warnings, ['PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)']);
  }
  t.end();
});

t.test('propagate_matchers: what would find no partner is not fetched', (t) => {
  const check = (query: string, expected: string): void => {
    const got = printExpr(planned(query, ['propagate_matchers']).expr);
    t.equal(got, printExpr(planned(expected, []).expr), query);
  };
  const same = (query: string): void => check(query, query);
  check('x{a="1"} / y', 'x{a="1"} / y{a="1"}');
  check('x / y{a="1"}', 'x{a="1"} / y{a="1"}');
  check('x{a="1"} / y{a=~"1|2"}', 'x{a="1",a=~"1|2"} / y{a="1",a=~"1|2"}');
  check('x{a="1"} > bool y{b!="2"}', 'x{a="1",b!="2"} > bool y{a="1",b!="2"}');
  check('x{a="1"} offset 5m / y @ 3', 'x{a="1"} offset 5m / y{a="1"} @ 3.000');
  check('x{a="1"} + y + z', 'x{a="1"} + y{a="1"} + z{a="1"}');
  check(
    'x{a="1",b="2"} * ignoring(b) sum without(b)(y)',
    'x{a="1",b="2"} * ignoring (b) sum without (b) (y{a="1"})',
  );
  check(
    'x{a="1",b="2"} * on(b) group_left() sum by(b)(y)',
    'x{a="1",b="2"} * on (b) group_left () sum by (b) (y{b="2"})',
  );
  check(
    'sum by(b)(y) * on(b) group_right() x{b="2"}',
    'sum by (b) (y{b="2"}) * on (b) group_right () x{b="2"}',
  );
  check(
    'x * on(b) group_left() sum by(b)(y{b="2"})',
    'x{b="2"} * on (b) group_left () sum by (b) (y{b="2"})',
  );
  check(
    'sum by(a)(rate(x_total{a="1",b="2"}[5m])) / sum by(a)(rate(y_total[5m]))',
    'sum by (a) (rate(x_total{a="1",b="2"}[5m])) / sum by (a) (rate(y_total{a="1"}[5m]))',
  );
  check('x{a="1"} and on(a) y{b="2"}', 'x{a="1"} and on (a) y{a="1",b="2"}');
  check('x and on(b) y{a="1",b="2"}', 'x{b="2"} and on (b) y{a="1",b="2"}');
  check('x{a="1"} unless y', 'x{a="1"} unless y{a="1"}');
  same('x unless y{a="1"}');
  check('(x or y) / z{a="1"}', '(x{a="1"} or y{a="1"}) / z{a="1"}');
  check('(x or y) and z{a="1"}', '(x{a="1"} or y{a="1"}) and z{a="1"}');
  check('(x or on(b) y) and z{a="1"}', '(x or on (b) y{a="1"}) and z{a="1"}');
  check('(x{a="1"} or y{a="1"}) and z', '(x{a="1"} or y{a="1"}) and z{a="1"}');
  check('avg_over_time((x{a="1"} / y)[5m:])', 'avg_over_time((x{a="1"} / y{a="1"})[5m:])');
  check('max_over_time(y[5m:]) - x{a="1"}', 'max_over_time(y{a="1"}[5m:]) - x{a="1"}');
  check('x{a="1"} * (y > 0)', 'x{a="1"} * (y{a="1"} > 0)');
  check('x{a="1"} * -y', 'x{a="1"} * -y{a="1"}');
  check('topk by(a)(1, y) + x{a="1",b="2"}', 'topk by (a) (1, y{a="1"}) + x{a="1",b="2"}');
  check(
    'label_replace(x{a="1",b="2"}, "b", "", "", "") / y',
    'label_replace(x{a="1",b="2"}, "b", "", "", "") / y{a="1"}',
  );

  // Nothing crosses where it would be missed, or where the labels are others.
  same('x{a="1"} or y');
  same('x{a="1"} / on(b) y');
  same('x{a="1"} / on(a) y'); // y may have duplicates, which is an error
  same('z{a="1"} / (x or y)');
  same('x{a="1"} / {b="1"}'); // names may differ
  same('x{a="1"} / ignoring(a) y');
  same('x{a="1"} + fill(0) y');
  same('x{a="1"} / label_replace(y, "a", "1", "", "")');
  same('x{a="1"} / info(y)');
  same('absent(y) * x{a="1"}');
  same('x{a="1"} * scalar(y)');
  same('x{a="1"} / sum by (b) (y)');
  same('x{a="1"} / count_values("a", y)');
  same('x{a="1"} / rate(y[5m])'); // of each y it is said that it might be no counter
  same('x{a="1"} / histogram_quantile(0.9, y)');
  same('{__name__="x"} / y');
  t.end();
});

t.test('sort_matchers: what is cheap and narrow comes first, each once', (t) => {
  const check = (query: string, expected: string): void => {
    const [selection] = planned(query, ['sort_matchers']).selections;
    t.equal(selection?.matchers.map(printMatcher).join(' '), expected, query);
  };
  check('{a=~".*x", b!="1", c=~"p|q", d="2"}', 'd="2" c=~"p|q" b!="1" a=~".*x"');
  check('x{a!~"y", b="", a!~"y"}', '__name__="x" b="" a!~"y"');
  check('{a=~"b|", c=~"x|y", __name__="n"}', '__name__="n" c=~"x|y" a=~"b|"');
  t.end();
});

t.test('share_fetches: what reads the same series is fetched once, over both ranges', (t) => {
  const check = (query: string, ...expected: readonly string[]): void => {
    const { selections, sources } = planned(query, ['share_fetches']);
    const told = selections.map(({ matchers, maxTimeMs, minTimeMs }) => {
      return `${matchers.map(printMatcher).join()} ${minTimeMs - 1}..${maxTimeMs}`;
    });
    t.same([...told, sources.map(({ index }) => index).join()], expected, query);
  };
  check('x + x', '__name__="x" 300000..900000', '0,0');
  check('rate(x[1m]) / rate(x[1h])', '__name__="x" -3000000..900000', '0,0');
  check(
    'y + x{a="1",b="2"} - x{b="2",a="1"}',
    '__name__="y" 300000..900000',
    'a="1",b="2",__name__="x" 300000..900000',
    '0,1,1',
  );
  check('x - x offset 1m', '__name__="x" 240000..900000', '0,0');
  check(
    'x - x offset 1d',
    '__name__="x" 300000..900000',
    '__name__="x" -86100000..-85500000',
    '0,1',
  );
  check(
    'sum by (a)(x) / sum by (b)(x)',
    '__name__="x" 300000..900000',
    '__name__="x" 300000..900000',
    '0,1',
  );
  check('sum by (a, b)(x) / sum by (b, a)(x)', '__name__="x" 300000..900000', '0,0');
  t.end();
});

t.test('share_fetches: the newest samples of two ranges are two fetches', (t) => {
  const params = { instant: true, endMs: base.startMs };
  const count = (query: string): number =>
    planned(query, ['share_fetches'], params).selections.length;
  t.equal(count('x - x offset 1m'), 2);
  t.equal(count('x - x'), 1);
  t.equal(count('x - rate(x[5m])'), 2);
  t.end();
});

t.test('share_expressions: of equal expressions over equal steps one is evaluated', (t) => {
  const check = (query: string, expected: number): void => {
    const expr = parseExpr(query, EXPERIMENTAL_LANGUAGE);
    const times = { startMs: DATA_START_MS + 600_000, endMs: DATA_START_MS + 900_000 };
    const params: QueryParams = { ...base, ...times, passes: ['share_expressions'] };
    const trace = new Trace(() => 0);
    answered(expr, params, dataSet(1), trace);
    const others = [...trace.nodes.values()].filter(({ sharedWith }) => sharedWith !== undefined);
    t.equal(others.length, expected, query);
  };
  check('sum(up) / (sum(up) + 1)', 1);
  check('sum(up) + sum((up))', 1);
  check('up + up + up', 2);
  check('up + up offset 1m', 0);
  check('sum by (job)(up) + ignoring(job) group_left sum(up)', 0);
  check('max_over_time(sum(up)[5m:1m]) + min_over_time(sum(up)[5m:1m])', 1);
  check('max_over_time(sum(up)[5m:1m]) + min_over_time(sum(up)[5m:30s])', 0);
  check('sum(up{job="api"}) + sum(up{job=~"api"})', 0);
  check('vector(1) + vector(-1) + vector(0) + vector(-0)', 0);
  // The note that it may be no counter has a place: both must say it.
  check('rate(temperature[5m]) + rate(temperature[5m])', 0);
  t.end();
});

t.test('explained() tells of every node what it answered with and how long it took', (t) => {
  const query = '(sum by (job) (up{job="api"}) + timestamp(up)) / 2 ^ 3';
  const startMs = DATA_START_MS + 600_000;
  const params: QueryParams = { ...base, startMs, endMs: startMs + 120_000, text: query };
  const plan = planOf(parseExpr(query), params);
  const data = plan.selections.map((selection) => fetched(dataSet(1), selection));
  let nowMs = 0;
  const trace = new Trace(() => nowMs++);
  evaluatePlan(plan, params, data, { samplesMax: SAMPLES_MAX }, trace);
  const explanation = explained(plan, data, trace);
  t.equal(explanation.query, '(sum by (job) (up{job="api"}) + timestamp(up)) / 8');
  t.same(explanation.passes, [{ name: 'fold_constants', changes: 2 }]);
  const told: string[] = [];
  const tell = (node: ExplainedNode, indent: string): void => {
    const { children, fetch, ms, samples, selfMs, series, text } = node;
    told.push([`${indent}${text}`, series, samples, ms, selfMs, fetch].join(' '));
    for (const child of children) tell(child, `${indent}  `);
  };
  tell(explanation.plan, '');
  // The clock is read once before and once after each node; parentheses are not shown.
  t.same(told, [
    '/ 0 0 13 5 ',
    '  + 0 0 7 3 ',
    '    sum by (job) 1 3 3 2 ',
    '      up{job="api"} 3 9 1 1 0',
    '    timestamp 5 15 1 1 ',
    '      up     1',
    '  8 1 3 1 1 ',
  ]);
  t.end();
});

t.test(
  `evaluate() answers the same with and without passes, and in scratch memory (seed ${seed})`,
  (t) => {
    const data = dataSet(seed);
    const dice = new Dice(seed);
    const writer = new QueryWriter(dice);
    const differences: unknown[] = [];
    for (let run = 0; run < runs && differences.length < 5; run++) {
      const query = run % 2 === 0 ? writer.query(1 + dice.below(3)) : crossing(dice, 2);
      const instant = dice.chance(0.4);
      const startMs = DATA_START_MS + dice.below(DATA_END_MS - DATA_START_MS + 10 * 60_000);
      const endMs = instant ? startMs : startMs + dice.below(30 * 60_000);
      const stepMs = instant ? 1 : dice.pick([15_000, 60_000, 37_500, 300_000]);
      const delayedNameRemoval = dice.chance(0.3);
      const times = { startMs, endMs, stepMs, lookbackMs: 300_000, instant };
      const params: QueryParams = { ...times, delayedNameRemoval, text: query };
      const expr = parsed(query);
      if (expr === undefined) continue;
      const plain = told(() => answered(expr, { ...params, passes: [] }, data));
      for (const passes of [PASSES, [dice.pick(PASSES)]]) {
        const got = told(() => answered(expr, { ...params, passes }, data));
        if (got !== plain) differences.push({ ...params, passes, got, plain });
      }
      const kept = withScratch(() =>
        told(() => answered(expr, params, data, undefined, inScratch)),
      );
      if (kept !== plain) differences.push({ ...params, kept, plain });
    }
    t.same(differences, []);
    t.end();
  },
);

/** Undefined for what the writer of queries gets wrong now and then. */
function parsed(query: string): Expr | undefined {
  try {
    return parseExpr(query, EXPERIMENTAL_LANGUAGE);
  } catch (error) {
    if (!(error instanceof StarlingError)) throw error;
    return undefined;
  }
}

function answered(
  expr: Expr,
  params: QueryParams,
  data: readonly DataSeries[],
  trace?: Trace,
  change = (columns: SeriesColumns): SeriesColumns => columns,
): QueryResult {
  const columns = selectionsOf(expr, params).map((selection) => change(fetched(data, selection)));
  return evaluate(expr, params, columns, { samplesMax: SAMPLES_MAX }, trace);
}

/** As storage answers: samples in the range, of the series that have any, with the labels asked for. */
function fetched(data: readonly DataSeries[], selection: Selection): SeriesColumns {
  const { matchers, maxTimeMs, minTimeMs, newestOnly, projection } = selection;
  const compiled = matchers.map(compileMatcher);
  const found = data
    .map(({ labels, samples }) => ({
      labels: labelsFromPairs(labels),
      samples: samples
        .filter(([timeMs]) => timeMs >= minTimeMs && timeMs <= maxTimeMs)
        .slice(newestOnly ? -1 : 0),
    }))
    .filter(({ samples }) => samples.length > 0)
    .filter(({ labels }) => compiled.every((m) => m.matches(labelValue(labels, m.matcher.name))))
    .map(({ labels, samples }) => {
      return { labels: projection ? projectLabels(labels, projection) : labels, samples };
    });
  return columnsOf(found);
}
