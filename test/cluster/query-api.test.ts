// Goal: the query API of a real node behaves as clients expect: every answer has the shape of a real
// Prometheus', bad requests are refused in bounded time, and a client that leaves stops its query.
// Method: one node from dist/; beside it a Prometheus (PROM_BIN=<directory>) with the same samples.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createCluster, eventually, isBuilt, type NodeProcess } from '../support/cluster.ts';
import {
  exemplarMessage,
  pushBody,
  type TestExemplar,
  type TestSeries,
} from '../support/remote-write-bodies.ts';

/** A query that works for many seconds when nobody stops it. */
const ENDLESS = 'max_over_time(sum by (instance) (rate({__name__=~".+"}[5m]))[6d:50ms])';

const programs = process.env['PROM_BIN'];
if (isBuilt()) await t.test('the query API of a node', run);
else t.comment('skipped: dist/ is not built');

async function run(t: Test): Promise<void> {
  const nowMs = Math.floor(Date.now() / 60_000) * 60_000;
  const series: TestSeries[] = Array.from({ length: 40 }, (_, i) => ({
    labels: [
      ['__name__', i < 20 ? 'jobs_total' : 'depth'],
      ['instance', String(i % 20)],
      ['job', `job-${i % 4}`],
    ],
    samples: Array.from({ length: 30 }, (_, k) => [nowMs - (30 - k) * 15_000, i + k] as const),
  }));
  const [node] = await createCluster(t.testdir(), 1, ['--query.max-concurrent-per-tenant=2']);
  if (node === undefined) throw new Error('no node');
  node.start();
  t.teardown(() => node.kill());
  await eventually('the node is ready', () => node.isReady());
  // a client sends again what a node that just started has no time for
  await eventually('the series are taken', async () => (await node.push(series)) === 204);
  const api = `${node.base}/prometheus/api/v1`;

  await t.test('bad requests are refused with a status, an id and a reason', (t) =>
    refusals(t, api),
  );
  await t.test('Q14 a client that leaves stops its query within a second', (t) => leaving(t, node));
  await t.test('Q15 a slow reader gets its long answer in pieces', (t) => slowly(t, api));
  await t.test('explain=1 tells beside the data how it was found', (t) => explains(t, api, nowMs));
  await t.test('Q24 answers are told apart by every parameter', (t) => apart(t, api, nowMs));
  if (programs === undefined) {
    t.comment('skipped: PROM_BIN is not set, no shapes to compare with');
    return;
  }
  const prometheus = await startPrometheus(t, programs);
  t.teardown(() => prometheus.process.kill());
  const headers = { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' };
  const body = new Uint8Array(pushBody(series));
  const pushed = await fetch(`${prometheus.url}/write`, { method: 'POST', headers, body });
  t.equal(pushed.status, 204);
  await t.test('every answer has the shape of Prometheus’', (t) =>
    shapes(t, api, prometheus.url, nowMs),
  );
  await t.test('exemplars are taken, dropped and told as by Prometheus', (t) =>
    exemplars(t, node, prometheus.url, nowMs),
  );
  const reader = await startPrometheus(
    t,
    programs,
    `remote_read: [{url: '${api}/read', read_recent: true}]`,
  );
  t.teardown(() => reader.process.kill());
  await t.test('a Prometheus that reads remotely from the node sees the same', async (t) => {
    for (const query of [
      'depth',
      'sum by (job) (rate(jobs_total[5m]))',
      'depth{job=~"job-[12]"}',
    ]) {
      const path = `query_range?start=${nowMs / 1000 - 600}&end=${nowMs / 1000}&step=30&query=${encodeURIComponent(query)}`;
      const [ours, theirs] = [await fetch(`${api}/${path}`), await fetch(`${reader.url}/${path}`)];
      const expected = (await ours.json()) as { data: { result: unknown[] } };
      t.ok(expected.data.result.length > 0);
      t.strictSame(await theirs.json(), expected, query);
    }
  });
}

async function refusals(t: Test, api: string): Promise<void> {
  const check = async (
    path: string,
    status: number,
    error: RegExp,
    init: RequestInit = {},
  ): Promise<void> => {
    const response = await fetch(`${api}/${path}`, init);
    const got = [response.status, await response.json()];
    t.match(got, [status, { status: 'error', error }], path.slice(0, 80));
  };
  const form = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } };
  await check('query?query=sum(', 400, /1:5: parse error: unclosed left parenthesis/);
  await check('series?match[]={}', 400, /non-empty matcher/);
  await check('series', 400, /no match\[\]/);
  await check(`series?${'match[]=up&'.repeat(1000)}`, 400, /limit is 100/);
  await check('query?query=up&limit=-1', 400, /limit must be non-negative/);
  await check('query?query=up&limit=1e99', 400, /limit/);
  await check('query_range?query=up&start=0&end=11001&step=1', 400, /11,000 points/);
  await check('query_range?query=up&start=0&end=1&step=0', 400, /step/);
  await check('query?query=up&time=292277026596-01-01T00:00:00Z', 400, /"time"/);
  await check('status/tsdb?limit=100000', 400, /limit/);
  await check('query_exemplars?query=sum(&start=0&end=1', 400, /parse error/);
  await check('query', 413, /body/, { ...form, body: `query=${'a'.repeat(10_000_000)}` });
  await check(`query?query=${'a'.repeat(100_000)}`, 414, /POST form/);
  const twice = await fetch(`${api}/query?query=1&query=2`, { ...form, body: 'query=3&query=4' });
  t.match(await twice.json(), { data: { result: [Number, '3'] } }, 'the form wins, its first one');
}

