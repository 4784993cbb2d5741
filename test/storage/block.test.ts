/**
 * Blocks. Goal: what is cut is read back bit for bit, matchers find what a naive filter finds, and no
 * damage, truncation or failed disk call gives anything but a catalogue error or the right data.
 * Method: random series on a disk in memory; every byte flipped, every length cut, every call failed.
 */
import fc from 'fast-check';
import t from 'tap';
import { StarlingError } from '../../model/errors.ts';
import { type Labels, labelValue, labelsFromPairs, labelsKey } from '../../model/labels.ts';
import { type Matcher, type MatcherType, compileMatcher } from '../../model/matchers.ts';
import { BlockReader } from '../../storage/block/block-reader.ts';
import { removeBlock, removeTemporaryBlocks } from '../../storage/block/block-writer.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { cutBlock } from '../../storage/block/cut.ts';
import { createSeriesEntry } from '../../storage/block/series-reader.ts';
import { type BlockMeta, encodeBlockMeta, parseBlockMeta } from '../../storage/block/meta.ts';
import { blockIdTimeMs, newBlockId, parseBlockId } from '../../storage/block/ulid.ts';
import { Pacer } from '../../storage/pacer.ts';
import {
  type TestSeries,
  bitsOf,
  chunksOf,
  readTestBlock,
  seriesOfBlock,
  testBlockId,
  writeTestBlock,
} from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const DIRECTORY = '/blocks';
const ID = testBlockId(1);
const pacer = new Pacer(new FakeClock());
const ALWAYS = { minTimeMs: -(2 ** 50), maxTimeMs: 2 ** 50 };
const FILES = ['meta.json', 'index', 'tombstones', 'chunks/000001'];

async function newDisk(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await disk.makeDirectory(DIRECTORY);
  await disk.syncDirectory('/');
  return disk;
}

function series(labels: Labels, count: number, startMs = 1_700_000_000_000): TestSeries {
  const samples = Array.from({ length: count }, (_, i) => ({
    timeMs: startMs + i * 15_000,
    bits: bitsOf(i * 1.5),
  }));
  return { labels, samples };
}

const pathOf = (file: string): string => `${DIRECTORY}/${ID}/${file}`;

function withMeta(overrides: Partial<BlockMeta>): BlockMeta {
  const stats = {
    sampleCount: 3,
    floatSampleCount: 3,
    histogramSampleCount: 0,
    seriesCount: 1,
    chunkCount: 1,
    tombstoneCount: 0,
  };
  return {
    id: ID,
    minTimeMs: 5,
    maxTimeMs: 10,
    stats,
    level: 2,
    sources: [testBlockId(8), testBlockId(9)],
    parents: [{ id: testBlockId(8), minTimeMs: 5, maxTimeMs: 8 }],
    isDeletable: false,
    hasFailed: false,
    hints: ['from-out-of-order'],
    ...overrides,
  };
}

const name = fc.constantFrom('__name__', 'a', 'b', 'job', 'é', '😀', '\uffff');
const value = fc.oneof(fc.constantFrom('x', 'y', 'xy', 'z1', 'z2'), fc.string({ maxLength: 3 }));
const labelSet = fc
  .array(fc.tuple(name, value), { minLength: 1, maxLength: 4 })
  .map((pairs) => labelsFromPairs(new Map(pairs)));
const manySeries = fc
  .uniqueArray(fc.tuple(labelSet, fc.integer({ min: 1, max: 200 })), {
    maxLength: 60,
    selector: ([labels]) => labelsKey(labels),
  })
  .map((found) => found.map(([labels, count]) => series(labels, count)));

