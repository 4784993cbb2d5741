// Goal: hostile and odd queries get the right answer or a clear error before any work that grows with
// them. Method: rows Q1 to Q13 of the list of bad inputs, each with its expected answer, over few series.
import t from 'tap';
import { estimateSteps } from '../../actors/querier/workload.ts';
import { StarlingError } from '../../model/errors.ts';
import { labelsFromPairs, labelValue } from '../../model/labels.ts';
import { compileMatcher } from '../../model/matchers.ts';
import { Lexer } from '../../promql/lexer.ts';
import { encodeResult, evaluate, parseExpr, selectionsOf } from '../../promql/index.ts';
import type { QueryParams } from '../../promql/index.ts';

const STEPS_MAX = 50_000_000;

const data = (
  [
    [{ __name__: 'a', x: '1' }, 3],
    [{ __name__: 'a', x: '2' }, 6],
    [{ __name__: 'b', x: '1', y: '1' }, NaN],
    [{ __name__: 'b', x: '1', y: '2' }, Infinity],
    [{ __name__: 'h_bucket', le: 'x' }, 1],
    [{ __name__: 'h_bucket', le: '1' }, 5],
    [{ __name__: 'p', ['__proto__']: 'w', constructor: 'z' }, 3],
  ] as const
).map(([pairs, value]) => ({ labels: labelsFromPairs(Object.entries(pairs)), value }));

/** The JSON of the result, or the id and the message of the error. */
function ask(query: string, given: Partial<QueryParams> = {}): string {
  const params: QueryParams = {
    ...{ startMs: 120_000, endMs: 120_000, stepMs: 1, lookbackMs: 300_000, instant: true },
    ...given,
  };
  const { endMs, startMs, stepMs } = params;
  try {
    const expr = parseExpr(query);
    const steps = params.instant ? 1 : Math.floor((endMs - startMs) / stepMs) + 1;
    estimateSteps(expr, { steps, spanMs: endMs - startMs, stepsMax: STEPS_MAX });
    const columns = selectionsOf(expr, params).map(({ matchers }) => {
      const compiled = matchers.map(compileMatcher);
      const found = data.filter(({ labels }) =>
        compiled.every((one) => one.matches(labelValue(labels, one.matcher.name))),
      );
      return {
        labels: found.map(({ labels }) => labels),
        ends: Uint32Array.from(found, (_, i) => i + 1),
        timestamps: new Float64Array(found.length).fill(100_000),
        values: Float64Array.from(found, ({ value }) => value),
      };
    });
    const result = evaluate(expr, params, columns, { samplesMax: STEPS_MAX });
    return Buffer.from(encodeResult(result)).toString();
  } catch (error) {
    if (!(error instanceof StarlingError)) throw error;
    return `${error.id} ${error.message}`;
  }
}

type Check = (query: string, expected: RegExp | string, given?: Partial<QueryParams>) => void;

function checks(t: { match(got: string, wanted: RegExp | string, name: string): unknown }): Check {
  return (query, expected, given) => void t.match(ask(query, given), expected, query.slice(0, 100));
}

t.test('Q1 a syntax error names the line, the column and what stands there', async (t) => {
  const check = checks(t);
  check('', 'query.parse unknown position: parse error: no expression found in input');
  check('sum(', 'query.parse 1:5: parse error: unclosed left parenthesis');
  check('a{x=}', 'query.parse 1:5: parse error: unexpected "}" in label matching, expected string');
  check('a +\n  rate(a)', 'query.parse 2:8: parse error: expected type range vector');
  check('1 + + )', "query.parse 1:8: parse error: unexpected right parenthesis ')'");
});

t.test('Q1 a sign that no query has is told where it stands, before any token', async (t) => {
  const expressions = [
    'sum by (job, instance) (rate(a{x="1", y!~"b|c"}[5m:30s] offset -1m)) / on (job) group_left (x) b > bool 2e3',
    'topk(3, -a @ end() ^ 2) unless {"a.b", __name__=~"c"} or vector(0x1f) # the end',
    'histogram_quantile(0.9,\n  sum without (instance) (\n\trate(h_bucket[1h])\n)) == 1',
  ];
  for (const text of expressions) {
    parseExpr(text); // it is right as it stands
    const lexer = new Lexer(text);
    for (let token = lexer.next(); token.kind !== 'eof'; token = lexer.next()) {
      const before = text.slice(0, token.start);
      const got = ask(`${before}?${text.slice(token.start)}`);
      const [, line, column] = /^query\.parse (\d+):(\d+): parse error: ./.exec(got) ?? [];
      const lines = before.split('\n');
      const name = `${JSON.stringify(before.slice(-20))} then ?: ${got}`;
      t.equal(Number(line), lines.length, name);
      // Prometheus counts some signs as read and some not
      const offset = Number(column) - (lines.at(-1)?.length ?? 0);
      t.ok(offset === 1 || offset === 2, name);
    }
  }
});

