/**
 * Goal: compaction loses and doubles nothing whatever dies, fails or is done twice, a story repeats exactly, and
 * the planted bugs of compaction are found. Method: short stories of `sim/compaction/`.
 */
import t from 'tap';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
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

t.test('the planted bugs of compaction are found', async (t) => {
  for (const [name, planted] of Object.entries(COMPACTION_BUGS)) {
    let found = false;
    for (let seed = 1; !found && seed <= 5; seed++) {
      const { violations } = await runCompactionStory({ seed, ciphers, windowCount: 8, planted });
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