t.test(`cutBlock() and BlockReader give back every sample (seed ${seed})`, async (t) => {
  await fc.assert(
    fc.asyncProperty(manySeries, fc.integer({ min: 1, max: 150 }), async (found, perChunk) => {
      const disk = await newDisk();
      const options = { perChunk, chunkSegmentBytesMax: 20_000 };
      const meta = await writeTestBlock(disk, DIRECTORY, ID, found, ALWAYS, options);
      if (found.length === 0) {
        t.equal(meta, undefined);
        t.strictSame(await disk.list(DIRECTORY), [], 'nothing is left of an empty block');
        return;
      }
      const sampleCount = found.reduce((sum, { samples }) => sum + samples.length, 0);
      t.equal(meta?.stats.sampleCount, sampleCount);
      t.equal(meta?.stats.seriesCount, found.length);
      const back = await readTestBlock(disk.losePower(), DIRECTORY, ID);
      const key = ({ labels }: TestSeries): string => labelsKey(labels);
      const sorted = (all: readonly TestSeries[]): TestSeries[] =>
        [...all].sort((a, b) => (key(a) < key(b) ? -1 : 1));
      t.strictSame(sorted(back), sorted(found));
    }),
    { seed, numRuns: 40 },
  );
});

t.test(`select() finds what a naive filter finds (seed ${seed})`, async (t) => {
  const matcher = fc.record({
    name,
    type: fc.constantFrom<MatcherType>('=', '!=', '=~', '!~'),
    value: fc.constantFrom('', 'x', 'y', 'x|y', 'x|', '.*', '.+', 'z.', '.*y', 'z[12]', '[^x]*'),
  });
  await fc.assert(
    fc.asyncProperty(
      manySeries.filter((found) => found.length > 0),
      fc.array(fc.array(matcher, { maxLength: 3 }), { minLength: 10, maxLength: 10 }),
      async (found, selectors) => {
        const disk = await newDisk();
        await writeTestBlock(disk, DIRECTORY, ID, found, ALWAYS);
        const reader = await BlockReader.open(diskBlockFiles(disk, DIRECTORY, ID));
        const all = await seriesOfBlock(reader);
        const entry = createSeriesEntry();
        for (const matchers of selectors) {
          const keys: string[] = [];
          for (const ref of await reader.select(matchers)) {
            await reader.index.readSeries(ref, entry);
            keys.push(labelsKey(await reader.labels(entry)));
          }
          const wanted = all.filter(({ labels }) => isSelected(labels, matchers));
          t.strictSame(
            keys,
            wanted.map(({ labels }) => labelsKey(labels)),
          );
        }
        const names = new Set(all.flatMap(({ labels }) => labels.filter((_, i) => i % 2 === 0)));
        t.strictSame(new Set(reader.labelNames()), names);
        for (const each of names) {
          const values = all.map(({ labels }) => labelValue(labels, each)).filter((v) => v !== '');
          t.strictSame(new Set(await reader.labelValues(each)), new Set(values));
        }
        await reader.close();
      },
    ),
    { seed, numRuns: 30 },
  );
});

function isSelected(labels: Labels, matchers: readonly Matcher[]): boolean {
  return matchers.every((matcher) =>
    compileMatcher(matcher).matches(labelValue(labels, matcher.name)),
  );
}

t.test('label values of more than a sparse step are all found, alone and together', async (t) => {
  const found = Array.from({ length: 500 }, (_, i) => series(['__name__', 'm', 'i', `v${i}`], 1));
  const disk = await newDisk();
  await writeTestBlock(disk, DIRECTORY, ID, found, ALWAYS);
  const reader = await BlockReader.open(diskBlockFiles(disk, DIRECTORY, ID), {
    indexPages: { pageBytes: 512, pagesMax: 3 },
    chunkPages: { pageBytes: 64, pagesMax: 2 },
  });
  for (let i = 0; i < 500; i++) {
    const refs = await reader.select([{ name: 'i', type: '=', value: `v${i}` }]);
    t.equal(refs.length, 1, `v${i}`);
  }
  for (const value of ['', 'a', 'v', 'v0a', 'v5000', 'w']) {
    t.equal((await reader.select([{ name: 'i', type: '=', value }])).length, 0, value);
  }
  t.equal((await reader.select([{ name: 'i', type: '=~', value: 'v1.*' }])).length, 111);
  t.equal((await reader.select([{ name: 'j', type: '=', value: '' }])).length, 500);
  t.equal((await seriesOfBlock(reader)).length, 500);
  await reader.close();
});

