// Goal: what a dashboard does one call after another behaves as before a real Prometheus: labels, the values of
// one, series, a range of 11,000 points, and leaving while it is computed, which frees the query.
// Method: three nodes from dist/ with replication factor 3; beside them a Prometheus (PROM_BIN=<directory>)
// with the same samples, asked the same.
import { type Socket, connect } from 'node:net';
import t, { type Test } from 'tap';
import { createCluster, eventually, isBuilt, type NodeProcess } from '../support/cluster.ts';
import { startServer } from '../support/prometheus-tools.ts';
import { type TestSeries, pushBody } from '../support/remote-write-bodies.ts';

const STEP_MS = 1000;
const POINTS = 11_000;
/** It works for many seconds when nobody stops it. */
const ENDLESS = 'max_over_time(sum by (instance) (rate({__name__=~".+"}[5m]))[6d:50ms])';

const programs = process.env['PROM_BIN'];
if (isBuilt()) await t.test('the calls of a dashboard', run);
else t.comment('skipped: dist/ is not built');

async function run(t: Test): Promise<void> {
  const endMs = Math.floor(Date.now() / 60_000) * 60_000;
  const startMs = endMs - POINTS * STEP_MS;
  const series = Array.from({ length: 12 }, (_, i): TestSeries => {
    const samples = Array.from({ length: 100 }, (_, k): readonly [number, number] => [
      startMs + k * 110_000,
      (i + 1) * k,
    ]);
    const labels = [
      ['__name__', i < 8 ? 'requests_total' : 'queue depth'],
      ['instance', `10.0.0.${i}`],
      ['job', `job-${i % 3}`],
    ] as const;
    return { labels, samples };
  });
  const nodes = await createCluster(t.testdir(), 3, ['--replication-factor=3']);
  t.teardown(() => Promise.all(nodes.map((node) => node.kill())));
  for (const node of nodes) node.start();
  const isWhole = async (node: NodeProcess): Promise<boolean> =>
    (await node.isReady()) && (await node.ring()).replicationFactor === 3;
  for (const node of nodes) await eventually(`${node.name} is ready`, () => isWhole(node));
  await eventually('the series are taken', async () => (await nodes[0]!.push(series)) === 204);
  const bases = nodes.map(({ base }) => `${base}/prometheus/api/v1`);
  if (programs !== undefined) {
    const server = await startServer(programs, t.testdir(), ['--web.enable-remote-write-receiver']);
    t.teardown(() => server.stop());
    const url = `${server.url}/api/v1`;
    const headers = { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' };
    const body = new Uint8Array(pushBody(series));
    const pushed = await fetch(`${url}/write`, { method: 'POST', headers, body });
    t.equal(pushed.status, 204);
    bases.push(url);
  }

  const range = `start=${startMs / 1000}&end=${endMs / 1000}`;
  const grid = `${range}&step=${STEP_MS / 1000}`;
  /** Asks all, the Prometheus last; their answers, which are the same. */
  const same = async (path: string, form?: string): Promise<[number, unknown]> => {
    const answers = await Promise.all(bases.map((base) => ask(base, path, form)));
    for (const answer of answers.slice(1)) t.strictSame(answer, answers[0], path);
    return answers[0]!;
  };

  await t.test('labels, values, series and a range of 11,000 points', async (t) => {
    const listed = (data: readonly unknown[]) => [200, { status: 'success', data }];
    t.same(await same(`labels?${range}`), listed(['__name__', 'instance', 'job']));
    t.same(await same(`labels?${range}&match[]=requests_total`), await same(`labels?${range}`));
    const names = ['queue depth', 'requests_total'];
    t.same(await same(`label/__name__/values?${range}`), listed(names));
    const jobs = ['job-0', 'job-1', 'job-2'];
    t.same(await same(`label/job/values?${range}&match[]=requests_total`), listed(jobs));
    t.same(await same(`label/nothing/values?${range}`), listed([]));
    const [status, found] = await same('series', `match[]={job="job-1"}&${range}`);
    t.match([status, found], [200, { data: { length: 4 } }]);
    const sum = encodeURIComponent('sum by (job) (rate(requests_total[5m]))');
    const [, answer] = await same('query_range', `query=${sum}&${grid}`);
    const { result } = (answer as { data: { result: { values: unknown[] }[] } }).data;
    t.equal(result.length, 3);
    for (const { values } of result) t.ok(values.length > POINTS - 500 && values.length <= POINTS);
    const [, all] = await same('query_range', `query=requests_total&${grid}`);
    t.match(all, { status: 'success', data: { resultType: 'matrix', result: { length: 8 } } });
    const more = `${range.replace(/end=\d+/, `end=${endMs / 1000 + 1}`)}&step=1`;
    const [refused, why] = await same('query_range', `query=requests_total&${more}`);
    t.match([refused, why], [400, { errorType: 'bad_data', error: /11,000 points/ }]);
    t.match(await same(`query_range?query=sum(&${grid}`), [400, { errorType: 'bad_data' }]);
    t.match(await same('query?query=1%2B1'), [200, { data: { resultType: 'scalar' } }]);
  });

  await t.test('Q14 who leaves frees the query, and others are answered meanwhile', async (t) => {
    const running = async (node: NodeProcess): Promise<number> => {
      const text = await (await fetch(`${node.base}/metrics`)).text();
      const canceled = 'cortex_query_duration_seconds_count{outcome="request.canceled"} ';
      const at = text.indexOf(canceled);
      return at === -1 ? 0 : Number.parseInt(text.slice(at + canceled.length), 10);
    };
    const before = await running(nodes[1]!);
    const sockets = [1, 2].map(() => endless(nodes[1]!));
    const other = await ask(
      bases[1]!,
      `query?query=count(requests_total)&time=${endMs / 1000 - 60}`,
    );
    t.match(other, [200, { data: { result: [{ value: [Number, '8'] }] } }], 'others are answered');
    for (const socket of sockets) socket.destroy();
    await eventually(
      'both are counted as left',
      async () => (await running(nodes[1]!)) === before + 2,
    );
    for (const base of bases.slice(0, 3)) {
      const [status] = await ask(base, 'query?query=count(requests_total)&timeout=5s');
      t.equal(status, 200);
    }
  });
}

function endless(node: NodeProcess): Socket {
  const { hostname, port } = new URL(node.base);
  const path = `/prometheus/api/v1/query?query=${encodeURIComponent(ENDLESS)}`;
  const socket = connect(Number(port), hostname);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
  return socket;
}

/** The status and the answer; the order of series is nobody's promise, ids of errors are ours alone. */
async function ask(base: string, path: string, form?: string): Promise<[number, unknown]> {
  const init = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } };
  const response = await fetch(
    `${base}/${path}`,
    form === undefined ? {} : { ...init, body: form },
  );
  const body = (await response.json()) as Record<string, unknown>;
  delete body['errorId'];
  // Which parameter is at fault only one of them says.
  if (typeof body['error'] === 'string')
    body['error'] = body['error'].replace(/^invalid parameter "\w+": /, '');
  if (Array.isArray(body['data'])) {
    const lines = body['data'].map((one) => JSON.stringify(one)).sort();
    body['data'] = lines.map((line) => JSON.parse(line) as unknown);
  }
  const data = body['data'] as { result?: unknown[]; resultType?: string } | undefined;
  if (data?.resultType === 'scalar') delete data.result; // it tells the time of asking
  return [response.status, body];
}