t.test('Q1 a query cut at any place is answered or told where it ends', async (t) => {
  const text = 'sum by (job) (rate(a{x="1",y!~"b"}[5m:30s] offset 1m)) / on (job) group_left (x) b';
  for (let end = 0; end < text.length; end++) {
    const got = ask(text.slice(0, end));
    t.match(got, /^(?:query\.parse (?:1:\d+|unknown position): parse error: .|\{"resultType")/);
    const column = Number(/^query\.parse 1:(\d+)/.exec(got)?.[1] ?? 1);
    t.ok(column >= 1 && column <= end + 1, `${end}: ${got}`);
  }
});

t.test('Q2, Q3 long and deep texts are refused before they are read', async (t) => {
  const check = checks(t);
  check('b'.repeat(17 * 1024), /query.parse .*longer than 16384 bytes/);
  check('('.repeat(50_000), /query.parse .*longer than 16384 bytes/);
  check(`${'-'.repeat(50_000)}1`, /query.parse .*longer than 16384 bytes/);
  check(`a${'+a'.repeat(50_000)}`, /query.parse .*longer than 16384 bytes/);
  check('('.repeat(16_000), /query.parse .*nested deeper than 100 levels/);
  check(`${'-'.repeat(16_000)}1`, /query.parse .*nested deeper than 100 levels/);
  check(`a${'+a'.repeat(8000)}`, /query.parse .*more than 500 levels/);
  check(`${'('.repeat(90)}1${')'.repeat(90)}`, '"result":[120,"1"]');
});

t.test('Q4, Q5 grids beyond the budget are refused before anything is allocated', async (t) => {
  const check = checks(t);
  const grid = { instant: false, startMs: 0, endMs: 1e15 };
  check('a', /query.too_large .* 1000000000000001 samples, the limit is 50000000/, grid);
  check('1', /query.too_large/, grid);
  check('time()', /query.too_large/, grid);
  check('count({__name__!=""})', '"value":[120,"7"]');
});

t.test('Q6 ranges, offsets and times out of all bounds are 400', async (t) => {
  const check = checks(t);
  check('a[1000000000y]', 'query.parse 1:3: parse error: duration out of range');
  check('a offset -9e18', 'query.parse 1:10: parse error: duration out of range');
  check('a offset 300000y', 'query.parse 1:10: parse error: duration out of range');
  check('a @ 1e300', /query.parse .*timestamp out of bounds for @ modifier/);
  check('a @ NaN', /query.parse .*timestamp out of bounds for @ modifier/);
});

t.test('Q7 the steps of subqueries are counted before they are made', async (t) => {
  const check = checks(t);
  const deep = 'max_over_time(max_over_time(max_over_time(a[1y:1ms])[1y:1ms])[1y:1ms])';
  check(deep, /query.too_large .*31536000001 steps of a subquery/);
  check('vector(1)[100000d:1ms]', /query.too_large .*steps of a subquery/);
  check('count_over_time(vector(1)[1s:1ms])', '"1000"');
});

t.test(
  'Q8 joins and labels that give one label set twice are 422 in the words of Prometheus',
  async (t) => {
    const check = checks(t);
    check('a * on() b', /query.execution found duplicate series for the match group \{\}/);
    check('a * on() group_left b', /query.execution found duplicate series .*many-to-many/);
    check(
      'label_replace(a, "x", "same", "", "")',
      'query.execution vector cannot contain metrics with the same labelset',
    );
  },
);

t.test(
  'Q9 absurd parameters give a defined answer and allocate nothing by their size',
  async (t) => {
    const check = checks(t);
    check('topk(1e18, a)', /"2".*"6".*"1".*"3"/);
    check('topk(-1, a)', '"result":[]');
    check('topk(NaN, a)', 'query.execution Parameter value is NaN');
    check('bottomk(Inf, a)', 'query.execution Scalar value +Inf overflows int64');
    check('quantile(NaN, a)', '[120,"NaN"]');
    check('quantile(-1, a)', '[120,"-Inf"]');
    check('histogram_quantile(0.9, h_bucket)', '[120,"NaN"]');
    check('count_values("v", b)', /"v":"\+Inf".*"v":"NaN"|"v":"NaN".*"v":"\+Inf"/);
    check('count_values("not\\xffutf8", a)', 'query.execution');
  },
);

t.test('Q10 regular expressions run in linear time and are bounded', async (t) => {
  const check = checks(t);
  const long = 'a'.repeat(30);
  check(`label_replace(vector(1), "x", "${long}!", "", "") * 0`, '"0"');
  for (const pattern of ['(a+)+b', '(.*)*x', '(a|a)*', '(a|aa)+$']) {
    check(`a{x!~"${pattern}"}`, '"result":[{');
    check(`label_replace(a, "y", "$1", "x", "${pattern}")`, '"result":[{');
  }
  check(`a{x=~"${'a'.repeat(5000)}"}`, /query.parse .*longer than 4096 bytes/);
  check('a{x=~"((a{100}){100}){100}"}', /query.parse .*unroll to more than 20000 parts/);
  const many = (count: number): string => Array.from({ length: count }, (_, i) => i).join('|');
  check(`a{x=~"${many(900)}"}`, '"result":[{');
  check(`a{x=~"${many(20_000)}"}`, /query.parse .*longer than 16384 bytes/);
  check(`a{x=~"${many(2000)}"}`, /query.parse .*longer than 4096 bytes/);
  const longer = `label_replace(a, "y", "$1", "x", "${many(2000)}")`;
  check(longer, 'query.execution invalid regular expression in label_replace()');
});

t.test('Q11 what Go refuses in a pattern is refused, what it folds is folded', async (t) => {
  const check = checks(t);
  check('a{x=~"\\\\C"}', /query.parse .*invalid escape sequence/);
  check('a{x=~"(?=a)"}', /query.parse .*invalid or unsupported Perl syntax/);
  check('a{x=~"(a)\\\\1"}', /query.parse .*invalid escape sequence/);
  check('a{x=~"a{1001}"}', /query.parse .*invalid repeat count/);
  check('a{x=~"(\\xff|b.*)"}', /error parsing regexp: invalid UTF-8: `\ufffd\|b\.\*\)`$/);
  check('a{x!~"\\xe2\\x82|\\xff"}', '"result":[{'); // texts are compared as they are
  check(
    'label_replace(a, "y", "", "x", "v\\xff")',
    'query.execution invalid regular expression in label_replace(): v\ufffd',
  );
  check('label_replace(a, "y", "", "x", "\\ufffd")', '"result":[{');
  check('a{x=~"(?P<n>1"}', /query.parse .*missing closing \)/);
  check('count(label_replace(a, "k", "\u212a", "x", "1") and {k=~"(?i)k"})', '"result":[]');
  check(
    'label_replace(label_replace(a{x="1"}, "k", "\u212a", "", ""), "y", "yes", "k", "(?i)k")',
    '"y":"yes"',
  );
});

