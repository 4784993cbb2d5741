/**
 * Blocks before their judges. Goal: promtool and a Prometheus server read what we write, sample for
 * sample; we read what they write; and the same series give the same bytes.
 * Method: PROM_BIN=<directory of prometheus and promtool>; real files.
 */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { BlockReader } from '../../storage/block/block-reader.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { type SourceSeries, cutBlock } from '../../storage/block/cut.ts';
import { createSeriesEntry } from '../../storage/block/series-reader.ts';
import { parseBlockId } from '../../storage/block/ulid.ts';
import { Pacer } from '../../storage/pacer.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  type TestSeries,
  bitsOf,
  dumpLines,
  readTestBlock,
  testBlockId,
  writeTestBlock,
} from '../support/block-contents.ts';
import { batchOf, openTsdb, readAll } from '../support/toy-tsdb.ts';
import { askNumber, dump, promtool, startServer } from '../support/prometheus-tools.ts';

const programs = process.env['PROM_BIN'];
const HOUR_MS = 3_600_000;
const START_MS = 1_699_999_200_000; // a two-hour border

/** Series of many shapes: names outside ASCII, special values, lone samples, gaps. */
function testData(startMs: number): TestSeries[] {
  return Array.from({ length: 150 }, (_, s) => {
    const labels = labelsFromPairs([
      ['__name__', `metric_${s % 7}`],
      ['instance', `host-${s}:9100`],
      ...(s % 3 === 0 ? ([['é', '😀"\\\n']] as const) : []),
      ...(s % 5 === 0 ? ([['zone', `z${s % 2}`]] as const) : []),
    ]);
    const count = s % 10 === 0 ? 1 : 200 + s;
    const samples = Array.from({ length: count }, (_, i) => ({
      timeMs: startMs + i * 15_000 + (i % 9 === 0 ? s : 0),
      bits: bitsOf(valueAt(s, i)),
    }));
    return { labels, samples };
  });
}

function valueAt(s: number, i: number): number {
  if (s % 11 === 1) return [Infinity, -Infinity, NaN, -0, 5e-324, 1.7e308, 1e21, 123456789][i % 8]!;
  return s % 2 === 0 ? i * s : Math.sin(i * s) * 1e-3;
}

if (programs === undefined) {
  t.comment('skipped: PROM_BIN is not set, nothing to compare with');
} else {
  await judge(programs);
}

