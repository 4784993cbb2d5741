/**
 * Goal: a merged block has exactly the samples of its parents: equal ones once, of different ones the one the
 * querier picks, none of the deleted; chunks are touched only where they must be; what is bad has a name.
 * Method: a naive merge of maps of samples, over drawn blocks with gaps, conflicts and tombstones; promtool
 * and a Prometheus server with PROM_BIN=<directory of both>.
 */
import fc from 'fast-check';
import t from 'tap';
import { type Labels, labelsFromPairs } from '../../model/labels.ts';
import type { TimeRange } from '../../model/sample.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import type { Disk } from '../../platform/platform.ts';
import { BlockReader } from '../../storage/block/block-reader.ts';
import { writeFile } from '../../storage/block/block-writer.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { cutBlock } from '../../storage/block/cut.ts';
import { createSeriesEntry } from '../../storage/block/series-reader.ts';
import type { ChunkBytes } from '../../storage/block/format.ts';
import type { BlockMeta } from '../../storage/block/meta.ts';
import { encodeTombstones } from '../../storage/block/tombstones.ts';
import type { BlockId } from '../../storage/block/ulid.ts';
import { mergeBlocks } from '../../storage/compact/merge.ts';
import { Pacer } from '../../storage/pacer.ts';
import {
  type TestSample,
  type TestSeries,
  bitsOf,
  dumpLines,
  readTestBlock,
  testBlockId,
  writeTestBlock,
} from '../support/block-contents.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  KINDS,
  histogramChunks,
  histogramSeries,
  histogramsOfBlock,
  sampleLine,
} from '../support/histograms.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { askNumber, dump, promtool, startServer } from '../support/prometheus-tools.ts';
import { refusal } from '../support/refusal.ts';

const programs = process.env['PROM_BIN'];
const START_MS = 1_699_999_200_000; // a two-hour border
const HOUR_MS = 3_600_000;
const STALE = 0x7ff0_0000_0000_0002n;
const MERGED = testBlockId(999);
const seriesOf = (s: number): Labels =>
  labelsFromPairs([
    ['__name__', `m${s % 3}`],
    ['s', `é${s}`],
  ]);

/** Merges blocks of `directory` that are on the disk. */
async function merge(
  disk: Disk,
  directory: string,
  ids: readonly BlockId[],
  options: { readonly id?: BlockId; readonly chunkSegmentBytesMax?: number } = {},
): Promise<BlockMeta | undefined> {
  const readers: BlockReader[] = [];
  try {
    for (const id of ids) readers.push(await BlockReader.open(diskBlockFiles(disk, directory, id)));
    const pacer = new Pacer(new FakeClock());
    return await mergeBlocks({ disk, directory, id: MERGED, pacer, ...options }, readers);
  } finally {
    for (const reader of readers) await reader.close();
  }
}

/** Of two samples of one time the one the querier shows. */
function preferred(a: bigint, b: bigint): bigint {
  if ((a === STALE) !== (b === STALE)) return a === STALE ? b : a;
  return a > b ? a : b;
}

function naiveMerge(blocks: readonly (readonly TestSeries[])[]): string[] {
  const all = new Map<string, Map<number, bigint>>();
  const labelsOf = new Map<string, Labels>();
  for (const { labels, samples } of blocks.flat()) {
    const key = JSON.stringify(labels);
    labelsOf.set(key, labels);
    const merged = all.get(key) ?? new Map<number, bigint>();
    all.set(key, merged);
    for (const { bits, timeMs } of samples) {
      const known = merged.get(timeMs);
      merged.set(timeMs, known === undefined ? bits : preferred(known, bits));
    }
  }
  return dumpLines(
    [...all].map(([key, merged]) => ({
      labels: labelsOf.get(key) ?? [],
      samples: [...merged].sort((a, b) => a[0] - b[0]).map(([timeMs, bits]) => ({ timeMs, bits })),
    })),
  );
}

interface Drawn {
  readonly series: readonly TestSeries[];
  readonly perChunk: number;
  readonly deleted: readonly TimeRange[];
}