t.test('cutBlock() leaves out what is not in its range and merges what overlaps', async (t) => {
  const disk = await newDisk();
  const early = series(['a', '1'], 100);
  const startMs = early.samples[10]!.timeMs;
  const range = { minTimeMs: startMs, maxTimeMs: early.samples[69]!.timeMs };
  const chunks = [
    ...chunksOf(early.samples.slice(0, 50), 50),
    ...chunksOf(early.samples.slice(40), 60),
    ...chunksOf(early.samples.slice(40), 60),
  ];
  const outside = chunksOf(series(['a', '2'], 10).samples);
  const meta = await cutBlock(
    { disk, directory: DIRECTORY, id: ID, pacer },
    {
      symbols: () => ['a', '1', '2', 'never used'],
      series: () => [
        { labels: ['a', '1'], chunks },
        { labels: ['a', '2'], chunks: outside },
      ],
    },
    range,
  );
  t.match(meta, { level: 1, sources: [ID], minTimeMs: startMs, maxTimeMs: range.maxTimeMs + 1 });
  t.strictSame(await readTestBlock(disk, DIRECTORY, ID), [
    { labels: ['a', '1'], samples: early.samples.slice(10, 70) },
  ]);
});

t.test('series out of order, and labels that are no symbols, are programmer errors', async (t) => {
  const cut = async (labels: readonly Labels[], symbols: readonly string[]): Promise<unknown> => {
    const disk = await newDisk();
    const chunks = chunksOf(series([], 1).samples);
    const source = {
      symbols: () => symbols,
      series: () => labels.map((l) => ({ labels: l, chunks })),
    };
    await t.rejects(cutBlock({ disk, directory: DIRECTORY, id: ID, pacer }, source, ALWAYS), {
      name: 'AssertionError',
    });
    return t.strictSame(await disk.list(DIRECTORY), []);
  };
  await cut(
    [
      ['a', '2'],
      ['a', '1'],
    ],
    ['a', '1', '2'],
  );
  await cut(
    [
      ['a', '1'],
      ['a', '1'],
    ],
    ['a', '1'],
  );
  await cut([['b', '1', 'a', '1']], ['a', 'b', '1']);
  await cut([['a', '1']], ['a']);
});

t.test(
  'a block is whole or not there, whichever disk call fails and whatever dies then',
  async (t) => {
    const found = Array.from({ length: 40 }, (_, i) => series(['i', `${i}`], 30));
    let failed = 0;
    for (let n = 1; ; n++) {
      for (const dies of ['not', 'process', 'power'] as const) {
        const disk = await newDisk();
        const before = disk.calls.length;
        disk.failWhen = ({ number }) => number === before + n;
        let isFailed = false;
        try {
          await writeTestBlock(disk, DIRECTORY, ID, found, ALWAYS, { chunkSegmentBytesMax: 8000 });
        } catch (thrown) {
          isFailed = true;
          t.match(thrown, refusal('disk.failed'));
        }
        disk.failWhen = () => false;
        if (!isFailed) {
          t.ok(failed > 20);
          t.equal((await readTestBlock(disk.losePower(), DIRECTORY, ID)).length, 40);
          return;
        }
        failed++;
        const next =
          dies === 'not' ? disk : dies === 'power' ? disk.losePower() : disk.loseProcess();
        await removeTemporaryBlocks(next, DIRECTORY);
        const names = await next.list(DIRECTORY);
        if (names.length === 0) continue;
        t.strictSame(names, [ID]);
        t.equal((await readTestBlock(next, DIRECTORY, ID)).length, 40, `call ${n}, ${dies}`);
      }
    }
  },
);

t.test('a power loss while writing leaves the old or the new, never half', async (t) => {
  const found = [series(['a', '1'], 300)];
  for (let n = 1; n < 60; n++) {
    const disk = await newDisk();
    const before = disk.calls.length;
    const done = await new Promise<MemoryDisk | undefined>((resolve) => {
      disk.failWhen = ({ number }) => {
        if (number === before + n) resolve(disk.losePower());
        return false;
      };
      void writeTestBlock(disk, DIRECTORY, ID, found, ALWAYS).then(() => resolve(undefined));
    });
    if (done === undefined) return t.ok(n > 20);
    await removeTemporaryBlocks(done, DIRECTORY);
    const names = await done.list(DIRECTORY);
    if (names.length > 0) t.strictSame(await readTestBlock(done, DIRECTORY, ID), found);
  }
  return t.fail('it never ended');
});

