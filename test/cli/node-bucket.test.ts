/**
 * Goal: what a node shipped is answered from the bucket, also by nodes that never had it; a read that needs
 * the bucket fails when it cannot be read, and others do not. Method: real nodes in this process, on loopback,
 * with a directory as their bucket, and on a real S3 server when there is one.
 */
import { readdir, rm, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { ANONYMOUS_TENANT } from '../../model/ids.ts';
import { eventually } from '../support/cluster.ts';
import { type Started, start } from '../support/in-process-node.ts';
import { motoProgram, startMoto } from '../support/moto.ts';
import { pushBody } from '../support/remote-write-bodies.ts';

const SERIES = 30;
const SAMPLES = 50;

const ready = (node: Started): Promise<void> =>
  eventually('ready', async () => (await fetch(`http://${node.http}/ready`)).ok);

async function push(node: Started, startMs: number, value: number): Promise<void> {
  const body = pushBody(
    Array.from({ length: SERIES }, (_, s) => ({
      labels: [
        ['__name__', 'm'],
        ['s', String(s)],
      ] as const,
      samples: Array.from({ length: SAMPLES }, (_, i) => [startMs + i * 1000, value + i] as const),
    })),
  );
  await node.api.push(ANONYMOUS_TENANT, body);
}

/** The answer's JSON, or the error's text. */
async function ask(node: Started, path: string): Promise<string> {
  const answer = await fetch(`http://${node.http}/prometheus/api/v1/${path}`);
  const body = (await answer.json()) as { data?: { result?: unknown }; error?: string };
  return body.error ?? JSON.stringify(body.data?.result ?? body.data);
}

function count(node: Started, timeMs: number): Promise<string> {
  const query = encodeURIComponent('sum(count_over_time(m[10m]))');
  return ask(node, `query?query=${query}&time=${timeMs / 1000}`).then(
    (text) => /,"(\d+)"\]/.exec(text)?.[1] ?? text,
  );
}

const TOTAL = String(SERIES * SAMPLES);

/** One life of a bucket: written by a node that is then lost, read by others. */
async function checkBucketLife(t: Test, url: string): Promise<void> {
  t.testdir({});
  const flags = { bucket: [url] };
  const startMs = Date.now() - 300_000;
  const endMs = startMs + SAMPLES * 1000;
  const first = await start(t, 'a', [], flags);
  await ready(first);
  await push(first, startMs, 1);
  t.equal(await count(first, endMs), TOTAL, 'from the head');
  const flushed = await fetch(`http://${first.http}/ingester/flush?wait=true`, { method: 'POST' });
  const outcome = (await flushed.json()) as { blocksCut: number; blocksShipped: number };
  t.ok(outcome.blocksCut > 0);
  t.equal(outcome.blocksShipped, outcome.blocksCut);
  t.equal(await count(first, endMs), TOTAL, 'from local blocks');
  await push(first, endMs, 1);
  t.equal(await count(first, endMs + SAMPLES * 1000), String(2 * SERIES * SAMPLES), 'and the head');
  await first.end();
  await rm(`${t.testdirName}/a`, { recursive: true });

  const second = await start(t, 'b', [], flags);
  await ready(second);
  t.equal(await count(second, endMs), TOTAL, 'a node that never had it answers from the bucket');
  const range = `start=${startMs / 1000}&end=${endMs / 1000}`;
  t.equal(
    await ask(second, `label/s/values?${range}`).then((text) => text.split(',').length),
    SERIES,
  );
  t.equal(await ask(second, `labels?${range}`), '["__name__","s"]');
  t.equal(await ask(second, `series?match[]=m{s="7"}&${range}`), '[{"__name__":"m","s":"7"}]');
  await push(second, startMs, 1);
  t.equal(await count(second, endMs), TOTAL, 'equal samples from two places count once');
  await second.end();
}

t.test('blocks outlive the node that cut them', (t) =>
  checkBucketLife(t, `file://${t.testdirName}/shared`),
);

const moto = motoProgram();
t.test(
  'blocks outlive the node that cut them, in S3',
  { skip: moto === undefined ? 'no moto-server in PROM_BIN' : false },
  async (t) => {
    const server = await startMoto(moto ?? '', 'blocks');
    t.teardown(() => server.stop());
    await checkBucketLife(t, `s3://blocks/cluster-1?endpoint=${server.endpoint}`);
  },
);

t.test('a block that cannot be read is an error, and keeps nobody from other times', async (t) => {
  t.testdir({});
  const flags = { bucket: [`file://${t.testdirName}/shared`] };
  const first = await start(t, 'a', [], flags);
  await ready(first);
  const nowMs = Date.now();
  const oldMs = nowMs - 5 * 3_600_000; // another block than now
  await push(first, oldMs, 1);
  await push(first, nowMs - 60_000, 1);
  await first.api.flush();
  await first.end();
  await rm(`${t.testdirName}/a`, { recursive: true });
  const tenant = `${t.testdirName}/shared/anonymous`;
  const blocks = (await readdir(tenant)).filter((name) => name.startsWith('0')).sort();
  t.equal(blocks.length, 2);
  await writeFile(`${tenant}/${blocks[0] ?? ''}/index`, 'broken');
  const second = await start(t, 'b', [], flags);
  await ready(second);
  t.match(await count(second, oldMs + 60_000), new RegExp(`incomplete.*${blocks[0] ?? ''}`));
  t.equal(await count(second, nowMs), TOTAL);
  await rm(`${t.testdirName}/shared`, { recursive: true });
  await second.end();
});
