/**
 * Goal: native histograms that come out of order within the window are stored as floats are: answered, logged, cut into
 * the block of their time, merged with what is there, floats of the same series among them; and a real Prometheus
 * takes and refuses the same, and answers the same.
 * Method: every kind in order and shuffled, on disks in memory that lose power; a real Prometheus that is sent the same
 * requests. PROM_BIN=<directory of the programs>.
 */
import { mkdir } from 'node:fs/promises';
import fc from 'fast-check';
import t from 'tap';
import { EMPTY_HISTOGRAM } from '../../model/histogram.ts';
import type { HistogramSample } from '../../model/histogram-sample.ts';
import { histogramJson } from '../../model/histogram-text.ts';
import type { Labels } from '../../model/labels.ts';
import { encodeHistogramMessage } from '../../model/wire/histogram-encode.ts';
import type { ChunkBytes } from '../../storage/block/format.ts';
import { SeriesSamples } from '../../storage/block/series-samples.ts';
import { LATE_LIST_MAX, type LateSample, LateSamples } from '../../storage/head/late-samples.ts';
import { type SelectHints, type Tsdb, selectFrames } from '../../storage/index.ts';
import {
  KINDS,
  type Kind,
  type TimedSample,
  histogramSeries,
  sampleLine,
} from '../support/histograms.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { type Row, linesOf, mixedBatch } from '../support/mixed-batches.ts';
import { startServer } from '../support/prometheus-tools.ts';
import { pushBody } from '../support/remote-write-bodies.ts';
import { EVERYTHING, metric, openTsdb, readAll } from '../support/toy-tsdb.ts';

