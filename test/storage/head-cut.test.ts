// Goal: what the head held is answered the same before, while and after it becomes a block, and after a
// crash at any disk call; nothing acknowledged is lost, nothing is there twice; old blocks go.
// Method: small TSDBs on a disk in memory whose n-th call fails, or at whose n-th call the machine dies.
import fc from 'fast-check';
import t from 'tap';
import type { Matcher } from '../../model/matchers.ts';
import { Tsdb, mergeLabelSets } from '../../storage/index.ts';
import { dueWindow, cutJitterMs } from '../../storage/cut-plan.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import {
  type BatchSeries,
  EVERYTHING,
  batchOf,
  linesOf,
  metric,
  openTsdb,
  readAll,
} from '../support/toy-tsdb.ts';

const HOUR_MS = 3_600_000;
const RANGE_MS = 2 * HOUR_MS;
/** A two-hour border. */
const START = 1_699_999_200_000;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const series = (i: number, samples: BatchSeries['samples']): BatchSeries => ({
  labels: metric(i % 2 === 0 ? 'up' : 'down', { i: String(i), long: 'x'.repeat(i * 40) }),
  samples,
});

/** Five series, one of which ends after an hour and one of which begins late. */
function write(tsdb: Tsdb, fromMs: number, toMs: number, stepMs = 300_000): void {
  for (let timeMs = fromMs; timeMs < toMs; timeMs += stepMs) {
    const wanted = [0, 1, 2, 3, 4].filter((i) => {
      if (i === 3) return timeMs < START + HOUR_MS;
      return i !== 4 || timeMs >= START + 2.5 * HOUR_MS;
    });
    const batch = batchOf(wanted.map((i) => series(i, [[timeMs + i, timeMs / 1000 + i]])));
    const { errors } = tsdb.append(batch, timeMs);
    if (errors[0] !== undefined) throw errors[0];
  }
}

const linesFrom = async (tsdb: Tsdb, range = EVERYTHING): Promise<string[]> =>
  linesOf(await readAll(tsdb, [], range));

const blockNames = (names: readonly string[]): string[] =>
  names.filter((name) => name.startsWith('01') || name.includes('tmp'));

t.test('a head is cut when it spans an hour more than the block, plus its own wait', async (t) => {
  const check = (minMs: number, maxMs: number, jitterMs: number, expected: unknown): void => {
    const span = { minTimeMs: START + minMs, maxTimeMs: START + maxMs, cutMs: -Infinity };
    t.same(dueWindow(span, jitterMs), expected);
  };
  const first = { minTimeMs: START, endMs: START + RANGE_MS };
  check(0, 3 * HOUR_MS, 0, undefined);
  check(0, 3 * HOUR_MS + 1, 0, first);
  check(5, 3 * HOUR_MS + 6, 0, first);
  check(0, 3 * HOUR_MS + 60_000, 60_000, undefined);
  check(0, 9 * HOUR_MS, 60_000, first);
  check(RANGE_MS - 1, RANGE_MS + 3 * HOUR_MS, 0, first);
  t.same(dueWindow({ minTimeMs: Infinity, maxTimeMs: -Infinity, cutMs: -Infinity }, 0), undefined);
  const jitters = Array.from({ length: 200 }, (_, i) => cutJitterMs(`node-${i % 4}/tenant-${i}`));
  t.ok(new Set(jitters.map((ms) => Math.floor(ms / 60_000))).size === 15, 'spread over 15 minutes');
});

t.test(
  'maintain() cuts aligned blocks, and answers stay the same, also after a start',
  async (t) => {
    const disk = new MemoryDisk();
    const { tsdb } = await openTsdb(disk);
    write(tsdb, START + 600_000, START + 3 * HOUR_MS);
    await tsdb.maintain(START);
    t.same(tsdb.blocks(), [], 'too early');
    write(tsdb, START + 3 * HOUR_MS, START + 4.5 * HOUR_MS);
    await tsdb.durable();
    const before = await linesFrom(tsdb);
    await tsdb.maintain(START);
    t.same(
      tsdb.blocks().map(({ meta }) => [meta.minTimeMs, meta.maxTimeMs, meta.level]),
      [[START, START + RANGE_MS, 1]],
    );
    t.equal(tsdb.head.minTimeMs, START + RANGE_MS);
    t.equal(tsdb.stats().seriesCount, 4, 'the series that ended is only in the block');
    t.same(await linesFrom(tsdb), before);
    const { tsdb: again } = await openTsdb(disk.losePower());
    t.same(await linesFrom(again), before);
    t.equal(again.head.minTimeMs, START + RANGE_MS, 'what is in blocks is not replayed');
    t.equal(again.stats().seriesCount, 4);
    write(again, START + 4.5 * HOUR_MS, START + 9 * HOUR_MS);
    await again.maintain(START);
    t.equal(again.blocks().length, 3, 'all that is due at once');
    const lines = await linesFrom(again);
    t.same(lines.filter((line) => before.includes(line)).length, before.length);
    t.equal(new Set(lines).size, lines.length);
  },
);

