// Goal: the engine passes the acceptance scripts of Prometheus (test/golden/promql/NOTICE), and answers them
// the same without the optimiser's passes and in a job's memory.
// Method: every eval of every script, and of one of our own for the experimental parts of the language, also pinned by `@` and as the middle of a range.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { withScratch } from '../../model/scratch-memory.ts';
import type { QueryResult } from '../../promql/index.ts';
import { checkout } from '../support/checkout.ts';
import { inScratch } from '../support/scratch-columns.ts';
import { evaluateOver, runScript, type ScriptEngine } from './script-runner.ts';
import { told } from './told.ts';

const inAllWays: ScriptEngine = (store, expr, params) => {
  const plain = told(() => evaluateOver(store, expr, { ...params, passes: [] }));
  let result: QueryResult | undefined;
  const all = told(() => (result = evaluateOver(store, expr, params)));
  assert.equal(all, plain, 'with and without passes');
  const kept = withScratch(() => told(() => evaluateOver(store, expr, params, inScratch)));
  assert.equal(kept, all, 'in scratch memory');
  return result ?? evaluateOver(store, expr, params); // it fails again
};

function check(file: string, count: number): void {
  t.test(`evaluate() passes ${file}`, (t) => {
    const url = checkout(`test/golden/promql/${file}`);
    const { passed, failures } = runScript(readFileSync(url, 'utf8'), inAllWays);
    t.same(failures, []);
    t.equal(passed, count, 'no eval was overlooked');
    t.end();
  });
}

check('aggregators.test', 160);
check('at_modifier.test', 78);
check('collision.test', 2);
check('functions.test', 431);
check('histograms.test', 185);
check('literals.test', 25);
check('operators.test', 214);
check('selectors.test', 31);
check('staleness.test', 17);
check('subquery.test', 34);
check('trig_functions.test', 19);
check('experimental.script', 96);
