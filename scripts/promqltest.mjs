// npm run promqltest -- FILE...: runs PromQL acceptance scripts; the last line is the total. The
// exit code is 0 only when every eval passes.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { build } from './lib.mjs';

build();
const { runScript } = await import('../dist/test/promql/script-runner.js');
const files = process.argv.slice(2);
if (files.length === 0) {
  console.error('usage: npm run promqltest -- FILE...');
  process.exit(2);
}
let [passed, total, broken] = [0, 0, 0];
for (const file of files) {
  try {
    const report = runScript(readFileSync(file, 'utf8'));
    for (const failure of report.failures) console.log(`${file}: ${failure}`);
    const count = report.passed + report.failed;
    console.log(`${basename(file)}: ${report.passed}/${count}`);
    passed += report.passed;
    total += count;
  } catch (error) {
    broken++;
    console.log(`${file}: ${error.message}`);
  }
}
console.log(`total: ${passed}/${total}`);
process.exitCode = passed === total && broken === 0 ? 0 : 1;
