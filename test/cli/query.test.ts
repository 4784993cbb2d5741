// Goal: `starling query` asks for what its words say and prints answers and failures as promised.
// Method: the commands with a `fetch` that records and answers; nothing is listened on.
import t from 'tap';
import { caretText } from '../../cli/query/caret.ts';
import { csvText, rowsOfQuery, tableText } from '../../cli/query/output.ts';
import { readTime, stepFor } from '../../cli/query/time.ts';
import { type CommandOutcome, runParts } from '../support/run-command.ts';

const NOW_MS = 1_700_000_000_000;

interface Outcome extends CommandOutcome {
  readonly asked: string;
  readonly headers: unknown;
}

async function run(
  words: readonly string[],
  answer: { readonly status?: number; readonly body: unknown } | Error,
  environment: Record<string, string> = {},
): Promise<Outcome> {
  let asked = '';
  let headers: unknown;
  const outcome = await runParts(['query', ...words], (printers) => ({
    query: {
      fetch: async (url, init) => {
        const body = init?.body instanceof URLSearchParams ? init.body.toString() : '';
        asked = decodeURIComponent(
          `${typeof url === 'string' ? url : 'not a text'} ${body}`,
        ).replaceAll('+', ' ');
        headers = init?.headers;
        if (answer instanceof Error) throw answer;
        const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
        return new Response(text, { status: answer.status ?? 200 });
      },
      clock: { nowMs: () => NOW_MS },
      parseDate: Date.parse,
      environment,
      ...printers,
    },
  }));
  return { ...outcome, asked, headers };
}

const success = (data: unknown, more: object = {}) => ({
  body: { status: 'success', data, ...more },
});
const VECTOR = success(
  {
    resultType: 'vector',
    result: [
      { metric: { __name__: 'up', job: 'a' }, value: [1700000000, '1'] },
      { metric: { __name__: 'up', job: 'a,b', zone: 'x' }, value: [1700000000, '0'] },
    ],
  },
  { warnings: ['PromQL warning: careful'] },
);

t.test('each command asks its endpoint for what the words say', async (t) => {
  const base = 'http://127.0.0.1:9009/prometheus/api/v1';
  const check = async (words: string, answer: unknown, asked: string): Promise<void> => {
    const outcome = await run(words.split(' '), success(answer));
    t.equal(outcome.err, '', words);
    t.equal(outcome.asked, asked, words);
  };
  const empty = { resultType: 'vector', result: [] };
  await check('instant up', empty, `${base}/query query=up&time=1700000000`);
  await check(
    'instant up --time now-1h --limit 3',
    empty,
    `${base}/query query=up&limit=3&time=1699996400`,
  );
  await check(
    'range up --start=now-10m --end=1700000000.5 --step=30s',
    { resultType: 'matrix', result: [] },
    `${base}/query_range query=up&start=1699999400&end=1700000000.5&step=30`,
  );
  await check(
    'series up {a="b"} --start=now-1m',
    [],
    `${base}/series match[]=up&match[]={a="b"}&start=1699999940`,
  );
  await check('labels', [], `${base}/labels `);
  await check('label-values job up', [], `${base}/label/job/values?match[]=up `);
  await check('label-values a.b_c', [], `${base}/label/U__a_2e_b__c/values? `);
  await check(
    'instant up --url http://h:1/ --prefix=/x',
    empty,
    'http://h:1/x/api/v1/query query=up&time=1700000000',
  );
  const { asked, headers } = await run(['labels'], success([]), {
    STARLING_URL: 'http://other:9',
    STARLING_TENANT: 'team-a',
  });
  t.match(asked, 'http://other:9/prometheus/api/v1/labels');
  t.same(headers, { 'x-scope-orgid': 'team-a' });
});

t.test('answers are printed as a table, CSV or JSON, warnings beside them', async (t) => {
  const table = await run(['instant', 'up'], VECTOR);
  t.equal(
    table.out,
    '__name__  job  zone  time        value\nup        a          1700000000  1\nup        a,b  x     1700000000  0\n',
  );
  t.equal(table.err, 'PromQL warning: careful\n');
  t.equal(
    (await run(['instant', 'up', '--output=csv'], VECTOR)).out.split('\r\n')[2],
    'up,"a,b",x,1700000000,0',
  );
  t.match(JSON.parse((await run(['instant', 'up', '--output=json'], VECTOR)).out), {
    resultType: 'vector',
  });
  t.equal((await run(['format', 'sum(a)by(b)'], new Error('not asked'))).out, 'sum by (b) (a)\n');
  t.equal((await run(['labels'], success(['a', 'b']))).out, 'label\na\nb\n');
});

