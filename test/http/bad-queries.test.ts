// Goal: what is wrong with a read request itself is refused at the edge, in bounded time and memory, and
// nothing of it reaches the node. Method: rows of the list of bad inputs, asked over real sockets of an
// edge before a fake node; time stands still.
import { type Socket, connect } from 'node:net';
import snappyjs from 'snappyjs';
import t, { type Test } from 'tap';
import { TENANTS_MAX } from '../../http/tenant.ts';
import { type Edge, edge } from '../support/http-edge.ts';

type Check = (
  path: string,
  expected: readonly [status: number, errorId: string, error?: RegExp],
  init?: RequestInit,
) => Promise<void>;

function refusals(t: Test, { base }: Edge): Check {
  return async (path, [status, errorId, error = /./], init) => {
    const response = await fetch(`${base}/prometheus/api/v1/${path}`, init);
    const name = `${path} ${JSON.stringify(init?.headers ?? '')}`.slice(0, 100);
    t.match(
      [response.status, await response.json()],
      [status, { status: 'error', errorType: String, errorId, error }],
      name,
    );
  };
}

const form = (body: string): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body,
});

t.test('Q1 a syntax error is 400 bad_data with its line and column', async (t) => {
  const { base } = await edge(t);
  for (const path of ['format_query', 'parse_query']) {
    const response = await fetch(`${base}/prometheus/api/v1/${path}?query=a%20%2B%0A)`);
    t.equal(response.status, 400, path);
    t.same(await response.json(), {
      status: 'error',
      errorType: 'bad_data',
      error: "2:2: parse error: unexpected right parenthesis ')'",
      errorId: 'query.parse',
    });
  }
});

t.test('Q5 grids of too many points, of no step, backwards and out of time are 400', async (t) => {
  const world = await edge(t);
  const check = refusals(t, world);
  const grid = (start: string, end: string, step: string): string =>
    `query_range?query=up&start=${start}&end=${end}&step=${step}`;
  const bad = 'request.parameter';
  await check(grid('0', '11001', '1'), [400, bad, /11,000 points/]);
  await check(grid('0', '1e15', '1'), [400, bad, /"end"/]);
  await check(grid('0', '1', '0'), [400, bad, /zero or negative/]);
  await check(grid('0', '1', '-1'), [400, bad, /zero or negative/]);
  await check(grid('0', '1', '0.0001'), [400, bad, /zero or negative/]);
  await check(grid('2', '1', '1'), [400, bad, /before start/]);
  await check(grid('NaN', '1', '1'), [400, bad, /"start"/]);
  await check(grid('0', 'Inf', '1'), [400, bad, /"end"/]);
  await check('query?query=up&time=292277026596-01-01T00:00:00Z', [400, bad, /"time"/]);
  await check('query?query=up&time=292277026596000', [400, bad, /"time"/]);
  t.same(world.api.queries, [], 'the node was asked nothing');
  const response = await fetch(`${world.base}/prometheus/api/v1/${grid('0', '11000', '1')}`);
  t.equal(response.status, 200, '11,000 steps are the most');
});

t.test('Q15 a client that reads nothing is cut after ten minutes', async (t) => {
  const data = Buffer.alloc(32 * 1024 * 1024, '1'); // more than the sockets of both sides take
  const api = { query: async () => ({ data, warnings: [], infos: [] }) };
  const { base, clock } = await edge(t, { api });
  const socket = connect(Number(new URL(base).port), '127.0.0.1');
  socket.write('GET /prometheus/api/v1/query?query=up HTTP/1.1\r\nhost: a\r\n\r\n');
  await new Promise<void>((resolve) => socket.once('readable', resolve));
  const head = (socket.read() as Buffer).toString('latin1');
  t.match(head, /^HTTP\/1\.1 200 OK\r\n/, 'the answer began');
  const whole = Number(/content-length: (\d+)/.exec(head)?.[1]);
  t.ok(whole > data.length);
  clock.advance(10 * 60_000 - 1);
  t.notOk(socket.closed, 'it may be slow for so long');
  clock.advance(1);
  t.ok((await restOf(socket)) + head.length < whole, 'the connection ended before the answer did');
});

function restOf(socket: Socket): Promise<number> {
  return new Promise((resolve) => {
    let bytes = 0;
    socket.on('error', () => undefined); // cut
    socket.on('close', () => resolve(bytes));
    socket.on('data', (part) => (bytes += part.length));
  });
}

t.test('Q19 no match[], an empty one, one without a value and a thousand are 400', async (t) => {
  const world = await edge(t);
  const check = refusals(t, world);
  const many = Array.from({ length: 1000 }, (_, i) => `match[]=m${i}`).join('&');
  const empty = /must contain at least one non-empty matcher/;
  for (const path of ['series', 'labels', 'label/job/values']) {
    await check(`${path}?match[]={}`, [400, 'query.parse', empty]);
    await check(`${path}?match[]={job=""}`, [400, 'query.parse', empty]);
    await check(`${path}?match[]={job=~".*"}`, [400, 'query.parse', empty]);
    await check(`${path}?match[]=`, [400, 'query.parse']);
    await check(`${path}?match[]=up&match[]=sum(up)`, [400, 'query.parse']);
    await check(`${path}?${many}`, [400, 'request.parameter', /1000 times, the limit is 100/]);
  }
  await check('series', [400, 'request.parameter', /no match\[\]/]);
  await check('series', [400, 'request.parameter', /limit is 100/], form(many));
  t.same(world.api.seriesRequests, [], 'the node was asked nothing');
});

