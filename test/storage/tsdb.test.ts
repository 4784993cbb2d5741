// Goal: a TSDB holds exactly what it acknowledged, refuses what it must with the right reason, and forgets
// only what left the retention. Method: batches by hand on a disk in memory that can fail and lose power.
import fc from 'fast-check';
import t from 'tap';
import { withScratch } from '../../model/scratch-memory.ts';
import { compileMatcher } from '../../model/matchers.ts';
import { labelValue } from '../../model/labels.ts';
import { parseTenantId } from '../../model/ids.ts';
import {
  type AppendResult,
  batchPart,
  joinResults,
  mergeLabelSets,
  mergeSeriesFrames,
  selectFrames,
  selectLabelValues,
} from '../../storage/index.ts';
import { cutTime } from '../../storage/head/head.ts';
import { tenantPathParts } from '../../storage/tsdb-manager.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { refusal } from '../support/refusal.ts';
import {
  type BatchSeries,
  EVERYTHING,
  batchOf,
  framesOf,
  linesOf,
  metric,
  openTsdb,
  selectAll,
} from '../support/toy-tsdb.ts';

const NOW = 1_700_000_000_000;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const up = (samples: BatchSeries['samples'], withLabels = true): BatchSeries => ({
  labels: metric('up'),
  samples,
  withLabels,
});

t.test('append() stores samples bit for bit, and a restart finds them all', async (t) => {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk);
  const stale = 0x7ff0_0000_0000_0002n;
  const result = tsdb.append(
    batchOf([
      up([
        [NOW, 1.5],
        [NOW + 1, stale],
        [NOW + 2, -0],
        [NOW + 3, 5e-324],
        [NOW + 4, 0xfff8_0000_0000_deadn],
      ]),
    ]),
    NOW,
  );
  t.match(result, { samplesAppended: 5, errors: [] });
  await tsdb.durable();
  const expected = linesOf(selectAll(tsdb));
  t.equal(expected.length, 5);
  t.match(expected[1], '7ff0000000000002');
  const { tsdb: again } = await openTsdb(disk.losePower());
  t.same(linesOf(selectAll(again)), expected);
});

t.test('the parts of a batch are appended as the whole, and are short', async (t) => {
  const names = Array.from({ length: 5000 }, (_, i) => `m${String(i % 4990).padStart(4, '0')}`);
  const batch = batchOf(
    names.map((name, i) => ({
      labels: metric(name),
      samples: i === 7 ? [] : Array.from({ length: i === 9 ? 3000 : 2 }, (_, k) => [NOW + k, i]),
      withLabels: i % 1000 !== 0,
    })),
  );
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk);
  const { tsdb: whole } = await openTsdb(new MemoryDisk());
  const results: AppendResult[] = [];
  let at = 0;
  while (at < batch.seriesCount) {
    const part = batchPart(batch, at);
    t.equal(part.from, at);
    const { from, to } = part;
    const samples = batch.sampleEnds[to - 1]! - (from === 0 ? 0 : batch.sampleEnds[from - 1]!);
    t.ok(to > from && to - from <= 1024 && (samples <= 1024 || to - from === 1));
    results.push(tsdb.append(batch, NOW, part));
    at = part.to;
  }
  t.ok(results.length > 9);
  const joined = joinResults(results);
  t.same(joined, whole.append(batch, NOW));
  t.same([...joined.unknown], [0, 1000, 2000, 3000, 4000]);
  t.ok(joined.rejected.length >= 5, 'names that come again with other values');
  t.same(linesOf(selectAll(tsdb)), linesOf(selectAll(whole)));
  await tsdb.durable();
  const { tsdb: again } = await openTsdb(disk.losePower());
  t.same(linesOf(selectAll(again)), linesOf(selectAll(whole)));
});

t.test(
  'a fill with nothing makes no block, and still tells from when on there is a promise',
  async (t) => {
    const disk = new MemoryDisk();
    const { tsdb } = await openTsdb(disk);
    const nothing = { symbols: () => [], series: () => [] };
    const before = tsdb.oldestTimeMs(NOW);
    await tsdb.fill(nothing, { minTimeMs: NOW - 7200_000, maxTimeMs: NOW }, NOW - 3600_000);
    t.ok(before < NOW - 3600_000);
    t.equal(tsdb.oldestTimeMs(NOW), NOW - 3600_000);
    t.same(tsdb.blocks(), []);
    await tsdb.close();
    const { tsdb: again } = await openTsdb(disk.losePower());
    t.equal(again.oldestTimeMs(NOW), NOW - 3600_000);
  },
);