async function judge(programs: string): Promise<void> {
  const disk = createNodeDisk();

  await t.test('promtool lists, analyzes and dumps what we wrote', async (t) => {
    const directory = t.testdir();
    const data = testData(START_MS);
    const range = { minTimeMs: START_MS, maxTimeMs: START_MS + 2 * HOUR_MS - 1 };
    const options = { chunkSegmentBytesMax: 50_000 };
    await writeTestBlock(disk, directory, testBlockId(1), data, range, options);
    t.ok((await readdir(`${directory}/${testBlockId(1)}/chunks`)).length > 1, 'several files');
    t.strictSame(await dump(programs, directory), dumpLines(data));
    t.match(await promtool(programs, 'tsdb', 'list', directory), testBlockId(1));
    const analysis = await promtool(programs, 'tsdb', 'analyze', '--extended', directory);
    t.match(analysis, /Total Series: 150/);
    t.match(analysis, /Label names: 4/);
  });

  await t.test('a Prometheus server opens our blocks and answers from them', async (t) => {
    const work = t.testdir({ data: {} });
    const directory = `${work}/data`;
    let sampleCount = 0;
    for (const n of [0, 1, 2]) {
      const minTimeMs = START_MS + n * 2 * HOUR_MS;
      const data = testData(minTimeMs);
      const range = { minTimeMs, maxTimeMs: minTimeMs + 2 * HOUR_MS - 1 };
      const meta = await writeTestBlock(disk, directory, testBlockId(n), data, range);
      sampleCount += meta?.stats.sampleCount ?? 0;
    }
    const twoHours = ['min', 'max'].map((end) => `--storage.tsdb.${end}-block-duration=2h`);
    const server = await startServer(programs, work, twoHours);
    t.teardown(() => server.stop());
    const endMs = START_MS + 6 * HOUR_MS - 1; // ranges leave out their start
    const all = '{__name__=~".+"}';
    t.equal(await askNumber(server.url, `sum(count_over_time(${all}[7h]))`, endMs), sampleCount);
    t.equal(await askNumber(server.url, `count(count_over_time(${all}[7h]))`, endMs), 150);
    t.equal(
      await askNumber(server.url, 'count(count_over_time(metric_3{zone="z1"}[7h]))', endMs),
      2,
    );
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    t.match(metrics, 'prometheus_tsdb_blocks_loaded 3\n');
    t.notMatch(server.log(), /level=(WARN|ERROR)/);
  });

  await t.test('we read the blocks promtool makes, and make the same bytes of them', async (t) => {
    const directory = t.testdir({ theirs: {}, ours: {} });
    await writeFile(`${directory}/in.om`, openMetrics());
    await promtool(
      programs,
      ...['tsdb', 'create-blocks-from', 'openmetrics', `${directory}/in.om`, `${directory}/theirs`],
    );
    const lines: string[] = [];
    let blockCount = 0;
    for (const name of await readdir(`${directory}/theirs`)) {
      const id = parseBlockId(name);
      if (id === undefined) continue;
      blockCount++;
      lines.push(...dumpLines(await readTestBlock(disk, `${directory}/theirs`, id)));
      await recut(directory, name);
      for (const file of ['index', 'chunks/000001', 'tombstones']) {
        const theirs = await readFile(`${directory}/theirs/${name}/${file}`);
        const ours = await readFile(`${directory}/ours/${name}/${file}`);
        t.ok(theirs.equals(ours), `${file} is the same, byte for byte`);
      }
    }
    t.ok(blockCount > 1);
    t.strictSame(lines.sort(), await dump(programs, `${directory}/theirs`));
  });

  await t.test('they read the directory of a tenant whose node was killed as we do', async (t) => {
    const work = t.testdir({ data: {} });
    const directory = `${work}/data`;
    const { tsdb } = await openTsdb(disk, { directory });
    const data = testData(START_MS).map((one) => ({
      ...one,
      samples: one.samples.map(({ bits, timeMs }) => ({ bits, timeMs: timeMs + s15(timeMs) })),
    }));
    const times = [...new Set(data.flatMap(({ samples }) => samples.map((one) => one.timeMs)))];
    let refusedCount = 0;
    for (const timeMs of times.sort((a, b) => a - b)) {
      const batch = data.flatMap(({ labels, samples }) => {
        const at = samples.filter((one) => one.timeMs === timeMs);
        return at.map(({ bits }) => ({ labels, samples: [[timeMs, bits]] as const }));
      });
      refusedCount += tsdb.append(batchOf(batch), timeMs).rejected.length;
    }
    t.equal(refusedCount, 0);
    await tsdb.maintain(START_MS);
    await tsdb.durable();
    t.equal(tsdb.blocks().length, 1, 'two hours in a block, the rest in the log');
    const ours = dumpLines(seriesOfColumns(await readAll(tsdb)));
    t.equal(
      ours.length,
      data.reduce((sum, { samples }) => sum + samples.length, 0),
    );
    t.strictSame(await dump(programs, directory), ours, 'promtool');
    const server = await startServer(programs, work);
    t.teardown(() => server.stop());
    const all = 'sum(count_over_time({__name__=~".+"}[12h]))';
    t.equal(await askNumber(server.url, all, START_MS + 11 * HOUR_MS), ours.length, 'a server');
    t.notMatch(server.log(), /level=(WARN|ERROR)/);
  });

  await t.test('a directory that they made is read as it is', async (t) => {
    const work = t.testdir({ theirs: {} });
    await writeFile(`${work}/in.om`, openMetrics());
    const directory = `${work}/theirs`;
    const words = ['tsdb', 'create-blocks-from', 'openmetrics', `${work}/in.om`, directory];
    await promtool(programs, ...words);
    const theirs = await dump(programs, directory);
    const { tsdb } = await openTsdb(disk, { directory });
    t.ok(tsdb.blocks().length > 1);
    t.strictSame(dumpLines(seriesOfColumns(await readAll(tsdb))), theirs);
  });

  /** Writes the series of one of their blocks as a block of ours. */
  async function recut(directory: string, name: string): Promise<void> {
    const id = parseBlockId(name) ?? testBlockId(0);
    const reader = await BlockReader.open(diskBlockFiles(disk, `${directory}/theirs`, id));
    const all: SourceSeries[] = [];
    const entry = createSeriesEntry();
    for (const ref of await reader.select([])) {
      await reader.index.readSeries(ref, entry);
      const chunks = [];
      for (let i = 0; i < entry.chunkRefs.length; i++) {
        const { data, encoding } = await reader.readChunk(entry.chunkRefs[i]!);
        const minTimeMs = entry.chunkMinTimes[i]!;
        const maxTimeMs = entry.chunkMaxTimes[i]!;
        chunks.push({ encoding, minTimeMs, maxTimeMs, bytes: data, from: 0, to: data.length });
      }
      all.push({ labels: await reader.labels(entry), chunks });
    }
    const source = { symbols: () => all.flatMap(({ labels }) => labels), series: () => all };
    const { minTimeMs, maxTimeMs } = reader.meta;
    const range = { minTimeMs, maxTimeMs: maxTimeMs - 1 };
    const pacer = new Pacer(new FakeClock());
    await cutBlock({ disk, directory: `${directory}/ours`, id, pacer }, source, range);
    await reader.close();
  }
}

/** Every other sample later than the one before by more: five hours in all. */
function s15(timeMs: number): number {
  return Math.floor((timeMs - START_MS) / 15_000) * 30_000;
}

function seriesOfColumns({ ends, labels, timestamps, values }: SeriesColumns): TestSeries[] {
  const bits = new BigUint64Array(values.slice().buffer);
  return labels.map((set, i) => {
    const from = i === 0 ? 0 : ends[i - 1]!;
    const samples = Array.from({ length: ends[i]! - from }, (_, k) => ({
      timeMs: timestamps[from + k]!,
      bits: bits[from + k]!,
    }));
    return { labels: set, samples };
  });
}

function openMetrics(): string {
  const lines: string[] = [];
  for (let s = 0; s < 60; s++) {
    const labels = `s="${s}",even="${s % 2 === 0}",name="ü${s % 9}"`;
    for (let i = 0; i < 400; i++) {
      const timeSeconds = START_MS / 1000 + i * 30 + (s % 4);
      lines.push(`m${s % 3}{${labels}} ${s % 7 === 0 ? 'NaN' : Math.cos(i) * s} ${timeSeconds}`);
    }
  }
  return `${lines.sort((a, b) => (a.slice(0, 2) < b.slice(0, 2) ? -1 : 1)).join('\n')}\n# EOF\n`;
}
