// Goal: chunks of a head that are in files are read, compared with, cut and dropped as those in memory are; what a
// file lost is an error, and the log gives it back at the next start.
// Method: two TSDBs on disks in memory, one of which files what it can, are asked the same.
import t from 'tap';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { MatchMemory } from '../../storage/deletion/verdicts.ts';
import { FILING_ALL, type Tsdb, type TsdbOptions } from '../../storage/index.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import {
  EVERYTHING,
  type BatchSeries,
  batchOf,
  linesOf,
  metric,
  openTsdb,
  readAll,
} from '../support/toy-tsdb.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A two-hour border. */
const START = 1_699_999_200_000;
const SERIES = 40;
const FILES = '/data/tenant/head-chunks';
const residentMs = (): number => HOUR_MS;
const ALWAYS = { filing: { arenaBytesMin: 0, residentMs, stepMs: 15 * MINUTE_MS } };
const NEVER = { filing: { arenaBytesMin: 2 ** 40, residentMs, stepMs: HOUR_MS } };

/** Of every fourth series there are samples for an hour only, and one begins after two. */
function seriesAt(timeMs: number): BatchSeries[] {
  return Array.from({ length: SERIES }, (_, i) => ({
    labels: metric(`metric_${i % 3}`, { i: String(i) }),
    samples: [[timeMs + i, (timeMs / 1000) * i + ((timeMs * i) % 7)] as const],
  })).filter((_, i) => {
    if (i % 4 === 0 && i > 0) return timeMs < START + HOUR_MS;
    return i !== 5 || timeMs >= START + 2 * HOUR_MS;
  });
}

/** Turns of the loop, as long as something is filed. */
async function settle(tsdb: Tsdb): Promise<void> {
  await tsdb.durable();
  while (!tsdb.isQuiet) await new Promise((resolve) => setImmediate(resolve));
}

async function write(tsdb: Tsdb, fromMs: number, toMs: number): Promise<void> {
  for (let timeMs = fromMs; timeMs < toMs; timeMs += MINUTE_MS) {
    const { errors } = tsdb.append(batchOf(seriesAt(timeMs)), timeMs);
    if (errors[0] !== undefined) throw errors[0];
    await settle(tsdb);
  }
}

interface Pair {
  readonly filing: Tsdb;
  readonly plain: Tsdb;
  readonly disk: MemoryDisk;
}

async function openPair(options: Partial<TsdbOptions> = {}): Promise<Pair> {
  const disk = new MemoryDisk();
  const filing = await openTsdb(disk, { ...ALWAYS, ...options });
  const plain = await openTsdb(new MemoryDisk(), { ...options, ...NEVER });
  return { filing: filing.tsdb, plain: plain.tsdb, disk };
}

async function writeBoth({ filing, plain }: Pair, fromMs: number, toMs: number): Promise<void> {
  await write(filing, fromMs, toMs);
  await write(plain, fromMs, toMs);
}

t.test('chunks of more than an hour ago leave memory, and every read is as before', async (t) => {
  const pair = await openPair();
  await writeBoth(pair, START, START + 3 * HOUR_MS);
  t.ok(pair.filing.stats().chunkFileBytes > 0);
  t.ok(pair.filing.stats().arenaBytes < pair.plain.stats().arenaBytes);
  t.equal(pair.filing.stats().chunkCount, pair.plain.stats().chunkCount);
  t.equal(pair.plain.stats().chunkFileBytes, 0);
  const check = async (fromMs: number, toMs: number, ...names: string[]): Promise<void> => {
    const matchers = names.map((value) => ({ name: '__name__', type: '=' as const, value }));
    const range = { minTimeMs: START + fromMs, maxTimeMs: START + toMs };
    for (const newestOnly of [false, true]) {
      const hints = { projection: undefined, newestOnly };
      const ours = linesOf(await readAll(pair.filing, matchers, range, hints));
      const theirs = linesOf(await readAll(pair.plain, matchers, range, hints));
      t.strictSame(ours, theirs, `${fromMs} to ${toMs} ${names.join()}`);
    }
  };
  await check(0, 3 * HOUR_MS);
  await check(0, 3 * HOUR_MS, 'metric_1');
  await check(10 * MINUTE_MS, 50 * MINUTE_MS);
  await check(90 * MINUTE_MS, 100 * MINUTE_MS, 'metric_2');
  await check(0, HOUR_MS);
  await check(2 * HOUR_MS, 3 * HOUR_MS);
  await check(-HOUR_MS, -1);
});

