// Goal: what senders say of metrics is told by any node of a cluster, also with one node down, in the shape of
// a real Prometheus, and to its own tenant only. Method: three nodes from dist/ with multi-tenancy; beside
// them a Prometheus (PROM_BIN=<directory>) with the same data.
import t, { type Test } from 'tap';
import { createCluster, eventually, isBuilt, type NodeProcess } from '../support/cluster.ts';
import { type TestMetadata, metadataRequest, snappy } from '../support/remote-write-bodies.ts';

const TENANT = { 'x-scope-orgid': 'team-a' };

if (isBuilt()) await t.test('metrics of a cluster', run);
else t.comment('skipped: dist/ is not built');

async function run(t: Test): Promise<void> {
  const nodes = await createCluster(t.testdir(), 3, ['--multitenancy']);
  t.teardown(() => Promise.all(nodes.map((node) => node.kill())));
  for (const node of nodes) node.start();
  await eventually('all nodes are ready, with three replicas', async () => {
    for (const node of nodes) {
      if (!(await node.isReady()) || (await node.ring()).replicationFactor !== 3) return false;
    }
    return true;
  });
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
