// Goal: the hot loops of the engine do what their definitions say, for any input.
// Method: properties against the row-at-a-time twins of test/support/naive-promql.ts.
import fc from 'fast-check';
import t from 'tap';
import { labelsFromPairs } from '../../model/labels.ts';
import type { Aggregation } from '../../promql/index.ts';
import { parseExpr } from '../../promql/index.ts';
import { fillRateRow, lastResets } from '../../promql/functions/rate-row.ts';
import { newBlock } from '../../promql/operators/block.ts';
import { groupRows } from '../../promql/operators/grouping.ts';
import { selectTop } from '../../promql/operators/top-rows.ts';
import { naiveGroupKey, naiveRate, naiveTop } from '../support/naive-promql.ts';

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

t.test('fillRateRow() agrees with one window at a time, to the last digit', async (t) => {
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
});

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