t.test('a series unknown here is named, and stored once its labels come', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  const first = tsdb.append(
    batchOf([up([[NOW, 1]], false), { labels: metric('down'), samples: [[NOW, 2]] }]),
    NOW,
  );
  t.same([...first.unknown], [0]);
  t.equal(first.samplesAppended, 1);
  t.same([...tsdb.append(batchOf([up([[NOW, 1]])]), NOW).unknown], []);
  t.same([...tsdb.append(batchOf([up([[NOW + 1, 1]], false)]), NOW).unknown], []);
  t.equal(linesOf(selectAll(tsdb)).length, 3);
});

t.test('W33, W34, W35 samples are refused with the reason and the rest is stored', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  tsdb.append(batchOf([up([[NOW, 1]])]), NOW);
  const check = (timeMs: number, value: number, id: string | undefined): void => {
    const result = tsdb.append(
      batchOf([
        {
          labels: metric('other', { at: String(timeMs), value: String(value) }),
          samples: [[NOW, 1]],
        },
        up([[timeMs, value]]),
      ]),
      NOW,
    );
    t.equal(result.errors[0]?.id, id, `${timeMs} ${value}`);
    t.same([...result.rejected], id === undefined ? [] : [1]);
  };
  check(NOW, 1, undefined); // the same again
  check(NOW, 2, 'sample.duplicate_timestamp');
  check(NOW - 1, 1, 'sample.out_of_order');
  check(0, 1, 'sample.too_old');
  check(-5, 1, 'sample.too_old');
  check(Math.floor(NOW / 1000), 1, 'sample.too_old'); // seconds by mistake
  check(NOW * 1000, 1, 'sample.too_far_in_future'); // microseconds by mistake
  check(2 ** 63, 1, 'sample.too_far_in_future');
  check(NOW + 600_000, 7, undefined);
  check(NOW + 600_001, 7, 'sample.too_far_in_future');
});

t.test('a retry of the same batch succeeds, also when newer samples came meanwhile', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  const batch = (): ReturnType<typeof batchOf> =>
    batchOf([up([[NOW, 1]]), { labels: metric('b'), samples: [[NOW, 2]] }]);
  tsdb.append(batch(), NOW);
  t.match(tsdb.append(batch(), NOW), { errors: [], samplesAppended: 0 });
  tsdb.append(batchOf([up([[NOW + 1, 1]])]), NOW);
  t.match(tsdb.append(batch(), NOW), { errors: [], samplesAppended: 0 });
});

t.test(`append() answers as a list of all samples would, in any order (seed ${seed})`, async () => {
  const sample = fc.record({
    series: fc.nat(2),
    step: fc.nat(60),
    value: fc.constantFrom(0, 1, 2 ** 40, Number.NaN, -0),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(sample, { minLength: 1, maxLength: 200 }),
      fc.constantFrom(1000, 15_000, 300_000), // of which the last spans several chunks
      async (samples, stepMs) => {
        const { tsdb } = await openTsdb(new MemoryDisk(), { futureMaxMs: 2 ** 40 });
        const held = new Map<string, number>();
        const newest = new Map<number, number>();
        for (const { series, step, value } of samples) {
          const timeMs = NOW + step * stepMs;
          const key = `${series}@${timeMs}`;
          const known = held.get(key);
          let expected: string | undefined;
          if (known !== undefined && !Object.is(known, value))
            expected = 'sample.duplicate_timestamp';
          else if (known === undefined && timeMs < (newest.get(series) ?? 0))
            expected = 'sample.out_of_order';
          const labels = metric('m', { series: String(series) });
          const { errors, samplesAppended } = tsdb.append(
            batchOf([{ labels, samples: [[timeMs, value]] }]),
            NOW,
          );
          if (errors[0]?.id !== expected) return false;
          if ((samplesAppended === 1) !== (known === undefined && expected === undefined))
            return false;
          if (expected !== undefined) continue;
          held.set(key, value);
          newest.set(series, Math.max(timeMs, newest.get(series) ?? 0));
        }
        return linesOf(selectAll(tsdb)).length === held.size;
      },
    ),
    { seed, numRuns: 150 },
  );
});

