/**
 * Goal: `starling blocks` lists, inspects, verifies, marks and repairs in a bucket and in a directory, and says in
 * its exit code what scripts need. Method: the command itself on real files.
 */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { parseTenantId } from '../../model/ids.ts';
import { openBucket } from '../../platform/node/bucket/open.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { createNodeRandom } from '../../platform/node/random.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { readBlockMeta } from '../../storage/block/block-reader.ts';
import { encodeBucketMeta, readBucketMeta } from '../../storage/bucket/bucket-meta.ts';
import { readMark } from '../../storage/bucket/marks.ts';
import { uploadBlock } from '../../storage/bucket/upload.ts';
import { parseBlockId } from '../../storage/block/ulid.ts';
import { bitsOf, testBlockId, writeTestBlock } from '../support/block-contents.ts';
import { runCommand } from '../support/run-command.ts';

const disk = createNodeDisk();
const tenant = parseTenantId('team-a');
const ID = testBlockId(7);

async function testBlock(directory: string): Promise<void> {
  const series = ['a', 'b', 'c'].map((job, s) => ({
    labels: labelsFromPairs([
      ['__name__', 'up'],
      ['job', job],
    ]),
    samples: Array.from({ length: 30 }, (_, i) => ({ timeMs: i * 1000, bits: bitsOf(i * s) })),
  }));
  await writeTestBlock(disk, directory, ID, series, { minTimeMs: 0, maxTimeMs: 99_999 });
}

async function spoilLastChunk(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length - 6]! ^= 1;
  await writeFile(path, bytes);
}

t.test('blocks of a bucket are listed, marked, verified and repaired', async (t) => {
  const root = t.testdir({ made: {}, bucket: {}, scratch: {} });
  await testBlock(`${root}/made`);
  const location = { kind: 'file', directory: `${root}/bucket` } as const;
  const seams = { clock: createNodeClock(), disk, random: createNodeRandom() };
  const bucket = await openBucket(location, seams);
  const source = diskBlockFiles(disk, `${root}/made`, ID);
  const meta = await readBlockMeta(source);
  const path = `${root}/made/${ID}/chunks/000001`;
  const run = (...words: string[]) => runCommand(['blocks', ...words], environment);
  const environment = {
    STARLING_BUCKET: `file://${root}/bucket`,
    STARLING_TENANT: tenant,
  };
  await spoilLastChunk(path);
  await uploadBlock({ bucket, tenant, source }, (files) =>
    encodeBucketMeta(meta, tenant, { origin: 'receive', files, stores: ['s1'] }),
  );

  const listed = await run('ls', '--output=csv');
  t.match(listed.out, `team-a,${ID},1,1970-01-01T00:00:00.000Z,1970-01-01T00:01:40.000Z,3,90,3,`);
  const reason = 'too large for now';
  t.match(await run('mark', ID, '--no-compact', `--reason=${reason}`), { exitCode: 0 });
  const mark = await readMark(bucket, tenant, { id: ID, kind: 'no-compact' });
  t.match(mark, { details: reason, reason: 'manual' });
  t.match((await run('ls')).out, 'no-compact');
  t.match(await run('mark', ID, '--no-compact', '--remove'), { exitCode: 0 });
  t.notMatch((await run('ls')).out, 'no-compact');
  t.match(await run('mark', ID, '--deletion'), { exitCode: 2, err: /--reason/ });
  t.match(await run('mark', testBlockId(8), '--deletion', '--reason=x'), { exitCode: 1 });
  t.match(await run('inspect', ID), { exitCode: 0, out: /label +job +3 +3 +3\n/ });

  const verified = await run('verify', '--output=json');
  t.equal(verified.exitCode, 1);
  t.match(JSON.parse(verified.out), [
    { block: ID, faultCount: 3, findings: [{ id: 'chunk.unreadable' }, { id: 'meta.stats' }] },
  ]);
  const repaired = await run('repair', ID, `--scratch=${root}/scratch`, '--output=json');
  t.match(repaired, { exitCode: 0, err: /1 series and 1 chunks could not be read/ });
  const id = parseBlockId((JSON.parse(repaired.out) as { repaired: string }).repaired);
  t.ok(id);
  if (id === undefined) return;
  t.match(await run('verify', id), { exitCode: 0, err: /whole, 2 series, 2 chunks, 60 samples/ });
  t.match(await readBucketMeta(bucket, tenant, id), {
    meta: { level: 2, sources: [ID], parents: [{ id: ID }] },
    origin: 'bucket.repair',
  });
  t.match(await readMark(bucket, tenant, { id: ID, kind: 'deletion' }), { details: id });
  t.strictSame(await readdir(`${root}/scratch`), [], 'nothing is left behind');
});

t.test('blocks of a directory are verified and repaired in place', async (t) => {
  const root = t.testdir();
  await testBlock(root);
  const where = `--directory=${root}`;
  t.match(await runCommand(['blocks', 'verify', where]), { exitCode: 0, out: '' });
  const whole = await runCommand(['blocks', 'repair', ID, where]);
  t.match(whole, { exitCode: 0, err: /nothing is wrong with it/ });
  t.strictSame(await readdir(root), [ID], 'nothing was written');
  await spoilLastChunk(`${root}/${ID}/chunks/000001`);
  t.match(await runCommand(['blocks', 'verify', where]), { exitCode: 1, out: /chunk\.unreadable/ });
  t.match(await runCommand(['blocks', 'repair', ID, where]), { exitCode: 0 });
  const names = await readdir(root);
  t.equal(names.length, 2);
  t.ok(names.includes(`${ID}.damaged`));
  t.match(await runCommand(['blocks', 'verify', where]), { exitCode: 0, err: /whole, 2 series/ });
  const mark = ['blocks', 'mark', testBlockId(9), '--deletion', '--reason=x', where];
  t.match(await runCommand(mark), { exitCode: 2, err: /marks belong to buckets/ });
  t.match(await runCommand(['blocks', 'verify', 'x', where]), { exitCode: 2, err: /'x' is not/ });
  t.match(await runCommand(['blocks', 'ls']), { exitCode: 2, err: /--bucket URL or --directory/ });
});