t.test('removeBlock() leaves nothing, and after a failure the block or leftovers', async (t) => {
  for (let n = 1; n <= 4; n++) {
    const disk = await newDisk();
    await writeTestBlock(disk, DIRECTORY, ID, [series(['a', '1'], 3)], ALWAYS);
    const before = disk.calls.length;
    disk.failWhen = ({ number }) => number === before + n;
    const isFailed = await removeBlock(disk, DIRECTORY, ID).then(
      () => false,
      () => true,
    );
    t.equal(isFailed, n <= 3);
    disk.failWhen = () => false;
    await removeTemporaryBlocks(disk, DIRECTORY);
    t.strictSame(await disk.list(DIRECTORY), n === 1 ? [ID] : []);
  }
});

/** Reads all there is in a block; an error from the catalogue is an answer too. */
async function readAll(disk: MemoryDisk): Promise<TestSeries[] | StarlingError> {
  try {
    const reader = await BlockReader.open(diskBlockFiles(disk, DIRECTORY, ID));
    try {
      for (const name of reader.labelNames()) {
        for (const value of await reader.labelValues(name)) {
          await reader.select([{ name, type: '=', value }]);
        }
        await reader.select([{ name, type: '!~', value: 'x.*' }]);
      }
      return await seriesOfBlock(reader);
    } finally {
      await reader.close();
    }
  } catch (thrown) {
    if (thrown instanceof StarlingError) return thrown as StarlingError;
    throw thrown;
  }
}

async function damagedBlock(): Promise<{ disk: MemoryDisk; good: Map<string, Buffer> }> {
  const disk = await newDisk();
  const found = Array.from({ length: 4 }, (_, i) => series(['__name__', 'm', 'i', `${i}`], 3));
  await writeTestBlock(disk, DIRECTORY, ID, found, ALWAYS);
  const good = new Map(FILES.map((file) => [file, Buffer.from(disk.fileBytes(pathOf(file)))]));
  return { disk, good };
}

t.test('every cut of every file is an error that names the block and the file', async (t) => {
  const { disk, good } = await damagedBlock();
  for (const [file, bytes] of good) {
    for (let length = 0; length < bytes.length; length++) {
      disk.putFile(pathOf(file), bytes.subarray(0, length));
      const found = await readAll(disk);
      if (!(found instanceof StarlingError)) t.fail(`${file} cut to ${length} was read`);
      else if (found.id !== 'block.corrupt') t.fail(`${file} cut to ${length}: ${found.message}`);
      else if (!found.message.includes(ID) || !found.message.includes(file.slice(0, 6)))
        t.fail(found.message);
    }
    disk.putFile(pathOf(file), bytes);
  }
  t.pass();
});

t.test(
  'every flipped bit of index, chunks and tombstones is an error or changes nothing',
  async (t) => {
    const { disk, good } = await damagedBlock();
    const whole = await readAll(disk);
    t.ok(Array.isArray(whole));
    let unnoticed = 0;
    for (const [file, bytes] of good) {
      if (file === 'meta.json') continue;
      for (let bit = 0; bit < bytes.length * 8; bit += bytes.length > 300 ? 3 : 1) {
        const flipped = Buffer.from(bytes);
        flipped[bit >>> 3]! ^= 1 << (bit & 7);
        disk.putFile(pathOf(file), flipped);
        const found = await readAll(disk);
        if (Array.isArray(found)) {
          t.strictSame(found, whole, `${file}, bit ${bit}`);
          unnoticed++;
        } else if (found.id !== 'block.corrupt' && found.id !== 'block.unsupported') {
          t.fail(`${file}, bit ${bit}: ${found.message}`);
        }
      }
      disk.putFile(pathOf(file), bytes);
    }
    t.ok(unnoticed > 0, 'padding and unread sections');
  },
);