t.test('W31 over max_series_per_user new series are refused and known ones go on', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk(), { seriesMax: () => 2 });
  const series = (i: number, at: number): BatchSeries => ({
    labels: metric('m', { i: String(i) }),
    samples: [[at, 1]],
  });
  const result = tsdb.append(batchOf([series(1, NOW), series(2, NOW), series(3, NOW)]), NOW);
  t.same([...result.rejected], [2]);
  t.match(result.errors[0], { id: 'limit.series_per_tenant', message: /max_series_per_user 2/ });
  t.match(tsdb.append(batchOf([series(1, NOW + 1), series(2, NOW + 1)]), NOW), {
    errors: [],
    samplesAppended: 2,
  });
});

t.test('a fingerprint that does not fit its labels is an error, never a merge', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  const forged = batchOf([up([[NOW, 1]])]);
  forged.fingerprints[2]! ^= 1;
  t.match(tsdb.append(forged, NOW).errors[0], { id: 'series.fingerprint_collision' });
  tsdb.append(batchOf([up([[NOW, 1]])]), NOW);
  const other = batchOf([{ labels: metric('xy'), samples: [[NOW + 1, 1]] }]);
  other.fingerprints.set(batchOf([up([])]).fingerprints);
  t.match(tsdb.append(other, NOW).errors[0], { id: 'series.fingerprint_collision' });
  t.equal(linesOf(selectAll(tsdb)).length, 1);
});

t.test(
  'D3 fail the write, heal, retry the same body, 2xx, lose power: it is still there',
  async (t) => {
    for (let failing = 1; failing < 12; failing++) {
      let calls = 0;
      let isFailing = false;
      const disk = new MemoryDisk();
      const { tsdb } = await openTsdb(disk);
      disk.failCode = 'ENOSPC';
      disk.failWhen = (call) => isFailing && call.kind === 'write' && ++calls <= failing;
      tsdb.append(batchOf([up([[NOW, 1]])]), NOW);
      await tsdb.durable();
      isFailing = true;
      const body = (): ReturnType<typeof batchOf> =>
        batchOf([
          up([
            [NOW + 1, 2],
            [NOW + 2, 2.5],
          ]),
          {
            labels: metric('new'),
            samples: [
              [NOW + 1, 3],
              [NOW + 2, 3.5],
            ],
          },
        ]);
      let attempts = 0;
      for (let isAcknowledged = false; !isAcknowledged; attempts++) {
        try {
          const result = tsdb.append(body(), NOW);
          t.same(result.errors, []);
          await tsdb.durable();
          isAcknowledged = true;
        } catch (error) {
          t.match(error, refusal('wal.write_failed'));
        }
      }
      t.ok(attempts > 1, 'it failed at least once');
      const { tsdb: again } = await openTsdb(disk.losePower());
      t.equal(linesOf(selectAll(again)).length, 5, `after ${failing} failures`);
    }
  },
);

t.test('D4 after a failed sync nothing is acknowledged any more', async (t) => {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk);
  disk.failWhen = (call) => call.kind === 'sync';
  tsdb.append(batchOf([up([[NOW, 1]])]), NOW);
  await t.rejects(tsdb.durable(), refusal('wal.sync_failed'));
  disk.failWhen = () => false;
  t.throws(() => tsdb.append(batchOf([up([[NOW + 1, 1]])]), NOW), refusal('wal.sync_failed'));
  await t.rejects(tsdb.durable(), refusal('wal.sync_failed'));
});

t.test('D a horizon that says no time is refused by its name', async (t) => {
  const disk = new MemoryDisk();
  await openTsdb(disk);
  for (const text of ['', 'soon\n', '1e3\n', '99999999999999999\n']) {
    disk.putFile('/data/tenant/HORIZON', Buffer.from(text));
    await t.rejects(openTsdb(disk), refusal('disk.failed', /HORIZON/));
  }
});