t.test('a sample older than the newest block is refused, and the known ones go on', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  write(tsdb, START, START + 4 * HOUR_MS);
  await tsdb.maintain(START);
  const late = batchOf([series(7, [[START + RANGE_MS - 1, 1]])]);
  t.match(tsdb.append(late, START + 4 * HOUR_MS).errors[0], { id: 'sample.too_old' });
  const first = batchOf([series(7, [[START + RANGE_MS, 1]])]);
  t.match(tsdb.append(first, START + 4 * HOUR_MS), { errors: [], samplesAppended: 1 });
});

t.test('ranges around the border get each sample once', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  write(tsdb, START, START + 5 * HOUR_MS);
  const border = START + RANGE_MS;
  const ranges = [-600_000, -1, 0, 1, 2, 3, 600_000].flatMap((from) =>
    [-1, 0, 1, 600_000].map((to) => ({ minTimeMs: border + from, maxTimeMs: border + to })),
  );
  const before: string[][] = [];
  for (const range of ranges) before.push(await linesFrom(tsdb, range));
  await tsdb.maintain(START);
  t.equal(tsdb.blocks().length, 1);
  for (const [i, range] of ranges.entries()) t.same(await linesFrom(tsdb, range), before[i]);
});

t.test('reads that look at little get little from a block', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  write(tsdb, START, START + 5 * HOUR_MS);
  const selector: Matcher[] = [{ name: '__name__', type: '=', value: 'down' }];
  const range = { minTimeMs: START, maxTimeMs: START + HOUR_MS };
  const newest = { projection: { kind: 'only', names: ['i'] } as const, newestOnly: true };
  const newestOf = async (): Promise<unknown[]> => {
    const { ends, labels, timestamps } = await readAll(tsdb, selector, range, newest);
    return labels.map((one, row) => [one, timestamps[ends[row]! - 1]]);
  };
  const setsOf = async (): Promise<unknown> => {
    const frames: Uint8Array[] = [];
    for await (const frame of tsdb.selectLabelSets([selector], range))
      if (frame !== undefined) frames.push(frame);
    return mergeLabelSets(frames);
  };
  const textsOf = async (work: AsyncGenerator<undefined, readonly string[]>): Promise<string[]> => {
    let step = await work.next();
    while (step.done !== true) step = await work.next();
    return [...step.value].sort();
  };
  const all = async (): Promise<unknown> => [
    await newestOf(),
    await setsOf(),
    await textsOf(tsdb.selectLabelNames([], range)),
    await textsOf(tsdb.selectLabelNames([selector], range)),
    await textsOf(tsdb.selectLabelValues('i', [], range)),
    await textsOf(tsdb.selectLabelValues('i', [selector, selector], range)),
    await textsOf(tsdb.selectLabelValues('none', [], range)),
  ];
  const before = await all();
  await tsdb.maintain(START);
  t.equal(tsdb.blocks().length, 1);
  t.same(await all(), before);
});

/** Cuts with the n-th disk call failing, or with the machine dying at it, until a cut needs fewer calls. */
async function cutWithFaultAt(
  n: number,
  fault: 'fail' | 'kill' | 'power',
): Promise<{ readonly isDone: boolean; readonly survivor: MemoryDisk; readonly lines: string[] }> {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk);
  write(tsdb, START, START + 3.5 * HOUR_MS, 900_000);
  await tsdb.durable();
  const lines = await linesFrom(tsdb);
  const first = disk.calls.length;
  let survivor: MemoryDisk | undefined;
  const died = new Promise<void>((resolve) => {
    disk.failWhen = (call) => {
      if (call.number !== first + n) return false;
      if (fault === 'fail') return true;
      survivor = fault === 'kill' ? disk.loseProcess() : disk.losePower();
      resolve();
      return false;
    };
  });
  const cut = tsdb.maintain(START).then(
    () => disk.calls.length < first + n,
    () => false,
  );
  const isDone = await Promise.race([cut, died.then(() => false)]);
  disk.failWhen = () => false;
  if (survivor === undefined && (await linesFrom(tsdb)).join('\n') !== lines.join('\n')) {
    throw new Error(`the running TSDB answers otherwise after call ${n}`);
  }
  return { isDone, survivor: survivor ?? disk.losePower(), lines };
}

