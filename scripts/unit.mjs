// npm run unit [-- FILES…]: the tests alone, compiled first. Ends with the line `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build, root } from './lib.mjs';

build();
const files = process.argv
  .slice(2)
  .map((file) => join('dist', relative(root, file)).replace(/\.ts$/, '.js'));
const tapFile = join(root, '.tap', 'last-run.tap');
mkdirSync(join(root, '.tap'), { recursive: true });
rmSync(tapFile, { force: true });
const result = spawnSync(
  join(root, 'node_modules/.bin/tap'),
  [
    'run',
    '--reporter=terse',
    `--output-file=${tapFile}`,
    ...(files.length > 0 ? ['--disable-coverage', ...files] : []),
  ],
  { cwd: root, stdio: 'inherit' },
);
const totals =
  readFileSync(tapFile, 'utf8')
    .match(/^# \{ total: .*\}$/gm)
    ?.at(-1) ?? '';
const count = (name) => Number(new RegExp(`${name}: (\\d+)`).exec(totals)?.[1] ?? 0);
const skipped = count('skip');
if (process.env.CI === 'true' && skipped > 0) {
  console.error(`${skipped} tests were skipped, and in CI a skip is a failure`);
  process.exitCode = 1;
}
console.log(
  `${count('pass')} passed, ${count('fail')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
);
process.exitCode ||= result.status ?? 1;
