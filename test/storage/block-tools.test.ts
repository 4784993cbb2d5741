/**
 * Goal: verification names every damage of a block by its id, and repair keeps all that can be read.
 * Method: a small real block in which every byte is flipped, one after another, and blocks that are wrong in
 * ways that no checksum shows, written by the writer itself.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { compareLabels, labelsFromPairs } from '../../model/labels.ts';
import { BlockWriter } from '../../storage/block/block-writer.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { cutBlock } from '../../storage/block/cut.ts';
import { CHUNK_XOR } from '../../storage/block/format.ts';
import { type SeriesEntry, createSeriesEntry } from '../../storage/block/series-reader.ts';
import { Pacer } from '../../storage/pacer.ts';
import { repairBlock } from '../../storage/tools/repair.ts';
import { FINDINGS, blockStatistics, verifyBlock } from '../../storage/tools/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  type TestSeries,
  bitsOf,
  chunksOf,
  dumpLines,
  readTestBlock,
  testBlockId,
  writeTestBlock,
} from '../support/block-contents.ts';
import { checkout } from '../support/checkout.ts';
import { KINDS, histogramChunks, histogramSeries } from '../support/histograms.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';

const ID = testBlockId(1);
const NEW_ID = testBlockId(2);
const RANGE = { minTimeMs: 1000, maxTimeMs: 99_999 };
const pacer = new Pacer(new FakeClock());

const DATA: readonly TestSeries[] = Array.from({ length: 4 }, (_, s) => ({
  labels: labelsFromPairs([
    ['__name__', `m${s % 2}`],
    ['job', `j${s}`],
  ]),
  samples: Array.from({ length: 12 }, (_, i) => ({ timeMs: 1000 + i * 100, bits: bitsOf(i * s) })),
}));

async function blockOnDisk(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await disk.makeDirectory('/blocks');
  await writeTestBlock(disk, '/blocks', ID, DATA, RANGE, { perChunk: 6 });
  return disk;
}

const verify = (disk: MemoryDisk, id = ID) =>
  verifyBlock({ files: diskBlockFiles(disk, '/blocks', id), pacer });

const idsOf = async (disk: MemoryDisk): Promise<string[]> =>
  [...(await verify(disk)).findings.counts.keys()].sort();

t.test('verifyBlock() finds nothing in a whole block and counts what is in it', async (t) => {
  const disk = await blockOnDisk();
  const report = await verify(disk);
  t.strictSame(report.findings.kept, []);
  t.match(report, { seriesCount: 4, chunkCount: 8, sampleCount: 48 });
});

t.test('blockStatistics() tells labels by their values, and pairs by their series', async (t) => {
  const disk = await blockOnDisk();
  const found = await blockStatistics(diskBlockFiles(disk, '/blocks', ID), pacer);
  t.strictSame(found.labels, [
    { name: 'job', valueCount: 4, valueBytes: 8, seriesCount: 4 },
    { name: '__name__', valueCount: 2, valueBytes: 4, seriesCount: 4 },
  ]);
  t.strictSame(found.topPairs.slice(0, 2), [
    { name: '__name__', value: 'm0', seriesCount: 2 },
    { name: '__name__', value: 'm1', seriesCount: 2 },
  ]);
});

t.test('blocks of native histograms are verified, and kept by a repair', async (t) => {
  const disk = new MemoryDisk();
  await disk.makeDirectory('/blocks');
  const series = KINDS.map((kind, seed) => ({
    labels: labelsFromPairs([
      ['__name__', 'h'],
      ['kind', kind],
    ]),
    chunks: histogramChunks(histogramSeries(kind, { startMs: 0, count: 90, seed })),
  })).sort((a, b) => compareLabels(a.labels, b.labels));
  const source = { symbols: () => series.flatMap(({ labels }) => labels), series: () => series };
  const options = { disk, directory: '/blocks', id: ID, pacer };
  await cutBlock(options, source, { minTimeMs: 0, maxTimeMs: 9_999_999 });
  t.match(await verify(disk), { seriesCount: KINDS.length, sampleCount: KINDS.length * 90 });
  t.strictSame((await verify(disk)).findings.kept, []);
  const files = diskBlockFiles(disk, '/blocks', ID);
  await repairBlock({ ...options, files, id: NEW_ID });
  t.match(await verify(disk, NEW_ID), { sampleCount: KINDS.length * 90 });
  t.strictSame((await verify(disk, NEW_ID)).findings.kept, []);
});

t.test('every flipped byte that carries something is found, and repaired around', async (t) => {
  const disk = await blockOnDisk();
  const whole = dumpLines(DATA);
  const unnoticed: string[] = [];
  for (const file of ['index', 'chunks/000001', 'tombstones']) {
    const path = `/blocks/${ID}/${file}`;
    const original = Buffer.from(disk.fileBytes(path));
    for (let at = 0; at < original.length; at++) {
      const damaged = Buffer.from(original);
      damaged[at] = damaged[at]! ^ 0x55;
      disk.putFile(path, damaged);
      const { findings } = await verify(disk);
      if (findings.faultCount === 0 && !meansNothing(file, original, at)) {
        unnoticed.push(`${file} ${at}`);
      }
      if (at % 11 !== 0) continue;
      const files = diskBlockFiles(disk, '/blocks', ID);
      const options = { files, disk, directory: '/blocks', id: NEW_ID, pacer };
      const repaired = await repairBlock(options).catch((thrown: unknown) => {
        t.match(thrown, { id: 'block.corrupt' });
        return undefined;
      });
      if (repaired?.meta === undefined) continue;
      t.strictSame((await verify(disk, NEW_ID)).findings.kept, [], `${file} ${at}`);
      const kept = dumpLines(await readTestBlock(disk, '/blocks', NEW_ID));
      const known = new Set(whole);
      t.ok(kept.every((line) => known.has(line)));
      t.ok(whole.length - kept.length <= 12, `${file} ${at}: at most one series is lost`);
      await disk.removeTree(`/blocks/${NEW_ID}`);
    }
    disk.putFile(path, original);
  }
  t.strictSame(unnoticed, [], 'nothing goes unnoticed');
});

/** Bytes that nobody reads: padding, and the sections that an index has for programs of long ago. */
function meansNothing(file: string, bytes: Buffer, at: number): boolean {
  if (file !== 'index') return file.startsWith('chunks') && at >= 5 && at < 8;
  const toc = (entry: number) => Number(bytes.readBigUInt64BE(bytes.length - 52 + entry * 8));
  const isLabelIndex = at >= toc(2) && at < toc(4);
  const isLabelIndexTable = at >= toc(3) && at < toc(5);
  return isLabelIndex || isLabelIndexTable || bytes[at] === 0;
}