t.test(`bytes that nobody wrote are refused without a crash (seed ${seed})`, async (t) => {
  const { disk, good } = await damagedBlock();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...FILES),
      fc.array(fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 12 })), {
        minLength: 1,
        maxLength: 4,
      }),
      async (file, patches) => {
        const before = good.get(file) ?? Buffer.alloc(0);
        const bytes = Buffer.from(before);
        for (const [at, patch] of patches)
          bytes.set(patch.slice(0, bytes.length - (at % bytes.length)), at % bytes.length);
        disk.putFile(pathOf(file), bytes);
        await readAll(disk);
        disk.putFile(pathOf(file), before);
      },
    ),
    { seed, numRuns: 300 },
  );
  t.pass();
});

t.test('every failed disk call while reading is disk.failed', async (t) => {
  const { disk } = await damagedBlock();
  for (let n = 1; ; n++) {
    const before = disk.calls.length;
    disk.failWhen = ({ kind, number }) => number === before + n && kind !== 'close';
    const found = await readAll(disk);
    if (Array.isArray(found)) {
      if (disk.calls.length - before < n) return t.ok(n > 15);
    } else t.equal(found.id, 'disk.failed', found.message);
  }
});

t.test('a missing file is named', async (t) => {
  for (const file of FILES) {
    const { disk } = await damagedBlock();
    await disk.remove(pathOf(file));
    const found = await readAll(disk);
    if (file === 'tombstones') t.ok(Array.isArray(found), 'tombstones are optional');
    else t.match(found, refusal('block.corrupt', new RegExp(file.slice(0, 6))));
  }
});

t.test('parseBlockMeta() reads what encodeBlockMeta() writes and refuses the rest', async (t) => {
  const check = (meta: BlockMeta): unknown =>
    t.strictSame(parseBlockMeta(encodeBlockMeta(meta), ID), meta);
  check(withMeta({}));
  check(withMeta({ isDeletable: true, hasFailed: true, hints: [], parents: [] }));
  check(withMeta({ minTimeMs: -(2 ** 53) + 1, maxTimeMs: 2 ** 53 - 1 }));
  const refuses = (
    text: string,
    why: RegExp,
    id: 'block.corrupt' | 'block.unsupported' = 'block.corrupt',
  ): unknown => t.throws(() => parseBlockMeta(Buffer.from(text), ID), refusal(id, why));
  const good = Buffer.from(encodeBlockMeta(withMeta({}))).toString();
  refuses('', /not JSON/);
  refuses('[]', /not an object/);
  refuses('null', /not an object/);
  refuses('{}', /version/, 'block.unsupported');
  refuses('{"__proto__": {"version": 1}}', /version/, 'block.unsupported');
  refuses(good.replace('"version": 1', '"version": 2'), /version 2/, 'block.unsupported');
  refuses(good.replace(ID, testBlockId(2)), /ulid/);
  refuses(good.replace(ID, '../../etc'), /ULID/);
  refuses(good.replace('"minTime": 5', '"minTime": 11'), /after maxTime/);
  refuses(good.replace('"minTime": 5', '"minTime": "5"'), /minTime/);
  refuses(good.replace('"minTime": 5', '"minTime": 1e300'), /minTime/);
  refuses(good.replace('"numSeries": 1', '"numSeries": -1'), /numSeries/);
  refuses(good.replace('"level": 2', '"level": 0'), /level/);
  refuses(good + ' '.repeat(1024 * 1024), /1 MiB/);
});

t.test('newBlockId() makes names that sort by time and parse back', async (t) => {
  let wallMs = 1_700_000_000_000;
  const clock = { wallMs: () => wallMs } as unknown as Parameters<typeof newBlockId>[0]['clock'];
  const bytes = (count: number): Uint8Array => new Uint8Array(count).fill(0xff);
  const random = { bytes } as unknown as Parameters<typeof newBlockId>[0]['random'];
  const first = newBlockId({ clock, random });
  wallMs++;
  const second = newBlockId({ clock, random });
  t.ok(first < second);
  t.equal(first, '01HF7YAT00ZZZZZZZZZZZZZZZZ');
  t.equal(blockIdTimeMs(second), wallMs);
  t.equal(parseBlockId(first), first);
  for (const bad of [
    '',
    first.toLowerCase(),
    `${first}0`,
    first.slice(1),
    `8${first.slice(1)}`,
    first.replace('H', 'U'),
  ])
    t.equal(parseBlockId(bad), undefined, bad);
});
