// Goal: the benchmark says of each query what it has to reach and whether it does. Method: goals and figures
// of a run that is made up.
import t from 'tap';
import { goalLines, goalsOf } from '../../bench/cluster/goals.ts';
import { queries } from '../../bench/cluster/queries.ts';

const ms: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  prometheus: { 'range sum by (rate)': 60, 'instant count by, all series': 200 },
  'victoria-metrics': { 'range sum by (rate)': 10, 'instant count by, all series': 100 },
  starling: { 'range sum by (rate)': 18, 'instant count by, all series': 40 },
  'starling x3 RF3': { 'range sum by (rate)': 62.5, 'instant count by, all series': 151 },
};

t.test('goalLines() judges each goal by the peers of the same run', async (t) => {
  const check = (query: string, expected: readonly string[]): void => {
    const goals = goalsOf([query]);
    t.same(
      goalLines(goals, (target, name) => ms[target]?.[name]),
      expected,
    );
  };
  check('range sum by (rate)', [
    'starling: range sum by (rate) | <= 0.35 x prometheus | 0.30 x | met',
    'starling: range sum by (rate) | <= 1.50 x victoria-metrics | 1.80 x | missed',
    'starling x3 RF3: range sum by (rate) | <= 1.04 x prometheus | 1.04 x | missed',
  ]);
  check('instant count by, all series', [
    'starling: instant count by, all series | <= 0.40 x prometheus or victoria-metrics | 0.40 x | met',
    'starling x3 RF3: instant count by, all series | <= 1.50 x prometheus or victoria-metrics | 1.51 x | missed',
  ]);
  check('instant topk of rates', [
    'starling: instant topk of rates | <= 1.00 x prometheus | - | not known',
    'starling x3 RF3: instant topk of rates | <= 3.50 x prometheus | - | not known',
  ]);
});

t.test('every query of the benchmark has a goal for one node and for three', async (t) => {
  for (const { name } of queries) {
    const targets = new Set(goalsOf([name]).map(({ target }) => target));
    t.same([...targets].sort(), ['starling', 'starling x3 RF3'], name);
  }
});
