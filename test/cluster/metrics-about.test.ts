// Goal: metadata and exemplars are told by any node of a cluster, also with one node down, and to their own
// tenant only. Method: three nodes from dist/ with multi-tenancy.
import t, { type Test } from 'tap';
import { createCluster, eventually, isBuilt, type NodeProcess } from '../support/cluster.ts';
import {
  exemplarMessage,
  metadataRequest,
  snappy,
  type TestMetadata,
  type TestSeries,
  writeRequest,
} from '../support/remote-write-bodies.ts';

const EXEMPLARS = '--limits.max-global-exemplars-per-user=5000';
const TENANT = { 'x-scope-orgid': 'team-a' };

if (isBuilt()) await t.test('metrics of a cluster', run);
else t.comment('skipped: dist/ is not built');

async function run(t: Test): Promise<void> {
  const nodes = await createCluster(t.testdir(), 3, ['--multitenancy', EXEMPLARS]);
  t.teardown(() => Promise.all(nodes.map((node) => node.kill())));
  for (const node of nodes) node.start();
  await eventually('all nodes are ready, with three replicas', async () => {
    for (const node of nodes) {
      if (!(await node.isReady()) || (await node.ring()).replicationFactor !== 3) return false;
    }
    return true;
  });
  await exemplars(t, nodes);
  await metadata(t, nodes);
}