t.test('a select that waits shows no series that came into a number it holds', async (t) => {
  const { tsdb, clock } = await openTsdb(new MemoryDisk());
  const put = (name: string, timeMs: number, count: number): void => {
    const series = Array.from({ length: count }, (_, i) => ({
      labels: metric(name, { i: String(i), filler: 'x'.repeat(200) }),
      samples: [[timeMs, i]] as const,
    }));
    t.same(tsdb.append(batchOf(series), timeMs).errors, []);
  };
  const select = (): ReturnType<typeof selectFrames> =>
    selectFrames(tsdb.head, [[{ name: '__name__', type: '=', value: 'asked' }]], EVERYTHING);
  clock.advance(NOW - clock.wallMs());
  put('asked', NOW, 4000);
  const waiting = select();
  const abandoned = select();
  const frames = [waiting.next().value, abandoned.next().value].slice(0, 1);
  const laterMs = NOW + 7_200_000;
  put('kept', laterMs, 1);
  for (const _ of tsdb.head.dropBefore(laterMs)); // what a cut does, without waiting for reads
  abandoned.return();
  put('other', laterMs, 4000);
  for (const frame of waiting) frames.push(frame);
  const whole = frames.filter((frame) => frame instanceof Uint8Array);
  const names = mergeLabelSets(whole).map((labels) => labels[1]);
  t.same([...new Set(names)], ['asked']);
  t.ok(names.length < 4000, 'what went meanwhile is left out');
  const before = tsdb.head.series.length;
  for (const _ of tsdb.head.dropBefore(laterMs + 7_200_000));
  put('later', laterMs + 7_200_000, 4000);
  t.equal(tsdb.head.series.length, before, 'once it ended, numbers are used again');
});

t.test(`matching equals asking every series (seed ${seed})`, async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  const value = fc.constantFrom('', 'a', 'b', 'ab', 'abc', '__proto__');
  const name = fc.constantFrom('x', 'y', 'constructor');
  const everything = fc
    .sample(fc.tuple(value, value, value), { seed, numRuns: 80 })
    .map(([x, y, z]) => metric('m', { x, y, constructor: z }));
  const unique = [...new Map(everything.map((labels) => [labels.join('\0'), labels])).values()];
  tsdb.append(batchOf(unique.map((labels) => ({ labels, samples: [[NOW, 1]] }))), NOW);
  const matcher = fc.record({
    name,
    type: fc.constantFrom('=', '!=', '=~', '!~'),
    value: fc.constantFrom('', 'a', 'ab', '.*', '.+', 'a|b', 'a.*', '.*b', '__proto__'),
  });
  fc.assert(
    fc.property(fc.array(matcher, { minLength: 1, maxLength: 3 }), (matchers) => {
      const compiled = matchers.map(compileMatcher);
      const expected = unique.filter((labels) =>
        compiled.every((one) => one.matches(labelValue(labels, one.matcher.name))),
      ).length;
      return selectAll(tsdb, matchers).labels.length === expected;
    }),
    { seed, numRuns: 400 },
  );
  const values = selectLabelValues(tsdb.head, 'constructor', [], EVERYTHING);
  let step = values.next();
  while (step.done !== true) step = values.next();
  t.same(
    new Set(step.value),
    new Set(
      unique.map((labels) => labelValue(labels, 'constructor')).filter((text) => text !== ''),
    ),
  );
});

t.test(
  'replicas that began at different times cut equal chunks, and merge to one series',
  async (t) => {
    const a = (await openTsdb(new MemoryDisk())).tsdb;
    const b = (await openTsdb(new MemoryDisk())).tsdb;
    const sample = (i: number): BatchSeries => up([[NOW + i * 15_000, i]]);
    for (let i = 0; i < 700; i++) a.append(batchOf([sample(i)]), NOW + i * 15_000);
    for (let i = 200; i < 700; i++) if (i !== 450) b.append(batchOf([sample(i)]), NOW + i * 15_000);
    const merged = mergeSeriesFrames([...framesOf(a), ...framesOf(b)], EVERYTHING);
    t.same(
      [...merged.timestamps],
      Array.from({ length: 700 }, (_, i) => NOW + i * 15_000),
    );
    for (const maxTimeMs of [NOW + 20_000, NOW + 6_000_000, NOW + 9_000_000]) {
      const range = { minTimeMs: NOW + 10_000, maxTimeMs };
      const read = (): readonly string[] =>
        linesOf(mergeSeriesFrames([...framesOf(a), ...framesOf(b)], range));
      t.same(withScratch(read), read(), 'in scratch memory too');
    }
    const cuts = (first: number): number[] => {
      const all: number[] = [];
      for (let at = first, cut = 0; at < NOW + 4 * 3_600_000; at += 15_000) {
        if (at >= cut) all.push((cut = cutTime(at, 15_000, 12_345_678)));
      }
      return all;
    };
    t.same(
      cuts(NOW + 3_000_000),
      cuts(NOW).filter((cut) => cut > NOW + 3_000_000),
      'the grid does not depend on the start',
    );
  },
);

