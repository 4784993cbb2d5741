/**
 * Checkpoints, and the judgement of Prometheus' own tool. Goal: a checkpoint keeps exactly what is
 * wanted, and a log we wrote, with one or without, is one that promtool reads. Method: logs in a
 * memory disk; with PROM_BIN set to a directory that has promtool, a log on the real disk.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import t from 'tap';
import { createNodeDisk } from '../../platform/node/disk.ts';
import {
  encodeExemplarsRecord,
  encodeMetadataRecord,
  encodeSeriesRecord,
} from '../../storage/wal/record.ts';
import { type WalHistogram, encodeHistogramRecords } from '../../storage/wal/histogram-record.ts';
import { KINDS, histogramSeries, sampleLine } from '../support/histograms.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import {
  type OpenedNode,
  WAL_PATH,
  idsOf,
  numberedRecord,
  openNode,
  samplesRecord,
} from '../support/wal-contents.ts';

const SMALL_SEGMENT = 32 * 1024;

/** Writes records so that each group has a segment of its own. */
async function writeSegments(
  disk: MemoryDisk,
  groups: readonly (readonly Uint8Array[])[],
): Promise<OpenedNode> {
  for (const records of groups) {
    const { wal } = await openNode(disk);
    for (const record of records) wal.append(record);
    await wal.close();
  }
  return openNode(disk);
}

function sample(ref: number, timestampMs: number): Uint8Array {
  return samplesRecord([{ ref, timestampMs, bits: 0x4000000000000000n }]);
}

const keepAll = (): boolean => true;

t.test('checkpoint() replaces the older two thirds and keeps what is wanted', async (t) => {
  const disk = new MemoryDisk();
  const series = [1, 2, 3].map((id) => numberedRecord(id));
  const both = encodeSeriesRecord([
    { ref: 4, labels: ['a', 'b'] },
    { ref: 5, labels: ['a', 'c'] },
  ]);
  const mixed = samplesRecord(
    [10, 20, 30].map((n) => ({ ref: 1, timestampMs: n, bits: BigInt(n) })),
  );
  const groups = [series, [both, mixed], [sample(2, 5)], [sample(1, 40)], [sample(1, 50)]];
  const { wal } = await writeSegments(disk, groups);
  const asked: number[][] = [];
  await wal.checkpoint((ref, through) => {
    asked.push([ref, through]);
    return ref !== 2 && ref !== 5;
  }, 20);
  t.strictSame(
    asked,
    [1, 2, 3, 4, 5].map((ref) => [ref, 2]),
  );
  const order = disk.calls.map(({ kind, path }) => `${kind} ${path}`).join(', ');
  const renamed = `rename ${WAL_PATH}/checkpoint.00000002.tmp, syncDirectory ${WAL_PATH}`;
  t.ok(order.includes(`${renamed}, remove ${WAL_PATH}/00000000`), 'durable before anything goes');
  const names = ['00000003', '00000004', 'checkpoint.00000002'];
  t.strictSame(await disk.list(WAL_PATH), names);
  const { contents, replayed } = await openNode(disk.losePower());
  t.strictSame(idsOf(contents), [1, 3, 4]);
  t.strictSame(
    contents.samples.map((one) => one.timestampMs),
    [20, 30, 40, 50],
  );
  t.match(replayed, { checkpoint: 2, damageCount: 0, tornBytes: 0, segmentCount: 3 });
});