t.test(
  'Q20 a limit is a whole number; of a parameter given twice the form and the first win',
  async (t) => {
    const world = await edge(t);
    const check = refusals(t, world);
    for (const limit of ['-1', '1e99', '1.5', 'NaN', '0x10', '9007199254740993', ' ', '1,2']) {
      const text = encodeURIComponent(limit);
      const refused = [400, 'request.parameter', /limit must be non-negative/] as const;
      await check(`query?query=up&limit=${text}`, refused);
      await check(`labels?limit=${text}`, refused);
      await check('series', refused, form(`match[]=up&limit=${text}`));
    }
    t.same([world.api.queries, world.api.seriesRequests], [[], []], 'the node was asked nothing');
    const asked = async (path: string, init?: RequestInit): Promise<unknown> => {
      await fetch(`${world.base}/prometheus/api/v1/${path}`, init);
      const { limit, query } = world.api.queries.at(-1) ?? {};
      return [query, limit];
    };
    t.same(await asked('query?query=a&query=b&limit=1&limit=2'), ['a', 1]);
    const both = form('query=c&query=d&limit=3&limit=-1');
    t.same(await asked('query?query=a&limit=-1', both), ['c', 3]);
    t.same(await asked('query?query=a&limit=7', form('time=1')), ['a', 7]);
    await fetch(`${world.base}/prometheus/api/v1/series?match[]=a`, form('match[]=b&match[]=c'));
    const [request] = world.api.seriesRequests;
    const names = request?.selectors.map(([matcher]) => matcher?.value);
    t.same(names, ['a', 'b', 'c'], 'all match[] count');
  },
);

t.test('Q21 a URL of 100 KB is 414, a form of 10 MB is 413', async (t) => {
  const world = await edge(t);
  const check = refusals(t, world);
  const long = 'a'.repeat(100_000);
  await check(`query?query=${long}`, [414, 'request.parameter', /POST form/]);
  const huge = form(`query=${'a'.repeat(10_000_000)}`);
  for (const path of ['query', 'query_range', 'series', 'labels', 'query_exemplars'])
    await check(path, [413, 'request.body_too_large', /limit/], huge);
  t.same([world.api.queries, world.api.seriesRequests], [[], []], 'the node was asked nothing');
  await fetch(`${world.base}/prometheus/api/v1/query`, form(`query=${long}`));
  t.equal(world.api.queries[0]?.query, long, 'a form carries what a URL does not');
});

t.test('Q22 a list of tenants is one tenant, or it is refused as a whole', async (t) => {
  const world = await edge(t, { multitenancy: true });
  const check = refusals(t, world);
  const of = (tenants: string): RequestInit => ({ headers: { 'x-scope-orgid': tenants } });
  const invalid = [400, 'tenant.invalid'] as const;
  const off = [422, 'tenant.federation_off'] as const;
  await check('query?query=up', [...off, /lists 2 tenants/], of('a|b'));
  await check('query?query=up', [...off, /lists 2 tenants/], of('a|b|a|b|a'));
  await check('query?query=up', [...off, /lists 3 tenants/], of('__proto__|constructor|A'));
  await check('query?query=up', invalid, of('a|b|..|a'));
  await check('query?query=up', invalid, of('a|a|..'));
  await check('query?query=up', invalid, of('a||a'));
  await check('query?query=up', invalid, of('|'));
  await check('query?query=up', invalid, of('a|a/b'));
  await check('query?query=up', invalid, of(`a|${'a'.repeat(151)}`));
  const some = (count: number): string =>
    Array.from({ length: count }, (_, i) => `t${i}`).join('|');
  await check('query?query=up', [...off, /lists 100 tenants/], of(some(TENANTS_MAX)));
  await check('query?query=up', [...invalid, /1000 tenants, the limit is 100/], of(some(1000)));
  for (const path of ['series?match[]=up', 'labels', 'label/job/values', 'metadata', 'rules'])
    await check(path, off, of('a|b'));
  await check('query_exemplars?query=up&start=0&end=1', off, of('a|b'));
  t.same([world.api.queries, world.api.seriesRequests], [[], []], 'the node was asked nothing');
  const push = { method: 'POST', body: Buffer.from('abc'), headers: { 'x-scope-orgid': 'a|a' } };
  t.equal((await fetch(`${world.base}/api/v1/push`, push)).status, 400, 'a write names one tenant');
  t.same(world.api.pushes, []);
  const asked = await fetch(`${world.base}/prometheus/api/v1/query?query=up`, of('a|a|a'));
  t.same([asked.status, world.api.queries.at(-1)?.tenant], [200, 'a'], 'repetitions count once');
});

t.test('Q23 a body of remote read that is no snappy, or a bomb, is 400 or 413', async (t) => {
  const world = await edge(t);
  const check = refusals(t, world);
  const body = (...bytes: number[]): RequestInit => ({
    method: 'POST',
    headers: { 'content-encoding': 'snappy' },
    body: Uint8Array.from(bytes),
  });
  await check('read', [400, 'snappy.corrupt', /empty/], body());
  await check('read', [400, 'snappy.corrupt'], body(0xff, 0xff, 0xff, 0xff, 0xff, 0x01));
  await check('read', [400, 'snappy.corrupt'], body(0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0));
  const bomb = snappyjs.compress(new Uint8Array(16 * 1024 * 1024 + 1));
  await check('read', [413, 'request.body_too_large'], { ...body(), body: new Uint8Array(bomb) });
  await check('read', [400, 'snappy.corrupt'], body(0x10, 0x00, 0x61));
  const gzip = { ...body(1), headers: { 'content-encoding': 'gzip' } };
  await check('read', [415, 'request.content_encoding'], gzip);
});
