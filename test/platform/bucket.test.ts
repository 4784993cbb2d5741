/**
 * Goal: every bucket keeps the same promises, errors are told apart, and nothing leaves the bucket.
 * Method: one suite on a directory, on the simulated store and on a real S3 server (moto, with PROM_BIN);
 * a directory on a disk that loses power; a stub that answers as broken stores do.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readdir, symlink, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { StarlingError } from '../../model/errors.ts';
import { DiskBucket } from '../../platform/bucket/disk-bucket.ts';
import { bucketName, parseBucketUrl } from '../../platform/bucket/url.ts';
import { openBucket } from '../../platform/node/bucket/open.ts';
import { S3Bucket } from '../../platform/node/bucket/s3.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { createNodeRandom } from '../../platform/node/random.ts';
import type { Bucket } from '../../platform/platform.ts';
import { probeBucket } from '../../storage/index.ts';
import { SimBucketStore } from '../../sim/bucket.ts';
import { checkBucket, checkBucketAgainstModel } from '../support/conformance/bucket.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import { motoProgram, startMoto } from '../support/moto.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${seed}`);
const clock = createNodeClock();
const random = createNodeRandom();
const disk = createNodeDisk();
const MIB = 1024 * 1024;

t.test('a directory is a Bucket', async (t) => {
  const directory = `${t.testdir()}/deep/bucket`;
  const bucket = await openBucket({ kind: 'file', directory }, { clock, disk, random });
  t.equal(bucket.name, `file://${directory}`);
  await checkBucket(t, bucket, MIB);
  await checkBucketAgainstModel(bucket, { seed, runs: 30 });
  t.strictSame(await readdir(directory), ['.uploading'], 'empty directories are gone');
  t.strictSame(await readdir(`${directory}/.uploading`), []);
});

t.test('the simulated store is a Bucket', async (t) => {
  const bucket = new SimBucketStore().sideOf(clock);
  await checkBucket(t, bucket, 1000);
  await checkBucketAgainstModel(bucket, { seed, runs: 50 });
});

const moto = motoProgram();
t.test(
  'S3Bucket on a real S3 server is a Bucket',
  { skip: moto === undefined ? 'no moto-server in PROM_BIN' : false },
  async (t) => {
    const server = await startMoto(moto ?? '', 'test-bucket');
    t.teardown(() => server.stop());
    const at = (prefix: string): Bucket => {
      const location = parseBucketUrl(`s3://test-bucket${prefix}?endpoint=${server.endpoint}`);
      if (typeof location === 'string' || location.kind !== 's3') throw new Error('not S3');
      return new S3Bucket({ location, clock, random, partBytes: 5 * MIB });
    };
    const bucket = at('/some/prefix');
    t.equal(bucket.name, 's3://test-bucket/some/prefix/');
    await checkBucket(t, bucket, 5 * MIB);
    await checkBucketAgainstModel(bucket, { seed, runs: 5 });
    await bucket.put('a', Buffer.from('x'));
    t.strictSame((await at('').list({ prefix: '', countMax: 5 })).objects, [
      { key: 'some/prefix/a', sizeBytes: 1 },
    ]);
    await bucket.close();
    const location = parseBucketUrl(`s3://no-such-bucket?endpoint=${server.endpoint}`);
    if (typeof location === 'string' || location.kind !== 's3') throw new Error('not S3');
    const missing = new S3Bucket({ location, clock, random });
    await t.rejects(missing.put('a', Buffer.from('x')), refusal('bucket.denied'));
    await t.rejects(missing.list({ prefix: '', countMax: 1 }), refusal('bucket.denied'));
    await missing.close();
  },
);

t.test(
  'a directory holds whole objects, whatever call fails and whenever power is lost',
  async (t) => {
    const old = Buffer.from('old content');
    const next = Buffer.alloc(3 * MIB, 'new');
    for (let n = 1, isDone = false; !isDone; n++) {
      const first = new MemoryDisk();
      const before = await DiskBucket.open({
        disk: first,
        clock,
        random,
        directory: '/data/bucket',
      });
      await before.put('tenant/block/index', old);
      const from = first.calls.length;
      first.failWhen = ({ number }) => number === from + n;
      let isPut = false;
      try {
        await before.put('tenant/block/index', next);
        isPut = true;
      } catch (thrown) {
        t.match(thrown, { id: 'bucket.unavailable' });
      }
      isDone = first.calls.length < from + n;
      for (const after of [first.losePower(), first.loseProcess()]) {
        const again = await DiskBucket.open({
          disk: after,
          clock,
          random,
          directory: '/data/bucket',
        });
        const found = Buffer.from(await again.getRange('tenant/block/index', 0, 4 * MIB));
        t.ok(found.equals(next) || (!isPut && found.equals(old)), `call ${n}`);
        const { objects } = await again.list({ prefix: '', countMax: 10 });
        t.strictSame(
          objects.map(({ key }) => key),
          ['tenant/block/index'],
        );
      }
    }
  },
);

t.test('a directory: old leftovers go, links are not followed, rights are told', async (t) => {
  const directory = t.testdir({
    '.uploading': { '1000-0123456789abcdef': 'old', [`${clock.wallMs()}-0123456789abcdef`]: 'new' },
    secret: 'outside',
    bucket: {},
  });
  await DiskBucket.open({ disk, clock, random, directory });
  t.equal((await readdir(`${directory}/.uploading`)).length, 1);
  const inner = await DiskBucket.open({ disk, clock, random, directory: `${directory}/bucket` });
  await symlink(`${directory}/secret`, `${directory}/bucket/link`);
  await t.rejects(inner.getRange('link', 0, 9), refusal('bucket.denied'));
  await writeFile(`${directory}/file`, '');
  const options = { disk, clock, random, directory: `${directory}/file` };
  await t.rejects(DiskBucket.open(options), StarlingError, 'a file is no bucket');
  await inner.put('a/b', Buffer.from('x'));
  await t.rejects(inner.put('a', Buffer.from('x')), refusal('bucket.unavailable'));
  await t.rejects(inner.put('a/b/c', Buffer.from('x')), refusal('bucket.unavailable'));
});

t.test('the simulated store fails as it is told', async (t) => {
  const store = new SimBucketStore();
  const bucket = store.sideOf(clock);
  store.failWhen = ({ key }) =>
    key === 'lost' || key === 'refused' || key === 'denied' ? key : undefined;
  for (const key of ['lost', 'refused', 'denied']) {
    const id = key === 'denied' ? 'bucket.denied' : 'bucket.unavailable';
    await t.rejects(bucket.put(key, Buffer.from('x')), refusal(id));
  }
  t.strictSame(store.keys(), ['lost'], 'an answer was lost, the object is there');
  store.listLagMs = 1e9;
  await bucket.put('a', Buffer.from('x'));
  t.strictSame((await bucket.list({ prefix: '', countMax: 9 })).objects, [], 'listings lag');
  t.equal((await bucket.head('a'))?.sizeBytes, 1, 'objects do not');
});

t.test('probeBucket() finds a store that lies', async (t) => {
  const check = async (expected: readonly string[], lie: Partial<Bucket>): Promise<void> => {
    const store = new SimBucketStore();
    const bucket = store.sideOf(clock);
    const honest = Object.fromEntries(
      (['put', 'getRange', 'head', 'list', 'delete'] as const).map((name) => [
        name,
        (bucket[name] as (...words: unknown[]) => unknown).bind(bucket), // passed on as it came
      ]),
    );
    t.strictSame(await probeBucket({ ...bucket, ...honest, ...lie }, 'me'), expected);
  };
  await check([], {});
  await check(['a ranged read is wrong'], { getRange: async () => new Uint8Array(1000) });
  await check(['a new object is not listed'], {
    list: async () => ({ objects: [], prefixes: [], next: undefined }),
  });
  await check(['a deleted object is still there'], { delete: async () => undefined });
  const store = new SimBucketStore();
  store.failWhen = () => 'denied';
  await t.rejects(probeBucket(store.sideOf(clock), 'me'), refusal('bucket.denied'));
});

t.test('parseBucketUrl() takes two kinds of URLs and says what is wrong with others', (t) => {
  const check = (url: string, expected: string): void => {
    const found = parseBucketUrl(url);
    t.equal(typeof found === 'string' ? found : JSON.stringify(found), expected, url);
    if (typeof found === 'object') t.ok(bucketName(found).startsWith(url.slice(0, 5)));
  };
  check('file:///data/b', '{"kind":"file","directory":"/data/b"}');
  check('file:///a%20b/', '{"kind":"file","directory":"/a b"}');
  const s3 = (rest: object): string => JSON.stringify({ kind: 's3', bucket: 'my-b', ...rest });
  check(
    's3://my-b',
    s3({ prefix: '', endpoint: undefined, region: 'us-east-1', isPathStyle: false }),
  );
  check(
    's3://my-b/x/y?endpoint=http://h:9000&region=eu-west-1',
    s3({ prefix: 'x/y/', endpoint: 'http://h:9000', region: 'eu-west-1', isPathStyle: true }),
  );
  check(
    's3://my-b?endpoint=https://storage.googleapis.com&path_style=false',
    s3({
      prefix: '',
      endpoint: 'https://storage.googleapis.com',
      region: 'us-east-1',
      isPathStyle: false,
    }),
  );
  const bad = (url: string, why: RegExp): void => {
    const found = parseBucketUrl(url);
    t.type(found, 'string', url);
    t.match(found, why, url);
  };
  bad('', /is not a URL: write file/);
  bad('data', /is not a URL/);
  bad('gs://b', /'gs:\/\/' is not a kind of bucket/);
  bad('file://data/b', /names the host 'data': write three slashes/);
  bad('file:///', /root directory/);
  bad('file:///a?x=1', /takes no parameters/);
  bad('s3://AB', /cannot be the name of an S3 bucket/);
  bad('s3://my-b/%zz', /followed by two hex digits/);
  bad('s3://key:secret@my-b', /AWS_ACCESS_KEY_ID/);
  bad('s3://my-b?regoin=x', /'regoin' is not a parameter/);
  bad('s3://my-b?region=a&region=b', /is there twice/);
  bad('s3://my-b?endpoint=host', /is not a URL such as/);
  bad('s3://my-b?endpoint=ftp://host', /must be http/);
  bad('s3://my-b?endpoint=https://host/path', /and nothing else/);
  bad('s3://my-b?path_style=maybe', /must be true or false/);
  bad('s3://my-b/a b', /letters, digits/);
  t.end();
});

type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** A bucket on a stub that answers the n-th request so. */
async function onStub(
  t: Test,
  answer: Answer,
): Promise<{ readonly bucket: Bucket; readonly count: () => number }> {
  process.env['AWS_ACCESS_KEY_ID'] = 'test';
  process.env['AWS_SECRET_ACCESS_KEY'] = 'test';
  let count = 0;
  const server = createServer((request, response) => {
    request.resume();
    answer(request, response, ++count);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const location = parseBucketUrl(`s3://stub?endpoint=http://127.0.0.1:${port}`);
  if (typeof location === 'string' || location.kind !== 's3') throw new Error('not S3');
  const limits = { countMax: 3, attemptMs: 400, totalMs: 3000 };
  const bucket = new S3Bucket({ location, clock, random, limits });
  t.teardown(async () => {
    await bucket.close();
    server.closeAllConnections();
    server.close();
  });
  return { bucket, count: () => count };
}

t.test('S3Bucket holds answers against what was asked', async (t) => {
  const whole = Buffer.from('0123456789');
  const range = (from: number, to: number): object => ({
    'content-range': `bytes ${from}-${to}/10`,
    'content-length': to - from + 1,
  });
  const good = (response: ServerResponse): void => {
    response.writeHead(206, { ...range(2, 5) });
    response.end(whole.subarray(2, 6));
  };
  const xml = (response: ServerResponse, status: number, code: string): void => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(`<Error><Code>${code}</Code><Message>told so</Message></Error>`);
  };
  const bad: Readonly<Record<string, Answer>> = {
    'the whole object instead of a range': (_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.end(whole);
    },
    'another range': (_, response) => {
      response.writeHead(206, { ...range(3, 6) });
      response.end(whole.subarray(3, 7));
    },
    'a longer range': (_, response) => {
      response.writeHead(206, { ...range(2, 8) });
      response.end(whole.subarray(2, 9));
    },
    'a body that breaks off': (_, response) => {
      response.writeHead(206, { ...range(2, 5) });
      response.write(whole.subarray(2, 4), () => response.destroy());
    },
    'a body that never ends': (_, response) => {
      response.writeHead(206, { ...range(2, 5) });
      response.write(whole.subarray(2, 4));
    },
    'no answer': () => undefined,
    'a closed connection': (request) => void request.socket.destroy(),
    SlowDown: (_, response) => xml(response, 503, 'SlowDown'),
    InternalError: (_, response) => xml(response, 500, 'InternalError'),
    'not XML': (_, response) => void response.writeHead(502).end('<html>bad gateway'),
  };
  for (const [what, answer] of Object.entries(bad)) {
    const once = await onStub(t, (request, response, count) => {
      if (count === 1) answer(request, response, count);
      else good(response);
    });
    t.equal(String(Buffer.from(await once.bucket.getRange('k', 2, 4))), '2345', `${what}, once`);
    t.equal(once.count(), 2);
    const always = await onStub(t, answer);
    await t.rejects(always.bucket.getRange('k', 2, 4), refusal('bucket.unavailable'), what);
    t.equal(always.count(), 3, 'attempts are bounded');
  }
  const refusals: readonly (readonly [number, string, RegExp])[] = [
    [403, 'AccessDenied', /told so/],
    [403, 'RequestTimeTooSkewed', /clock is off/],
    [403, 'SignatureDoesNotMatch', /told so/],
    [301, 'PermanentRedirect', /another region/],
    [404, 'NoSuchBucket', /make it first/],
  ];
  for (const [status, code, why] of refusals) {
    const { bucket, count } = await onStub(t, (_, response) => xml(response, status, code));
    const expected = refusal('bucket.denied', why);
    await t.rejects(bucket.getRange('k', 0, 4), expected, code);
    await t.rejects(bucket.put('k', whole), expected, code);
    t.equal(count(), 2, 'what cannot help is not tried again');
  }
  const large = await onStub(t, (_, response) => xml(response, 400, 'EntityTooLarge'));
  await t.rejects(large.bucket.put('k', whole), refusal('bucket.too_large'));
});
