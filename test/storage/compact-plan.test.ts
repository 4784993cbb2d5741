/**
 * Goal: the plan of compaction is deterministic, never takes a block twice, keeps to aligned ranges that are
 * past, and comes to an end; what is not needed any more is told without losing anything.
 * Method: cases as drawings of blocks, and random sets of blocks that are compacted until nothing is left.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  type PlanOptions,
  type PlannedBlock,
  planCompaction,
  sourcesOf,
} from '../../storage/compact/plan.ts';
import { testBlockId } from '../support/block-contents.ts';

const HOUR_MS = 3_600_000;
const OPTIONS: PlanOptions = {
  rangesMs: [2 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS],
  waitMs: 25 * 60_000,
  nowMs: 1000 * HOUR_MS,
  deleted: new Set(),
  noCompact: new Set(),
  jobBlocksMax: 64,
  jobBytesMax: 1e12,
};

/** A block from hour to hour. */
function block(
  n: number,
  fromHours: number,
  toHours: number,
  more: Partial<PlannedBlock> = {},
): PlannedBlock {
  return {
    id: testBlockId(n),
    minTimeMs: fromHours * HOUR_MS,
    maxTimeMs: toHours * HOUR_MS,
    level: 1,
    sources: [testBlockId(n)],
    group: '',
    sizeBytes: 100,
    uploadedAtMs: 0,
    ...more,
  };
}

const numberOf = (id: string): number => Number(id.slice(4));

/** Jobs as `kind hours: blocks`. */
function jobsOf(blocks: readonly PlannedBlock[], options: Partial<PlanOptions> = {}): string[] {
  return planCompaction(blocks, { ...OPTIONS, ...options }).jobs.map(({ blocks, kind, range }) => {
    const ids = blocks.map(({ id }) => numberOf(id)).join(' ');
    return `${kind} ${range.startMs / HOUR_MS}-${range.endMs / HOUR_MS}: ${ids}`;
  });
}

t.test('planCompaction() puts blocks of one aligned range together, overlaps first', (t) => {
  const check = (
    blocks: readonly PlannedBlock[],
    expected: readonly string[],
    options: Partial<PlanOptions> = {},
  ): void => {
    t.strictSame(jobsOf(blocks, options), expected);
    t.strictSame(jobsOf(blocks.toReversed(), options), expected, 'in any order');
  };
  const halfDay = [1, 2, 3, 4, 5, 6].map((n) => block(n, 2 * n - 2, 2 * n));
  check([], []);
  check([block(1, 0, 2)], []);
  check([block(1, 0, 2), block(2, 0, 2), block(3, 0, 2)], ['vertical 0-2: 1 2 3']);
  check([block(1, 0, 1), block(2, 1, 2)], ['horizontal 0-2: 1 2']);
  check(halfDay, ['horizontal 0-12: 1 2 3 4 5 6']);
  check(
    [...halfDay, block(7, 12, 14)],
    ['horizontal 0-12: 1 2 3 4 5 6'],
    { nowMs: 14 * HOUR_MS }, // past, as there is a later block
  );
  check(halfDay, [], { nowMs: 13 * HOUR_MS });
  check(halfDay.slice(0, 3), [], { nowMs: 23 * HOUR_MS });
  check(halfDay.slice(0, 3), ['horizontal 0-12: 1 2 3'], { nowMs: 24 * HOUR_MS });
  check([...halfDay, block(7, 2, 4)], ['vertical 2-4: 2 7']); // the day waits for that
  check([...halfDay, block(7, 3, 5)], ['vertical 0-12: 1 2 7 3 4 5 6']); // across a border of 2 h
  check([block(1, 11, 13), block(2, 12, 14)], ['vertical 0-24: 1 2']);
  check([block(1, 23, 25), block(2, 23, 25)], []); // across the longest range
  check([block(1, 0, 12), block(2, 12, 24)], ['horizontal 0-24: 1 2']);
  check([block(1, 0, 24), block(2, 4, 6)], ['vertical 0-24: 1 2']); // came late
  check([block(1, -2, -1), block(2, -1, 0), block(3, 0, 2)], ['horizontal -2-0: 1 2']);
  check(
    [block(1, 30, 32), block(2, 30, 32), block(3, 0, 1), block(4, 1, 2)],
    ['vertical 30-32: 1 2', 'horizontal 0-2: 3 4'],
  );
  t.end();
});

t.test('planCompaction() respects marks, groups, waiting and bounds', (t) => {
  const three = [block(1, 0, 2), block(2, 0, 2), block(3, 0, 2)];
  const why = (blocks: readonly PlannedBlock[], options: Partial<PlanOptions> = {}): string[] =>
    planCompaction(blocks, { ...OPTIONS, ...options }).held.map((held) => held.why);
  t.strictSame(jobsOf(three, { deleted: new Set([testBlockId(2)]) }), ['vertical 0-2: 1 3']);
  t.strictSame(jobsOf(three, { noCompact: new Set([testBlockId(2)]) }), ['vertical 0-2: 1 3']);
  t.strictSame(jobsOf([...three, block(4, 0, 2, { group: 'x' })]), ['vertical 0-2: 1 2 3']);
  const fresh = block(4, 0, 2, { uploadedAtMs: OPTIONS.nowMs - 1000 });
  t.strictSame(jobsOf([...three, fresh]), []);
  t.strictSame(why([...three, fresh]), ['waits for replicas']);
  const ahead = block(4, 0, 2, { uploadedAtMs: OPTIONS.nowMs + 24 * 3_600_000 });
  t.strictSame(why([...three, ahead]), [], 'the clock of who saw it was wrong');
  t.strictSame(jobsOf([...three, { ...fresh, level: 2 }]).length, 1, 'what was compacted is whole');
  t.strictSame(why(three, { nowMs: HOUR_MS }), ['not past']);
  t.strictSame(jobsOf(three, { jobBlocksMax: 2 }), ['vertical 0-2: 1 2']);
  t.strictSame(jobsOf(three, { jobBytesMax: 250 }), ['vertical 0-2: 1 2']);
  t.strictSame(why(three, { jobBytesMax: 150 }), ['too large']);
  t.end();
});