t.test('checkpoint() after checkpoint() carries on from the one before', async (t) => {
  const disk = new MemoryDisk();
  const first = await openNode(disk, { segmentBytesMax: SMALL_SEGMENT });
  for (let id = 1; id <= 40; id++) {
    first.wal.append(numberedRecord(id, 9000));
    await first.wal.durable();
    if (id % 10 === 0) await first.wal.checkpoint(keepAll, 0);
  }
  await first.wal.close();
  const names = await disk.list(WAL_PATH);
  t.equal(names.filter((name) => name.startsWith('checkpoint')).length, 1);
  t.ok(names.length < 9, 'covered segments are gone');
  const { contents, replayed } = await openNode(disk.losePower());
  t.strictSame(
    idsOf(contents),
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
  t.equal(replayed.damageCount, 0);
});

t.test('checkpoint() ends the segment even when there is too little to replace', async (t) => {
  const disk = new MemoryDisk();
  const { wal } = await openNode(disk);
  await wal.checkpoint(keepAll, 0);
  t.strictSame(await disk.list(WAL_PATH), [], 'nothing at all');
  wal.append(numberedRecord(1));
  await wal.checkpoint(keepAll, 0);
  t.equal(wal.segment, 1);
  t.strictSame(await disk.list(WAL_PATH), ['00000000']);
});

t.test(
  'checkpoint() keeps the newest metadata, late exemplars, histograms and tombstones',
  async (t) => {
    const disk = new MemoryDisk();
    const metadata = (ref: number, help: string): Uint8Array =>
      encodeMetadataRecord([{ ref, metricType: 1, unit: '', help }]);
    const exemplar = (timestampMs: number): Uint8Array =>
      encodeExemplarsRecord([
        { ref: 1, timestampMs, valueLow: 0, valueHigh: 0, labels: ['t', 'x'] },
      ]);
    const histograms = KINDS.map((kind, i): WalHistogram[] =>
      histogramSeries(kind, { startMs: i, count: 30, seed: 5 }).map(({ sample, timeMs }) => ({
        ref: 1,
        timestampMs: timeMs,
        sample,
      })),
    ).flat();
    const deletion = (hex: string): Uint8Array => Buffer.from(`03000000000000000102${hex}`, 'hex');
    const records = [
      metadata(1, 'old'),
      metadata(1, 'new'),
      metadata(9, 'unwanted'),
      exemplar(5),
      exemplar(25),
      ...encodeHistogramRecords(histograms),
      deletion('0a'), // until 5
      deletion('feffffffffffffffff01'), // for ever
      Buffer.from([12, 1, 2]),
    ];
    const { wal } = await writeSegments(disk, [records, records, [sample(1, 1)], [sample(1, 50)]]);
    await wal.checkpoint((ref) => ref === 1, 20);
    const { contents } = await openNode(disk);
    const lines = (all: readonly WalHistogram[]): string[] =>
      all.map(({ sample, timestampMs: timeMs }) => sampleLine({ sample, timeMs }));
    const late = histograms.filter(({ timestampMs }) => timestampMs >= 20);
    t.strictSame(lines(contents.histograms), lines([...late, ...late]));
    t.strictSame(
      contents.metadata.map(({ ref, help }) => [ref, help]),
      [[1, 'new']],
    );
    t.strictSame(
      contents.exemplars.map((one) => one.timestampMs),
      [25, 25],
    );
    const forEver = { ref: 1, minTimeMs: 1, maxTimeMs: 2 ** 63 };
    t.strictSame(contents.tombstones, [forEver, forEver]);
    t.strictSame(contents.skipped, []);
  },
);

t.test(
  'checkpoint() of a damaged segment keeps the rest, and the segment under another name',
  async (t) => {
    const disk = new MemoryDisk();
    const groups = [
      [numberedRecord(1), numberedRecord(2)],
      [numberedRecord(3)],
      [sample(1, 1)],
      [sample(1, 2)],
    ];
    await (await writeSegments(disk, groups)).wal.close();
    const bytes = disk.fileBytes(`${WAL_PATH}/00000000`);
    bytes[10] = bytes[10]! ^ 1;
    const { wal, replayed } = await openNode(disk);
    t.equal(replayed.damageCount, 1);
    await wal.checkpoint(keepAll, 0);
    t.ok((await disk.list(WAL_PATH)).includes('00000000.corrupt'));
    const { contents, replayed: again } = await openNode(disk);
    t.strictSame(idsOf(contents), [2, 3]);
    t.equal(again.damageCount, 0);
  },
);

t.test('checkpoint() that fails or is cut short leaves the log as it was', async (t) => {
  const disk = new MemoryDisk();
  const groups = [1, 2, 3, 4, 5].map((id) => [numberedRecord(id)]);
  const { wal } = await writeSegments(disk, groups);
  disk.failWhen = ({ kind, path }) => kind === 'sync' && path.includes('.tmp');
  await t.rejects(wal.checkpoint(keepAll, 0), refusal('disk.failed', /checkpoint/));
  disk.failWhen = () => false;
  const names = ['00000000', '00000001', '00000002', '00000003', '00000004'];
  t.strictSame(await disk.list(WAL_PATH), names);
  const cut = wal.checkpoint(keepAll, 0);
  await wal.close();
  await cut;
  t.strictSame(await disk.list(WAL_PATH), names);
  await disk.makeDirectory(`${WAL_PATH}/checkpoint.00000003.tmp`);
  t.strictSame(idsOf((await openNode(disk)).contents), [1, 2, 3, 4, 5]);
  t.strictSame(await disk.list(WAL_PATH), names, 'opening removes what was not finished');
});

t.test('replay ignores segments that a checkpoint covers', async (t) => {
  const disk = new MemoryDisk();
  const { wal } = await writeSegments(
    disk,
    [1, 2, 3, 4].map((id) => [numberedRecord(id)]),
  );
  const covered = Buffer.from(disk.fileBytes(`${WAL_PATH}/00000001`));
  await wal.checkpoint(keepAll, 0);
  disk.putFile(`${WAL_PATH}/00000001`, covered);
  const { contents, replayed } = await openNode(disk);
  t.strictSame(idsOf(contents), [1, 2, 3, 4]);
  t.equal(replayed.damageCount, 0);
});

const promBin = process.env['PROM_BIN'];

/** Series 1…40 with 30 samples each, over several segments; `withCheckpoint` shrinks the start. */
async function writeRealLog(dataPath: string, withCheckpoint: boolean): Promise<string[]> {
  const expected: string[] = [];
  const node = await openNode(createNodeDisk(), {
    directory: `${dataPath}/wal`,
    segmentBytesMax: SMALL_SEGMENT,
  });
  const refs = Array.from({ length: 40 }, (_, i) => i + 1);
  node.wal.append(
    encodeSeriesRecord(
      refs.map((ref) => ({
        ref,
        labels: ['__name__', 'm', 'é', `ü${ref}${'-'.repeat(ref * 50)}`],
      })),
    ),
  );
  const startMs = 1_700_000_000_000;
  for (let i = 0; i < 30; i++) {
    const values = refs.map((ref) => ref * 1000 + i + 0.5);
    const timestampMs = startMs + i * 15_000;
    const words = new BigUint64Array(Float64Array.from(values).buffer);
    node.wal.append(samplesRecord(refs.map((ref, k) => ({ ref, timestampMs, bits: words[k]! }))));
    node.wal.append(numberedRecord(1000 + i, 3000)); // series without samples
    if (i % 10 === 9) {
      await node.wal.durable();
      if (withCheckpoint) await node.wal.checkpoint(keepAll, startMs);
    }
    refs.forEach((ref, k) => {
      const label = `ü${ref}${'-'.repeat(ref * 50)}`;
      expected.push(`{__name__="m", "é"="${label}"} ${values[k]!} ${timestampMs}`);
    });
  }
  await node.wal.close();
  return expected.sort();
}

t.test('promtool tsdb dump reads the samples that we wrote', async (t) => {
  if (promBin === undefined) {
    t.comment('skipped: set PROM_BIN to a directory with promtool');
    return;
  }
  for (const withCheckpoint of [false, true]) {
    const dataPath = `${t.testdir()}/data-${withCheckpoint}`;
    await mkdir(dataPath);
    const expected = await writeRealLog(dataPath, withCheckpoint);
    const names = await readdir(`${dataPath}/wal`);
    t.equal(
      names.some((name) => name.startsWith('checkpoint')),
      withCheckpoint,
    );
    const { stdout } = await promisify(execFile)(
      `${promBin}/promtool`,
      ['tsdb', 'dump', `--sandbox-dir-root=${dataPath}`, dataPath],
      { maxBuffer: 2 ** 26 },
    );
    const dumped = stdout.split('\n').filter((line) => line !== '');
    t.equal(dumped.length, expected.length);
    t.ok(dumped.sort().join('\n') === expected.join('\n'), `checkpoint: ${withCheckpoint}`);
  }
});