for (const fault of ['fail', 'kill', 'power'] as const) {
  t.test(`whichever disk call of a cut it is (${fault}): all there, nothing twice`, async (t) => {
    let n = 1;
    for (let isDone = false; !isDone; n++) {
      const result = await cutWithFaultAt(n, fault);
      ({ isDone } = result);
      const { tsdb, clock } = await openTsdb(result.survivor);
      t.same(await linesFrom(tsdb), result.lines, `call ${n}`);
      const inBlocks = tsdb.blocks().reduce((sum, { meta }) => sum + meta.stats.sampleCount, 0);
      t.equal(inBlocks + tsdb.head.samplesAppended, result.lines.length, `call ${n}: twice`);
      const names = blockNames(await result.survivor.list('/data/tenant'));
      t.equal(names.length, tsdb.blocks().length, `call ${n}: ${names.join()}`);
      await tsdb.maintain(clock.wallMs());
      t.equal(tsdb.blocks().length, 1, `call ${n}: it is cut then`);
      t.same(await linesFrom(tsdb), result.lines);
    }
    t.ok(n > 25, `${n} calls`);
  });
}

t.test('appends, new series and reads go on while a cut runs', async (t) => {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk);
  const count = 600;
  const at = (timeMs: number, from = 0): void => {
    const many = Array.from({ length: count }, (_, i) => ({
      labels: metric('many', { i: String(from + i) }),
      samples: [[timeMs, timeMs]] as const,
    }));
    t.same(tsdb.append(batchOf(many), timeMs).errors, []);
  };
  for (let i = 0; i <= 10; i++) at(START + i * 20 * 60_000);
  const whole = { minTimeMs: START, maxTimeMs: START + 3.5 * HOUR_MS };
  const expected = await linesFrom(tsdb, whole);
  const early = tsdb.select([], whole, { projection: undefined, newestOnly: false });
  await early.next(); // a read that is under way all the time
  const progress = { isCutting: true };
  const cut = tsdb.maintain(START).finally(() => {
    progress.isCutting = false;
  });
  let rounds = 0;
  for (; progress.isCutting && rounds < 200; rounds++) {
    at(START + 3.5 * HOUR_MS + 1 + rounds * 1000, rounds % 3 === 0 ? rounds * count : 0);
    if (rounds % 20 === 0) t.same(await linesFrom(tsdb, whole), expected, `round ${rounds}`);
    await new Promise((resolve) => setImmediate(resolve));
    if (rounds === 100) await early.return();
  }
  await cut;
  t.ok(rounds > 100, 'nothing was dropped before the early read ended');
  t.same(await linesFrom(tsdb, whole), expected);
  t.equal(tsdb.head.minTimeMs, START + RANGE_MS);
});

t.test('a read that outlives every query fails, and does not see less', async (t) => {
  const { tsdb, clock } = await openTsdb(new MemoryDisk());
  write(tsdb, START, START + 4 * HOUR_MS);
  const stuck = tsdb.select([], EVERYTHING, { projection: undefined, newestOnly: false });
  const many = Array.from({ length: 3000 }, (_, i) => ({
    labels: metric('m', { i: String(i), filler: 'x'.repeat(200) }),
    samples: [[START + 3 * HOUR_MS, i]] as const,
  }));
  tsdb.append(batchOf(many), START + 4 * HOUR_MS);
  await stuck.next();
  let isCut = false;
  const cut = tsdb.maintain(START).then(() => {
    isCut = true;
  });
  while (tsdb.blocks().length === 0) await new Promise((resolve) => setImmediate(resolve));
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  t.notOk(isCut, 'it waits for the read');
  clock.advance(5 * 60_000);
  await cut;
  await t.rejects(async () => {
    for await (const _ of stuck);
  }, refusal('node.overloaded'));
});

t.test('flush() cuts all there is, and the next samples begin a new chunk', async (t) => {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk);
  t.same(await tsdb.flush(), [], 'nothing');
  write(tsdb, START, START + 3 * HOUR_MS);
  const [before, metas] = [await linesFrom(tsdb), await tsdb.flush()];
  t.equal(metas.length, 2);
  t.equal(tsdb.stats().seriesCount, 0);
  t.same(await linesFrom(tsdb), before);
  write(tsdb, START + 3 * HOUR_MS, START + 7 * HOUR_MS);
  await tsdb.durable();
  const after = await linesFrom(tsdb);
  await tsdb.maintain(START);
  t.equal(tsdb.blocks().length, 3);
  t.equal(tsdb.blocks()[2]?.meta.minTimeMs, metas[1]?.maxTimeMs, 'where the flush ended');
  t.same(await linesFrom(tsdb), after);
  const { tsdb: again } = await openTsdb(disk.losePower());
  t.same(await linesFrom(again), after);
});