t.test('a read goes on while chunks that it did not come to yet are filed', async (t) => {
  const { filing, plain } = await openPair();
  for (const tsdb of [filing, plain]) await write(tsdb, START, START + 130 * MINUTE_MS);
  const read = readAll(filing);
  await write(filing, START + 130 * MINUTE_MS, START + 3 * HOUR_MS);
  const before = START + 130 * MINUTE_MS;
  const range = { minTimeMs: START, maxTimeMs: before - 1 };
  const lines = new Set(linesOf(await read));
  for (const line of linesOf(await readAll(plain, [], range))) {
    if (!lines.has(line)) t.fail(line);
  }
  t.pass('nothing is missing');
});

t.test('a sample that is sent again is compared with the chunk in the file', async (t) => {
  const { filing } = await openPair();
  await write(filing, START, START + 3 * HOUR_MS);
  const check = (timeMs: number, change: number, expected: readonly string[]): void => {
    const series = seriesAt(START + timeMs).map((one) => ({
      ...one,
      samples: one.samples.map(([at, value]) => [at, Number(value) + change] as const),
    }));
    const { errors } = filing.append(batchOf(series.slice(0, 1)), START + 3 * HOUR_MS);
    t.same(
      errors.map(({ id }) => id),
      expected,
    );
  };
  check(7 * MINUTE_MS, 0, []);
  check(8 * MINUTE_MS, 0, []);
  check(8 * MINUTE_MS, 1, ['sample.duplicate_timestamp']);
  check(8 * MINUTE_MS + 1, 0, ['sample.out_of_order']);
  check(170 * MINUTE_MS, 0, []);
});

t.test('late samples go into chunks in memory, as far back as their window', async (t) => {
  const pair = await openPair({ outOfOrderMs: () => HOUR_MS });
  await writeBoth(pair, START, START + 2 * HOUR_MS);
  const nowMs = START + 2 * HOUR_MS;
  for (const backMs of [59, 45, 30, 10].map((minutes) => minutes * MINUTE_MS - 1234)) {
    for (const tsdb of [pair.filing, pair.plain]) {
      const { errors } = tsdb.append(batchOf(seriesAt(nowMs - backMs).slice(0, 9)), nowMs);
      t.same(errors, []);
    }
  }
  await writeBoth(pair, nowMs, nowMs + HOUR_MS);
  t.strictSame(linesOf(await readAll(pair.filing)), linesOf(await readAll(pair.plain)));
});

t.test('a late sample takes its chunk out of the file again, also while it is filed', async (t) => {
  const pair = await openPair({ outOfOrderMs: () => 3 * HOUR_MS, filing: FILING_ALL });
  await writeBoth(pair, START, START + 2 * HOUR_MS);
  const nowMs = START + 2 * HOUR_MS;
  const late = (tsdb: Tsdb, backMs: number, count: number): void => {
    const { errors } = tsdb.append(batchOf(seriesAt(nowMs - backMs).slice(0, count)), nowMs);
    t.same(errors, []);
  };
  for (let i = 0; i < 60; i++) {
    const backMs = ((i * 37) % 118) * MINUTE_MS + 1234 + i;
    late(pair.filing, backMs, 1 + (i % 20)); // what is due is being filed
    late(pair.plain, backMs, 1 + (i % 20));
    if (i % 7 === 0) await settle(pair.filing);
    if (i % 20 === 19) await writeBoth(pair, nowMs + i * MINUTE_MS, nowMs + (i + 1) * MINUTE_MS);
  }
  await settle(pair.filing);
  t.ok(pair.filing.stats().chunkFileBytes > 0);
  t.strictSame(linesOf(await readAll(pair.filing)), linesOf(await readAll(pair.plain)));
  await pair.filing.flush();
  t.strictSame(linesOf(await readAll(pair.filing)), linesOf(await readAll(pair.plain)));
});

