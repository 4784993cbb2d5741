// Goal: parseExpr() builds the right tree with the right types and places, refuses bad texts in
// Prometheus' words, and hostile texts cheaply.
// Method: a golden table of texts with the answers of Prometheus 3.5.3 (the differential test
// checks and rewrites it), explicit trees, and properties over random texts (seed printed).
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { StarlingError } from '../../model/errors.ts';
import {
  type Expr,
  functionTable,
  parseDuration,
  parseExpr,
  type ParserOptions,
  parseSelector,
  positionOf,
  prettyExpr,
  printExpr,
} from '../../promql/index.ts';
import { damagedText, expressionText, tokenSoup } from './parser-expressions.ts';
import { checkout } from '../support/checkout.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const golden = checkout('test/golden/promql/expressions.jsonl');
const everything: ParserOptions = { experimentalFunctions: true, durationExpressions: true };

/** The message of the error for a text, or what it is printed as. */
function answer(text: string, options?: ParserOptions): string {
  try {
    return printExpr(parseExpr(text, options));
  } catch (error) {
    if (!(error instanceof StarlingError) || error.id !== 'query.parse') throw error;
    return error.message;
  }
}

t.test('parseExpr() answers the golden table as Prometheus does', async (t) => {
  for (const line of readFileSync(golden, 'utf8').trimEnd().split('\n')) {
    const [text, verdict, expected] = JSON.parse(line) as [string, string, string];
    const actual = verdict === 'ok' ? prettyExpr(parseExpr(text)) : answer(text);
    if (actual !== expected) t.equal(actual, expected, JSON.stringify(text));
  }
  t.pass();
});

t.test('parseExpr() keeps types, values and places in the tree', async (t) => {
  const check = (text: string, expected: unknown) => t.strictSame(parseExpr(text), expected, text);
  const x = { name: '__name__', type: '=', value: 'x' };
  const selector = {
    kind: 'vector_selector',
    type: 'vector',
    name: 'x',
    matchers: [x],
    offsetMs: 0,
    at: undefined,
  };
  check('-5m', { kind: 'number', type: 'scalar', value: -300, isDuration: true, start: 0, end: 3 });
  check(' x ', { ...selector, start: 1, end: 2 });
  check('{"x"}', { ...selector, name: '', start: 0, end: 5 });
  check('x @ 1.5 offset -5m', {
    ...selector,
    offsetMs: -300_000,
    at: { kind: 'timestamp', timestampMs: 1500 },
    start: 0,
    end: 18,
  });
  check('x[1m] @ end()', {
    kind: 'matrix_selector',
    type: 'matrix',
    selector: { ...selector, at: { kind: 'end' }, start: 0, end: 1 },
    rangeMs: 60_000,
    start: 0,
    end: 13,
  });
  check('x[1m:] offset 2', {
    kind: 'subquery',
    type: 'matrix',
    expr: { ...selector, start: 0, end: 1 },
    rangeMs: 60_000,
    stepMs: 0,
    offsetMs: 2000,
    at: undefined,
    start: 0,
    end: 15,
  });
  check('sum(x) by (a, "b c")', {
    kind: 'aggregation',
    type: 'vector',
    op: 'sum',
    expr: { ...selector, start: 4, end: 5 },
    param: undefined,
    grouping: ['a', 'b c'],
    without: false,
    start: 0,
    end: 20,
  });
  check('-x', {
    kind: 'unary',
    type: 'vector',
    op: '-',
    expr: { ...selector, start: 1, end: 2 },
    start: 0,
    end: 2,
  });
  check('(x)', {
    kind: 'paren',
    type: 'vector',
    expr: { ...selector, start: 1, end: 2 },
    start: 0,
    end: 3,
  });
  check('abs(x)', {
    kind: 'call',
    type: 'vector',
    name: 'abs',
    args: [{ ...selector, start: 4, end: 5 }],
    start: 0,
    end: 6,
  });
});

t.test('parseExpr() gives a binary node its matching only between vectors', async (t) => {
  const check = (text: string, type: string, matching: unknown) => {
    const expr = parseExpr(text);
    t.strictSame(expr.kind === 'binary' && { type: expr.type, matching: expr.matching }, {
      type,
      matching,
    });
  };
  const plain = { cardinality: 'one-to-one', on: false, labels: [], include: [] };
  check('1 + 2', 'scalar', undefined);
  check('1 + x', 'vector', undefined);
  check('x + y', 'vector', plain);
  check('x and y', 'vector', { ...plain, cardinality: 'many-to-many' });
  check('x or on(a) y', 'vector', {
    ...plain,
    cardinality: 'many-to-many',
    on: true,
    labels: ['a'],
  });
  check('x / ignoring(a) group_left(b) y', 'vector', {
    cardinality: 'many-to-one',
    on: false,
    labels: ['a'],
    include: ['b'],
  });
  check('x * on(a) group_right y', 'vector', {
    cardinality: 'one-to-many',
    on: true,
    labels: ['a'],
    include: [],
  });
});