t.test('a head that takes nothing for an hour is cut as a whole', async (t) => {
  const { tsdb, clock } = await openTsdb(new MemoryDisk(), { cutJitterMs: 60_000 });
  write(tsdb, START, START + HOUR_MS);
  const before = await linesFrom(tsdb);
  clock.advance(HOUR_MS + 60_000);
  await tsdb.maintain(START);
  t.equal(tsdb.blocks().length, 0);
  clock.advance(1);
  await tsdb.maintain(START);
  t.equal(tsdb.blocks().length, 1);
  t.equal(tsdb.stats().seriesCount, 0);
  t.same(await linesFrom(tsdb), before);
});

t.test('blocks past the retention go, by age and by bytes, and the promise says so', async (t) => {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk, { retentionMs: 6 * HOUR_MS });
  write(tsdb, START, START + 10 * HOUR_MS);
  const reading = tsdb.select([], EVERYTHING, { projection: undefined, newestOnly: false });
  await tsdb.maintain(START);
  t.equal(tsdb.blocks().length, 4);
  const before = await linesFrom(tsdb);
  await reading.next();
  await tsdb.maintain(START + 10 * HOUR_MS);
  t.same(
    tsdb.blocks().map(({ meta }) => meta.minTimeMs - START),
    [4 * HOUR_MS, 6 * HOUR_MS],
  );
  t.equal(tsdb.oldestTimeMs(START + 10 * HOUR_MS), START + 4 * HOUR_MS);
  t.equal(tsdb.oldestTimeMs(START), START + 4 * HOUR_MS, 'whatever the clock says');
  const frames: Uint8Array[] = [];
  for await (const frame of reading) if (frame !== undefined) frames.push(frame);
  t.ok(frames.length > 3, 'a read that began before gets all of it');
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  t.equal(blockNames(await disk.list('/data/tenant')).length, 2, 'then the files are gone');
  const kept = (line: string): boolean => Number(/@(\d+)=/.exec(line)?.[1]) >= START + 4 * HOUR_MS;
  t.same(await linesFrom(tsdb), before.filter(kept));
  const small = await openTsdb(disk.losePower(), { retentionBytesMax: 1 });
  t.equal(
    small.tsdb.oldestTimeMs(START),
    START + 4 * HOUR_MS,
    'a longer retention changes nothing',
  );
  await small.tsdb.maintain(START + 10 * HOUR_MS);
  t.same(small.tsdb.blocks(), []);
  t.equal(small.tsdb.oldestTimeMs(START), START + 8 * HOUR_MS);
});

t.test('a block that is not in the bucket yet stays, and so do newer ones', async (t) => {
  const shipped = new Set<string>();
  const { tsdb } = await openTsdb(new MemoryDisk(), {
    retentionMs: HOUR_MS,
    mayRemove: (id) => shipped.has(id),
  });
  write(tsdb, START, START + 8 * HOUR_MS);
  await tsdb.maintain(START);
  const ids = tsdb.blocks().map(({ meta }) => meta.id);
  t.equal(ids.length, 3);
  shipped.add(ids[1]!);
  await tsdb.maintain(START + 20 * HOUR_MS);
  t.equal(tsdb.blocks().length, 3);
  shipped.add(ids[0]!);
  await tsdb.maintain(START + 20 * HOUR_MS);
  t.same(
    tsdb.blocks().map(({ meta }) => meta.id),
    [ids[2]],
  );
  t.equal((await linesFrom(tsdb)).length > 0, true);
});

t.test('whichever disk call fails while a block goes, the promise holds', async (t) => {
  for (let n = 1, isDone = false; !isDone; n++) {
    const disk = new MemoryDisk();
    const { tsdb } = await openTsdb(disk);
    write(tsdb, START, START + 8 * HOUR_MS);
    await tsdb.maintain(START);
    const lines = await linesFrom(tsdb);
    await tsdb.close();
    const { tsdb: short } = await openTsdb(disk, { retentionMs: 5 * HOUR_MS });
    const first = disk.calls.length;
    disk.failWhen = (call) => call.number === first + n;
    isDone = await short.maintain(START + 8 * HOUR_MS).then(
      () => disk.calls.length < first + n,
      () => false,
    );
    const survivor = disk.losePower();
    const { tsdb: again } = await openTsdb(survivor);
    const promisedMs = again.oldestTimeMs(START + 8 * HOUR_MS);
    const kept = lines.filter((line) => Number(/@(\d+)=/.exec(line)?.[1]) >= promisedMs);
    const held = new Set(await linesFrom(again));
    t.ok(
      kept.every((line) => held.has(line)),
      `call ${n}`,
    );
    const names = blockNames(await survivor.list('/data/tenant'));
    t.equal(names.length, again.blocks().length, `call ${n}: ${names.join()}`);
  }
});

