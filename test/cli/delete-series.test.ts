/**
 * Goal: what an operator deletes over HTTP is shown by no node, wherever a copy of it is, and can be taken back;
 * what is asked wrongly, or cannot reach every node, is refused. Method: real nodes in this process, three of them
 * over one directory as their bucket.
 */
import t from 'tap';
import { ANONYMOUS_TENANT } from '../../model/ids.ts';
import { eventually } from '../support/cluster.ts';
import { type Started, start } from '../support/in-process-node.ts';
import { pushBody } from '../support/remote-write-bodies.ts';

const HOUR_MS = 3_600_000;
const ADMIN = { 'api.admin-enabled': ['true'] };

async function push(node: Started, name: string, startMs: number, count: number): Promise<void> {
  const samples = Array.from({ length: count }, (_, i) => [startMs + i * 15_000, i] as const);
  await node.api.push(
    ANONYMOUS_TENANT,
    pushBody([{ labels: [['__name__', name]] as const, samples }]),
  );
}

const ready = (node: Started): Promise<void> =>
  eventually('ready', async () => (await fetch(`http://${node.http}/ready`)).ok);

/** How many samples a node shows of a metric. */
async function count(node: Started, name: string, timeMs: number): Promise<number> {
  const query = encodeURIComponent(`sum(count_over_time(${name}[1d])) or vector(0)`);
  const url = `http://${node.http}/prometheus/api/v1/query?query=${query}&time=${timeMs / 1000}`;
  const text = await (await fetch(url)).text();
  return Number(/,"(\d+)"\]/.exec(text)?.[1] ?? NaN);
}

async function admin(
  node: Started,
  path: string,
  method = 'POST',
  prefix = '/prometheus/api/v1',
): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(`http://${node.http}${prefix}/admin/tsdb/${path}`, { method });
  return { status: answer.status, text: await answer.text() };
}

t.test('one node over HTTP', async (t) => {
  t.testdir({});
  const node = await start(t, 'a', [], ADMIN);
  await ready(node);
  const nowMs = Date.now();
  const startMs = nowMs - 2 * HOUR_MS;
  await push(node, 'm', startMs, 100);
  await push(node, 'other', startMs, 100);
  const refused = async (path: string, status: number, why: RegExp): Promise<void> => {
    const answer = await admin(node, path);
    t.equal(answer.status, status, path);
    t.match(answer.text, why);
  };
  await refused('delete_series', 400, /no match\[\] parameter/);
  await refused('delete_series?match[]=m{', 400, /bad_data/);
  await refused('delete_series?match[]={x=""}', 400, /bad_data/);
  await refused('delete_series?match[]=m&start=2&end=1', 400, /must not be before/);
  await refused('delete_series?match[]=m&start=x', 400, /start/);
  await refused(`delete_series?match[]=m&start=${nowMs / 1000 + 3600}`, 400, /in the future/);
  await refused(`delete_series?${'match[]=m&'.repeat(101)}`, 400, /the limit is 100/);
  await refused('cancel_delete_request', 400, /request_id/);
  await refused('cancel_delete_request?request_id=x', 404, /there is no request/);
  t.equal(await count(node, 'm', nowMs), 100, 'nothing of that deleted anything');

  const end = (startMs + 49 * 15_000) / 1000;
  t.strictSame(await admin(node, `delete_series?match[]=m&end=${end}`), { status: 204, text: '' });
  t.equal(await count(node, 'm', nowMs), 50, 'at once');
  t.equal(await count(node, 'other', nowMs), 100);
  t.strictSame(
    await admin(node, 'clean_tombstones'),
    { status: 204, text: '' },
    'as of Prometheus',
  );
  await node.api.flush();
  t.equal(await count(node, 'm', nowMs), 50, 'in blocks as in heads');
  const listed = await admin(node, 'delete_series', 'GET', '/api/v1');
  const [request] = JSON.parse(listed.text) as [{ readonly request_id: string }];
  t.match(request, { selectors: ['{__name__="m"}'], status: 'received', end_time: end * 1000 });
  const cancel = `cancel_delete_request?request_id=${request.request_id}`;
  t.equal((await admin(node, cancel, 'PUT', '/api/prom/api/v1')).status, 204);
  t.equal(await count(node, 'm', nowMs), 100, 'taken back');
  t.match((await admin(node, 'delete_series', 'GET')).text, /"status":"cancelled"/);

  t.equal((await admin(node, 'delete_series?match[]=m', 'PUT')).status, 204);
  await push(node, 'm', Date.now() + 1000, 1);
  t.equal(await count(node, 'm', Date.now() + 5000), 1, 'only what existed');
  t.match(await node.api.metrics(), /starling_deletion_requests\{state="received"\} 1\n/);
  await node.end();
  const again = await start(t, 'a', [], ADMIN);
  await ready(again);
  t.equal(await count(again, 'm', nowMs), 0, 'after a restart');
  await again.end();

  const off = await start(t, 'b');
  await ready(off);
  const answer = await admin(off, 'delete_series?match[]=m');
  t.equal(answer.status, 503);
  t.match(answer.text, /admin APIs disabled/);
  t.equal((await admin(off, 'clean_tombstones')).status, 503);
  await off.end();
});

t.test('samples past the retention of their series are not shown', async (t) => {
  t.testdir({});
  const filters = ['{__name__="m"}:1h', 'nobody{a="b,c"}:1d'];
  const flags = { 'limits.compactor-blocks-retention-filters': filters };
  const node = await start(t, 'a', [], flags);
  await ready(node);
  const nowMs = Date.now();
  for (const name of ['m', 'other']) {
    await push(node, name, nowMs - 2 * HOUR_MS, 100);
    await push(node, name, nowMs - 60_000, 2);
  }
  for (const _ of ['head', 'blocks']) {
    t.equal(await count(node, 'm', nowMs), 2);
    t.equal(await count(node, 'other', nowMs), 102);
    await node.api.flush();
  }
  t.match(node.api.config(), 'retention_filters:\n    - \'{__name__="m"}:1h\'\n');
  await node.end();
});

t.test('three nodes with one bucket, and three with one each', async (t) => {
  t.testdir({});
  const shared = { ...ADMIN, bucket: [`file://${t.testdirName}/shared`] };
  const cluster = async (
    names: readonly string[],
    flags: Readonly<Record<string, readonly string[]>>,
  ): Promise<readonly Started[]> => {
    const first = await start(t, names[0]!, [], flags);
    const nodes = [first];
    for (const name of names.slice(1)) nodes.push(await start(t, name, [first.grpcAddress], flags));
    for (const node of nodes) await ready(node);
    await eventually('three', async () =>
      nodes.every(({ api }) => api.ring().instances.length === names.length),
    );
    return nodes;
  };
  const nodes = await cluster(['a', 'b', 'c'], shared);
  const nowMs = Date.now();
  await push(nodes[0]!, 'm', nowMs - 2 * HOUR_MS, 100);
  await nodes[1]!.api.flush();
  // A moment after its start a node has not compared its clock with the others' yet.
  await eventually('taken', async () => {
    return (await admin(nodes[2]!, 'delete_series?match[]=m')).status === 204;
  });
  for (const node of nodes) {
    await eventually('hidden', async () => (await count(node, 'm', nowMs)) === 0);
  }
  for (const node of nodes) await node.end();

  const apart = await cluster(['d', 'e', 'f'], ADMIN);
  const answer = await admin(apart[0]!, 'delete_series?match[]=m');
  t.equal(answer.status, 501);
  t.match(answer.text, /3 instances have a bucket each/);
  for (const node of apart) await node.end();
});