t.test('verifyBlock() names what no checksum shows', async (t) => {
  const check = async (
    expected: readonly string[],
    change: (first: SeriesEntry, second: SeriesEntry) => void,
    meta: { readonly minTimeMs?: number; readonly sampleCount?: number } = {},
  ): Promise<void> => {
    const disk = new MemoryDisk();
    await disk.makeDirectory('/blocks');
    await writeRawBlock(disk, change, meta.minTimeMs ?? RANGE.minTimeMs);
    t.strictSame(await idsOf(disk), expected);
  };
  await check([], () => undefined);
  await check(['chunk.times'], (a) => void (a.chunkMaxTimes[1]! += 5));
  await check(['chunk.outside'], () => undefined, { minTimeMs: 1001 });
  await check(['chunk.order'], (a, b) => {
    a.chunkRefs.push(...b.chunkRefs.splice(0, 2, ...a.chunkRefs.splice(0)));
  });
  await check(['chunks.unreferenced', 'meta.stats', 'series.chunks'], (a) => {
    a.chunkRefs.length = a.chunkMinTimes.length = a.chunkMaxTimes.length = 0;
  });
});

t.test('verifyBlock() names wrong counts, missing files and a missing meta.json', async (t) => {
  const disk = await blockOnDisk();
  const path = `/blocks/${ID}/meta.json`;
  const text = disk.fileBytes(path).toString();
  const check = async (from: string, to: string, expected: readonly string[]): Promise<void> => {
    t.match(text, from);
    disk.putFile(path, Buffer.from(text.replace(from, to)));
    t.strictSame(await idsOf(disk), expected);
  };
  await check('"numSeries": 4', '"numSeries": 7', ['meta.stats']);
  await check('"version": 1', '"version": 3', ['meta.unreadable']);
  const files =
    '"thanos": {"files": [{"rel_path": "index", "size_bytes": 1}, {"rel_path": "x", "size_bytes": 1}]}';
  await check('"version": 1', `${files}, "version": 1`, ['files.missing', 'files.size']);
  await disk.remove(path);
  t.strictSame(await idsOf(disk), ['meta.unreadable']);
  await disk.remove(`/blocks/${ID}/index`);
  t.strictSame(await idsOf(disk), ['index.header', 'meta.unreadable']);
});

t.test('repairBlock() says which labels are lost with the symbols', async (t) => {
  const disk = await blockOnDisk();
  const path = `/blocks/${ID}/index`;
  const damaged = Buffer.from(disk.fileBytes(path));
  damaged[20] = damaged[20]! ^ 1;
  disk.putFile(path, damaged);
  const files = diskBlockFiles(disk, '/blocks', ID);
  const run = repairBlock({ files, disk, directory: '/blocks', id: NEW_ID, pacer });
  await t.rejects(run, refusal('block.corrupt', /its labels cannot be read/));
  t.strictSame(await disk.list('/blocks'), [ID], 'nothing is left behind');
});

t.test('docs/blocks.md explains every finding', (t) => {
  const page = readFileSync(checkout('docs/blocks.md'), 'utf8');
  const explained = [...page.matchAll(/^\| `([a-z_]+\.[a-z_]+)` +\| ([^|]+?) +\|/gm)].map((row) =>
    row.slice(1),
  );
  t.strictSame(Object.fromEntries(explained), FINDINGS);
  t.end();
});

/** Two series with two chunks each, changed after the chunks were written. */
async function writeRawBlock(
  disk: MemoryDisk,
  change: (first: SeriesEntry, second: SeriesEntry) => void,
  minTimeMs: number,
): Promise<void> {
  const writer = await BlockWriter.create({ disk, directory: '/blocks', id: ID, pacer });
  for (const symbol of ['', 'a', 'b', 'x']) writer.addSymbol(Buffer.from(symbol));
  await writer.finishSymbols();
  const entries: SeriesEntry[] = [];
  for (const value of [1, 2]) {
    const entry = createSeriesEntry();
    entry.symbols.push(3, value);
    for (const chunk of chunksOf(DATA[1]!.samples, 6)) {
      await writer.makeRoom(chunk.to);
      entry.chunkRefs.push(writer.putChunk(CHUNK_XOR, chunk.bytes, chunk.from, chunk.to));
      entry.chunkMinTimes.push(chunk.minTimeMs);
      entry.chunkMaxTimes.push(chunk.maxTimeMs);
    }
    entries.push(entry);
  }
  const [first, second] = entries;
  if (first !== undefined && second !== undefined) change(first, second);
  for (const entry of entries) writer.addSeries(entry);
  await writer.finish({
    minTimeMs,
    maxTimeMs: RANGE.maxTimeMs + 1,
    level: 1,
    sources: [ID],
    parents: [],
    isDeletable: false,
    hasFailed: false,
    hints: [],
  });
}