t.test('parseExpr() binds operators as Prometheus does', async (t) => {
  const shape = (expr: Expr): string => {
    if (expr.kind === 'binary') return `(${shape(expr.lhs)}${expr.op}${shape(expr.rhs)})`;
    if (expr.kind === 'unary') return `(${expr.op}${shape(expr.expr)})`;
    return printExpr(expr);
  };
  const check = (text: string, expected: string) => t.equal(shape(parseExpr(text)), expected);
  check('a + b * c ^ d', '(a+(b*(c^d)))');
  check('a ^ b ^ c', '(a^(b^c))');
  check('a - b - c', '((a-b)-c)');
  check('a atan2 b % c', '((aatan2b)%c)');
  check('a == b + c', '(a==(b+c))');
  check('a or b and c', '(aor(bandc))');
  check('a unless b and c', '((aunlessb)andc)');
  check('-a ^ b', '(-(a^b))');
  check('-a * b', '((-a)*b)');
  check('a ^ -b ^ c * d', '((a^(-(b^c)))*d)');
  check('-1 ^ 2', '(-(1^2))');
  check('-a offset 5m', '(-a offset 5m)');
});

t.test('parseExpr() knows experimental functions only when asked', async (t) => {
  const check = (text: string, expected: string) => t.equal(answer(text), expected);
  check('limitk(1, x)', answer('limit_ratio(1, x)').replace('limit_ratio', 'limitk'));
  check('info(x)', '1:1: parse error: function "info" is not enabled');
  check('start()', '1:6: parse error: unexpected "("');
  const enabled = (text: string, expected = text) => t.equal(answer(text, everything), expected);
  enabled('limitk(1, x)');
  enabled('start() + end() + step() + range()');
  enabled('info(x, {a=""})', 'info(x, {a=""})');
  enabled('info(x, {})');
  enabled(
    'info(x, y)',
    '1:9: parse error: expected label selectors only, got vector selector instead',
  );
  enabled('info(x, (y))', '1:9: parse error: expected label selectors only');
  enabled('histogram_quantiles(x, "q", 0.5, 0.9, 1)');
  enabled('x @ start()');
  enabled('start');
});

t.test(
  'parseExpr() takes every function of its table with arguments of the listed types',
  async (t) => {
    const samples = { matrix: 'x[5m]', scalar: '1', string: '"s"', vector: 'x' };
    for (const [name, { argTypes, returnType }] of Object.entries(functionTable)) {
      const types = name === 'info' ? argTypes.slice(0, 1) : argTypes;
      const text = `${name}(${types.map((type) => samples[type]).join(', ')})`;
      const expr = parseExpr(text, everything);
      t.strictSame([printExpr(expr), expr.type], [text, returnType]);
    }
  },
);

t.test('parseExpr() computes duration expressions only when asked', async (t) => {
  const check = (text: string, expected: string) => t.equal(answer(text, everything), expected);
  check('x[5m + 30s * 2]', 'x[6m]');
  check('x[(5m - 1m) / 2 : 2 ^ 3 ^ 1]', 'x[2m:8s]');
  check('x offset (1h % 7m)', 'x offset 4m');
  check('x offset -(1m)', 'x offset -1m');
  check('x offset 1m + 1', 'x offset 1m + 1');
  check('x[-2 ^ 2]', '1:3: parse error: duration must be greater than 0');
  check('x[5m - 5m]', '1:3: parse error: duration must be greater than 0');
  check('x[5m / 0]', '1:6: parse error: division by zero');
  check('x[5m % (1 - 1)]', '1:6: parse error: modulo by zero');
  check('x[9 ^ 99]', '1:3: parse error: duration out of range');
  t.match(answer('x[5m + 1m]'), 'duration expression is not enabled');
});

t.test('parseExpr() refuses hostile texts at its bounds', async (t) => {
  const check = (text: string, expected: RegExp) => t.match(answer(text), expected);
  check('('.repeat(50_000), /^1:1: parse error: the expression is longer than 16384 bytes$/);
  check('é'.repeat(9_000), /longer than 16384 bytes/);
  check('-'.repeat(50_000), /longer than/);
  check('a+'.repeat(50_000) + 'a', /longer than/);
  check('('.repeat(16_000), /^1:101: parse error: expression nested deeper than 100 levels$/);
  check('-'.repeat(16_000), /^1:101: .* nested deeper than 100/);
  check('1^'.repeat(8_000) + '1', /nested deeper than 100/);
  check('abs('.repeat(4_000), /nested deeper than 100/);
  check('sum by (a) ('.repeat(1_000), /nested deeper than 100/);
  check('a+'.repeat(8_000) + 'a', /more than 500 levels/);
  check('x' + '[5m:]'.repeat(3_000), /more than 500 levels/);
  check(`abs(${'1,'.repeat(8_000)}1)`, /more than 5000 nodes/);
  check('x[' + '('.repeat(16_000), /duration nested deeper than 50/);
  check('x offset ' + '-'.repeat(16_000), /duration nested deeper than 50/);
  check(`x{a=~"${'a{1000}'.repeat(500)}"}`, /regular expressions that unroll to more than 20000/);
  check(`x{${'a=~"b{900}",'.repeat(50)}}`, /regular expressions that unroll to more than 20000/);
  check(`x{a=~"${'b'.repeat(5000)}"}`, /^1:3: parse error: the regular expression is longer than/);
  t.doesNotThrow(() => parseExpr('('.repeat(100) + 'a' + ')'.repeat(100)));
  t.doesNotThrow(() => parseExpr(Array(500).fill('a').join(' or ')));
});

