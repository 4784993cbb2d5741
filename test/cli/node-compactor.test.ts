/**
 * Goal: a node compacts the blocks that nodes shipped, shows what it plans and did, answers the same before and
 * after, and deletes a tenant that is asked to go. Method: real nodes in this process with one directory as
 * their bucket; samples of ten hours ago, so that their ranges are past.
 */
import { readdir, rm } from 'node:fs/promises';
import t from 'tap';
import { ANONYMOUS_TENANT } from '../../model/ids.ts';
import { eventually } from '../support/cluster.ts';
import { type Started, start } from '../support/in-process-node.ts';
import { pushBody } from '../support/remote-write-bodies.ts';

const HOUR_MS = 3_600_000;

async function push(node: Started, startMs: number, count: number): Promise<void> {
  const samples = Array.from({ length: count }, (_, i) => [startMs + i * 15_000, i] as const);
  await node.api.push(
    ANONYMOUS_TENANT,
    pushBody([{ labels: [['__name__', 'm']] as const, samples }]),
  );
}

async function count(node: Started, timeMs: number): Promise<string> {
  const query = encodeURIComponent('sum(count_over_time(m[3h]))');
  const url = `http://${node.http}/prometheus/api/v1/query?query=${query}&time=${timeMs / 1000}`;
  const text = await (await fetch(url)).text();
  return /,"(\d+)"\]/.exec(text)?.[1] ?? text;
}

t.test('a node compacts what is in the bucket, and deletes a tenant', async (t) => {
  t.testdir({});
  const flags = {
    bucket: [`file://${t.testdirName}/shared`],
    'compactor.compaction-interval': ['100ms'],
    'compactor.first-level-compaction-wait-period': ['1ms'],
  };
  const idle = { ...flags, 'compactor.compaction-interval': ['1d'] };
  const startMs = (Math.floor(Date.now() / (2 * HOUR_MS)) - 5) * 2 * HOUR_MS;
  for (const name of ['a', 'b']) {
    const node = await start(t, name, [], idle);
    await eventually('ready', async () => (await fetch(`http://${node.http}/ready`)).ok);
    await push(node, startMs, name === 'a' ? 100 : 150);
    await node.api.flush();
    await node.end();
    await rm(`${t.testdirName}/${name}`, { recursive: true });
  }
  const tenant = `${t.testdirName}/shared/anonymous`;
  const blocks = async (): Promise<string[]> =>
    (await readdir(tenant)).filter((name) => name.startsWith('0'));
  t.equal((await blocks()).length, 2);

  const node = await start(t, 'c', [], flags);
  await eventually('ready', async () => (await fetch(`http://${node.http}/ready`)).ok);
  t.equal(await count(node, startMs + 2 * HOUR_MS), '150');
  await eventually('compacted', async () => (await blocks()).length === 3);
  await eventually('marked', async () => {
    const { tenants } = await node.api.compactor();
    return tenants[0]?.markedCount === 2;
  });
  t.match(await (await fetch(`http://${node.http}/compactor`)).json(), {
    tenants: [{ tenant: 'anonymous', blockCount: 3, markedCount: 2, jobs: [], failure: '' }],
  });
  const page = await fetch(`http://${node.http}/compactor`, { headers: { accept: 'text/html' } });
  t.match(await page.text(), /Planned jobs[\s\S]*Blocks that cannot be read/);
  t.match(await node.api.metrics(), /cortex_compactor_group_compactions_total 1\n/);
  t.match(await node.api.metrics(), /marked_for_deletion_total\{reason="compacted"\} 2\n/);
  await node.end();

  const other = await start(t, 'd', [], { ...flags, 'compactor.compaction-interval': ['1d'] });
  await eventually('ready', async () => (await fetch(`http://${other.http}/ready`)).ok);
  t.equal(await count(other, startMs + 2 * HOUR_MS), '150', 'from the merged block');
  await other.end();

  const last = await start(t, 'e', [], flags);
  await eventually('ready', async () => (await fetch(`http://${last.http}/ready`)).ok);
  const base = `http://${last.http}/compactor`;
  const status = async (): Promise<unknown> => (await fetch(`${base}/delete_tenant_status`)).json();
  t.strictSame(await status(), { tenant_id: 'anonymous', blocks_deleted: false });
  t.equal((await fetch(`${base}/delete_tenant`, { method: 'POST' })).status, 200);
  await eventually('deleted', async () => (await blocks()).length === 0);
  await eventually('told', async () => JSON.stringify(await status()).includes('true'));
  await last.end();
});
