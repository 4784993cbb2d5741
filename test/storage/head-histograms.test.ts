// Goal: native histograms in a tenant's TSDB are kept as floats are: taken once, refused with a reason, read
// beside floats, there after a restart, in blocks, and in what replicas answer together.
// Method: a TSDB on a disk in memory; random series of every kind.
import t from 'tap';
import type { Labels } from '../../model/labels.ts';
import { type Tsdb, mergeSeriesFrames } from '../../storage/index.ts';
import {
  KINDS,
  type Kind,
  type TimedSample,
  histogramSeries,
  sampleLine,
} from '../support/histograms.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { type Row, linesOf, mixedBatch } from '../support/mixed-batches.ts';
import { EVERYTHING, framesOf, metric, openTsdb, readAll } from '../support/toy-tsdb.ts';

const START_MS = 1_699_999_200_000; // a two-hour border
const NOW_MS = START_MS + 4 * 3_600_000;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const nameOf = (kind: Kind): Labels => metric('h', { kind });

async function push(tsdb: Tsdb, rows: readonly Row[]): Promise<string[]> {
  const { errors, rejected, unknown } = tsdb.append(mixedBatch(rows), NOW_MS);
  await tsdb.durable();
  return [...errors.map(({ id }) => id), ...[...unknown].map((i) => `unknown ${i}`)].concat(
    rejected.length > errors.length ? ['rejected'] : [],
  );
}

for (const kind of KINDS) {
  const isFloat = kind.includes('float');
  t.test(
    `${kind} histograms are read back, also after a restart and from blocks (seed ${seed})`,
    async (t) => {
      const disk = new MemoryDisk();
      const samples = histogramSeries(kind, { startMs: START_MS, count: 900, seed });
      const expected = samples.map((sample) => `${nameOf(kind).join()} ${sampleLine(sample)}`);
      const first = await openTsdb(disk);
      for (let i = 0; i < samples.length; i += 100) {
        const rows = [{ labels: nameOf(kind), histograms: samples.slice(i, i + 100) }];
        t.strictSame(await push(first.tsdb, rows), []);
        t.strictSame(
          await push(first.tsdb, rows),
          [],
          'a batch sent again is the repetition it is',
        );
      }
      t.strictSame(linesOf(await readAll(first.tsdb), isFloat), expected, 'from the head');
      const range = { minTimeMs: START_MS + 600_000, maxTimeMs: START_MS + 1_200_000 };
      const part = linesOf(await readAll(first.tsdb, [], range), isFloat);
      t.strictSame(
        part,
        expected.filter((_, i) => {
          const { timeMs } = samples[i]!;
          return timeMs >= range.minTimeMs && timeMs <= range.maxTimeMs;
        }),
        'a part of it',
      );
      const newest = { projection: undefined, newestOnly: true };
      const last = linesOf(await readAll(first.tsdb, [], EVERYTHING, newest), isFloat);
      t.equal(last.at(-1), expected.at(-1), 'the newest sample is in the newest chunk');
      await first.tsdb.close();

      const second = await openTsdb(disk);
      t.strictSame(linesOf(await readAll(second.tsdb), isFloat), expected, 'after a restart');
      const metas = await second.tsdb.flush();
      t.equal(
        metas.reduce((sum, { stats }) => sum + stats.histogramSampleCount, 0),
        900,
      );
      t.strictSame(linesOf(await readAll(second.tsdb), isFloat), expected, 'from blocks');
      t.equal(second.tsdb.head.histograms.size, 0, 'the head holds nothing of them any more');
      await second.tsdb.close();
      const third = await openTsdb(disk);
      t.strictSame(linesOf(await readAll(third.tsdb), isFloat), expected, 'and after another one');
      await third.tsdb.close();
    },
  );
}