t.test(`parseExpr() gives a tree or query.parse for any text (seed ${seed})`, async (t) => {
  const texts = fc.oneof(fc.string({ unit: 'binary' }), tokenSoup, damagedText);
  fc.assert(
    fc.property(texts, (text) => {
      answer(text, everything);
    }),
    { seed, numRuns: 2000 },
  );
  t.pass();
});

t.test(
  `printExpr() prints what parseExpr() reads back as the same tree (seed ${seed})`,
  async (t) => {
    const withoutPlaces = (expr: Expr): string =>
      JSON.stringify(expr, (key, value: unknown) =>
        key === 'start' || key === 'end' || key === 'matchers' ? undefined : value,
      );
    fc.assert(
      fc.property(expressionText, (text) => {
        const first = answer(text);
        fc.pre(!first.includes('parse error'));
        const hasSignedInf = /[-+][-+\s]*inf\s*\^/i.test(printExpr(parseExpr(text)));
        fc.pre(!hasSignedInf); // as Prometheus, `-Inf ^ 1` is printed with one sign more
        const expr = parseExpr(text);
        for (const printed of [printExpr(expr), prettyExpr(expr)]) {
          const again = parseExpr(printed);
          if (withoutPlaces(again) !== withoutPlaces(expr)) throw new Error(printed);
          if (printExpr(again) !== first) throw new Error(`${printExpr(again)} after ${first}`);
        }
      }),
      { seed, numRuns: 2000 },
    );
    t.pass();
  },
);

t.test('parseSelector() reads match[] parameters', async (t) => {
  const check = (text: string, expected: string) =>
    t.equal(
      parseSelector(text)
        .map(({ name, type, value }) => name + type + value)
        .join(),
      expected,
    );
  check('up', '__name__=up');
  check('{job="x"}', 'job=x');
  check('up{job!~"a|b", "c d"="e"}', 'job!~a|b,c d=e,__name__=up');
  check('{"a.b"}', '__name__=a.b');
  check('sum', '__name__=sum');
  const refuse = (text: string, message: string) =>
    t.throws(() => parseSelector(text), { id: 'query.parse', message });
  refuse('{}', 'match[] must contain at least one non-empty matcher');
  refuse('{a=~".*"}', 'match[] must contain at least one non-empty matcher');
  refuse('', 'unknown position: parse error: unexpected end of input');
  refuse('up[5m]', '1:3: parse error: unexpected "["');
  refuse('up offset 5m', '1:4: parse error: unexpected <offset>');
  refuse('sum(up)', '1:4: parse error: unexpected "("');
  refuse('up{a="b"', '1:9: parse error: unexpected end of input inside braces');
  refuse('1', '1:1: parse error: unexpected number "1"');
});

t.test('parseDuration() reads Prometheus durations and says what is wrong', async (t) => {
  const check = (text: string, expected: number | string) => {
    const parsed = parseDuration(text);
    t.equal(parsed.ok ? parsed.ms : parsed.why, expected, text);
  };
  check('0', 0);
  check('1y2w3d4h5m6s7ms', 31_536_000_000 + 1_209_600_000 + 259_200_000 + 14_706_007);
  check('5m', 300_000);
  check('', 'empty duration string');
  check('5', 'not a valid duration string: "5"');
  check('5m1h', 'not a valid duration string: "5m1h"');
  check('5m5m', 'not a valid duration string: "5m5m"');
  check('-5m', 'not a valid duration string: "-5m"');
  check('5x', 'unknown unit "x" in duration "5x"');
  check('300y', 'duration out of range');
});

t.test('positionOf() counts lines and bytes of the column from 1', async (t) => {
  const check = (text: string, index: number, expected: string) =>
    t.equal(positionOf(text, index), expected);
  check('', 0, 'unknown position');
  check('abc', 0, '1:1');
  check('é€🙂x', 4, '1:10');
  check('a\nbc\n\nd', 3, '2:2');
  check('a\nbc\n\nd', 6, '4:1');
});
