// Goal: the runner of acceptance scripts rejects a script whose expected values were altered, each of its
// evals by itself. Method: in copies of all scripts the last value of every block of expectations is moved by
// a ten thousandth; exactly those evals have to fail.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { checkout } from '../support/checkout.ts';
import { runScript } from './script-runner.ts';

const NUMBER = /(?<=\s)-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/;
const COUNT = /(?<=\bcount:)\d+(?:\.\d+)?/;

function moved(text: string): string {
  const value = Number(text);
  return String(value === 0 ? 1 : value * 1.0001);
}

/** An expected line with another value; undefined: it has none that can be moved. */
function altered(line: string): string | undefined {
  if (/^\s*expect\b/.test(line)) return undefined;
  const pattern = [NUMBER, COUNT].find((one) => one.test(line));
  return pattern === undefined ? undefined : line.replace(pattern, moved);
}

/** The script with one value moved in each eval that has one, and how many these are. */
function alteredScript(script: string): { readonly text: string; readonly count: number } {
  let isInEval = false;
  let count = 0;
  const lines = script.split('\n').map((line) => {
    const bare = line.trim();
    if (bare === '' || bare.startsWith('#')) isInEval = false;
    else if (bare.startsWith('eval')) isInEval = true;
    else if (isInEval) {
      const other = altered(line.trimEnd());
      if (other === undefined) return line;
      count++;
      isInEval = false; // one for each
      return other;
    }
    return line;
  });
  return { text: lines.join('\n'), count };
}

function check(file: string): void {
  t.test(`the runner rejects ${file} with altered values`, (t) => {
    const script = readFileSync(checkout(`test/golden/promql/${file}`), 'utf8');
    const { count, text } = alteredScript(script);
    const { failed, failures, passed } = runScript(text);
    t.same([failed, failures.length], [count, count], 'each altered eval fails, no other does');
    t.ok(count > 0, 'there are some to alter');
    t.equal(passed + failed, runScript(script).passed, 'none is lost');
    t.end();
  });
}

check('aggregators.test');
check('at_modifier.test');
check('functions.test');
check('histograms.test');
check('literals.test');
check('operators.test');
check('selectors.test');
check('staleness.test');
check('subquery.test');
check('trig_functions.test');
check('experimental.script');
