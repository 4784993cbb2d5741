/**
 * Goal: compaction loses and doubles nothing whatever dies, fails or is done twice, a story repeats exactly, and
 * the planted bugs of compaction are found. Method: short stories of `sim/compaction/`.
 */
import t from 'tap';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { checkAged, checkAggregated } from '../../sim/checkers/aged.ts';
import { checkCompacted } from '../../sim/checkers/compacted.ts';
import { runCompactionStory } from '../../sim/compaction/story.ts';
import { COMPACTION_BUGS } from '../../sim/planted/compaction.ts';

const ciphers = createNodeCiphers();

t.test('runCompactionStory() keeps every shipped sample, and repeats to the bit', async (t) => {
  const run = (seed: number): ReturnType<typeof runCompactionStory> =>
    runCompactionStory({ seed, ciphers, windowCount: 13 });
  const first = await run(1);
  t.strictSame(first.violations, []);
  t.ok(first.jobsDone >= 15 && first.reads > 100, JSON.stringify(first));
  t.equal((await run(1)).hash, first.hash);
  t.strictSame((await run(2)).violations, []);
});

t.test(
  'of blocks that are downsampled and go by age nothing is wrong or early or late',
  async (t) => {
    const options = { seed: 2, ciphers, windowCount: 4, hasAges: true };
    const { aggregated, queries, violations } = await runCompactionStory(options);
    t.strictSame(violations, []);
    t.ok(queries > 100 && aggregated > queries / 2, `${aggregated} of ${queries} from aggregates`);
  },
);

t.test('the planted bugs of compaction are found', async (t) => {
  for (const [name, planted] of Object.entries(COMPACTION_BUGS)) {
    if (planted.trustsClocks === true) continue; // found in stories that take longer
    let found = false;
    for (let seed = 1; !found && seed <= 5; seed++) {
      const { violations } = await runCompactionStory({
        ...{ seed, ciphers, windowCount: 8, planted },
      });
      found = violations.some(({ invariant }) => invariant === 'I15');
    }
    t.ok(found, name);
  }
});

t.test('checkCompacted() names what lacks, what differs and what was never shipped', (t) => {
  const shipped = [
    { series: 1, timeMs: 5, value: 50, owedSinceMs: 10 },
    { series: 1, timeMs: 6, value: 60, owedSinceMs: undefined },
  ];
  const check = (
    found: readonly (readonly [number, number])[],
    expected: RegExp | undefined,
  ): void => {
    const range = { minTimeMs: 0, maxTimeMs: 9 };
    const [first] = checkCompacted(
      shipped,
      { range, readAtMs: 20 },
      new Map([[1, new Map(found)]]),
    );
    if (expected === undefined) t.equal(first, undefined);
    else t.match(first?.what, expected);
  };
  check([[5, 50]], undefined);
  check(
    [
      [5, 50],
      [6, 60],
    ],
    undefined,
  );
  check([], /lacks its sample at 5/);
  check([[5, 51]], /shows 51 at 5, and 50 was shipped/);
  check(
    [
      [5, 50],
      [7, 1],
    ],
    /has one at 7/,
  );
  t.end();
});

t.test('checkAged() and checkAggregated() name what is early, late, or differs', (t) => {
  const HOUR_MS = 3_600_000;
  const at = (hours: number, series = 0) => ({
    ...{ series, timeMs: hours * HOUR_MS, value: hours, owedSinceMs: 0 },
  });
  const shipped = [at(1), at(1, 1), at(50), at(50, 1)];
  const check = (nowHours: number, shown: readonly number[], expected?: RegExp): void => {
    const nowMs = nowHours * HOUR_MS;
    const found = new Map([0, 1].map((series) => [series, new Map<number, number>()] as const));
    for (const i of shown) {
      const { series, timeMs, value } = shipped[i]!;
      found.get(series)?.set(timeMs, value);
    }
    const range = { minTimeMs: 0, maxTimeMs: 99 * HOUR_MS };
    const times = { range, readAtMs: 1, askedWallMs: nowMs, answeredWallMs: nowMs };
    const [first] = checkAged(shipped, times, found);
    if (expected === undefined) t.equal(first, undefined, `${nowHours} h, ${shown.join()}`);
    else t.match(first, { invariant: 'I16', what: expected }, `${nowHours} h, ${shown.join()}`);
  };
  check(36, [0, 1, 2, 3]);
  check(37, [0, 1, 2, 3], /series 1 shows 3600000, past its retention/);
  check(48, [0, 2, 3]);
  check(48, [2, 3], /series 0 lacks its sample at 3600000/);
  check(50, [2, 3]); // may be gone
  check(116, [0, 2]);
  check(117, [0, 2], /series 0 shows 3600000, past its retention/);
  check(117, [2]);

  const windows = { series: 0, startMs: 10 * HOUR_MS, endMs: 60 * HOUR_MS, stepMs: 50 * HOUR_MS };
  const answer = (name: 'avg' | 'count', rangeHours: number, points: readonly number[]) =>
    checkAggregated(
      shipped,
      { ...windows, function: name, rangeMs: rangeHours * HOUR_MS },
      new Map(points.map((value, i) => [windows.startMs + i * windows.stepMs, value])),
    ).length;
  t.equal(answer('avg', 11, [1, 50]), 0);
  t.equal(answer('count', 59, [1, 1]), 0, 'open at the left');
  t.equal(answer('count', 60, [1, 2]), 0);
  t.equal(answer('count', 60, [1, 1]), 1);
  t.equal(answer('avg', 11, [1]), 1, 'a point lacks');
  t.end();
});
