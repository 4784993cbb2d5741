/**
 * Goal: each bug that is planted inside the product still has its place there. Method: the compiled files; what
 * finds them is `npm run sim:mutants`, which takes longer than a test may.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { FAULTS } from '../../sim/faults/index.ts';
import { PLANTED } from '../../sim/planted/index.ts';
import { MUTANTS } from '../../sim/planted/mutants.ts';

t.test('the text that a planted bug replaces stands in its file exactly once', (t) => {
  for (const [name, { edits, faults = [], file }] of Object.entries(MUTANTS)) {
    let text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
    for (const { from, to } of edits) {
      const what = `${name} of sim/planted/mutants.ts replaces in ${file}: ${from}`;
      t.equal(text.split(from).length, 2, what);
      text = text.replace(from, () => to);
    }
    t.strictSame(unknown(faults), [], name);
  }
  t.end();
});

t.test('the faults that a planted bug of nodes needs are there', (t) => {
  for (const [name, { swarm }] of Object.entries(PLANTED)) {
    t.strictSame(unknown(swarm?.faults ?? []), [], name);
  }
  t.end();
});

function unknown(faults: readonly string[]): readonly string[] {
  return faults.filter((fault) => !(fault in FAULTS));
}