t.test('a series goes from floats to histograms and back', async (t) => {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk);
  const labels = metric('mixed');
  const histograms = histogramSeries('integer', { startMs: START_MS, count: 60, seed: 3 });
  const expected: string[] = [];
  for (let i = 0; i < 60; i++) {
    const timed = histograms[i]!;
    if (i % 20 < 10) {
      t.strictSame(await push(tsdb, [{ labels, floats: [[timed.timeMs, i]] }]), []);
      expected.push(`${labels.join()} ${timed.timeMs} ${i}`);
    } else {
      t.strictSame(await push(tsdb, [{ labels, histograms: [timed] }]), []);
      expected.push(`${labels.join()} ${sampleLine(timed)}`);
    }
  }
  t.strictSame(linesOf(await readAll(tsdb)), expected);
  const at = (i: number): number => histograms[i]!.timeMs;
  t.strictSame(await push(tsdb, [{ labels, floats: [[at(3), 3]] }]), [], 'an old float, again');
  t.strictSame(await push(tsdb, [{ labels, floats: [[at(15), 3]] }]), [
    'sample.duplicate_timestamp',
  ]);
  t.strictSame(await push(tsdb, [{ labels, histograms: [{ ...histograms[1]!, timeMs: at(3) }] }]), [
    'sample.duplicate_timestamp',
  ]);
  t.strictSame(
    await push(tsdb, [{ labels, histograms: [histograms[15]!] }]),
    [],
    'an old histogram, again',
  );
  await tsdb.close();
  const again = await openTsdb(disk);
  t.strictSame(linesOf(await readAll(again.tsdb)), expected);
  await again.tsdb.flush();
  t.strictSame(linesOf(await readAll(again.tsdb)), expected);
  await again.tsdb.close();
});

t.test('what cannot be taken is refused with its reason, the rest is stored', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk()); // without a window for late samples
  const labels = metric('h');
  const [a, b, c] = histogramSeries('integer', { startMs: START_MS, count: 3, seed: 9 });
  const histogram = (of: TimedSample | undefined, timeMs: number): Row => ({
    labels,
    histograms: of === undefined ? [] : [{ ...of, timeMs }],
  });
  t.strictSame(await push(tsdb, [histogram(a, START_MS + 1000)]), []);
  t.strictSame(await push(tsdb, [histogram(b, START_MS + 3000)]), []);
  t.strictSame(await push(tsdb, [histogram(c, START_MS + 2000)]), ['sample.out_of_order']);
  t.strictSame(await push(tsdb, [histogram(c, START_MS + 3000)]), ['sample.duplicate_timestamp']);
  t.strictSame(await push(tsdb, [histogram(c, NOW_MS + 3_600_000)]), ['sample.too_far_in_future']);
  t.strictSame(await push(tsdb, [{ labels, floats: [[START_MS + 2500, 1]] }]), [
    'sample.out_of_order',
  ]);
  const rest = await push(tsdb, [histogram(c, START_MS + 2000), histogram(c, START_MS + 4000)]);
  t.strictSame(rest, ['sample.out_of_order']);
  t.equal((await readAll(tsdb)).timestamps.length, 3);
  const batch = mixedBatch([histogram(a, START_MS + 5000)]);
  const { unknown } = tsdb.append(
    { ...batch, fingerprints: Uint32Array.of(1, 2, 3, 4), labelEnds: new Uint32Array(1) },
    NOW_MS,
  );
  t.strictSame([...unknown], [0], 'an unknown series is asked for');
  await tsdb.close();
});

t.test(
  'replicas that differ are merged, and nothing is said of resets that is not known',
  async (t) => {
    const samples = histogramSeries('integer', { startMs: START_MS, count: 200, seed: 21 });
    const a = await openTsdb(new MemoryDisk());
    const b = await openTsdb(new MemoryDisk());
    const labels = metric('h');
    const pick = (n: number): Row => ({
      labels,
      histograms: samples.filter((_, i) => i % 5 !== n),
    });
    await push(a.tsdb, [pick(1)]);
    await push(b.tsdb, [pick(2)]);
    const merged = mergeSeriesFrames([...framesOf(a.tsdb), ...framesOf(b.tsdb)], EVERYTHING);
    t.strictSame(
      linesOf(merged),
      samples.map((sample) => `${labels.join()} ${sampleLine(sample)}`),
    );
    const backward = mergeSeriesFrames([...framesOf(b.tsdb), ...framesOf(a.tsdb)], EVERYTHING);
    t.strictSame(linesOf(backward), linesOf(merged));
    const hints = new Set(merged.histograms?.map((histogram) => histogram?.hint));
    t.notOk(hints.has('reset'));
    const alike = mergeSeriesFrames([...framesOf(a.tsdb), ...framesOf(a.tsdb)], EVERYTHING);
    t.equal(alike.timestamps.length, 160);
    await a.tsdb.close();
    await b.tsdb.close();
  },
);