const anySample = fc.tuple(
  fc.integer({ min: 0, max: 400 }),
  fc.constantFrom(1n, 1n, 1n, bitsOf(-3.5), bitsOf(7), STALE, bitsOf(NaN), 0n),
);
const anySeries = fc.record({
  number: fc.integer({ min: 0, max: 7 }),
  samples: fc.uniqueArray(anySample, { selector: ([at]) => at, minLength: 1, maxLength: 200 }),
});
const anyBlock: fc.Arbitrary<Drawn> = fc
  .record({
    series: fc.uniqueArray(anySeries, { selector: ({ number }) => number, maxLength: 6 }),
    perChunk: fc.constantFrom(1, 7, 60, 120),
    deleted: fc.array(
      fc.record({
        minTimeMs: fc.integer({ min: START_MS, max: START_MS + 400 }),
        maxTimeMs: fc.integer({ min: START_MS, max: START_MS + 500 }),
      }),
      { maxLength: 2 },
    ),
  })
  .map(({ deleted, perChunk, series }) => ({
    deleted,
    perChunk,
    series: series.map(({ number, samples }) => ({
      labels: seriesOf(number),
      samples: samples
        .map(([at, bits]): TestSample => ({ timeMs: START_MS + at, bits }))
        .sort((a, b) => a.timeMs - b.timeMs),
    })),
  }));

/** Puts tombstones for all series of a block. */
async function deleteIn(
  disk: Disk,
  directory: string,
  id: BlockId,
  ranges: readonly TimeRange[],
): Promise<void> {
  const reader = await BlockReader.open(diskBlockFiles(disk, directory, id));
  const refs = await reader.select([]);
  await reader.close();
  await disk.remove(`${directory}/${id}/tombstones`);
  const bytes = encodeTombstones(new Map([...refs].map((ref) => [ref, ranges])));
  await writeFile(disk, `${directory}/${id}/tombstones`, bytes);
}

t.test('mergeBlocks() makes what a naive merge of all samples makes', async () => {
  const range = { minTimeMs: START_MS, maxTimeMs: START_MS + 999 };
  const property = fc.asyncProperty(fc.array(anyBlock, { maxLength: 4 }), async (drawn) => {
    const disk = new MemoryDisk();
    const directory = '/data';
    await disk.makeDirectory(directory);
    const ids: BlockId[] = [];
    const expected: TestSeries[][] = [];
    for (const [n, { deleted, perChunk, series }] of drawn.entries()) {
      const id = testBlockId(n);
      const meta = await writeTestBlock(disk, directory, id, series, range, { perChunk });
      if (meta === undefined) continue; // empty
      ids.push(id);
      await deleteIn(disk, directory, id, deleted);
      const isLeft = ({ timeMs }: TestSample): boolean =>
        !deleted.some((one) => timeMs >= one.minTimeMs && timeMs <= one.maxTimeMs);
      expected.push(
        series.map(({ labels, samples }) => ({ labels, samples: samples.filter(isLeft) })),
      );
    }
    const meta = await merge(disk, directory, ids, { chunkSegmentBytesMax: 300 });
    const lines = naiveMerge(expected);
    if (meta === undefined) {
      return lines.length === 0 && (await disk.list(directory)).length === ids.length;
    }
    const found = dumpLines(await readTestBlock(disk, directory, MERGED));
    const { level, maxTimeMs, minTimeMs, parents, sources, stats } = meta;
    return (
      found.join('\n') === lines.join('\n') &&
      stats.sampleCount === lines.length &&
      level === 2 &&
      minTimeMs === range.minTimeMs &&
      maxTimeMs === range.maxTimeMs + 1 &&
      sources.join() === ids.join() &&
      parents.map(({ id }) => id).join() === ids.join() &&
      (await chunkCounts(disk, directory, MERGED)).every((count) => count > 0 && count <= 120)
    );
  });
  await fc.assert(property, { numRuns: 150 });
});

/** How many samples each chunk of a block has. */
async function chunkCounts(disk: Disk, directory: string, id: BlockId): Promise<number[]> {
  const counts: number[] = [];
  const reader = await BlockReader.open(diskBlockFiles(disk, directory, id));
  const entry = createSeriesEntry();
  for (const ref of await reader.select([])) {
    await reader.index.readSeries(ref, entry);
    for (const chunkRef of entry.chunkRefs) {
      const { data } = await reader.readChunk(chunkRef);
      counts.push((data[0]! << 8) | data[1]!);
    }
  }
  await reader.close();
  return counts;
}

function regular(series: number, fromMs: number, count: number, stepMs = 15_000): TestSeries[] {
  return Array.from({ length: series }, (_, s) => ({
    labels: seriesOf(s),
    samples: Array.from({ length: count }, (_, i) => ({
      timeMs: fromMs + i * stepMs,
      bits: bitsOf(Math.sin(s + (fromMs + i * stepMs) / 60_000)),
    })),
  }));
}