t.test(
  'at one time with two values the merge picks the one that is not stale, then the larger bits',
  async (t) => {
    const pick = async (one: number | bigint, other: number | bigint): Promise<string> => {
      const a = (await openTsdb(new MemoryDisk())).tsdb;
      const b = (await openTsdb(new MemoryDisk())).tsdb;
      a.append(batchOf([up([[NOW, one]])]), NOW);
      b.append(batchOf([up([[NOW, other]])]), NOW);
      const forward = linesOf(mergeSeriesFrames([...framesOf(a), ...framesOf(b)], EVERYTHING));
      t.same(
        linesOf(mergeSeriesFrames([...framesOf(b), ...framesOf(a)], EVERYTHING)),
        forward,
        'whatever the order',
      );
      return forward.join();
    };
    const stale = 0x7ff0_0000_0000_0002n;
    t.match(await pick(1, 2), '=4000000000000000');
    t.match(await pick(stale, 1), '=3ff0000000000000');
    t.match(await pick(-1, 1), '=bff0000000000000');
  },
);

t.test('a corrupt frame is refused, whatever byte is wrong', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  tsdb.append(
    batchOf([
      up([
        [NOW, 1],
        [NOW + 1, 2],
      ]),
      { labels: metric('b', { a: 'c' }), samples: [[NOW, 5]] },
    ]),
    NOW,
  );
  const frame = framesOf(tsdb)[0]!;
  for (let length = 0; length < frame.length; length++) {
    t.throws(
      () => mergeSeriesFrames([frame.slice(0, length)], EVERYTHING),
      refusal('protobuf.corrupt'),
    );
  }
  for (let at = 0; at < frame.length; at++) {
    const mutant = Uint8Array.from(frame);
    mutant[at]! ^= 0x41;
    const read = (): readonly string[] => {
      try {
        return linesOf(mergeSeriesFrames([mutant], EVERYTHING));
      } catch (error) {
        t.match(error, refusal('protobuf.corrupt'));
        return ['refused'];
      }
    };
    t.ok(read().length < 70_000);
    t.same(withScratch(read), read(), 'in scratch memory too');
  }
});

t.test(
  'W44 tenants have directories of their own, on file systems that fold case too',
  async (t) => {
    const path = (tenant: string): string => tenantPathParts(parseTenantId(tenant)).join('/');
    t.equal(path('team-a_1'), 'team-a_1');
    t.equal(path('A'), '%41');
    t.equal(path('CON'), '%43%4F%4E');
    t.equal(path('__proto__'), '__proto__');
    const tenants = [
      'A',
      'a',
      '__proto__',
      'constructor',
      'CON',
      'con',
      'a.b',
      'a*b',
      "it's",
      'X'.repeat(150),
      `${'X'.repeat(149)}Y`,
    ];
    t.equal(new Set(tenants.map((tenant) => path(tenant).toLowerCase())).size, tenants.length);
    for (const part of tenants.flatMap((tenant) => tenantPathParts(parseTenantId(tenant))))
      t.ok(part.length <= 255);
  },
);

t.test('D16 a directory of a newer format is refused before anything is written', async (t) => {
  const disk = new MemoryDisk();
  const { tsdb } = await openTsdb(disk);
  await tsdb.close();
  disk.putFile('/data/tenant/FORMAT', Buffer.from('99\n'));
  await t.rejects(openTsdb(disk), refusal('disk.format_newer', /format 99/));
});