async function leaving(t: Test, node: NodeProcess): Promise<void> {
  const { hostname, port } = new URL(node.base);
  const path = `/prometheus/api/v1/query?query=${encodeURIComponent(ENDLESS)}`;
  const sockets: Socket[] = [];
  for (let i = 0; i < 2; i++) {
    const socket = connect(Number(port), hostname);
    socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
    sockets.push(socket);
  }
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${node.base}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
  };
  const running = 'cortex_query_duration_seconds_count{outcome="request.canceled"}';
  const name = running.replaceAll(/[{}"]/g, '\\$&');
  t.equal(await metric(name), 0);
  for (const socket of sockets) socket.destroy();
  await eventually('both queries are counted as canceled', async () => (await metric(name)) === 2);
  const { status } = await node.query('query?query=count(depth)&timeout=1s');
  t.equal(status, 200, 'both places of the tenant are free again');
}

async function slowly(t: Test, api: string): Promise<void> {
  const query = 'vector(time() / 3) or label_replace(vector(time() / 7), "a", "b", "", "")';
  const { port } = new URL(api);
  const long = `query_range?start=0&end=10999&step=1&query=${encodeURIComponent(query)}`;
  const answer = await (await fetch(`${api}/${long}`)).text();
  t.ok(answer.length > 2 * 256 * 1024, 'the answer is longer than two slices');
  const received = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1');
    let text = '';
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
    socket.write(`GET /prometheus/api/v1/${long} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
    socket.on('data', (bytes) => {
      text += bytes.toString();
      socket.pause();
      setImmediate(() => socket.resume());
    });
  });
  t.ok(received.includes('"resultType":"matrix"'));
  t.ok(received.length >= answer.length);
}

async function apart(t: Test, api: string, nowMs: number): Promise<void> {
  const ask = async (more: string): Promise<string> =>
    (await fetch(`${api}/query?query=depth&time=${nowMs / 1000}${more}`)).text();
  const whole = await ask('');
  t.notSame(await ask('&limit=1'), whole);
  t.match(await ask('&limit=1'), 'results truncated due to limit');
  t.match(await ask('&lookback_delta=1ms'), '"result":[]');
  t.equal(await ask(''), whole);
  t.match(JSON.parse(await ask('&stats=all')), {
    data: {
      stats: {
        samples: { totalQueryableSamples: 20, totalQueryableSamplesPerStep: [[Number, 20]] },
      },
    },
  });
}

async function explains(t: Test, api: string, nowMs: number): Promise<void> {
  const query = encodeURIComponent(
    'sum(rate(jobs_total{job="job-1"}[2m])) / sum(rate(jobs_total{job="job-1"}[2m]))',
  );
  const [end, grid] = [nowMs / 1000, `start=${nowMs / 1000 - 300}&end=${nowMs / 1000}&step=60`];
  for (const path of [`query?time=${end}&query=${query}`, `query_range?${grid}&query=${query}`]) {
    const plain = (await (await fetch(`${api}/${path}`)).json()) as Record<string, unknown>;
    t.notOk('explain' in plain, 'nobody asked');
    const asked = (await (await fetch(`${api}/${path}&explain=1`)).json()) as typeof plain;
    const { explain, ...rest } = asked;
    t.same(rest, plain, 'the answer is the same');
    const samples = path.startsWith('query?') ? 1 : 6;
    const figures = { ms: Number, selfMs: Number };
    t.match(explain, {
      passes: [
        { name: 'share_fetches', changes: 1 },
        { name: 'share_expressions', changes: 1 },
      ],
      fetches: [{ matchers: ['job="job-1"', '__name__="jobs_total"'], series: 5 }],
      timings: { queueMs: Number, gatherMs: Number, decodeMs: Number, evaluateMs: Number },
      plan: {
        ...{ id: 0, kind: 'binary', text: '/', series: 1, samples, ...figures },
        children: [
          {
            ...{ id: 1, text: 'sum', series: 1, samples, ...figures },
            children: [
              {
                ...{ text: 'rate', series: 5, samples: 5 * samples, ...figures },
                children: [{ text: 'jobs_total{job="job-1"}[2m]', series: 5, fetch: 0 }],
              },
            ],
          },
          { text: 'sum', series: 1, samples, sharedWith: 1, children: [] },
        ],
      },
    });
  }
}

/** The kinds of a JSON value: of an array, those of its first item. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value;
  const entries = Object.entries(value).map(([key, one]) => [key, shapeOf(one)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Vectors and series come in any order. */
function sorted(answer: unknown): unknown {
  const { data } = answer as { data?: { resultType?: string; result?: unknown[] } };
  if (Array.isArray(data)) {
    return { ...(answer as object), data: data.map((one) => JSON.stringify(one)).sort() };
  }
  if (data?.resultType !== 'vector' && data?.resultType !== 'matrix') return answer;
  const result = data.result?.map((one) => JSON.stringify(one)).sort();
  return { ...(answer as object), data: { ...data, result } };
}

interface Counted {
  readonly data: { readonly stats: { readonly samples: Record<string, unknown> } };
}

async function shapes(t: Test, ours: string, theirs: string, nowMs: number): Promise<void> {
  const end = nowMs / 1000;
  const grid = `start=${end - 300}&end=${end}&step=60`;
  const check = async (path: string, isExact = false): Promise<void> => {
    const ask = async (base: string): Promise<readonly [number, unknown]> => {
      const response = await fetch(`${base}/${path}`);
      return [response.status, await response.json()];
    };
    const [[ourStatus, our], [theirStatus, their]] = [await ask(ours), await ask(theirs)];
    t.equal(ourStatus, theirStatus, path);
    if (isExact) t.strictSame(sorted(our), sorted(their), path);
    else t.match(shapeOf(our), shapeOf(their), path);
  };
  for (const query of ['depth', 'sum by (job) (rate(jobs_total[2m]))', '1', '"text"', 'depth[1m]'])
    await check(`query?time=${end}&query=${encodeURIComponent(query)}`, true);
  await check(`query_range?${grid}&query=depth`, true);
  await check(`query_range?${grid}&query=depth&limit=3`, true);
  await check(`query?time=${end}&query=depth&stats=all`);
  await check(`query_range?${grid}&query=sum_over_time(depth[1m])&stats=true`);
  // What is evaluated once is counted as often as it is read, as there.
  const counted = async (base: string): Promise<unknown> => {
    const path = `query_range?${grid}&query=${encodeURIComponent('rate(depth[2m]) - rate(depth[2m])')}&stats=all`;
    const answer = (await (await fetch(`${base}/${path}`)).json()) as Counted;
    const { totalQueryableSamples, totalQueryableSamplesPerStep } = answer.data.stats.samples;
    return { totalQueryableSamples, totalQueryableSamplesPerStep };
  };
  t.same(await counted(ours), await counted(theirs), 'the same statistics');
  await check(`query?time=${end}&query=rate(depth[1m])`, true);
  await check(`series?match[]=depth&start=${end - 300}&end=${end}`, true);
  await check(`labels?start=${end - 300}&end=${end}`, true);
  await check(`labels?match[]=depth&start=${end - 300}&end=${end}`, true);
  await check(`label/job/values?start=${end - 300}&end=${end}`, true);
  await check(`label/job/values?start=${end - 300}&end=${end}&limit=2`, true);
  await check('format_query?query=sum(depth)by(job)', true);
  await check('parse_query?query=sum(depth)by(job)', true);
  await check(`query_exemplars?query=depth&start=${end - 300}&end=${end}`, true);
  await check('metadata', true);
  await check('metadata?limit=1', true);
  await check('rules', true);
  await check('alerts', true);
  await check('alertmanagers', true);
  await check('targets', true);
  await check('targets/metadata', true);
  await check('scrape_pools', true);
  await check('status/walreplay', true);
  await check('status/runtimeinfo');
  await check('status/buildinfo');
  await check('status/config');
  await check('status/tsdb');
  const flags = (await (await fetch(`${ours}/status/flags`)).json()) as { data: object };
  t.equal(shapeOf(Object.values(flags.data)[0]), 'string', 'flags are texts');
}

/** The same pushes to both, one request after another; then the same questions. */
async function exemplars(t: Test, node: NodeProcess, theirs: string, nowMs: number): Promise<void> {
  const ours = `${node.base}/prometheus/api/v1`;
  const series = (instance: number, all: readonly TestExemplar[], name = 'depth'): TestSeries => ({
    labels: [
      ['__name__', name],
      ['instance', String(instance)],
      ['job', `job-${instance % 4}`],
    ],
    exemplars: all.map(exemplarMessage),
  });
  const trace = (id: string, at: number, value = 1): TestExemplar => ({
    labels: [
      ['trace_id', id],
      ['span', 'ü"\\<'],
    ],
    timestampMs: nowMs - 60_000 + at,
    value,
  });
  const requests: TestSeries[][] = [
    [series(0, [trace('first', 0)]), series(1, [trace('a', 0, 0.1), trace('b', 7, -5e300)])],
    [series(0, [trace('first', 0)]), series(0, [trace('second', 1500)])], // the first again
    [series(0, [trace('too late', 10)]), series(1, [trace('lower', 7, -6e300)])],
    [series(1, [trace('higher', 7, 2), { timestampMs: nowMs }])],
    [series(2, [{ ...trace('x'.repeat(140), 1) }]), series(2, [trace('fits', 3, Infinity)])],
    [series(99, [trace('of no series', 3)]), series(3, [trace('n', 3, NaN), trace('m', 4, 1e21)])],
    [series(4, [trace('j', 250)], 'jobs_total'), series(4, [trace('k', 251, 1e-7)], 'jobs_total')],
  ];
  const headers = { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' };
  for (const request of requests) {
    // Series that only the exemplars name are not there; all others have samples already.
    t.equal(await node.push(request), 204);
    const body = new Uint8Array(pushBody(request));
    t.equal((await fetch(`${theirs}/write`, { method: 'POST', headers, body })).status, 204);
  }
  const check = async (path: string, count: number, init: RequestInit = {}): Promise<void> => {
    const ask = async (base: string): Promise<readonly [number, unknown]> => {
      const response = await fetch(`${base}/${path}`, init);
      const text = await response.text();
      return [response.status, text === '' ? {} : JSON.parse(text)];
    };
    const our = await ask(ours);
    const { data = [] } = our[1] as { readonly data?: readonly unknown[] };
    t.equal(data.length, count, path);
    t.strictSame(our, await ask(theirs), path);
  };
  const end = nowMs / 1000;
  const range = `&start=${end - 300}&end=${end + 300}`;
  const query = (text: string): string => `query_exemplars?query=${encodeURIComponent(text)}`;
  await check(query('depth') + range, 4);
  await check(query('{__name__=~"depth|jobs_total"}'), 5); // of any time
  await check(query('depth{instance=~"[01]"}') + range, 2);
  await check(query('sum(rate(depth{instance="1"}[5m] offset 1h)) / jobs_total') + range, 2);
  await check(`${query('depth')}&start=${end - 59}&end=${end - 58}`, 1);
  await check(query('depth{instance=""}') + range, 0);
  await check(query('unheard_of') + range, 0);
  await check(query('1') + range, 0);
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const body = `query=jobs_total${range}`;
  await check('query_exemplars', 1, { method: 'POST', headers: form, body });
  for (const bad of [query('sum('), 'query_exemplars', `${query('depth')}&start=2&end=1`]) {
    const [our, their] = await Promise.all([ours, theirs].map((base) => fetch(`${base}/${bad}`)));
    t.equal(our?.status, their?.status, bad);
    const told = (await their?.json()) as { readonly error: string; readonly errorType: string };
    t.match(await our?.json(), { status: 'error', errorType: told.errorType }, told.error);
  }
}

/** Starts a Prometheus that scrapes nothing and accepts writes, on a free port of loopback. */
async function startPrometheus(
  t: Test,
  directory: string,
  config = '{}',
): Promise<{ process: ChildProcess; url: string }> {
  const work = mkdtempSync(join(tmpdir(), 'starling-oracle-'));
  t.teardown(() => rmSync(work, { recursive: true, force: true }));
  writeFileSync(join(work, 'prometheus.yml'), config);
  const child = spawn(
    join(directory, 'prometheus'),
    [
      `--config.file=${join(work, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(work, 'data')}`,
      '--web.enable-remote-write-receiver',
      '--enable-feature=promql-per-step-stats,exemplar-storage',
      '--web.listen-address=127.0.0.1:0',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  const port = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      log += String(chunk);
      const listening = /msg="Listening on" component=web address=127\.0\.0\.1:([0-9]+)/.exec(log);
      if (listening !== null && log.includes('Server is ready')) resolve(listening[1]!);
    });
    child.on('error', reject);
    child.on('exit', () => reject(new Error(`prometheus did not start: ${log}`)));
  });
  return { process: child, url: `http://127.0.0.1:${port}/api/v1` };
}