t.test('deleted samples are left out of what files hold', async (t) => {
  const deletion: Deletion = {
    id: 'one',
    selectors: [[{ name: '__name__', type: '=', value: 'metric_1' }]],
    range: { minTimeMs: START + 5 * MINUTE_MS, maxTimeMs: START + 20 * MINUTE_MS },
  };
  const deletions = { hidden: () => [deletion], gone: () => [], memory: new MatchMemory() };
  const pair = await openPair({ deletions });
  await writeBoth(pair, START, START + 3 * HOUR_MS);
  const lines = linesOf(await readAll(pair.filing));
  t.strictSame(lines, linesOf(await readAll(pair.plain)));
  const gone = (line: string): boolean => {
    const timeMs = Number(/@(\d+)/.exec(line)?.[1]);
    return (
      line.includes('metric_1') &&
      timeMs < START + 20 * MINUTE_MS &&
      timeMs >= START + 5 * MINUTE_MS
    );
  };
  t.notOk(lines.some(gone));
});

t.test('a cut reads the files, and a file goes when nothing of it is left', async (t) => {
  const pair = await openPair();
  await writeBoth(pair, START, START + 4 * HOUR_MS);
  const before = linesOf(await readAll(pair.plain));
  t.equal((await pair.disk.list(FILES)).length, 2);
  for (const tsdb of [pair.filing, pair.plain]) await tsdb.maintain(START + 4 * HOUR_MS);
  t.equal(pair.filing.blocks().length, 1);
  t.same(pair.filing.blocks()[0]!.meta.stats, pair.plain.blocks()[0]!.meta.stats);
  t.strictSame(linesOf(await readAll(pair.filing)), before);
  t.equal((await pair.disk.list(FILES)).length, 1);
  await pair.filing.flush();
  t.same(await pair.disk.list(FILES), []);
  t.equal(pair.filing.stats().chunkFileBytes, 0);
  t.strictSame(linesOf(await readAll(pair.filing)), before);
});

t.test('a start removes the files and files again what the log has', async (t) => {
  const { disk, filing } = await openPair();
  await write(filing, START, START + 3 * HOUR_MS);
  const before = linesOf(await readAll(filing));
  const found = disk.loseProcess();
  found.putFile(`${FILES}/000009`, Buffer.from('left over'));
  const { tsdb } = await openTsdb(found, ALWAYS);
  t.ok(tsdb.stats().chunkFileBytes > 0);
  t.notOk((await found.list(FILES)).includes('000009'));
  t.strictSame(linesOf(await readAll(tsdb)), before);
});

t.test(
  'a bit that flipped is an error of the read and the cut, and no start knows of it',
  async (t) => {
    const told: string[] = [];
    const { disk, filing } = await openPair({ onDamage: (why) => told.push(why) });
    await write(filing, START, START + 3 * HOUR_MS);
    const before = linesOf(await readAll(filing));
    const [name = ''] = await disk.list(FILES);
    const bytes = disk.fileBytes(`${FILES}/${name}`);
    for (let at = 0; at < bytes.length; at += 16) bytes[at]! ^= 1;
    await t.rejects(readAll(filing), refusal('disk.failed', /not what was written/));
    t.match(told[0], /not what was written: .*head-chunks/);
    await t.rejects(filing.flush(), refusal('disk.failed', /not what was written/));
    const again = batchOf(seriesAt(START).slice(0, 1));
    t.equal(filing.append(again, START + 3 * HOUR_MS).errors[0]?.id, 'sample.out_of_order');
    const newest = { minTimeMs: START + 2.5 * HOUR_MS, maxTimeMs: EVERYTHING.maxTimeMs };
    t.ok(linesOf(await readAll(filing, [], newest)).length > 0, 'what is in memory is there');
    const { tsdb } = await openTsdb(disk.loseProcess(), ALWAYS);
    t.strictSame(linesOf(await readAll(tsdb)), before);
  },
);

t.test('while files cannot be written chunks stay in memory', async (t) => {
  const { disk, filing, plain } = await openPair();
  disk.failWhen = ({ path }) => path.startsWith(FILES);
  for (const tsdb of [filing, plain]) await write(tsdb, START, START + 3 * HOUR_MS);
  t.equal(filing.stats().arenaBytes, plain.stats().arenaBytes);
  t.strictSame(linesOf(await readAll(filing)), linesOf(await readAll(plain)));
  disk.failWhen = () => false;
  await write(filing, START + 3 * HOUR_MS, START + 3.5 * HOUR_MS);
  await write(plain, START + 3 * HOUR_MS, START + 3.5 * HOUR_MS);
  t.ok(filing.stats().arenaBytes < plain.stats().arenaBytes);
  t.strictSame(linesOf(await readAll(filing)), linesOf(await readAll(plain)));
});
