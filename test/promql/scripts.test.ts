// Goal: the engine passes the acceptance scripts of Prometheus (test/golden/promql/NOTICE).
// Method: every eval of every script, and of one of our own for the experimental parts of the language, also pinned by `@` and as the middle of a range.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { runScript } from './script-runner.ts';
import { checkout } from '../support/checkout.ts';

function check(file: string, count: number): void {
  t.test(`evaluate() passes ${file}`, (t) => {
    const url = checkout(`test/golden/promql/${file}`);
    const { passed, failures } = runScript(readFileSync(url, 'utf8'));
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
check('experimental.script', 59);
