/**
 * Goal: native histograms that were remote-written to a node and to a real Prometheus are answered alike, and
 * remote read tells them. Method: a node in this process, a Prometheus of PROM_BIN=<directory>.
 */
import snappyjs from 'snappyjs';
import t from 'tap';
import { encodeHistogramMessage } from '../../model/wire/histogram-encode.ts';
import { KINDS, histogramSeries } from '../support/histograms.ts';
import { eventually } from '../support/cluster.ts';
import { start } from '../support/in-process-node.ts';
import { startServer } from '../support/prometheus-tools.ts';
import { field, pushBody, uvarint } from '../support/remote-write-bodies.ts';

const programs = process.env['PROM_BIN'];
const COUNT = 120;
const FLAGS = ['--web.enable-remote-write-receiver', '--enable-feature=native-histograms'];
const QUERIES = [
  'x',
  'histogram_quantile(0.9, rate(x[5m]))',
  'sum(x{kind!~"custom.*"})',
  'histogram_count(x)',

  'x[90s:30s]',
];

t.test('histograms through a node', { skip: programs === undefined }, async (t) => {
  const startMs = Math.floor(Date.now() / 60_000) * 60_000 - COUNT * 15_000 - 60_000;
  const endMs = startMs + COUNT * 15_000;
  const node = await start(t, 'a', [], { 'http.listen': ['127.0.0.1:0'] });
  await eventually('ready', async () => (await fetch(`http://${node.http}/ready`)).ok);
  const server = await startServer(programs ?? '', t.testdir({ data: {} }), FLAGS);
  t.teardown(() => server.stop());
  const series = KINDS.map((kind, i) => ({
    labels: [
      ['__name__', 'x'],
      ['kind', kind],
    ] as const,
    histograms: histogramSeries(kind, { startMs, count: COUNT, seed: 40 + i }).map(
      ({ sample, timeMs }) => encodeHistogramMessage(timeMs, sample),
    ),
  }));
  const body = new Uint8Array(pushBody(series));
  for (const url of [`http://${node.http}/api/v1/push`, `${server.url}/api/v1/write`]) {
    const headers = { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' };
    const answer = await fetch(url, { method: 'POST', body, headers });
    t.ok(answer.status === 200 || answer.status === 204, `${url}: ${await answer.text()}`);
  }
  const ask = async (base: string, path: string): Promise<unknown> => {
    const answer = await fetch(`${base}${path}`);
    const { data } = (await answer.json()) as { data: unknown };
    return data;
  };
  for (const query of QUERIES) {
    const encoded = encodeURIComponent(query);
    const range = `query=${encoded}&start=${startMs / 1000}&end=${endMs / 1000}&step=47`;
    const instant = `query=${encoded}&time=${(startMs + 900_000) / 1000}`;
    const paths = query.endsWith(']')
      ? [`query?${instant}`]
      : [`query?${instant}`, `query_range?${range}`];
    for (const path of paths) {
      const ours = await ask(`http://${node.http}/prometheus/api/v1/`, path);
      const theirs = await ask(`${server.url}/api/v1/`, path);
      t.strictSame(rounded(ours), rounded(theirs), path);
      t.ok(JSON.stringify(ours).length > 40, 'an answer with something in it');
    }
  }
  const matcher = Buffer.concat([field(2, Buffer.from('__name__')), field(3, Buffer.from('x'))]);
  const query = Buffer.concat([
    Buffer.concat([Buffer.of(0x08), uvarint(startMs), Buffer.of(0x10), uvarint(endMs)]),
    field(3, matcher),
  ]);
  const answer = await fetch(`http://${node.http}/prometheus/api/v1/read`, {
    method: 'POST',
    body: new Uint8Array(snappyjs.compress(field(1, query))),
    headers: { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' },
  });
  t.equal(answer.status, 200);
  const told = Buffer.from(snappyjs.uncompress(new Uint8Array(await answer.arrayBuffer())));
  const tag = told.filter((byte) => byte === 0x22).length;
  t.ok(tag >= KINDS.length * COUNT * 0.9, 'histograms are in the answer');
});

/** Numbers as text, to 12 digits: sums of floats may differ in the last ones. */
function rounded(value: unknown): unknown {
  if (typeof value === 'string' && value !== '' && Number.isFinite(Number(value))) {
    return Number(value).toPrecision(12);
  }
  if (Array.isArray(value)) {
    const all = value.map(rounded);
    // An instant answer has no order.
    const isSeries = all.every((one) => typeof one === 'object' && one !== null && 'metric' in one);
    return isSeries ? all.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : all;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, rounded(one)]));
}