t.test('planCompaction() tells which blocks another one replaces', (t) => {
  const ids = (...numbers: number[]): PlannedBlock['sources'] => numbers.map(testBlockId);
  const check = (
    blocks: readonly PlannedBlock[],
    expected: readonly (readonly number[])[],
  ): void => {
    for (const order of [blocks, blocks.toReversed()]) {
      const { redundant } = planCompaction(order, OPTIONS);
      const found = [...redundant].map(([a, b]) => [numberOf(a), numberOf(b)]);
      t.strictSame(found.sort(), expected);
    }
  };
  const pair = [block(1, 0, 2), block(2, 0, 2)];
  const made = block(8, 0, 2, { level: 2, sources: ids(1, 2) });
  const madeToo = block(9, 0, 2, { level: 2, sources: ids(1, 2) });
  const later = block(7, 0, 12, { level: 3, sources: ids(1, 2, 3) });
  check(pair, []);
  check(
    [...pair, made],
    [
      [1, 8],
      [2, 8],
    ],
  );
  check([made, madeToo], [[9, 8]]); // two did it: all keep the same one
  check(
    [...pair, madeToo, made, later],
    [
      [1, 7],
      [2, 7],
      [8, 7],
      [9, 7],
    ],
  );
  check([block(1, 0, 2), { ...made, group: 'other' }], []);
  check([block(1, 0, 4), made], []); // it does not cover it
  check([block(1, 0, 2, { sources: [] }), made], [[1, 8]]);
  check([block(3, 0, 2), made], []);
  const gone = planCompaction([...pair, made], { ...OPTIONS, deleted: new Set([made.id]) });
  t.equal(gone.redundant.size, 0, 'what will be deleted replaces nothing');
  const kept = planCompaction([...pair, made], { ...OPTIONS, noCompact: new Set([made.id]) });
  t.equal(kept.redundant.size, 2, 'what stays as it is does');
  t.end();
});

t.test(
  'compacting what is planned until nothing is planned keeps everything, for any blocks',
  (t) => {
    const anyBlock = fc.record({
      from: fc.integer({ min: -30, max: 60 }),
      length: fc.constantFrom(1, 1, 2, 2, 2, 2, 3, 12),
      isAligned: fc.boolean(),
      group: fc.constantFrom('', '', '', 'x'),
      uploadedAtMs: fc.constantFrom(0, 0, 0, OPTIONS.nowMs),
      isExcluded: fc.boolean(),
    });
    const property = fc.property(
      fc.array(anyBlock, { maxLength: 40 }),
      fc.integer({ min: 2, max: 8 }),
      (drawn, jobBlocksMax) => {
        const start = drawn.map(({ from, group, isAligned, length, uploadedAtMs }, n) => {
          const at = isAligned ? Math.floor(from / length) * length : from;
          return block(n, at, at + length, { group, uploadedAtMs });
        });
        const excluded = new Set(drawn.flatMap((one, n) => (one.isExcluded ? testBlockId(n) : [])));
        const options = { ...OPTIONS, deleted: excluded, jobBlocksMax };
        let blocks: readonly PlannedBlock[] = start;
        for (let round = 0, next = 1000; ; round++) {
          if (round > 200) return false; // does not end
          const { held, jobs, redundant } = planCompaction(blocks, options);
          if (redundant.size > 0) return false; // each round takes away what it replaced
          const seen = new Set([...jobs.flatMap((job) => job.blocks.map(({ id }) => id))]);
          const count = jobs.reduce((sum, job) => sum + job.blocks.length, 0);
          if (seen.size !== count || [...seen].some((id) => excluded.has(id))) return false;
          if (held.some((one) => one.blocks.some((id) => seen.has(id)))) return false;
          if (jobs.length === 0) break;
          const replaced = new Map<string, PlannedBlock>();
          for (const { blocks: parts, range } of jobs) {
            if (parts.length < 2 || parts.length > jobBlocksMax) return false;
            const made: PlannedBlock = {
              ...parts[0]!,
              id: testBlockId(next++),
              minTimeMs: Math.min(...parts.map(({ minTimeMs }) => minTimeMs)),
              maxTimeMs: Math.max(...parts.map(({ maxTimeMs }) => maxTimeMs)),
              level: Math.max(...parts.map(({ level }) => level)) + 1,
              sources: parts.flatMap(sourcesOf),
            };
            if (made.minTimeMs < range.startMs || made.maxTimeMs > range.endMs) return false;
            if (parts.some(({ group }) => group !== made.group)) return false;
            for (const { id } of parts) replaced.set(id, made);
          }
          const rest = blocks.filter(({ id }) => !replaced.has(id));
          blocks = [...rest, ...new Set(replaced.values())];
        }
        const before = start.map(({ id }) => id).sort();
        return blocks.flatMap(sourcesOf).sort().join() === before.join();
      },
    );
    fc.assert(property, { numRuns: 500 });
    t.end();
  },
);