t.test(
  '--explain prints how the answer was found: a tree, fetches, passes and times',
  async (t) => {
    const figures = { series: 2, samples: 4, ms: 1.5, selfMs: 0.5 };
    const plan = {
      ...{ id: 0, kind: 'binary', text: '/', ...figures },
      children: [
        { id: 1, kind: 'vector_selector', text: 'up', ...figures, fetch: 0, children: [] },
        { id: 2, kind: 'vector_selector', text: 'up', ...figures, sharedWith: 1, children: [] },
      ],
    };
    const explain = {
      timings: { gatherMs: 2 },
      query: 'up / up',
      passes: [{ name: 'share_fetches', changes: 1 }],
      fetches: [
        {
          ...{ matchers: ['__name__="up"'], startMs: 0, endMs: 1500, series: 2, samples: 8 },
          ...{ newestOnly: true, labels: { kind: 'only', names: [] } },
        },
      ],
      plan,
    };
    const answer = success({ resultType: 'vector', result: [] }, { explain });
    const outcome = await run(['instant', 'up / up', '--explain'], answer);
    t.match(outcome.asked, 'query=up / up&time=1700000000&explain=1');
    t.equal(
      outcome.out,
      [
        'series  samples  ms   own ms  plan',
        '2       4        1.5  0.5     #0 /',
        '2       4        1.5  0.5       #1 up <- fetch 0',
        '2       4        1.5  0.5       #2 up <- #1',
        '2       8                     fetch 0: {__name__="up"} 0..1.5, only labels: (none), newest samples',
        '                              pass share_fetches: 1',
        '                 2            time: gather',
        '',
      ].join('\n'),
    );
    const json = await run(['range', 'up', '--explain', '--output=json'], answer);
    t.same(JSON.parse(json.out), explain);
    const old = await run(['instant', 'up', '--explain'], VECTOR);
    t.match(old.err, 'the node does not explain');
    t.equal(old.exitCode, 1);
  },
);

t.test('Q1 caretText() points at the column of the line that an error names', async (t) => {
  const check = (expr: string, position: string, expected: string): void => {
    t.equal(caretText(expr, `400: ${position}: parse error: x`), expected, expr);
  };
  check('a + )', '1:5', '  a + )\n      ^\n');
  check('a +\n\trate(a)', '2:7', '   rate(a)\n        ^\n');
  check('a', '1:2', '  a\n   ^\n');
  check('a', '1:3', '');
  check('a', '2:1', '');
  check('a', 'unknown position', '');
  check(`${'a'.repeat(1000)})`, '1:1001', `  ${'a'.repeat(80)})\n  ${' '.repeat(80)}^\n`);
});

t.test('what fails says why, on standard error, with its exit code', async (t) => {
  const check = async (
    words: readonly string[],
    answer: Parameters<typeof run>[1],
    exitCode: number,
    err: RegExp,
  ): Promise<void> => {
    const outcome = await run(words, answer);
    t.equal(outcome.exitCode, exitCode, words.join(' '));
    t.match(outcome.err, err, words.join(' '));
    t.equal(outcome.out, '', 'nothing on standard output');
  };
  const unasked = new Error('not asked');
  await check(['instant', 'up', '--time', 'soon'], unasked, 2, /--time: 'soon' is not a time/);
  await check(['range', 'up', '--step=0'], unasked, 2, /--step: must be more than 0/);
  await check(['range', 'up', '--start=now', '--end=now-1h'], unasked, 2, /end lies before/);
  await check(['instant', 'up', '--output=xml'], unasked, 2, /not one of table, json, csv/);
  await check(['instant', 'up', '--limit=many'], unasked, 2, /--limit/);
  await check(['format', 'sum('], unasked, 2, /1:5: parse error.*\n {2}sum\(\n {6}\^\n$/);
  const refused = {
    status: 400,
    body: { status: 'error', error: '1:5: parse error', errorId: 'query.parse' },
  };
  const pointed = /400: 1:5: parse error \[query\.parse\]\n {2}sum\(\n {6}\^\n$/;
  await check(['instant', 'sum('], refused, 2, pointed);
  await check(['series', 'sum('], refused, 2, /parse error \[query\.parse\]\n$/);
  await check(
    ['instant', 'up'],
    { status: 503, body: { status: 'error', error: 'not ready' } },
    1,
    /503: not ready/,
  );
  await check(
    ['instant', 'up'],
    { status: 502, body: '<html>bad gateway' },
    1,
    /502: <html>bad gateway/,
  );
  const down = new TypeError('fetch failed', {
    cause: new Error('connect ECONNREFUSED 127.0.0.1:9009'),
  });
  await check(['instant', 'up'], down, 1, /cannot ask http.*ECONNREFUSED/);
});

t.test('times and steps are read as people write them', async (t) => {
  const read = (text: string): number =>
    readTime('--time', text, { nowMs: NOW_MS, parseDate: Date.parse });
  t.equal(read('now'), NOW_MS);
  t.equal(read('now-1h30m'), NOW_MS - 5_400_000);
  t.equal(read('now+5s'), NOW_MS + 5000);
  t.equal(read('1700000000.25'), 1_700_000_000_250);
  t.equal(read('2023-11-14T22:13:20Z'), NOW_MS);
  for (const text of ['', 'now-', 'now-x', 'yesterday', '1e400', '2023-11-14', 'now--1h']) {
    t.throws(() => read(text), /is not a (time|duration)/, text);
  }
  t.same([stepFor(0, 3_600_000), stepFor(0, 1000), stepFor(0, 0)], [15_000, 1000, 1000]);
});

t.test('Q26 cells steer neither a terminal nor a spreadsheet', async (t) => {
  const rows = [['name'], ['=1+1'], ['@x'], ['-1.5'], ['+Inf'], ['a"b'], ['\u001b[31m']];
  t.equal(
    csvText(rows, true),
    'name\r\n\'=1+1\r\n\'@x\r\n-1.5\r\n+Inf\r\n"a""b"\r\n\u001b[31m\r\n',
  );
  t.notMatch(tableText(rows), '\u001b');
  const odd = {
    resultType: 'vector',
    result: [{ metric: { ['__proto__']: 'p' }, value: [1, '2'] as const }],
  };
  t.same(rowsOfQuery(odd), [
    ['__proto__', 'time', 'value'],
    ['p', '1', '2'],
  ]);
});