const START_MS = 1_699_999_200_000; // a two-hour border
const HOUR_MS = 3_600_000;
const WINDOW_MS = 30 * 60_000;
const COUNT = 500;
const LOOKBACK_MS = 300_000;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${seed}`);
const options = { outOfOrderMs: () => WINDOW_MS };

/** The order in which samples come: none is later than the window, some are sent twice. */
function arrivalsOf(
  count: number,
  isLate: (i: number) => boolean,
  delay: number,
): readonly number[] {
  const arrivals: number[] = [];
  for (let i = 0; i < count + delay; i++) {
    if (i < count && !isLate(i)) arrivals.push(i);
    if (i >= delay && isLate(i - delay)) arrivals.push(i - delay, i - delay);
  }
  return arrivals;
}

function rowOf(labels: Labels, sample: TimedSample, isFloat: boolean): Row {
  return isFloat
    ? { labels, floats: [[sample.timeMs, sample.timeMs % 1000]] }
    : { labels, histograms: [sample] };
}

const nowOf = (timeMs: number): number => Math.max(timeMs, START_MS + HOUR_MS);

function append(tsdb: Tsdb, row: Row): string | undefined {
  const timeMs = row.floats?.[0]?.[0] ?? row.histograms?.[0]?.timeMs ?? NaN;
  return tsdb.append(mixedBatch([row]), nowOf(timeMs)).errors[0]?.id;
}

for (const kind of KINDS) {
  t.test(`${kind} histograms shuffled equal sorted ones (seed ${seed})`, async (t) => {
    const labels = metric('h', { kind });
    const samples = histogramSeries(kind, { startMs: START_MS, count: COUNT, seed });
    /** Every so many samples are floats; 0: none. */
    const scenario = fc.record({
      floatEvery: fc.constantFrom(0, 0, 2, 7, 40),
      lateEvery: fc.constantFrom(1, 2, 3, 10),
      delay: fc.integer({ min: 1, max: 100 }),
      powerAt: fc.nat(COUNT),
      cutAt: fc.nat(COUNT),
      newestAt: fc.nat(COUNT - 1),
      sinceMs: fc.nat(14_999),
    });
    let recoded = 0;
    await fc.assert(
      fc.asyncProperty(scenario, async (of) => {
        const { cutAt, delay, floatEvery, lateEvery, newestAt, powerAt, sinceMs } = of;
        const isFloat = (i: number): boolean => floatEvery > 0 && i % floatEvery === 0;
        const isLate = (i: number): boolean => (lateEvery > 1 ? i % lateEvery !== 0 : i % 100 > 0);
        let disk = new MemoryDisk();
        let { tsdb } = await openTsdb(disk, options);
        for (const [n, i] of arrivalsOf(COUNT, isLate, delay).entries()) {
          const id = append(tsdb, rowOf(labels, samples[i]!, isFloat(i)));
          if (id !== undefined) throw new Error(`${i}: ${id}`);
          if (n === powerAt) {
            await tsdb.durable();
            disk = disk.losePower();
            ({ tsdb } = await openTsdb(disk, options));
          }
          if (n === cutAt) await tsdb.maintain(nowOf(samples[i]!.timeMs));
        }
        if (tsdb.head.histograms.chunkCount > LATE_LIST_MAX) recoded++;
        const isFloatKind = kind.includes('float');
        const expected = samples.map((sample, i) =>
          isFloat(i)
            ? `${labels.join()} ${sample.timeMs} ${sample.timeMs % 1000}`
            : `${labels.join()} ${sampleLine(sample)}`,
        );
        const check = async (what: string): Promise<void> => {
          t.strictSame(linesOf(await readAll(tsdb), isFloatKind), expected, what);
          const maxTimeMs = samples[newestAt]!.timeMs + sinceMs;
          const past = { minTimeMs: maxTimeMs - LOOKBACK_MS, maxTimeMs };
          const newest = { projection: undefined, newestOnly: true };
          const newestLine = expected.findLast((_, i) => samples[i]!.timeMs <= maxTimeMs);
          const lines = linesOf(await readAll(tsdb, [], past, newest), isFloatKind);
          t.equal(lines.at(-1), newestLine, `${what}: the newest at ${maxTimeMs - START_MS}`);
        };
        await check('head');
        const range = { minTimeMs: START_MS + 600_000, maxTimeMs: START_MS + 1_200_000 };
        const part = linesOf(await readAll(tsdb, [], range), isFloatKind);
        t.strictSame(
          part,
          expected.filter(
            (_, i) =>
              samples[i]!.timeMs >= range.minTimeMs && samples[i]!.timeMs <= range.maxTimeMs,
          ),
        );
        await tsdb.durable();
        disk = disk.losePower();
        ({ tsdb } = await openTsdb(disk, { outOfOrderMs: () => 0 }));
        await check('the log has them, whatever the window is now');
        await tsdb.flush();
        await check('blocks');
        t.equal(tsdb.head.histograms.size, 0);
        t.match(tsdb.stats(), { seriesCount: 0, chunkCount: 0 });
        await tsdb.close();
      }),
      { seed, numRuns: Number(process.env['RUNS'] ?? 5) },
    );
    t.comment(`${recoded} runs had many chunks`);
  });
}

t.test('what comes late is taken within the window, once, and as what it is', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk(), options);
  const labels = metric('h');
  const samples = histogramSeries('integer', { startMs: START_MS, count: 30, seed: 9 });
  const [a, b] = [samples[0]!, samples[29]!];
  const newestMs = START_MS + HOUR_MS;
  const check = (of: TimedSample | number, timeMs: number, id: string | undefined): void => {
    const row: Row =
      typeof of === 'number'
        ? { labels, floats: [[timeMs, of]] }
        : { labels, histograms: [{ ...of, timeMs }] };
    t.equal(append(tsdb, row), id, `${timeMs - newestMs}`);
  };
  check(a, newestMs, undefined);
  check(a, newestMs - WINDOW_MS, undefined);
  check(a, newestMs - WINDOW_MS - 1, 'sample.out_of_order');
  check(5, newestMs - WINDOW_MS - 1, 'sample.out_of_order');
  check(a, newestMs - 60_000, undefined);
  check(a, newestMs - 60_000, undefined); // the same again
  check(b, newestMs - 60_000, 'sample.duplicate_timestamp');
  check(5, newestMs - 60_000, 'sample.duplicate_timestamp');
  check(5, newestMs - 30_000, undefined);
  check(5, newestMs - 30_000, undefined);
  check(6, newestMs - 30_000, 'sample.duplicate_timestamp');
  check(a, newestMs - 30_000, 'sample.duplicate_timestamp');
  for (let i = 1; i <= LATE_LIST_MAX; i++) check(i % 3 === 0 ? i : a, newestMs - i, undefined);
  for (let i = 1; i <= LATE_LIST_MAX; i++) check(i % 3 === 0 ? i : a, newestMs - i, undefined);
  check(1, newestMs - 3, 'sample.duplicate_timestamp');
  t.equal(tsdb.stats().outOfOrderCount, 3 + LATE_LIST_MAX);
  const plain = { labels: metric('floats'), floats: [[newestMs, 1]] as const };
  t.equal(append(tsdb, plain), undefined);
  const first = { labels: metric('floats'), histograms: [{ ...a, timeMs: newestMs - 1 }] };
  t.equal(append(tsdb, first), undefined, 'the first histogram of a series of floats');
  t.equal(
    (await readAll(tsdb, [{ name: '__name__', type: '=', value: 'floats' }])).timestamps.length,
    2,
  );
  await tsdb.close();
});

t.test('a read pauses after each series that late samples are merged into', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk(), options);
  const { sample } = histogramSeries('integer', { startMs: START_MS, count: 1, seed: 9 })[0]!;
  const now = START_MS + HOUR_MS;
  const send = (i: number, timeMs: number): void => {
    const row = { labels: metric('h', { i: String(i) }), histograms: [{ timeMs, sample }] };
    t.equal(append(tsdb, row), undefined);
  };
  for (let i = 0; i < 10; i++) send(i, now);
  const check = (hints: SelectHints, expected: number): void => {
    const frames = [...selectFrames(tsdb.head, [], EVERYTHING, hints)];
    t.equal(frames.filter((frame) => frame === undefined).length, expected);
  };
  const whole = { projection: undefined, newestOnly: false };
  check(whole, 0);
  for (let i = 0; i < 10; i += 2) send(i, now - 1000);
  check(whole, 5);
  check({ ...whole, newestOnly: true }, 5);
  await tsdb.close();
});

t.test('looking for the time of a late sample decodes nothing, or the chunk that has it', (t) => {
  class CountingSamples extends SeriesSamples {
    decodedCount = 0;
    override addChunk(chunk: ChunkBytes): boolean {
      this.decodedCount++;
      return super.addChunk(chunk);
    }
  }
  const count = 2003; // a prime, so that the steps below go through all
  const scratch = new CountingSamples();
  const late = new LateSamples(scratch);
  const histograms = histogramSeries('integer', { startMs: START_MS, count, seed });
  const lateOf = (i: number): LateSample => {
    const { sample, timeMs } = histograms[i]!;
    return { timeMs, low: i, high: 0, histogram: i % 5 === 0 ? undefined : sample };
  };
  const order = (step: number): LateSample[] =>
    Array.from({ length: count }, (_, n) => lateOf((n * step) % count));
  const check = (sample: LateSample, decodedMax: number, expected: boolean | undefined): void => {
    const before = scratch.decodedCount;
    const isRight =
      late.compare(sample) === expected && scratch.decodedCount - before <= decodedMax;
    if (!isRight) t.fail(`${sample.timeMs}: ${scratch.decodedCount - before} were decoded`);
  };
  for (const sample of order(733)) {
    check(sample, 0, undefined);
    late.insert(sample);
  }
  t.equal(scratch.decodedCount, 0, 'what is new');
  for (const sample of order(911)) {
    check(sample, 1, true);
    check({ ...sample, low: 1 - sample.low, histogram: undefined }, 0, false);
    check({ ...sample, timeMs: sample.timeMs + 0.5 }, 0, undefined);
  }
  t.ok(late.chunkCount >= Math.floor(count / LATE_LIST_MAX));
  const endMs = START_MS + 6 * HOUR_MS;
  late.dropBefore(endMs);
  t.equal(late.oldestTimeMs, histograms.find(({ timeMs }) => timeMs >= endMs)?.timeMs);
  for (const sample of order(911)) {
    const isLeft = sample.timeMs >= endMs;
    check(sample, isLeft ? 1 : 0, isLeft ? true : undefined);
  }
  t.end();
});

t.test('what was looked up in an open chunk is not taken for the chunk it becomes', async (t) => {
  const labels = metric('h');
  const sample = { histogram: EMPTY_HISTOGRAM, isFloat: false, isStale: false };
  const other = histogramSeries('integer', { startMs: START_MS, count: 1, seed: 9 })[0]!.sample;
  for (let n = 2; n < 60; n++) {
    const { tsdb } = await openTsdb(new MemoryDisk(), options);
    const timeOf = (i: number): number => START_MS + i * 15_000;
    const check = (i: number, of: HistogramSample, id: string | undefined): void => {
      const row = { labels, histograms: [{ timeMs: timeOf(i), sample: of }] };
      t.equal(append(tsdb, row), id, `${i} of ${n}`);
    };
    for (let i = 0; i < n; i++) check(i, sample, undefined);
    check(0, sample, undefined); // sent again: the open chunk is decoded
    check(n, sample, undefined); // sometimes fits into its last byte
    t.equal(append(tsdb, { labels, floats: [[timeOf(n + 1), 1]] }), undefined);
    check(n + 2, sample, undefined); // closes it
    check(n, other, 'sample.duplicate_timestamp');
    check(n, sample, undefined);
    await tsdb.close();
  }
});

const programs = process.env['PROM_BIN'] ?? '';

t.test(
  'a Prometheus takes and answers the same',
  { skip: programs === '' ? 'no PROM_BIN' : false },
  async (t) => {
    const work = t.testdir({ data: {} });
    await mkdir(`${work}/data`, { recursive: true });
    const server = await startServer(
      programs,
      work,
      ['--web.enable-remote-write-receiver', '--enable-feature=native-histograms'],
      '{storage: {tsdb: {out_of_order_time_window: 30m}}}',
    );
    t.teardown(() => server.stop());
    const { tsdb } = await openTsdb(new MemoryDisk(), options);
    const kinds: readonly Kind[] = KINDS;
    let refusedCount = 0;
    const data = kinds.map((kind, k) =>
      histogramSeries(kind, { startMs: START_MS, count: 300, seed: seed + k })
        .map((one, i) => ({ ...one, i }))
        .filter(({ sample }) => !sample.isStale),
    );
    const pushOne = async (kind: Kind, one: TimedSample): Promise<void> => {
      const labels = [
        ['__name__', 'h'],
        ['kind', kind],
      ] as const;
      const histograms = [encodeHistogramMessage(one.timeMs, one.sample)];
      const answer = await fetch(`${server.url}/api/v1/write`, {
        method: 'POST',
        body: new Uint8Array(pushBody([{ labels, histograms }])),
      });
      const text = await answer.text();
      const id = append(tsdb, { labels: metric('h', { kind }), histograms: [one] });
      refusedCount += id === undefined ? 0 : 1;
      const isSame = (answer.status === 204) === (id === undefined);
      if (!isSame) t.fail(`${kind} ${one.timeMs}: ${answer.status} ${text}, ${String(id)}`);
    };
    const orders = kinds.map((_, k) => {
      const delay = k === 5 ? 150 : 20 * (k + 1); // the last kind comes too late
      const twice = arrivalsOf(data[k]!.length, (i) => i % (k + 2) !== 0, delay);
      return [...new Set(twice)]; // what is sent again is never refused here, and sometimes there
    });
    for (let n = 0; n < Math.max(...orders.map(({ length }) => length)); n++) {
      for (const [k, kind] of kinds.entries()) {
        const i = orders[k]![n];
        if (i !== undefined) await pushOne(kind, data[k]![i]!);
      }
    }
    t.ok(refusedCount > 50, `${refusedCount} were too late`);
    const params = new URLSearchParams({
      query: 'h[1d]',
      time: String((START_MS + 12 * HOUR_MS) / 1000),
    });
    const answer = await fetch(`${server.url}/api/v1/query?${params.toString()}`);
    const body = (await answer.json()) as {
      data: { result: { metric: { kind: string }; histograms: [number, unknown][] }[] };
    };
    const theirs = body.data.result
      .flatMap(({ histograms, metric: { kind } }) =>
        histograms.map(
          ([at, value]) => `${kind} ${Math.round(at * 1000)} ${JSON.stringify(value)}`,
        ),
      )
      .sort();
    const told = async (): Promise<string[]> => {
      const { ends, histograms, labels, timestamps } = await readAll(tsdb);
      return labels
        .flatMap((set, row) =>
          Array.from({ length: ends[row]! - (row === 0 ? 0 : ends[row - 1]!) }, (_, n) => {
            const at = (row === 0 ? 0 : ends[row - 1]!) + n;
            const histogram = histograms?.[at];
            return `${set[3]!} ${timestamps[at]!} ${histogram === undefined ? '' : histogramJson(histogram)}`;
          }),
        )
        .sort();
    };
    t.ok(theirs.length > 1000);
    t.strictSame(await told(), theirs, 'head');
    await tsdb.flush();
    t.strictSame(await told(), theirs, 'blocks');
    await tsdb.close();
  },
);
