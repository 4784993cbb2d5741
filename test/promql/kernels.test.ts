// Goal: the hot loops of the engine do what their definitions say, for any input.
// Method: properties against the row-at-a-time twins of test/support/naive-promql.ts.
import fc from 'fast-check';
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import { isScratch, withScratch } from '../../model/scratch-memory.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import type { Aggregation } from '../../promql/index.ts';
import { parseExpr } from '../../promql/index.ts';
import { rateKernel } from '../../promql/functions/rate-kernel.ts';
import { fillRateRow, lastResets, type RateShape } from '../../promql/functions/rate-row.ts';
import { foldInto } from '../../promql/operators/folds.ts';
import { type Block, FLOAT, HISTOGRAM, NONE, newBlock } from '../../promql/operators/block.ts';
import { groupRows } from '../../promql/operators/grouping.ts';
import { selectTop } from '../../promql/operators/top-rows.ts';
import { naiveGroupKey, naiveRate, naiveTop } from '../support/naive-promql.ts';
import { inScratch } from '../support/scratch-columns.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${seed}`);

const value = fc.oneof(
  fc.integer({ min: 0, max: 20 }),
  fc.double({ noNaN: true, min: -1e9, max: 1e9 }),
  fc.constantFrom(0, 5, NaN, Infinity, -Infinity),
);
/** Gaps between samples: mostly regular, so that windows look alike, sometimes not. */
const gapMs = fc.oneof(
  { weight: 5, arbitrary: fc.constant(15_000) },
  fc.integer({ min: 1, max: 90_000 }),
);

/** The same numbers, signs of zero included, and nothing beside them. */
function hasEqualCells(one: Block, other: Block): boolean {
  return one.present.every(
    (kind, cell) =>
      kind === other.present[cell] &&
      (kind !== FLOAT || Object.is(one.values[cell], other.values[cell])),
  );
}

t.test(
  'fillRateRow() and rateKernel() agree with one window at a time, to the last digit',
  async (t) => {
    const row = fc.array(fc.tuple(gapMs, value), { maxLength: 40 });
    const shapes = fc.record({
      firstEndMs: fc.integer({ min: -100_000, max: 300_000 }),
      stepMs: fc.constantFrom(0, 15_000, 60_000, 7_001),
      rangeMs: fc.constantFrom(15_000, 60_000, 300_000),
      isCounter: fc.boolean(),
      isPerSecond: fc.boolean(),
    });
    let answers = 0;
    const property = fc.property(row, row, shapes, (one, other, shape) => {
      const rows = [one, other].map((gaps) => {
        let timeMs = 0;
        return gaps.map(([gap, sample]) => ({ timeMs: (timeMs += gap), value: sample }));
      });
      const samples = rows.flat();
      const columns = {
        labels: [[], ['a', 'b']],
        ends: Uint32Array.of(one.length, samples.length),
        timestamps: Float64Array.from(samples, (sample) => sample.timeMs),
        values: Float64Array.from(samples, (sample) => sample.value),
      };
      const steps = 25;
      const out = newBlock(columns.labels, steps);
      const resets = lastResets(columns);
      for (const i of [0, 1]) fillRateRow(columns, resets, i, { ...shape, steps }, out);
      const isEqual = withScratch(() => {
        const again = newBlock(columns.labels, steps);
        const fill = rateKernel(inScratch(columns), { ...shape, steps }, again);
        for (const i of [0, 1]) fill?.(i);
        return hasEqualCells(again, out);
      });
      if (!isEqual) return false;
      return rows.every((naive, i) =>
        Array.from({ length: steps }).every((_, step) => {
          const endMs = shape.firstEndMs + step * shape.stepMs;
          const expected = naiveRate(naive, endMs - shape.rangeMs, endMs, shape);
          const cell = i * steps + step;
          if (expected === undefined) return out.present[cell] === 0;
          answers++;
          return out.present[cell] === 1 && Object.is(out.values[cell], expected);
        }),
      );
    });
    fc.assert(property, { seed, numRuns: 500 });
    t.ok(answers > 1000, `${answers} windows compared`);
  },
);

