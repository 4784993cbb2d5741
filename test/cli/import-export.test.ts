/**
 * Goal: `starling import` puts blocks into a bucket whole and once, every refusal names its rule and both values, and
 * `starling export` gives back what was imported or written, bit for bit.
 * Method: the commands themselves on real files, and a node in this process.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import t from 'tap';
import { parseTenantId } from '../../model/ids.ts';
import { labelsFromPairs } from '../../model/labels.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import {
  type TestSeries,
  bitsOf,
  dumpLines,
  readTestBlock,
  testBlockId,
  writeTestBlock,
} from '../support/block-contents.ts';
import { eventually } from '../support/cluster.ts';
import { start } from '../support/in-process-node.ts';
import { pushBody } from '../support/remote-write-bodies.ts';
import { runCommand } from '../support/run-command.ts';
import { parseBlockId } from '../../storage/block/ulid.ts';
import { encodeRequest, requestKey } from '../../storage/deletion/request.ts';

const disk = createNodeDisk();
const START_MS = 1_699_999_200_000; // a two-hour border
const HOUR_MS = 3_600_000;

function testData(startMs: number): TestSeries[] {
  return ['a', 'b'].map((job, s) => ({
    labels: labelsFromPairs([
      ['__name__', 'up'],
      ['job', job],
    ]),
    samples: Array.from({ length: 30 }, (_, i) => ({
      timeMs: startMs + i * 60_000,
      bits: bitsOf(i / 7 + s),
    })),
  }));
}

async function promBlock(directory: string, n: number, startMs: number): Promise<void> {
  const range = { minTimeMs: startMs, maxTimeMs: startMs + 2 * HOUR_MS - 1 };
  await writeTestBlock(disk, directory, testBlockId(n), testData(startMs), range);
}

t.test('import prom-blocks uploads each block once and refuses by named rules', async (t) => {
  const root = t.testdir({ data: { wal: {} }, bucket: {} });
  const data = `${root}/data`;
  await promBlock(data, 1, START_MS);
  await promBlock(data, 2, START_MS + 2 * HOUR_MS);
  const where = [`--bucket=file://${root}/bucket`, '--tenant=team-a'];
  const run = (...more: string[]) => runCommand(['import', 'prom-blocks', data, ...where, ...more]);
  const ownFile = `${data}/${testBlockId(1)}/meta.json`;
  const own = JSON.parse(await readFile(ownFile, 'utf8')) as object; // just written
  await writeFile(ownFile, JSON.stringify({ ...own, starling: { deletions: [testBlockId(901)] } }));
  const first = await run('--label=replica=one');
  t.match(first, { exitCode: 0, err: '' });
  t.equal(first.out.match(/uploaded, \d+ bytes, 2 series, 60 samples/g)?.length, 2);
  t.match((await run()).out, /^(\w{26} already in the bucket, 2 series, 60 samples\n){2}$/);
  const verify = await runCommand(['blocks', 'verify', ...where]);
  t.match(verify, { exitCode: 0, out: '' });
  const json = await readFile(`${root}/bucket/team-a/${testBlockId(1)}/meta.json`, 'utf8');
  t.notMatch(json, testBlockId(901), 'nobody but us says what was deleted of it');
  t.match(JSON.parse(json), {
    thanos: { labels: { __org_id__: 'team-a', replica: 'one' }, source: 'bucket.upload' },
  });

  const check = async (from: string, to: string, expected: RegExp): Promise<void> => {
    const path = `${data}/${testBlockId(2)}/meta.json`;
    const text = await readFile(path, 'utf8');
    t.match(text, from);
    await writeFile(path, text.replace(from, to));
    t.match(await run(), { exitCode: 1, err: expected, out: /already in the bucket/ }, to);
    await writeFile(path, text);
  };
  const endMs = START_MS + 4 * HOUR_MS;
  await check(`"maxTime": ${endMs}`, '"maxTime": 9999999999999', /time\.future.* 9999999999999/);
  await check(`"maxTime": ${endMs}`, `"maxTime": ${START_MS + 2 * HOUR_MS}`, /time\.order/);
  const ofOther = '"thanos": {"labels": {"__org_id__": "team-b"}}, "version": 1';
  await check('"version": 1', ofOther, /\(tenant\).*"team-b", the tenant is team-a/);
  const thinned = '"thanos": {"downsample": {"resolution": 300000}}, "version": 1';
  await check('"version": 1', thinned, /\(resolution\): its resolution is 300000 ms/);

  await promBlock(data, 3, START_MS + 4 * HOUR_MS);
  const chunks = `${data}/${testBlockId(3)}/chunks/000001`;
  const bytes = await readFile(chunks);
  bytes[bytes.length - 8]! ^= 1;
  await writeFile(chunks, bytes);
  t.match(await run(), { exitCode: 1, err: /\(whole\): chunk\.unreadable in chunks\/000001/ });
  t.strictSame((await readdir(`${root}/bucket/team-a`)).length, 2, 'nothing of it is there');
  await writeFile(`${data}/${testBlockId(1)}/chunks/000001`, bytes.subarray(0, 30));
  t.match(await run(), { exitCode: 1, err: /\(name\): the bucket has \(chunks\/000001 \d+ bytes/ });
  const mark = ['blocks', 'mark', testBlockId(2), '--deletion', '--reason=x', ...where];
  t.match(await runCommand(mark), { exitCode: 0 });
  t.match((await run()).err, /\(marked\)/);
});

t.test('import openmetrics writes blocks into a directory or a bucket', async (t) => {
  const root = t.testdir({ bucket: {}, out: {} });
  const lines = dumpLines(testData(START_MS));
  const text = testData(START_MS).flatMap(({ labels, samples }) =>
    samples.map(
      ({ timeMs }, i) =>
        `up{job="${labels[3]!}"} ${i / 7 + (labels[3] === 'b' ? 1 : 0)} ${timeMs / 1000}`,
    ),
  );
  await writeFile(`${root}/in.om`, `${text.join('\n')}\n# EOF\n`);
  const words = ['import', 'openmetrics', `${root}/in.om`];
  const made = await runCommand([...words, `--directory=${root}/out`]);
  t.match(made, { exitCode: 0, err: '60 samples of 2 series in 1 blocks\n' });
  const where = [`--bucket=file://${root}/bucket`, `--scratch=${root}/scratch`];
  t.match(await runCommand([...words, ...where]), { exitCode: 0, out: /uploaded/ });
  t.strictSame(await readdir(`${root}/scratch`), []);
  for (const directory of [`${root}/out`, `${root}/bucket/anonymous`]) {
    const [id] = (await readdir(directory)).flatMap((name) => parseBlockId(name) ?? []);
    t.ok(id);
    if (id === undefined) continue;
    t.strictSame(dumpLines(await readTestBlock(disk, directory, id)), lines);
  }
  t.match(await runCommand(['import', 'openmetrics', `${root}/none`, ...where]), { exitCode: 2 });
  await writeFile(`${root}/in.om`, 'up 1\n# EOF\n');
  t.match(await runCommand([...words, ...where]), { exitCode: 1, err: /line 1, column 5/ });
});

t.test('what was imported is exported again, as text and as blocks', async (t) => {
  const root = t.testdir({ data: {}, bucket: {}, again: {} });
  const where = [`--bucket=file://${root}/bucket`, '--tenant=team-a'];
  await promBlock(`${root}/data`, 1, START_MS);
  await promBlock(`${root}/data`, 2, START_MS + 2 * HOUR_MS);
  await promBlock(`${root}/data`, 3, START_MS + HOUR_MS); // overlaps both
  await runCommand(['import', 'prom-blocks', `${root}/data`, ...where]);
  const expected = [0, 1, 2].flatMap((hours) => dumpLines(testData(START_MS + hours * HOUR_MS)));
  const distinct = [...new Set(expected)].sort();
  const run = (...more: string[]) => runCommand(['export', ...where, ...more]);

  const text = await run();
  t.match(text, { exitCode: 0, err: `${distinct.length} samples\n` });
  await writeFile(`${root}/out.om`, text.out);
  const again = ['import', 'openmetrics', `${root}/out.om`, `--directory=${root}/again`];
  t.match(await runCommand(again), { exitCode: 0 });
  t.strictSame(await samplesIn(`${root}/again`), distinct, 'through text');

  const blocks = await run('--format=blocks', `--into=${root}/blocks`);
  t.match(blocks, { exitCode: 0, out: /2 series, \d+ samples/ });
  t.match(await runCommand(['blocks', 'verify', `--directory=${root}/blocks`]), { exitCode: 0 });
  t.strictSame(await samplesIn(`${root}/blocks`), distinct, 'through blocks');

  const from = START_MS / 1000 + 60;
  const part = await run(`--start=${from}`, `--end=${from + 60}`, 'up{job="a"}', 'up{job!="b"}');
  t.equal(part.out, `up{job="a"} ${1 / 7} ${from}\nup{job="a"} ${2 / 7} ${from + 60}\n# EOF\n`);
  t.match(await run('--start=10', '--end=9'), { exitCode: 2, err: /10000 ms/ });
  t.match(await run('--format=blocks'), { exitCode: 2, err: /--into/ });
  t.match(await run('up{'), { exitCode: 2 });
});

t.test(
  'what requests delete is not exported, and is told where blocks still have it',
  async (t) => {
    const root = t.testdir({ data: {}, bucket: {} });
    const where = [`--bucket=file://${root}/bucket`, '--tenant=team-a'];
    await promBlock(`${root}/data`, 1, START_MS);
    await runCommand(['import', 'prom-blocks', `${root}/data`, ...where]);
    const tenant = parseTenantId('team-a');
    const put = async (n: number, kind: 'cancelled' | 'json' | 'processed', text: Uint8Array) => {
      const path = `${root}/bucket/${requestKey(tenant, testBlockId(n), kind)}`;
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    };
    const request = async (n: number, job: string, minutes: number): Promise<void> => {
      const range = { minTimeMs: 0, maxTimeMs: START_MS + minutes * 60_000 };
      const selectors = [[{ name: 'job', type: '=', value: job } as const]];
      const createdAtMs = START_MS + HOUR_MS;
      await put(n, 'json', encodeRequest({ id: testBlockId(n), selectors, range, createdAtMs }));
    };
    const check = async (err: RegExp, samples: number, listing: RegExp): Promise<void> => {
      const text = await runCommand(['export', ...where]);
      t.match(text, { exitCode: 0, err });
      t.equal(text.out.split('\n').length - 2, samples); // the last two are an end and nothing
      t.match(await runCommand(['blocks', 'ls', ...where]), { exitCode: 0, err: listing });
    };
    await check(/^60 samples\n$/, 60, /^$/);
    await request(11, 'a', 9);
    await check(/what 1 requests/, 50, /team-a: 1 requests to delete series are not cut out/);
    await request(12, 'b', 60);
    await put(12, 'processed', Buffer.from('{}')); // an old copy may have come since
    await check(/what 2 requests/, 20, /team-a: 1 requests/);
    await request(13, 'a', 60);
    await put(13, 'cancelled', Buffer.from('{}'));
    await check(/what 2 requests/, 20, /team-a: 1 requests/);
    await put(14, 'json', Buffer.from('{'));
    await check(/is not read: \S*14\.json: not JSON/, 20, /is not read: \S*14\.json/);
    t.equal((await runCommand(['export', ...where, '{job="b"}'])).out, '# EOF\n');
  },
);

t.test('a running node answers what was imported, and is exported by remote read', async (t) => {
  const root = t.testdir({ data: {}, bucket: {} });
  await promBlock(`${root}/data`, 1, START_MS);
  const bucket = `file://${root}/bucket`;
  t.match(await runCommand(['import', 'prom-blocks', `${root}/data`, `--bucket=${bucket}`]), {
    exitCode: 0,
  });
  const flags = { bucket: [bucket], 'compactor.compaction-interval': ['100ms'] };
  const node = await start(t, 'a', [], flags);
  await eventually('ready', async () => (await fetch(`http://${node.http}/ready`)).ok);
  await eventually('the compactor made an index', async () =>
    (await readdir(`${root}/bucket/anonymous`)).includes('bucket-index.json.gz'),
  );
  const nowMs = Math.floor(Date.now() / 1000) * 1000 - 600_000;
  const samples = [1 / 3, NaN, -0].map((value, i) => [nowMs + i * 1500, value] as const);
  const body = new Uint8Array(
    pushBody([
      {
        labels: [
          ['__name__', 'x.y'],
          ['q', 'a"b'],
        ],
        samples: [...samples],
      },
    ]),
  );
  const headers = { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf' };
  const pushed = await fetch(`http://${node.http}/api/v1/push`, { method: 'POST', body, headers });
  t.ok(pushed.ok);
  const words = ['export', `--url=http://${node.http}`];
  const name = '{"x.y",q="a\\"b"}';
  const lines = samples.map(
    ([timeMs, value]) => `${name} ${Object.is(value, -0) ? '-0' : value} ${timeMs / 1000}\n`,
  );
  t.match(await runCommand(words), { exitCode: 0, out: `${lines.join('')}# EOF\n` });
  const old = [...words, `--start=${START_MS / 1000}`, `--end=${START_MS / 1000 + 7200}`];
  const { out } = await runCommand([...old, 'up']);
  t.equal(out.split('\n').length, 62, 'the 60 imported samples, the end, and nothing behind it');
  const into = `${root}/blocks`;
  t.match(await runCommand([...words, '--format=blocks', `--into=${into}`]), { exitCode: 0 });
  t.equal((await samplesIn(into)).length, 3);
  const nobody = await runCommand(['export', '--url=http://127.0.0.1:1']);
  t.match(nobody, { exitCode: 1, err: /cannot read http:/ });
  await node.end(); // before its directory goes
});

async function samplesIn(directory: string): Promise<string[]> {
  const lines: string[] = [];
  for (const name of await readdir(directory)) {
    const id = parseBlockId(name);
    if (id !== undefined) lines.push(...dumpLines(await readTestBlock(disk, directory, id)));
  }
  return lines.sort();
}
