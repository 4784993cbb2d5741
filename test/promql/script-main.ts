/** The command line of the script runner: `npm run promqltest -- FILE...`; 0 when all evals pass. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { runScript } from './script-runner.ts';

/** Runs the files, writes their figures, and returns the exit code. */
function main(files: readonly string[]): number {
  if (files.length === 0) {
    process.stderr.write('usage: npm run promqltest -- FILE...\n');
    return 2;
  }
  let [passed, total, broken] = [0, 0, 0];
  for (const file of files) {
    try {
      const report = runScript(readFileSync(file, 'utf8'));
      const count = report.passed + report.failed;
      for (const failure of report.failures) process.stdout.write(`${file}: ${failure}\n`);
      process.stdout.write(`${basename(file)}: ${report.passed}/${count}\n`);
      passed += report.passed;
      total += count;
    } catch (error) {
      broken++;
      process.stdout.write(`${file}: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  process.stdout.write(`total: ${passed}/${total}\n`);
  return passed === total && broken === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
