// Goal: matchers accept exactly the values Go's regular expressions accept, refuse what Go refuses
// in its words, and take bounded work.
// Method: cases that Prometheus 3.5.3 judged, and a property that the fast paths agree with the
// plain engine (seed printed).
import fc from 'fast-check';
import { RE2JS } from 're2js';
import t from 'tap';
import { StarlingError } from '../../model/errors.ts';
import { compileMatcher, type MatcherType } from '../../model/matchers.ts';
import { compileRegex, REGEX_COST_MAX, regexCost } from '../../model/regex.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

t.test('compileMatcher() matches whole values, absent labels as empty ones', async (t) => {
  const check = (type: MatcherType, value: string, yes: string[], no: string[]) => {
    const compiled = compileMatcher({ name: 'a', type, value });
    for (const text of yes) t.ok(compiled.matches(text), `${type}${value} ${text}`);
    for (const text of no) t.notOk(compiled.matches(text), `${type}${value} ${text}`);
    t.equal(compiled.matchesEmpty, compiled.matches(''));
  };
  check('=', 'a.b', ['a.b'], ['axb', '']);
  check('!=', 'a', ['b', ''], ['a']);
  check('=~', 'a', ['a'], ['ab', 'ba', '']);
  check('!~', 'a|b', ['c', '', 'ab'], ['a', 'b']);
  check('=~', 'a.b', ['a.b', 'a\nb', 'a🙂b'], ['ab']);
  check('=~', '.*', ['', 'a', '\n'], []);
  check('=~', '.+', ['a', '\n'], ['']);
  check('=~', '', [''], ['a']);
  check('=~', '^a$', ['a'], ['^a$']);
  check('=~', '^a|b$', ['a', 'b'], ['ab']);
  check('=~', 'a\\$', ['a$'], ['a', 'a\\']);
  check('=~', '(?i)k', ['k', 'K', '\u212a'], ['x']);
  check('=~', '(?-s:a.b)', ['axb'], ['a\nb']);
  check('=~', 'a|ab', ['a', 'ab'], ['b']);
  check('=~', 'foo.*', ['foo', 'foobar', 'foo\n'], ['xfoo']);
  check('=~', '.*foo', ['foo', 'xfoo'], ['foox']);
  check('=~', '.+foo.*', ['xfoo', 'foofoo'], ['foo']);
  check('=~', '.*foo.+', ['foox', 'foofoo'], ['foo']);
  check('=~', '.+foo.+', ['xfoox', 'foofoofoo'], ['foo', 'foofoo', 'xfoo']);
  check('=~', '.+.+', ['ab'], ['a', '🙂', '']);
  check('=~', '.*a\\.b.*', ['xa.bx'], ['xaxbx']);
});

t.test('compileMatcher() lists the only values a positive matcher accepts', async (t) => {
  const check = (value: string, expected: readonly string[] | undefined) =>
    t.strictSame(compileMatcher({ name: 'a', type: '=~', value }).literals, expected, value);
  check('a', ['a']);
  check('a|b|a', ['a', 'b']);
  check('a\\.b|c', ['a.b', 'c']);
  check('a\\|b', ['a|b']);
  check('^(a|b)$', ['a', 'b']);
  check('(?:a|b)', ['a', 'b']);
  check('pre-(a|b)\\.post', ['pre-a.post', 'pre-b.post']);
  check('|a', ['', 'a']);
  check('é|🙂', ['é', '🙂']);
  check('a.b', undefined);
  check('\\d', undefined);
  check('(a)(b)', undefined);
  check('a$|b', undefined);
  t.strictSame(compileMatcher({ name: 'a', type: '=', value: 'x' }).literals, ['x']);
  t.equal(compileMatcher({ name: 'a', type: '!~', value: 'x' }).literals, undefined);
});

