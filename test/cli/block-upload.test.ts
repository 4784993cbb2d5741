/**
 * Goal: a client uploads a block through any node in Mimir's steps; it is there once it was read completely, and
 * every refusal names its rule and both values. Method: a real node in this process, a block on the disk, fetch.
 */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { bitsOf, testBlockId, writeTestBlock } from '../support/block-contents.ts';
import { eventually } from '../support/cluster.ts';
import { type Started, start } from '../support/in-process-node.ts';
import { runCommand } from '../support/run-command.ts';

const disk = createNodeDisk();
const DAY_MS = 24 * 3_600_000;
const FILES = ['chunks/000001', 'index'];

/** Makes a block and gives its meta.json as a client sends it, with the sizes of its files. */
async function blockOf(directory: string, n: number, startMs: number): Promise<Meta> {
  const series = ['a', 'b'].map((job) => ({
    labels: labelsFromPairs([
      ['__name__', 'up'],
      ['job', job],
    ]),
    samples: Array.from({ length: 30 }, (_, i) => ({
      timeMs: startMs + i * 1000,
      bits: bitsOf(i),
    })),
  }));
  const range = { minTimeMs: startMs, maxTimeMs: startMs + 59_999 };
  await writeTestBlock(disk, directory, testBlockId(n), series, range);
  const json = await readFile(`${directory}/${testBlockId(n)}/meta.json`, 'utf8');
  const files = await Promise.all(
    FILES.map(async (path) => ({
      rel_path: path,
      size_bytes: (await readFile(`${directory}/${testBlockId(n)}/${path}`)).length,
    })),
  );
  return { ...(JSON.parse(json) as object), thanos: { files } };
}

type Meta = Readonly<Record<string, unknown>> & { readonly thanos: { readonly files: object[] } };

class Client {
  readonly #node: Started;
  readonly #id: string;

  constructor(node: Started, n: number) {
    this.#node = node;
    this.#id = testBlockId(n);
  }

  /** Status and text of the answer. */
  async ask(step: string, body?: string | Uint8Array): Promise<string> {
    const url = `http://${this.#node.http}/api/v1/upload/block/${this.#id}/${step}`;
    const method = step === 'check' ? 'GET' : 'POST';
    const content = typeof body === 'string' ? body : body && new Uint8Array(body);
    const answer = await fetch(url, {
      method,
      ...(content === undefined ? {} : { body: content }),
    });
    return `${answer.status} ${await answer.text()}`;
  }

  async putFiles(directory: string): Promise<void> {
    for (const path of FILES) {
      const bytes = await readFile(`${directory}/${this.#id}/${path}`);
      t.equal(await this.ask(`files?path=${encodeURIComponent(path)}`, bytes), '200 ');
    }
  }

  async result(): Promise<string> {
    let answer = '';
    await eventually('validated', async () => {
      answer = await this.ask('check');
      return !answer.includes('"validating"');
    });
    return answer;
  }
}

t.test('blocks are uploaded through a node, and refused by named rules', async (t) => {
  const root = t.testdir({ made: {} });
  const made = `${root}/made`;
  const flags = {
    bucket: [`file://${root}/shared`],
    'limits.compactor-block-upload-enabled': ['true'],
    'limits.compactor-block-upload-max-block-size-bytes': ['5000'],
    'limits.compactor-blocks-retention-period': ['10d'],
  };
  const node = await start(t, 'a', [], flags);
  await eventually('ready', async () => (await fetch(`http://${node.http}/ready`)).ok);
  const startMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS;
  const found = await blockOf(made, 1, startMs);
  const meta = { ...found, starling: { deletions: [testBlockId(901)] } };
  const client = new Client(node, 1);

  t.match(await client.ask('check'), /^404 .*no upload of the block/);
  t.match(await client.ask('files?path=index', 'x'), /^404 .*upload.not_started/);
  t.match(await client.ask('finish'), /^404 /);
  const refused = async (status: number, rule: RegExp, change: object): Promise<void> => {
    const answer = await client.ask('start', JSON.stringify({ ...meta, ...change }));
    t.match(answer, new RegExp(`^${status} .*${rule.source}`));
  };
  const [chunks, index] = meta.thanos.files;
  await refused(400, /\(meta\).*its ulid is not the name/, { ulid: testBlockId(2) });
  await refused(400, /\(time\.order\)/, { minTime: startMs, maxTime: startMs });
  await refused(400, /\(time\.future\).*maxTime is 99999999999999, now is \d+/, {
    maxTime: 99_999_999_999_999,
  });
  await refused(422, /\(time\.retention\).*maxTime is 2, the retention begins at \d+/, {
    minTime: 1,
    maxTime: 2,
  });
  await refused(400, /\(files\).*no index/, { thanos: { files: [chunks] } });
  await refused(400, /\(resolution\)/, {
    thanos: { files: [chunks, index], downsample: { resolution: 300_000 } },
  });
  const large = { rel_path: 'index', size_bytes: 9999 };
  await refused(413, /\(size\).*\d+ bytes, the limit is 5000/, {
    thanos: { files: [chunks, large] },
  });
  t.match(await client.ask('start', 'not json'), /^400 .*\(meta\)/);

  t.equal(await client.ask('start', JSON.stringify(meta)), '200 ');
  t.equal(await client.result(), '200 {"result":"uploading"}');
  t.match(await client.ask('files', 'x'), /^400 .*name the file/);
  t.match(await client.ask('files?path=../x', 'x'), /^400 .*meta\.json names chunks/);
  t.match(await client.ask('files?path=index', 'short'), /^400 .*bytes, the body has 5/);
  t.equal(await client.ask('finish'), '200 ');
  t.match(await client.result(), /"failed","error":".*files\.missing in chunks/);
  t.equal(await client.ask('start', JSON.stringify(meta)), '200 ', 'begun again');
  await client.putFiles(made);
  t.equal(await client.ask('finish'), '200 ');
  t.equal(await client.result(), '200 {"result":"complete"}');
  t.match(await client.ask('start', JSON.stringify(meta)), /^409 .*upload\.exists/);
  const kept = `${root}/shared/anonymous/${testBlockId(1)}`;
  const json = await readFile(`${kept}/meta.json`, 'utf8');
  t.match(json, '"ulid"');
  t.notMatch(json, testBlockId(901), 'nobody but us says what was deleted of it');
  t.strictSame((await readdir(kept)).sort(), ['chunks', 'index', 'meta.json']);
  const verified = await runCommand(['blocks', 'verify', `--bucket=file://${root}/shared`]);
  t.match(verified, { exitCode: 0, err: /whole, 2 series, 2 chunks, 60 samples/ });

  const spoilt = await blockOf(made, 3, startMs);
  const path = `${made}/${testBlockId(3)}/chunks/000001`;
  const bytes = await readFile(path);
  bytes[bytes.length - 6]! ^= 1;
  await writeFile(path, bytes);
  const other = new Client(node, 3);
  t.equal(await other.ask('start', JSON.stringify(spoilt)), '200 ');
  await other.putFiles(made);
  t.equal(await other.ask('finish'), '200 ');
  t.match(await other.result(), /"failed","error":".*chunk\.unreadable in chunks/);
  t.notOk((await readdir(`${root}/shared/anonymous/${testBlockId(3)}`)).includes('meta.json'));
  await node.end(); // before its directory goes
});

t.test('uploads are off unless they are allowed', async (t) => {
  const root = t.testdir({});
  const node = await start(t, 'b', [], { bucket: [`file://${root}/shared`] });
  t.match(await new Client(node, 1).ask('start', '{}'), /^400 .*block_upload_enabled/);
  await node.end();
});