t.test('Q12 label_replace() expands as Go does, and leaves what does not match', async (t) => {
  const replaced = (template: string, pattern = '(.)'): string =>
    ask(`label_replace(a{x="1"}, "y", "${template}", "x", "${pattern}")`);
  t.notMatch(replaced('$10'), '"y"');
  t.notMatch(replaced('${missing}'), '"y"');
  t.notMatch(replaced('$1x'), '"y"');
  t.match(replaced('$$'), '"y":"$"');
  t.match(replaced('${1}x'), '"y":"1x"');
  t.notMatch(replaced('v', 'nope'), '"y"');
});

t.test('Q13 labels called like members of objects are labels like any other', async (t) => {
  const check = checks(t);
  check('p{__proto__="w"}', '"__proto__":"w","constructor":"z"');
  check('p{constructor!="z"}', '"result":[]');
  check('sum by (__proto__) (p)', '{"metric":{"__proto__":"w"},"value":[120,"3"]}');
  check('count_values("__proto__", a)', '{"metric":{"__proto__":"3"}');
  check('p * on (__proto__) group_left (constructor) p', '"__proto__":"w","constructor":"z"');
  check('label_replace(p, "__proto__", "$1", "constructor", "(.*)")', '"__proto__":"z"');
  check('constructor(a)', 'query.parse 1:1: parse error: unknown function with name "constructor"');
  check('__proto__(a)', 'query.parse 1:1: parse error: unknown function with name "__proto__"');
});
