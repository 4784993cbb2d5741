// Goal: samples that come out of order within the window are stored like any others: answered, logged, cut
// into the block of their time; what is older than the window is refused as before.
// Method: the same samples in order and shuffled, on disks in memory that lose power.
import fc from 'fast-check';
import t from 'tap';
import { NO_CHUNK } from '../../storage/head/series-table.ts';
import type { Tsdb } from '../../storage/index.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import {
  type BatchSeries,
  EVERYTHING,
  batchOf,
  linesOf,
  metric,
  openTsdb,
  readAll,
} from '../support/toy-tsdb.ts';

const START = 1_699_999_200_000; // a two-hour border
const HOUR_MS = 3_600_000;
const WINDOW_MS = 30 * 60_000;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const options = { outOfOrderMs: () => WINDOW_MS };

const one = (timeMs: number, value: number, name = 'up'): BatchSeries => ({
  labels: metric(name),
  samples: [[timeMs, value]],
});

const linesFrom = async (tsdb: Tsdb): Promise<string[]> => linesOf(await readAll(tsdb));

/** What holds of the chunks of every series. */
function checkChunks({ head }: Tsdb): void {
  const { chunks, series } = head;
  for (let s = 0; s < series.length; s++) {
    if (!series.alive.has(s)) continue;
    const isOpen = head.completeOpenChunk(s);
    let newerMinMs = isOpen ? series.openMinTime[s]! : Infinity;
    for (let c = series.newestChunk[s]!; c !== NO_CHUNK; c = chunks.older[c]!) {
      if (chunks.minTime[c]! > chunks.maxTime[c]!)
        throw new Error('a chunk that ends before it begins');
      if (chunks.maxTime[c]! >= newerMinMs) throw new Error('chunks that overlap');
      if (chunks.byteLength[c]! > 1024) throw new Error('a chunk that is too large');
      newerMinMs = chunks.minTime[c]!;
    }
  }
}

t.test('within the window a sample may come late, before it is refused as ever', async (t) => {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk, options);
  const now = START + HOUR_MS;
  const check = (timeMs: number, value: number, id: string | undefined): void => {
    const { errors } = tsdb.append(batchOf([one(timeMs, value)]), now);
    t.equal(errors[0]?.id, id, `${timeMs - now} ${value}`);
  };
  check(now, 1, undefined);
  check(now - WINDOW_MS, 2, undefined);
  check(now - WINDOW_MS - 1, 3, 'sample.out_of_order');
  check(now - 60_000, 4, undefined);
  check(now - 60_000, 4, undefined); // the same again
  check(now - 60_000, 5, 'sample.duplicate_timestamp');
  check(now - WINDOW_MS, 9, 'sample.duplicate_timestamp');
  const other = tsdb.append(batchOf([one(now + 60_000, 1, 'other')]), now);
  t.same(other.errors, []);
  check(now - WINDOW_MS + 1, 6, 'sample.out_of_order'); // the tenant's newest is what counts
  t.match(tsdb.append(batchOf([one(now - WINDOW_MS + 1, 6)]), now).errors[0], {
    message: /out_of_order_time_window \(1800000 ms\)/,
  });
  t.equal(tsdb.stats().outOfOrderCount, 2);
  await tsdb.durable();
  const lines = await linesFrom(tsdb);
  t.equal(lines.length, 4);
  const { tsdb: again } = await openTsdb(disk.losePower(), { outOfOrderMs: () => 0 });
  t.same(await linesFrom(again), lines, 'the log has them, whatever the window is now');
});

