import fc from 'fast-check';
import t from 'tap';
import { Bitmap } from '../../storage/head/bitmap.ts';
import { Marks } from '../../storage/head/marks.ts';
import { Posting } from '../../storage/head/posting.ts';
import { Postings } from '../../storage/head/postings.ts';
import { compileMatcher } from '../../model/matchers.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const ROOM = 3000;

function bitmapOf(numbers: Iterable<number>): Bitmap {
  const bitmap = new Bitmap(ROOM);
  for (const n of numbers) bitmap.add(n);
  return bitmap;
}

/** The candidates that a posting marks. */
function markedOf(posting: Posting, candidates: Bitmap): readonly number[] {
  const slice = { steps: 0 };
  const marks = new Marks(candidates, slice);
  posting.mark(marks);
  const found = candidates.copy();
  found.and(marks.marked);
  return [...found.toArray()];
}

/** Runs of neighbours and single numbers, so that both shapes are met, and each after the other. */
const numbers = fc
  .array(fc.tuple(fc.nat(ROOM - 1), fc.integer({ min: 1, max: 200 }), fc.boolean()), {
    minLength: 1,
    maxLength: 12,
  })
  .map((runs) =>
    runs.map(([from, count, isReversed]) => {
      const run = Array.from({ length: count }, (_, i) => from + i).filter((n) => n < ROOM);
      return isReversed ? run.reverse() : run;
    }),
  );

t.test(
  `a posting has the numbers that were added and not removed, in either shape (seed ${seed})`,
  async (t) => {
    const few = fc.uniqueArray(fc.nat(ROOM - 1), { maxLength: 30 });
    fc.assert(
      fc.property(numbers, few, fc.array(few, { maxLength: 3 }), (runs, others, removals) => {
        const model = new Set<number>();
        const posting = new Posting(runs[0]![0]!);
        model.add(runs[0]![0]!);
        for (const [i, run] of runs.entries()) {
          for (const n of run) {
            if (!model.has(n)) posting.add(n);
            model.add(n);
          }
          const removed = removals[i] ?? [];
          posting.remove(bitmapOf(removed));
          for (const n of removed) model.delete(n);
          t.equal(posting.isEmpty, model.size === 0);
        }
        const sorted = [...model].sort((a, b) => a - b);
        const every = bitmapOf(Array.from({ length: ROOM }, (_, n) => n));
        t.same(markedOf(posting, every), sorted);
        t.same(
          markedOf(posting, bitmapOf(others)),
          sorted.filter((n) => others.includes(n)),
        );
        t.equal(
          posting.hasAny(bitmapOf(others)),
          others.some((n) => model.has(n)),
        );
      }),
      { seed, numRuns: 60 },
    );
  },
);

t.test('a posting of many takes a step for 32 numbers, one of few a step for each', async (t) => {
  const check = (numbers: readonly number[], stepsMax: number): void => {
    const posting = new Posting(numbers[0]!);
    for (const n of numbers.slice(1)) posting.add(n);
    const slice = { steps: 0 };
    posting.mark(new Marks(bitmapOf(Array.from({ length: ROOM }, (_, n) => n)), slice));
    t.ok(slice.steps <= stepsMax, `${slice.steps} steps`);
  };
  check(
    Array.from({ length: ROOM }, (_, n) => n),
    ROOM / 16,
  );
  check([5, 900, 1700, 2600], 16);
});

t.test('a posting of which few are left takes as little as one that never had more', async (t) => {
  const posting = new Posting(0);
  for (let n = 1; n < ROOM; n++) posting.add(n);
  posting.remove(bitmapOf(Array.from({ length: ROOM }, (_, n) => n).filter((n) => n !== 1700)));
  const slice = { steps: 0 };
  posting.mark(new Marks(bitmapOf([1700]), slice));
  t.ok(slice.steps <= 2, `${slice.steps} steps`);
  posting.add(3);
  t.same(markedOf(posting, bitmapOf([3, 4, 1700])), [3, 1700]);
});

t.test('a match of very many matchers pauses, also where each is a literal', async (t) => {
  const postings = new Postings();
  const all = new Bitmap(100_000);
  for (let s = 0; s < 100_000; s += 50) {
    postings.add(s, ['__name__', 'up']);
    all.add(s);
  }
  const matcher = compileMatcher({ name: '__name__', type: '=', value: 'up' });
  const check = (count: number, pausesMin: number): void => {
    const found = all.copy();
    const pauses = [...postings.match(new Array(count).fill(matcher), found)].length;
    t.ok(pauses >= pausesMin && found.count() === 2000, `${pauses} pauses`);
  };
  check(1, 0);
  check(1000, 100);
});
