/**
 * Reading a block through pages. Goal: what is read does not depend on what is at hand. Method: the same block with pages
 * that hold all of it, and with few and small ones, byte by byte; labels put together from symbols against labels encoded.
 */
import t from 'tap';
import { type Labels, labelsFromPairs } from '../../model/labels.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { BlockReader } from '../../storage/block/block-reader.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { BlockMatchCache } from '../../storage/block/match-cache.ts';
import { selectBlockFrames } from '../../storage/block/select-block.ts';
import { createSeriesEntry } from '../../storage/block/series-reader.ts';
import { Pacer } from '../../storage/pacer.ts';
import { type TestSeries, bitsOf, testBlockId, writeTestBlock } from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const DIRECTORY = '/blocks';
const ID = testBlockId(1);
const pacer = new Pacer(new FakeClock());
const ALWAYS = { minTimeMs: -(2 ** 50), maxTimeMs: 2 ** 50 };

function seriesOf(labels: Labels, count: number): TestSeries {
  const samples = Array.from({ length: count }, (_, i) => ({
    timeMs: 1_700_000_000_000 + i * 15_000,
    bits: bitsOf(i * 1.5),
  }));
  return { labels, samples };
}

t.test('labels and chunks are the same whether their pages are at hand or not', async (t) => {
  const many = Array.from({ length: 700 }, (_, i) =>
    seriesOf(
      labelsFromPairs([
        ['__name__', 'up'],
        ['id', `é${i}`.padEnd(i % 100 === 7 ? 5000 : 3, '-')],
        ['job', `j${i % 9}`],
      ]),
      1 + (i % 40),
    ),
  );
  const disk = new MemoryDisk();
  await disk.makeDirectory(DIRECTORY);
  await writeTestBlock(disk, DIRECTORY, ID, many, ALWAYS);
  const files = diskBlockFiles(disk, DIRECTORY, ID);
  const pages = { pageBytes: 256, pagesMax: 3 };
  const frames: string[] = [];
  for (const options of [{}, { indexPages: pages, chunkPages: pages }]) {
    const reader = await BlockReader.open(files, options);
    const entry = createSeriesEntry();
    let encodedCount = 0;
    for (const ref of await reader.select([])) {
      await reader.index.readSeries(ref, entry);
      const length = reader.fields.tryEncode(entry.symbols);
      if (length < 0) continue;
      encodedCount++;
      const expected = Buffer.from(encodeLabels(await reader.labels(entry))).toString('hex');
      const found = Buffer.from(reader.fields.scratch.subarray(0, length)).toString('hex');
      if (found !== expected) t.equal(found, expected);
    }
    const isPaged = options.indexPages === undefined;
    t.ok(isPaged ? encodedCount === 693 : encodedCount < 693, 'all but the long ones');
    for (const hints of [undefined, { projection: undefined, newestOnly: false }]) {
      const selection = {
        ...{ reader, selectors: [], range: ALWAYS, pacer },
        fingerprint: (bytes: Uint8Array, out: Uint32Array) => out.fill(bytes.length),
      };
      const parts: Uint8Array[] = [];
      for await (const frame of selectBlockFrames(selection, hints)) {
        if (frame !== undefined) parts.push(frame);
      }
      frames.push(Buffer.concat(parts).toString('hex'));
    }
    await reader.close();
  }
  t.ok(frames[0]!.length > 2 * 700 * 20 && frames[1]!.length > frames[0]!.length);
  t.ok(frames[2] === frames[0] && frames[3] === frames[1], 'the same frames');
});

t.test('what selectors matched is found again without the index, within a bound', async (t) => {
  const disk = new MemoryDisk();
  await disk.makeDirectory(DIRECTORY);
  const many = Array.from({ length: 40 }, (_, i) =>
    seriesOf(
      labelsFromPairs([
        ['__name__', 'up'],
        ['id', `${i}`.padStart(2, '0')],
      ]),
      2,
    ),
  );
  await writeTestBlock(disk, DIRECTORY, ID, many, ALWAYS);
  const files = diskBlockFiles(disk, DIRECTORY, ID);
  let isTableRead = false;
  let tableFrom = Infinity;
  const pages = { pageBytes: 64, pagesMax: 1 };
  const reader = await BlockReader.open(
    {
      id: ID,
      open: async (name) => {
        const source = await files.open(name);
        return (
          source && {
            ...source,
            read: (offset, byteCount) => {
              isTableRead ||= name === 'index' && offset > tableFrom;
              return source.read(offset, byteCount);
            },
          }
        );
      },
    },
    { indexPages: pages },
  );
  const all = await reader.select([]);
  tableFrom = all[all.length - 1]! * 16 + 64; // behind the series are postings and their table
  const check = async (id: string, expected: { found: number; isTableRead: boolean }) => {
    isTableRead = false;
    const selection = {
      ...{ reader, range: ALWAYS, pacer },
      selectors: [[{ name: 'id', type: '=~' as const, value: id }]],
      fingerprint: () => undefined,
    };
    let found = 0;
    const hints = { projection: undefined, newestOnly: true };
    for await (const frame of selectBlockFrames(selection, hints))
      if (frame !== undefined) found += Buffer.from(frame).readUInt32LE(4);
    t.same({ found, isTableRead }, expected, id);
  };
  await check('1.', { found: 10, isTableRead: true });
  await check('1.', { found: 10, isTableRead: false });
  await check('x', { found: 0, isTableRead: true });
  await check('x', { found: 0, isTableRead: false });
  for (let i = 0; i < 32; i++) await check(`x${i}`, { found: 0, isTableRead: true });
  await check('1.', { found: 10, isTableRead: true });
  await reader.close();
});

t.test('BlockMatchCache keeps what was used last, and nothing that is large', (t) => {
  const cache = new BlockMatchCache();
  const list = (length: number): Uint32Array => new Uint32Array(length).fill(length);
  cache.note('large', list(16 * 1024 + 1));
  t.equal(cache.find('large'), undefined);
  cache.note('k'.repeat(2049), list(1));
  t.equal(cache.find('k'.repeat(2049)), undefined);
  const given = list(16 * 1024);
  cache.note('a', given);
  given.fill(0);
  t.equal(cache.find('a')?.[7], 16 * 1024, 'a copy');
  cache.note('b', list(16 * 1024));
  cache.find('a');
  cache.note('c', list(1));
  t.same(
    ['a', 'b', 'c'].map((key) => cache.find(key)?.length),
    [16 * 1024, undefined, 1],
  );
  t.end();
});