t.test(`shuffled equals sorted, over restarts and cuts (seed ${seed})`, async () => {
  const arrival = fc.record({
    series: fc.nat(2),
    /** How late, in slots of the interval. */
    late: fc.nat(40),
    what: fc.constantFrom('', '', '', '', '', '', '', '', '', '', '', '', 'maintain', 'power'),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(arrival, { minLength: 1, maxLength: 300 }),
      fc.constantFrom(1000, 40_000),
      fc.boolean(),
      async (arrivals, intervalMs, isNoisy) => {
        let disk = new MemoryDisk();
        let { tsdb } = await openTsdb(disk, options);
        const model = new Map<string, string>();
        let newestMs = START + HOUR_MS;
        for (const [i, { late, series, what }] of arrivals.entries()) {
          const nowMs = START + HOUR_MS + i * intervalMs;
          const timeMs = Math.max(nowMs - late * intervalMs, START);
          const value = isNoisy ? Math.sin(i) : i;
          const key = `${series}@${timeMs}`;
          if (model.has(key)) continue;
          const { samplesAppended } = tsdb.append(
            batchOf([one(timeMs, value, `m${series}`)]),
            nowMs,
          );
          if (timeMs >= newestMs - WINDOW_MS && samplesAppended !== 1) return false;
          newestMs = Math.max(newestMs, timeMs);
          if (samplesAppended === 1) model.set(key, lineText(series, timeMs, value));
          checkChunks(tsdb);
          if (what === 'maintain') await tsdb.maintain(nowMs);
          if (what === 'power') {
            await tsdb.durable();
            disk = disk.losePower();
            ({ tsdb } = await openTsdb(disk, options));
          }
        }
        const expected = [...model.values()].sort();
        if ((await linesFrom(tsdb)).sort().join('\n') !== expected.join('\n')) return false;
        await tsdb.flush();
        return (await linesFrom(tsdb)).sort().join('\n') === expected.join('\n');
      },
    ),
    { seed, numRuns: 80 },
  );
});

t.test('late samples go into the block of their time, also while it is cut', async (t) => {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk, { outOfOrderMs: () => HOUR_MS });
  const all: string[] = [];
  const put = (timeMs: number, value: number, i: number): void => {
    const name = `m${i}`;
    const { errors } = tsdb.append(batchOf([one(timeMs, value, name)]), timeMs);
    t.same(errors, []);
    all.push(lineText(i, timeMs, value));
  };
  const count = 300;
  const late = 30 * 60_000;
  for (let step = 0; step * 300_000 <= 3 * HOUR_MS; step++) {
    for (let i = 0; i < 3; i++) {
      put(START + step * 300_000, step, i);
      if (step > 6) put(START + step * 300_000 - late + 1000, -step, i);
    }
  }
  for (let i = 3; i < count; i++) put(START + 3 * HOUR_MS, i, i);
  put(START + 3 * HOUR_MS + 1, 1, 0);
  const progress = { isCutting: true };
  const cut = tsdb.maintain(START).finally(() => {
    progress.isCutting = false;
  });
  for (let round = 0; progress.isCutting; round++) {
    for (let i = 0; i < 3; i++) put(START + 2 * HOUR_MS + 1 + round * 7, round, i);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await cut;
  t.equal(tsdb.blocks().length, 1);
  t.same((await linesFrom(tsdb)).sort(), [...all].sort());
  let samples = tsdb.blocks()[0]?.meta.stats.sampleCount ?? 0;
  const inBlock = all.filter((line) => Number(/@(\d+)=/.exec(line)?.[1]) < START + 2 * HOUR_MS);
  t.equal(samples, inBlock.length, 'all of the two hours, each once');
  await tsdb.durable();
  const { tsdb: again } = await openTsdb(disk.losePower(), options);
  t.same((await linesFrom(again)).sort(), [...all].sort());
  await again.flush();
  samples = again.blocks().reduce((sum, { meta }) => sum + meta.stats.sampleCount, 0);
  t.equal(samples, all.length);
  t.same(linesOf(await readAll(again, [], EVERYTHING)).sort(), [...all].sort());
});

function lineText(series: number, timeMs: number, value: number): string {
  const bits = new BigUint64Array(new Float64Array([value]).buffer)[0]!;
  return `__name__,m${series}@${timeMs}=${bits.toString(16)}`;
}
