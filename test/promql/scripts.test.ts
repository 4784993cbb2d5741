// Goal: the engine passes the acceptance scripts of Prometheus (test/golden/promql/NOTICE).
// Method: every eval of every script; floors per file that may only rise. Evals on native
// histograms and syntax of newer versions are counted apart, with a ceiling.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { runScript } from './script-runner.ts';

function check(file: string, passedMin: number, failedMax: number, unsupportedMax: number): void {
  t.test(`evaluate() passes ${file}`, (t) => {
    const url = new URL(`../golden/promql/${file}`, import.meta.url);
    const { passed, failed, unsupported, failures } = runScript(readFileSync(url, 'utf8'));
    t.comment(`${file}: ${passed} passed, ${failed} failed, ${unsupported} unsupported`);
    t.ok(failed <= failedMax, failures.join('\n'));
    t.ok(passed >= passedMin, `${passed} passed, the floor is ${passedMin}`);
    t.ok(unsupported <= unsupportedMax, `${unsupported} unsupported, at most ${unsupportedMax}`);
    t.end();
  });
}

check('aggregators.test', 124, 0, 36);
check('at_modifier.test', 78, 0, 0);
check('collision.test', 2, 0, 0);
check('functions.test', 323, 0, 108);
check('histograms.test', 93, 0, 92);
check('literals.test', 25, 0, 0);
check('operators.test', 142, 0, 72);
check('selectors.test', 31, 0, 0);
check('staleness.test', 17, 0, 0);
check('subquery.test', 32, 0, 2);
check('trig_functions.test', 19, 0, 0);
