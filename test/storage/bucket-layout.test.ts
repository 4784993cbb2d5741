/**
 * Goal: what Cortex, Mimir and Thanos write in a bucket is read, ours has their shape, and nothing foreign,
 * broken or hostile in it hides what is good. Method: their documents as text; golden files of ours; the
 * simulated store with junk in it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { parseTenantId } from '../../model/ids.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { SimBucketStore } from '../../sim/bucket.ts';
import type { BlockMeta } from '../../storage/block/meta.ts';
import {
  type BucketIndex,
  encodeBucketIndex,
  parseBucketIndex,
  readBucketIndex,
  writeBucketIndex,
} from '../../storage/bucket/bucket-index.ts';
import { encodeBucketMeta, parseBucketMeta, storesOf } from '../../storage/bucket/bucket-meta.ts';
import { blockKey, parseMarkerKey } from '../../storage/bucket/layout.ts';
import {
  encodeMark,
  parseMark,
  putMark,
  readMark,
  removeMark,
} from '../../storage/bucket/marks.ts';
import { listBucketTenants, scanTenant } from '../../storage/bucket/scan.ts';
import { testBlockId } from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { refusal } from '../support/refusal.ts';
import { checkout } from '../support/checkout.ts';

const tenant = parseTenantId('team-a');
const clock = createNodeClock();
const at = (nowMs: number): FakeClock => new FakeClock(nowMs);
const [A, B, C, D] = [1, 2, 3, 4].map(testBlockId) as [
  ReturnType<typeof testBlockId>,
  ReturnType<typeof testBlockId>,
  ReturnType<typeof testBlockId>,
  ReturnType<typeof testBlockId>,
];

const META: BlockMeta = {
  id: A,
  minTimeMs: 1_700_000_000_000,
  maxTimeMs: 1_700_007_200_000,
  stats: {
    sampleCount: 4,
    floatSampleCount: 4,
    histogramSampleCount: 0,
    seriesCount: 3,
    chunkCount: 3,
    tombstoneCount: 0,
  },
  level: 2,
  sources: [B, C],
  parents: [],
  isDeletable: false,
  hasFailed: false,
  hints: [],
};
const FILES = [
  { path: 'chunks/000001', sizeBytes: 100 },
  { path: 'chunks/000002', sizeBytes: 50 },
  { path: 'index', sizeBytes: 200 },
];
const INDEX: BucketIndex = {
  blocks: [
    {
      id: A,
      minTimeMs: 1,
      maxTimeMs: 2,
      segmentCount: 2,
      uploadedAtMs: 9000,
      sources: [B, C],
      stores: ['s1'],
    },
    {
      id: D,
      minTimeMs: 3,
      maxTimeMs: 9,
      segmentCount: 0,
      uploadedAtMs: 8000,
      sources: [],
      stores: [],
    },
  ],
  deletions: new Map([[D, 12_000]]),
  updatedAtMs: 15_000,
};

t.test('what we write has the shape that is on record', (t) => {
  const check = (name: string, bytes: Uint8Array): void => {
    const path = checkout(`test/golden/formats/${name}`);
    const text = `${Buffer.from(bytes).toString()}\n`;
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
    t.equal(text, readFileSync(path, 'utf8'), name);
  };
  check(
    'bucket-meta.json',
    encodeBucketMeta(META, tenant, { origin: 'receive', files: FILES, stores: ['s1', 's2'] }),
  );
  check('bucket-index.json', gunzipSync(encodeBucketIndex(INDEX)));
  const mark = { id: A, timeMs: 1_700_000_000_999, details: 'source of another', reason: '' };
  check('deletion-mark.json', encodeMark({ ...mark, kind: 'deletion' }));
  check('no-compact-mark.json', encodeMark({ ...mark, kind: 'no-compact', reason: 'manual' }));
  t.end();
});

t.test('documents are read back as they were', (t) => {
  const meta = parseBucketMeta(
    encodeBucketMeta(META, tenant, { origin: 'compactor', files: FILES, stores: ['s1', 's2'] }),
    A,
  );
  t.strictSame(meta, {
    meta: META,
    labels: new Map([
      ['__org_id__', 'team-a'],
      ['__ingester_id__', 's1,s2'],
    ]),
    resolutionMs: 0,
    isExact: false,
    origin: 'compactor',
    files: FILES,
  });
  t.strictSame(storesOf(meta), ['s1', 's2']);
  t.strictSame(parseBucketIndex(encodeBucketIndex(INDEX)), INDEX);
  const mark = { id: A, kind: 'deletion', timeMs: 5000, details: 'x', reason: '' } as const;
  t.strictSame(parseMark(encodeMark(mark), A, 'deletion'), mark);
  t.end();
});

t.test('documents of Cortex, Mimir and Thanos are read', (t) => {
  const cortex = {
    version: 1,
    blocks: [
      {
        block_id: A,
        min_time: 10,
        max_time: 20,
        segments_format: '1b6d',
        segments_num: 3,
        uploaded_at: 7,
        parquet: { version: 1 },
      },
      { block_id: B, min_time: 10, max_time: 20, uploaded_at: 8 },
    ],
    block_deletion_marks: [{ block_id: B, deletion_time: 9 }],
    updated_at: 11,
  };
  const expected = {
    blocks: [
      {
        id: A,
        minTimeMs: 10,
        maxTimeMs: 20,
        segmentCount: 3,
        uploadedAtMs: 7000,
        sources: [],
        stores: [],
      },
      {
        id: B,
        minTimeMs: 10,
        maxTimeMs: 20,
        segmentCount: 0,
        uploadedAtMs: 8000,
        sources: [],
        stores: [],
      },
    ],
    deletions: new Map([[B, 9000]]),
    updatedAtMs: 11_000,
  };
  const zip = (json: unknown): Buffer => gzipSync(JSON.stringify(json));
  t.strictSame(parseBucketIndex(zip(cortex)), expected);
  t.strictSame(parseBucketIndex(zip({ ...cortex, version: 2 })), expected, 'Mimir');
  const empty = { version: 1, blocks: null, block_deletion_marks: null, updated_at: 1 };
  t.strictSame(parseBucketIndex(zip(empty)).blocks, [], "Go's empty lists are null");

  const thanos = `{"ulid":"${A}","minTime":1,"maxTime":2,"stats":{"numSamples":1,"numSeries":1,"numChunks":1},
    "compaction":{"level":1,"sources":["${A}"]},"version":1,"thanos":{"labels":{"cluster":"eu"},
    "downsample":{"resolution":300000},"source":"sidecar","segment_files":["000001"],"files":[
    {"rel_path":"index","size_bytes":77},{"rel_path":"chunks/000001","size_bytes":9},{"rel_path":"meta.json"}]}}`;
  const { files, labels, origin, resolutionMs } = parseBucketMeta(Buffer.from(thanos), A);
  t.strictSame(files, [
    { path: 'chunks/000001', sizeBytes: 9 },
    { path: 'index', sizeBytes: 77 },
  ]);
  t.strictSame(
    { labels, origin, resolutionMs },
    {
      labels: new Map([['cluster', 'eu']]),
      origin: 'sidecar',
      resolutionMs: 300_000,
    },
  );
  const plain = thanos.slice(0, thanos.indexOf(',"thanos"')) + '}';
  t.strictSame(parseBucketMeta(Buffer.from(plain), A).files, [], "Prometheus' own has no section");
  const mark = `{"id":"${A}","version":1,"details":"d","deletion_time":1700000000}`;
  t.equal(parseMark(Buffer.from(mark), A, 'deletion').timeMs, 1_700_000_000_000);
  const noCompact = `{"id":"${A}","version":1,"no_compact_time":17,"reason":"index-size-exceeding"}`;
  t.equal(parseMark(Buffer.from(noCompact), A, 'no-compact').reason, 'index-size-exceeding');
  t.end();
});

t.test('documents that do not hold are refused with a reason', (t) => {
  const index = (json: unknown, why: RegExp): void => {
    t.throws(() => parseBucketIndex(gzipSync(JSON.stringify(json))), { message: why });
  };
  const good = { version: 1, blocks: [], block_deletion_marks: [], updated_at: 1 };
  index([], /not an object/);
  index({ ...good, version: 3 }, /version 3, this one reads up to 2/);
  index({ ...good, updated_at: 'now' }, /updated_at .* not a whole number/);
  index({ ...good, blocks: {} }, /blocks .* not a list/);
  index({ ...good, blocks: [{ block_id: '../x', min_time: 1, max_time: 2 }] }, /not a ULID/);
  index({ ...good, blocks: [{ block_id: A, min_time: 3, max_time: 2 }] }, /after max_time/);
  t.throws(() => parseBucketIndex(Buffer.from('{}')), { message: /not gzip/ });
  t.throws(() => parseBucketIndex(encodeBucketIndex(INDEX).subarray(0, 40)), {
    message: /not gzip/,
  });
  const mark = (text: string, why: RegExp): void => {
    t.throws(() => parseMark(Buffer.from(text), A, 'deletion'), { message: why });
  };
  mark('', /not JSON/);
  mark(`{"id":"${B}","version":1,"deletion_time":1}`, /another block/);
  mark(`{"id":"${A}","version":2,"deletion_time":1}`, /version 2/);
  mark(`{"id":"${A}","version":1}`, /deletion_time/);
  const meta = encodeBucketMeta(META, tenant, {
    origin: 'receive',
    files: FILES,
    stores: ['s1', 's2'],
  });
  const broken = Buffer.from(Buffer.from(meta).toString().replace('"files": [', '"files": [7,'));
  t.throws(() => parseBucketMeta(broken, A), refusal('block.corrupt', /files is not an object/));
  t.throws(() => parseBucketMeta(meta, B), refusal('block.corrupt', /not the name/));
  t.equal(parseMarkerKey(tenant, `team-a/markers/${A}-deletion-mark.json`)?.id, A);
  for (const key of [
    `x/markers/${A}-deletion-mark.json`,
    'team-a/markers/x-deletion-mark.json',
    'team-a/markers/',
  ]) {
    t.equal(parseMarkerKey(tenant, key), undefined, key);
  }
  t.end();
});

t.test('scanTenant() finds blocks and marks among junk, and names what is broken', async (t) => {
  const store = new SimBucketStore();
  const bucket = store.sideOf(clock);
  const put = (key: string, bytes: Uint8Array | string): Promise<void> =>
    bucket.put(key, Buffer.from(bytes));
  const putMeta = (id: typeof A): Promise<void> =>
    put(
      blockKey(tenant, id, 'meta.json'),
      encodeBucketMeta({ ...META, id }, tenant, {
        origin: 'receive',
        files: FILES,
        stores: ['s1', 's2'],
      }),
    );
  await putMeta(A);
  await putMeta(B);
  await put(blockKey(tenant, C, 'index'), 'half an upload');
  await put(blockKey(tenant, D, 'meta.json'), '{');
  for (const junk of [
    'team-a/x',
    'team-a/not-a-ulid/meta.json',
    'team-a/markers/junk',
    'a b/c',
    '@x/y',
    `team-a/${A}x/meta.json`,
  ]) {
    await put(junk, 'junk');
  }
  await put(`other/${A}/meta.json`, 'another tenant');
  const mark = { id: B, kind: 'deletion', timeMs: 5000, details: '', reason: '' } as const;
  await putMark(bucket, tenant, mark);
  await putMark(bucket, tenant, { ...mark, id: A, kind: 'no-compact', reason: 'manual' });
  t.strictSame(await listBucketTenants(bucket), ['other', 'team-a']);
  const scan = await scanTenant(bucket, tenant, { clock: at(20_500), previous: undefined });
  t.strictSame(scan.index, {
    blocks: [A, B].map((id) => ({
      ...{ id, minTimeMs: META.minTimeMs, maxTimeMs: META.maxTimeMs },
      ...{ segmentCount: 2, uploadedAtMs: 20_500, sources: META.sources, stores: ['s1', 's2'] },
    })),
    deletions: new Map([[B, 5000]]),
    updatedAtMs: 20_000,
  });
  t.strictSame([...scan.noCompact], [A]);
  t.strictSame(scan.partial, [C]);
  t.strictSame([...scan.broken.keys()], [D]);
  t.equal(scan.broken.get(D)?.id, 'block.corrupt');

  t.equal(await readBucketIndex(bucket, tenant), undefined);
  const late = at(20_500 + 2 * 60_000 + 1);
  const stale = writeBucketIndex({ bucket, clock: late }, tenant, scan);
  await t.rejects(stale, refusal('bucket.unavailable', /listing for it took 120001 ms/));
  await writeBucketIndex({ bucket, clock: at(21_000) }, tenant, scan);
  const previous = await readBucketIndex(bucket, tenant);
  const callsBefore = store.calls.length;
  const again = await scanTenant(bucket, tenant, { clock: at(30_000), previous });
  t.equal(again.index.blocks.length, 2);
  const read = store.calls.slice(callsBefore).filter(({ kind }) => kind === 'getRange');
  t.notOk(
    read.some(({ key }) => key.includes(A)),
    'a known block is not read again',
  );
  await bucket.delete(blockKey(tenant, B, 'meta.json'));
  const later = await scanTenant(bucket, tenant, { clock: at(40_000), previous });
  t.strictSame(later.partial, [B, C], 'a marked block is looked at again');
  await removeMark(bucket, tenant, mark);
  t.equal(await readMark(bucket, tenant, mark), undefined);

  await put('team-a/bucket-index.json.gz', 'junk');
  await t.rejects(readBucketIndex(bucket, tenant), refusal('bucket.corrupt', /not gzip/));
  store.failWhen = ({ kind }) => (kind === 'list' ? 'refused' : undefined);
  await t.rejects(
    scanTenant(bucket, tenant, { clock: at(1), previous }),
    refusal('bucket.unavailable'),
  );
});
