/**
 * Reading a block through pages. Goal: what is read does not depend on what is at hand. Method: the same block with pages
 * that hold all of it, and with few and small ones, byte by byte; labels put together from symbols against labels encoded.
 */
import t from 'tap';
import { type Labels, labelsFromPairs } from '../../model/labels.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { BlockReader } from '../../storage/block/block-reader.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
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