t.test('replicas collapse to one of them; small chunks are joined, others untouched', async (t) => {
  const disk = new MemoryDisk();
  await disk.makeDirectory('/d');
  const range = { minTimeMs: START_MS, maxTimeMs: START_MS + 2 * HOUR_MS - 1 };
  const data = regular(5, START_MS, 480);
  const ids = [1, 2, 3].map(testBlockId);
  for (const id of ids) await writeTestBlock(disk, '/d', id, data, range);
  const meta = await merge(disk, '/d', ids);
  t.equal(meta?.stats.sampleCount, 5 * 480);
  for (const file of ['index', 'chunks/000001']) {
    const ours = await disk.readFile(`/d/${MERGED}/${file}`);
    const theirs = await disk.readFile(`/d/${testBlockId(1)}/${file}`);
    t.ok(Buffer.from(ours).equals(theirs), `${file} is the same, byte for byte`);
  }
  const small = [10, 11, 12, 13, 14, 15].map(testBlockId);
  for (const [n, id] of small.entries()) {
    const minTimeMs = START_MS + n * 2 * HOUR_MS;
    const two = { minTimeMs, maxTimeMs: minTimeMs + 2 * HOUR_MS - 1 };
    await writeTestBlock(disk, '/d', id, regular(3, minTimeMs, 24, 300_000), two);
  }
  await merge(disk, '/d', small, { id: testBlockId(20) });
  t.strictSame(
    await chunkCounts(disk, '/d', testBlockId(20)),
    [0, 1, 2].flatMap(() => [120, 24]),
  );
});

t.test('a bad block is named, and nothing is left behind', async (t) => {
  const disk = new MemoryDisk();
  await disk.makeDirectory('/d');
  const range = { minTimeMs: START_MS, maxTimeMs: START_MS + 2 * HOUR_MS - 1 };
  const [A, B] = [testBlockId(1), testBlockId(2)];
  const damage = async (file: string, at: number): Promise<void> => {
    for (const id of [A, B]) {
      await disk.removeTree(`/d/${id}`);
      // They differ in one sample of each chunk, so chunks must be decoded.
      const data = regular(2, START_MS + (id === A ? 0 : 1), 480);
      await writeTestBlock(disk, '/d', id, data, range);
    }
    const bytes = new Uint8Array(await disk.readFile(`/d/${B}/${file}`));
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    disk.putFile(`/d/${B}/${file}`, bytes);
  };
  for (const [file, at] of [
    ['chunks/000001', 30],
    ['chunks/000001', -6],
    ['index', 20],
    ['index', -10],
  ] as const) {
    await damage(file, at);
    await t.rejects(merge(disk, '/d', [A, B]), refusal('block.corrupt', new RegExp(B)), file);
    t.strictSame(await disk.list('/d'), [A, B]);
  }
});

t.test(
  'whatever disk call fails while merging, nothing is left and the next try works',
  async (t) => {
    for (let n = 1, isDone = false; !isDone; n++) {
      const disk = new MemoryDisk();
      await disk.makeDirectory('/d');
      await disk.syncDirectory('/d');
      const range = { minTimeMs: START_MS, maxTimeMs: START_MS + HOUR_MS };
      const ids = [testBlockId(1), testBlockId(2)];
      for (const [i, id] of ids.entries()) {
        await writeTestBlock(disk, '/d', id, regular(3, START_MS + i, 50), range);
      }
      const from = disk.calls.length;
      disk.failWhen = ({ number }) => number === from + n;
      const error: unknown = await merge(disk, '/d', ids).catch((thrown: unknown) => thrown);
      isDone = disk.calls.length < from + n;
      disk.failWhen = () => false;
      if (isDone) break;
      const left = (await disk.list('/d')).filter((name) => name.startsWith(MERGED));
      if (error instanceof Error) {
        t.ok(
          left.every((name) => name.includes('.tmp-')),
          `call ${n}: ${left.join()}`,
        );
      }
      for (const name of left) await disk.removeTree(`/d/${name}`);
      const meta = await merge(disk, '/d', ids);
      t.equal(meta?.stats.sampleCount, 300);
    }
  },
);