t.test('sums in scratch memory are those of ordinary arrays, to the last digit', async (t) => {
  const summand = fc.oneof(value, fc.constantFrom(-0, 1e308, -1e308, 1e-320, 1 / 3));
  const cell = fc.oneof(
    { weight: 20, arbitrary: fc.tuple(fc.constant(FLOAT), summand) },
    fc.tuple(fc.constantFrom(NONE, HISTOGRAM), summand),
  );
  const property = fc.property(
    fc.integer({ min: 1, max: 37 }),
    fc.array(fc.tuple(fc.nat(2), fc.array(cell, { minLength: 37, maxLength: 37 })), {
      maxLength: 9,
    }),
    (steps, rows) => {
      const summed = (): Block => {
        const block = newBlock(
          rows.map(() => []),
          steps,
        );
        const out = newBlock([[], [], []], steps);
        for (let i = 0; i < rows.length * steps; i++) {
          const [kind, number] = rows[Math.floor(i / steps)]![1][i % steps]!;
          block.present[i] = kind;
          block.values[i] = number;
        }
        const fold = foldInto('sum', out);
        fold.add(
          block,
          Uint32Array.from(rows, ([group]) => group),
        );
        return fold.finish();
      };
      const plain = summed();
      return withScratch(() => {
        const kept = summed();
        return isScratch(kept.values) && hasEqualCells(kept, plain);
      });
    },
  );
  fc.assert(property, { seed, numRuns: 1000 });
  t.pass();
});

t.test('rateKernel() leaves to fillRateRow() what it does not know', async (t) => {
  const shape = {
    firstEndMs: 0,
    stepMs: 1,
    rangeMs: 9,
    steps: 2,
    isCounter: true,
    isPerSecond: true,
  };
  const columns = columnsFor(3);
  const isTaken = (given: SeriesColumns, more: Partial<RateShape> = {}): boolean =>
    rateKernel(given, { ...shape, ...more }, newBlock([[]], 2)) !== undefined;
  t.notOk(isTaken(columns), 'outside of a job');
  withScratch(() => {
    t.ok(isTaken(inScratch(columns)));
    t.notOk(isTaken(columns), 'ordinary arrays');
    t.notOk(isTaken({ ...inScratch(columns), startTimes: new Float64Array(3) }));
    t.notOk(isTaken(inScratch(columns), { weightBefore: new Float64Array(4) }));
  });
});

function columnsFor(count: number): SeriesColumns {
  const [timestamps, values] = [new Float64Array(count), new Float64Array(count)];
  return { labels: [[]], ends: Uint32Array.of(count), timestamps, values };
}

t.test('selectTop() keeps the values a sort would keep', async (t) => {
  const cell = fc.option(value, { nil: undefined });
  const property = fc.property(
    fc.array(cell, { maxLength: 30 }),
    fc.integer({ min: 0, max: 32 }),
    fc.constantFrom(1, -1),
    (cells, k, sign) => {
      const values = Float64Array.from(cells, (one) => one ?? 1e99);
      const present = Uint8Array.from(cells, (one) => (one === undefined ? 0 : 1));
      const rows = cells.map((_, row) => row);
      const heap = new Uint32Array(cells.length);
      const countMax = Math.min(k, cells.length);
      const at = { t: 0, steps: 1, k: countMax, sign };
      const size = selectTop(rows, values, present, at, heap);
      const kept = Array.from(heap.subarray(0, size));
      if (new Set(kept).size !== size || kept.some((row) => present[row] === 0)) return false;
      const chosen = naiveTop(
        kept.map((row) => values[row]!),
        size,
        sign,
      );
      const all = cells.filter((one) => one !== undefined);
      const expected = naiveTop(all, k, sign);
      return (
        chosen.length === expected.length &&
        chosen.every((one, i) => one === expected[i] || Object.is(one, expected[i]))
      );
    },
  );
  fc.assert(property, { seed, numRuns: 1000 });
  t.pass();
});

t.test('groupRows() puts rows together exactly when their labels say so', async (t) => {
  const name = fc.constantFrom('__name__', 'a', 'b', 'job');
  const labels = fc
    .uniqueArray(fc.tuple(name, fc.constantFrom('', 'x', 'y', '1:x')), { selector: ([n]) => n })
    .map(labelsFromPairs);
  const property = fc.property(
    fc.array(labels, { maxLength: 20 }),
    fc.array(fc.constantFrom('a', 'b', 'nosuch', 'job'), { maxLength: 3 }),
    fc.boolean(),
    (rows, names, without) => {
      const text = `sum ${without ? 'without' : 'by'} (${names.join(',')}) (x)`;
      const node = parseExpr(text) as Aggregation; // the text is one
      const { groupOf, labels: groups } = groupRows(node, newBlock(rows, 1));
      const keys = rows.map((row) => naiveGroupKey(row, [...new Set(names)].sort(), without));
      const firsts = keys.filter((key, i) => keys.indexOf(key) === i);
      return groups.length === firsts.length && keys.every((key, i) => firsts[groupOf[i]!] === key);
    },
  );
  fc.assert(property, { seed, numRuns: 1000 });
  t.pass();
});