async function post(
  node: NodeProcess,
  body: Buffer,
  tenant: Readonly<Record<string, string>> = TENANT,
): Promise<readonly [status: number, text: string]> {
  const headers = { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' };
  const response = await fetch(`${node.base}/api/v1/push`, {
    method: 'POST',
    headers: { ...headers, ...tenant },
    body: new Uint8Array(snappy(body)),
  });
  return [response.status, await response.text()];
}

async function get(
  node: NodeProcess | undefined,
  path: string,
  headers: Readonly<Record<string, string>> = TENANT,
): Promise<unknown> {
  const response = await fetch(`${node?.base ?? ''}/prometheus/api/v1/${path}`, { headers });
  return response.json();
}

/** Two series: a sample each, then exemplars alone, as Prometheus sends them. */
function withExemplars(nowMs: number, from: number, count: number): Buffer {
  const one = (name: string, rest: Partial<TestSeries>): TestSeries => ({
    labels: [
      ['__name__', name],
      ['job', 'api'],
    ],
    ...rest,
  });
  const exemplar = (i: number): Buffer => {
    const labels = [['trace_id', `t${i}`]] as const;
    return exemplarMessage({ labels, timestampMs: nowMs - 5000 + i, value: i / 4 });
  };
  return writeRequest([
    one('latency', { samples: [[nowMs + from, 1]] }),
    one('other', { samples: [[nowMs + from, 2]], exemplars: [exemplar(from)] }),
    ...Array.from({ length: count }, (_, i) => one('latency', { exemplars: [exemplar(from + i)] })),
  ]);
}

async function exemplars(t: Test, nodes: readonly NodeProcess[]): Promise<void> {
  const [first, second, third] = nodes;
  if (first === undefined || third === undefined) throw new Error('no nodes');
  const nowMs = Date.now();
  await eventually(
    'series and exemplars are taken',
    async () => (await post(first, withExemplars(nowMs, 0, 300)))[0] === 204,
  );
  const path = `query_exemplars?query=${encodeURIComponent('rate(latency{job="api"}[5m])')}`;
  const range = `&start=${nowMs / 1000 - 60}&end=${nowMs / 1000 + 60}`;
  type Answer = {
    readonly status: string;
    readonly data: readonly {
      readonly seriesLabels: object;
      readonly exemplars: readonly { readonly labels: object; readonly value: string }[];
    }[];
  };
  const ask = async (node: NodeProcess | undefined): Promise<Answer['data']> =>
    ((await get(node, path + range)) as Answer).data;
  const expected = await ask(first);
  t.match(expected, [{ seriesLabels: { __name__: 'latency', job: 'api' } }]);
  t.equal(expected[0]?.exemplars.length, 300);
  t.match(expected[0]?.exemplars[6], {
    labels: { trace_id: 't6' },
    value: '1.5',
    timestamp: (nowMs - 4994) / 1000,
  });
  t.strictSame(await ask(second), expected);
  t.strictSame(await ask(third), expected);
  const other = { 'x-scope-orgid': 'team-b' };
  t.strictSame(await get(second, path + range, other), { status: 'success', data: [] });
  await third.kill();
  t.match(await post(first, withExemplars(nowMs, 300, 50)), [204, '']);
  for (const node of [first, second]) t.equal((await ask(node))[0]?.exemplars.length, 350);
  third.start();
  await eventually('the third is back', () => third.isReady());
  await first.kill();
  const later = await ask(third);
  t.equal(later[0]?.exemplars.length, 350, 'what it has not, another one has');
  t.strictSame(later[0]?.exemplars.slice(0, 300), expected[0]?.exemplars);
  first.start();
  await eventually('the first is back', () => first.isReady());
  t.strictSame(await ask(first), later, 'after a restart its log has them');
}

async function metadata(t: Test, nodes: readonly NodeProcess[]): Promise<void> {
  const [first, second, third] = nodes;
  if (first === undefined || third === undefined) throw new Error('no nodes');
  const all: TestMetadata[] = Array.from({ length: 3000 }, (_, i) => ({
    ...{ name: `metric_${i}`, type: 1 + (i % 7), help: `Number ${i}.`, unit: 'seconds' },
  }));
  await eventually(
    'metadata alone is taken',
    async () => (await post(first, metadataRequest(all)))[0] === 204,
  );
  const said = { type: 'gaugehistogram', unit: 'seconds', help: 'Number 3.' };
  const one = { status: 'success', data: { metric_3: [said] } };
  for (const node of nodes) {
    t.strictSame(await get(node, 'metadata?metric=metric_3'), one, node.name);
    const { data } = (await get(node, 'metadata')) as { readonly data: object };
    t.equal(Object.keys(data).length, 3000, node.name);
    const some = (await get(node, 'metadata?limit=7')) as { readonly data: object };
    t.equal(Object.keys(some.data).length, 7);
  }
  const nothing = { status: 'success', data: {} };
  t.strictSame(await get(second, 'metadata', { 'x-scope-orgid': 'team-b' }), nothing);
  t.strictSame(await get(second, 'metadata?metric=unheard_of'), nothing);
  t.strictSame(await get(second, 'metadata?limit=0'), nothing);
  t.match(await get(second, 'metadata?limit=x'), { status: 'error', errorType: 'bad_data' });
  const bad = metadataRequest([{ name: 'good', help: 'Kept.' }, { help: 'Of nothing.' }]);
  t.match(await post(first, bad), [400, /metadata-missing-metric-name/]);
  t.strictSame(await get(second, 'metadata?metric=good'), {
    status: 'success',
    data: { good: [{ type: 'unknown', unit: '', help: 'Kept.' }] },
  });
  const metrics = await (await fetch(`${first.base}/metrics`)).text();
  t.match(
    metrics,
    /cortex_discarded_metadata_total\{user="team-a",reason="metadata_missing_.*\} 1/,
  );
  t.match(metrics, /cortex_distributor_received_metadata_total\{user="team-a"\} 3001/);
  await third.kill();
  for (const node of [first, second]) {
    t.strictSame(await get(node, 'metadata?metric=metric_3'), one, 'with one node down');
    const { data } = (await get(node, 'metadata')) as { readonly data: object };
    t.equal(Object.keys(data).length, 3001);
  }
  t.match(await post(first, metadataRequest([{ name: 'later' }])), [204, '']);
  t.match(await get(second, 'metadata?metric=later'), { data: { later: [{ type: 'unknown' }] } });
}