t.test(
  'a block that cannot be read is named by the reads that need it, and by no other',
  async (t) => {
    const disk = new MemoryDisk();
    const clock = new FakeClock(START);
    const { tsdb } = await openTsdb(disk, {}, clock);
    write(tsdb, START, START + 5 * HOUR_MS);
    clock.advance(5 * HOUR_MS);
    await tsdb.maintain(clock.wallMs());
    const id = tsdb.blocks()[0]?.meta.id ?? '';
    await tsdb.close();
    const nowMs = clock.wallMs() + 3 * HOUR_MS;
    disk.putFile(`/data/tenant/${id}/meta.json`, Buffer.from('{}'));
    const { tsdb: again } = await openTsdb(disk);
    write(again, nowMs, nowMs + 1);
    await t.rejects(linesFrom(again), refusal('block.unsupported', new RegExp(id)));
    const recent = { minTimeMs: nowMs - 60_000, maxTimeMs: nowMs + 60_000 };
    t.ok((await linesFrom(again, recent)).length > 0);
  },
);

t.test(`whatever is appended, cut and opened again, a model agrees (seed ${seed})`, async () => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('write'), hours: fc.nat(3) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('maintain'), hours: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush'), hours: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('power'), hours: fc.nat(1) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      let disk = new MemoryDisk();
      let { tsdb } = await openTsdb(disk);
      const model: string[] = [];
      let timeMs = START;
      for (const { hours, kind } of steps) {
        if (kind === 'write') {
          const toMs = timeMs + hours * HOUR_MS;
          for (; timeMs < toMs; timeMs += 1_200_000) {
            const one = series(hours, [[timeMs, hours]]);
            if (tsdb.append(batchOf([one]), timeMs).samplesAppended !== 1) return false;
            model.push(linesText(one));
          }
          await tsdb.durable();
        } else if (kind === 'maintain') await tsdb.maintain(START);
        else if (kind === 'flush') await tsdb.flush();
        else {
          disk = disk.losePower();
          ({ tsdb } = await openTsdb(disk));
        }
        const lines = await linesFrom(tsdb);
        if (lines.sort().join('\n') !== [...model].sort().join('\n')) return false;
      }
      return true;
    }),
    { seed, numRuns: 60 },
  );
});

/** The line of a series with one sample. */
function linesText({ labels, samples }: BatchSeries): string {
  const [timeMs, value] = samples[0]!;
  const bits = new BigUint64Array(new Float64Array([Number(value)]).buffer)[0]!;
  return `${labels.join()}@${timeMs}=${bits.toString(16)}`;
}

t.test('what is settled is left out when that is asked, and the rest is told', async (t) => {
  const disk = new MemoryDisk();
  const settled = new Set<string>();
  const { tsdb } = await openTsdb(disk, { isIndexed: (id) => settled.has(id) });
  write(tsdb, START, START + 8 * HOUR_MS);
  await tsdb.maintain(START);
  const [first, second, third] = tsdb.blocks().map(({ meta }) => meta);
  if (!first || !second || !third) throw new Error('three blocks are cut');
  const all = await readAll(tsdb);
  /** How many hours begin what is held, and what a read has; before so many hours it is left out. */
  const check = async (hours: number, heldFromMs: number, isAll: boolean): Promise<void> => {
    const settledBeforeMs = START + hours * HOUR_MS;
    t.equal(tsdb.heldFromMs(settledBeforeMs), heldFromMs);
    const hints = { projection: undefined, newestOnly: false, settledBeforeMs };
    const { timestamps } = await readAll(tsdb, [], EVERYTHING, hints);
    const wanted = isAll ? all.timestamps : all.timestamps.filter((time) => time >= heldFromMs);
    t.strictSame(timestamps, wanted);
  };
  await check(4, first.minTimeMs, true);
  settled.add(first.id);
  await check(2, second.minTimeMs, false);
  await check(1.9, first.minTimeMs, true);
  settled.add(second.id);
  await check(2, second.minTimeMs, false);
  await check(4, third.minTimeMs, false);
  settled.add(third.id);
  await check(9, tsdb.head.minTimeMs, false);
  await tsdb.close();
});
