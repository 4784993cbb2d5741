// Goal: printed expressions are Prometheus' normal form, also where 3.5 prints what nobody can
// read back; astToJson() is the answer of parse_query.
// Method: explicit cases; the golden table and the round trip are in parser.test.ts.
import t from 'tap';
import {
  astToJson,
  formatDuration,
  parseExpr,
  prettyExpr,
  printExpr,
  printMatcher,
} from '../../promql/index.ts';

t.test('printExpr() prints the normal form on one line', async (t) => {
  const check = (text: string, expected: string) => t.equal(printExpr(parseExpr(text)), expected);
  check('SUM(x)BY(b,a)', 'sum by (b, a) (x)');
  check('sum by () (x)', 'sum(x)');
  check('sum without () (x)', 'sum without () (x)');
  check('x{z="1",a=~"b",Z!="y"}', 'x{Z!="y",a=~"b",z="1"}');
  check('{"a.b","c d"=\'"\'}', '{"c d"="\\"",__name__="a.b"}');
  check('x[90s:30]offset -1d@1', 'x[1m30s:30s] @ 1.000 offset -1d');
  check('1e21-0x10+5m', '1000000000000000000000 - 16 + 5m');
  check('-0', '-0');
  check('1e-9', '0.000000001');
  check('"\\x00\\u200b\\U0001F642é"', '"\\x00\\u200b🙂é"');
});

t.test('printExpr() quotes label names and keeps grouping that Prometheus 3.5 loses', async (t) => {
  const check = (text: string) => t.equal(printExpr(parseExpr(text)), text);
  check('a + on ("b c") group_left ("d e") c');
  check('a + ignoring () group_right () b');
  check('sum by ("a:b") (x)');
});

t.test('prettyExpr() splits only what is longer than 100 columns', async (t) => {
  const check = (text: string, expected: string) => t.equal(prettyExpr(parseExpr(text)), expected);
  const [name99, name100] = ['a'.repeat(99), 'a'.repeat(100)];
  check(name100 + 'a', name100 + 'a');
  check(`-${name99}`, `-${name99}`);
  check(`-${name100}`, `-${name100}`);
  check(`abs(${name100})`, `abs(\n  ${name100}\n)`);
  check(`(${name99})`, `(\n  ${name99}\n)`);
  check(`topk by (b) (3, ${name99})`, `topk by (b) (\n  3,\n  ${name99}\n)`);
  check(`${name99} == bool on (b) c`, `  ${name99}\n== bool on (b)\n  c`);
  check(`-abs(${name100})`, `-abs(\n  ${name100}\n)`);
  check(`abs(-abs(${name100}))`, `abs(\n  -abs(\n    ${name100}\n  )\n)`);
  check(`abs(${name99})[5m:] offset 1m`, `abs(\n  ${name99}\n)[5m:] offset 1m`);
  check(
    `rate(${'b'.repeat(60)}[5m:]) + ${name99}`,
    `  rate(${'b'.repeat(60)}[5m:])\n+\n  ${name99}`,
  );
});

t.test('printMatcher() and formatDuration() print the parts', async (t) => {
  t.equal(printMatcher({ name: 'a', type: '!~', value: 'b|"' }), 'a!~"b|\\""');
  t.equal(printMatcher({ name: 'a.b', type: '=', value: '' }), '"a.b"=""');
  const check = (ms: number, expected: string) => t.equal(formatDuration(ms), expected);
  check(0, '0s');
  check(90_061_001, '1d1h1m1s1ms');
  check(7 * 86_400_000, '1w');
  check(8 * 86_400_000, '8d');
  check(-1500, '-1s500ms');
});

t.test('astToJson() has the fields of parse_query', async (t) => {
  const check = (text: string, expected: unknown) =>
    t.strictSame(astToJson(parseExpr(text)), expected);
  const selector = {
    matchers: [{ name: '__name__', type: '=', value: 'x' }],
    name: 'x',
    offset: 0,
    startOrEnd: null,
    timestamp: null,
    type: 'vectorSelector',
  };
  check('x', selector);
  const bad = { name: 'on', type: '=', value: 'a\ufffdmsnb' };
  check('x{on="a\\250msnb"}', { ...selector, matchers: [bad, ...selector.matchers] });
  check('"\\xff"', { type: 'stringLiteral', val: '\ufffd' });
  check('x[5m] @ 1', { ...selector, range: 300_000, timestamp: 1000, type: 'matrixSelector' });
  check('x[5m:] @ start()', {
    expr: selector,
    offset: 0,
    range: 300_000,
    startOrEnd: 'start',
    step: 0,
    timestamp: null,
    type: 'subquery',
  });
  check('sum without (a) (x)', {
    expr: selector,
    grouping: ['a'],
    op: 'sum',
    param: null,
    type: 'aggregation',
    without: true,
  });
  check('label_join((x), "a", "")', {
    args: [
      { expr: selector, type: 'parenExpr' },
      { type: 'stringLiteral', val: 'a' },
      { type: 'stringLiteral', val: '' },
    ],
    func: {
      argTypes: ['vector', 'string', 'string', 'string'],
      name: 'label_join',
      returnType: 'vector',
      variadic: -1,
    },
    type: 'call',
  });
  check('-x > bool Inf', {
    bool: true,
    lhs: { expr: selector, op: '-', type: 'unaryExpr' },
    matching: null,
    op: '>',
    rhs: { type: 'numberLiteral', val: '+Inf' },
    type: 'binaryExpr',
  });
});
