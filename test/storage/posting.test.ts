import fc from 'fast-check';
import t from 'tap';
import { Bitmap } from '../../storage/head/bitmap.ts';
import { Marks } from '../../storage/head/marks.ts';
import { Posting } from '../../storage/head/posting.ts';

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