t.test('histograms: equal chunks collapse, chunks that overlap become one series', async (t) => {
  const disk = new MemoryDisk();
  await disk.makeDirectory('/d');
  const labels = seriesOf(1);
  const put = async (n: number, chunks: readonly ChunkBytes[]): Promise<BlockId> => {
    const source = { symbols: () => labels, series: () => [{ labels, chunks }] };
    const id = testBlockId(n);
    const pacer = new Pacer(new FakeClock());
    const range = { minTimeMs: 0, maxTimeMs: 9_999_999 };
    await cutBlock({ disk, directory: '/d', id, pacer }, source, range);
    return id;
  };
  for (const kind of KINDS) {
    await disk.removeTree('/d');
    await disk.makeDirectory('/d');
    const samples = histogramSeries(kind, { startMs: 0, count: 200, seed: 11 });
    const whole = histogramChunks(samples);
    const A = await put(1, whole);
    const alike = await merge(disk, '/d', [A, await put(2, whole)], { id: testBlockId(8) });
    t.match(alike?.stats, { histogramSampleCount: 200, chunkCount: whole.length });
    const holes = histogramChunks(
      samples.filter((_, i) => i % 3 !== 0),
      40,
    );
    const others = histogramChunks(
      samples.filter((_, i) => i % 3 !== 1),
      70,
    );
    const id = testBlockId(9);
    const meta = await merge(disk, '/d', [await put(3, holes), await put(4, others)], { id });
    t.equal(meta?.stats.histogramSampleCount, 200);
    const reader = await BlockReader.open(diskBlockFiles(disk, '/d', id));
    const read = await histogramsOfBlock(reader);
    await reader.close();
    t.strictSame(read.map(sampleLine), samples.map(sampleLine), kind);
  }
  const strange = { encoding: 5, bytes: Uint8Array.from([0, 9, 0, 0, 1]), from: 0, to: 5 };
  const E = await put(5, [{ ...strange, minTimeMs: 0, maxTimeMs: 100 }]);
  const F = await put(6, [{ ...strange, minTimeMs: 50, maxTimeMs: 150 }]);
  const why = new RegExp(`${E}|${F}`);
  await t.rejects(
    merge(disk, '/d', [E, F], { id: testBlockId(7) }),
    refusal('block.unsupported', why),
  );
});

if (programs === undefined) {
  t.comment('skipped: PROM_BIN is not set, nothing to compare with');
} else {
  await judge(programs);
}

async function judge(programs: string): Promise<void> {
  await t.test(
    'promtool and a Prometheus server read merged blocks as their parents',
    async (t) => {
      const disk = createNodeDisk();
      const work = t.testdir({ parents: {}, data: {} });
      const parents = `${work}/parents`;
      const ids: BlockId[] = [];
      const blocks: TestSeries[][] = [];
      for (let n = 0; n < 12; n++) {
        const minTimeMs = START_MS + Math.floor(n / 2) * 2 * HOUR_MS;
        const late = n % 2 === 0 ? 0 : 7; // the second replica lacks some and has others
        const data = regular(40, minTimeMs, 470 - late).map(({ labels, samples }, s) => ({
          labels,
          samples: samples.filter((_, i) => (i + s) % (5 + late) !== 1 || i > 240),
        }));
        blocks.push(data);
        ids.push(testBlockId(n));
        const range = { minTimeMs, maxTimeMs: minTimeMs + 2 * HOUR_MS - 1 };
        await writeTestBlock(disk, parents, testBlockId(n), data, range);
      }
      const meta = await merge(disk, parents, ids, { chunkSegmentBytesMax: 40_000 });
      await disk.rename(`${parents}/${MERGED}`, `${work}/data/${MERGED}`);
      const lines = naiveMerge(blocks);
      t.equal(meta?.stats.sampleCount, lines.length);
      const merged = await dump(programs, `${work}/data`);
      t.strictSame(merged, lines);
      t.match(await promtool(programs, 'tsdb', 'list', `${work}/data`), MERGED);
      const server = await startServer(programs, work, [
        '--storage.tsdb.min-block-duration=2h',
        '--storage.tsdb.max-block-duration=12h',
      ]);
      t.teardown(() => server.stop());
      const all = 'sum(count_over_time({__name__=~".+"}[13h]))';
      t.equal(await askNumber(server.url, all, START_MS + 12 * HOUR_MS), lines.length);
      t.notMatch(server.log(), /level=(WARN|ERROR)/);
    },
  );
}
