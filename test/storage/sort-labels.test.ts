// Goal: label sets are sorted as `compareLabels` orders them, whatever makes them differ.
// Method: random sets that share names, values and prefixes, with characters of every kind.
import fc from 'fast-check';
import t from 'tap';
import { type Labels, compareLabels } from '../../model/labels.ts';
import { sortedByLabels } from '../../storage/merge/sort-labels.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

function check(labels: readonly Labels[], expected: readonly Labels[]): void {
  t.strictSame(
    Array.from(sortedByLabels(labels), (i) => labels[i]),
    expected,
  );
}

check([], []);
check([[]], [[]]);
check([['a', '1'], []], [[], ['a', '1']]);
check([['a', 'pod-10'], ['a', 'pod-2'], ['a', 'pod-1']], [['a', 'pod-1'], ['a', 'pod-10'], ['a', 'pod-2']]); // prettier-ignore
check([['a', 'x\uffff'], ['a', 'x\u{10000}'], ['a', 'x']], [['a', 'x'], ['a', 'x\uffff'], ['a', 'x\u{10000}']]); // prettier-ignore
check([['a', '1', 'c', '1'], ['a', '1', 'b', '2'], ['a', '1']], [['a', '1'], ['a', '1', 'b', '2'], ['a', '1', 'c', '1']]); // prettier-ignore
check([['b', '1'], ['a', '2']], [['a', '2'], ['b', '1']]); // prettier-ignore

t.test(`sortedByLabels() is the order of compareLabels() (seed ${seed})`, (t) => {
  const text = fc
    .tuple(
      fc.constantFrom('', 'pod-', 'pod-\u{1f600}'),
      fc.string({ unit: 'binary', maxLength: 4 }),
    )
    .map((parts) => parts.join(''));
  const set = fc
    .array(fc.tuple(fc.constantFrom('a', 'b', 'c'), text), { maxLength: 3 })
    .map((pairs) => [['__name__', 'up'], ...pairs].flat());
  fc.assert(
    fc.property(fc.array(set, { maxLength: 30 }), (labels) => {
      const sorted = Array.from(sortedByLabels(labels), (i) => labels[i]!);
      const expected = [...labels].sort(compareLabels);
      return JSON.stringify(sorted) === JSON.stringify(expected);
    }),
    { seed, numRuns: 500 },
  );
  t.end();
});
t.end();