t.test('compileMatcher() refuses what Go refuses, in its words', async (t) => {
  const check = (value: string, expected: string) => {
    t.throws(() => compileMatcher({ name: 'a', type: '=~', value }), {
      id: 'query.parse',
      message: `error parsing regexp: ${expected}`,
    });
  };
  check('(', 'missing closing ): `(`');
  check('a)(b', 'unexpected ): `a)(b`');
  check('[', 'missing closing ]: `[`');
  check('a**', 'invalid nested repetition operator: `**`');
  check('*', 'missing argument to repetition operator: `*`');
  check('a{1001}', 'invalid repeat count: `{1001}`');
  check('(?=a)', 'invalid or unsupported Perl syntax: `(?=`');
  check('[z-a]', 'invalid character class range: `z-a`');
  check('\\pX', 'invalid character class range: `\\pX`');
  check('\\8', 'invalid escape sequence: `\\8`');
  check('a\\', 'trailing backslash at end of expression: ``');
  for (const value of [
    '(?i)a',
    '\\p{Greek}',
    '(?P<n>a)',
    '\\Qa.b\\E',
    'x{,2}',
    '[]a]',
    '()',
    '|',
  ]) {
    t.doesNotThrow(() => compileMatcher({ name: 'a', type: '=~', value }), value);
  }
});

t.test('compileRegex() bounds bytes and unrolled repetitions', async (t) => {
  const refuses = (pattern: string, expected: RegExp) =>
    t.throws(() => compileRegex(pattern), { id: 'query.parse', message: expected });
  refuses('a'.repeat(4097), /longer than 4096 bytes/);
  refuses('é'.repeat(2049), /longer than 4096 bytes/);
  refuses('a{1000}'.repeat(11), new RegExp(`more than ${REGEX_COST_MAX} parts`));
  refuses('((a{9}){9}){200}', /more than/);
  const check = (pattern: string, expected: number) => t.equal(regexCost(pattern), expected);
  check('', 0);
  check('abc', 3);
  check('a{5}', 5);
  check('a{2,5}b', 6);
  check('(ab){3}', 9);
  check('[a-c]{2}', 10);
  check('\\p{Greek}', 17);
  check('((', 0);
});

t.test('compileRegex() gives the same a second time, and after more than it remembers', (t) => {
  const patterns = Array.from({ length: 300 }, (_, i) => `x${i}[a-c]{200}|y+(z|zz)${i}`);
  for (let round = 0; round < 2; round++) {
    for (const [i, pattern] of patterns.entries()) {
      const regex = compileRegex(pattern);
      const values = [`yz${i}`, `yyzz${i}`, `yz${i}0`, `x${i}${'ab'.repeat(100)}`, `x${i}ab`];
      t.same(
        values.map((value) => regex.matches(value)),
        [true, true, false, true, false],
      );
      t.same(compileRegex(pattern).matches(values[0]!), true);
    }
  }
  t.end();
});

t.test(`compileRegex() takes fast paths that agree with the engine (seed ${seed})`, async (t) => {
  const piece = fc.constantFrom(
    'a',
    'b',
    '\\.',
    '.',
    '|',
    '(',
    ')',
    '(?:',
    '.*',
    '.+',
    '^',
    '$',
    '\\',
    '?',
    '*',
    '[a-c]',
    '[^a]',
    '[b-a]',
    '[0-9a_]',
    '[^.:-]',
    '\\-',
    '/',
    '🙂',
  );
  const value = fc
    .array(fc.constantFrom('a', 'b', '.', '\n', '🙂', '-', '7', '/'), { maxLength: 5 })
    .map((parts) => parts.join(''));
  const plain = (pattern: string): RE2JS | undefined => {
    try {
      RE2JS.compile(pattern);
      return RE2JS.compile(`^(?s:${pattern})$`);
    } catch {
      return undefined;
    }
  };
  const fast = (pattern: string) => {
    try {
      return compileRegex(pattern);
    } catch (error) {
      if (error instanceof StarlingError) return undefined;
      throw error;
    }
  };
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 7 }), fc.array(value), (pieces, values) => {
      const pattern = pieces.join('');
      const [ours, theirs] = [fast(pattern), plain(pattern)];
      if ((ours === undefined) !== (theirs === undefined)) return false;
      return values.every((text) => ours?.matches(text) === theirs?.matches(text));
    }),
    { seed, numRuns: 10_000 },
  );
  t.pass();
});
