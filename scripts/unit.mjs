// npm run unit [-- FILES…]: the tests alone, compiled first unless --built is given. Ends with the line
// `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build, root } from './lib.mjs';

/** A process takes a second and a half of a core before its first test, so these share some. */
const FILES_PER_PROCESS = 6;
/** What takes longest begins first, and what waits for other processes before all. */
const FOLDERS_FIRST = ['chaos', 'cluster', 'sim', 'storage', 'membership', 'promql', 'actors'];

/** Writes a file for each few tests of a folder that runs one after the other; returns their paths. */
function groups() {
  const tests = join(root, 'dist', 'test');
  const directory = join(tests, 'groups');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  const folders = readdirSync(tests).filter((name) => name !== 'groups');
  const rank = (name) => (FOLDERS_FIRST.indexOf(name) + 99) % 99; // the others have -1: last
  folders.sort((a, b) => rank(a) - rank(b)); // and tap takes files by name
  return folders.flatMap((folder, at) => {
    const files = readdirSync(join(tests, folder)).filter((name) => name.endsWith('.test.js'));
    const size = folder === 'cluster' ? 1 : FILES_PER_PROCESS;
    return Array.from({ length: Math.ceil(files.length / size) }, (_, i) => {
      const imports = files
        .slice(i * size, (i + 1) * size)
        .map((name) => `await import('../${folder}/${name}');\n`);
      const path = join(directory, `${String.fromCharCode(97 + at)}-${folder}-${i + 1}.test.js`);
      // fails if one of the files ended the whole
      const whole = `import t from 'tap';\n${imports.join('')}t.pass('every file ran');\n`;
      writeFileSync(path, whole);
      return path;
    });
  });
}

const words = process.argv.slice(2);
if (!words.includes('--built')) build();
const given = words
  .filter((word) => !word.startsWith('--'))
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
    ...(given.length > 0 ? ['--disable-coverage', ...given] : groups()),
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
