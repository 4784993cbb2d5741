/**
 * Goal: a build says what is no TypeScript and fails, and a note of the last build that cannot be read costs a whole
 * build and no more. Method: the script itself, in a checkout of two files that has the compiler and nothing else.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createRequire } from 'node:module';
import t from 'tap';
import { checkout } from '../support/checkout.ts';

const LOCKFILE = '{}';
const TIMEOUT_MS = 60_000;

t.test('build() tells syntax errors, and starts anew where its note is damaged', async (t) => {
  const require = createRequire(import.meta.url);
  const root = t.testdir({
    scripts: {},
    cli: { 'main.ts': 'export const one: number = 1;\n', 'other.ts': 'export const two = 2;\n' },
    node_modules: {
      // Nothing is installed here: the lockfile is said to be.
      '.starling-lockfile': createHash('sha256').update(LOCKFILE).digest('hex'),
      typescript: t.fixture('symlink', dirname(dirname(require.resolve('typescript')))),
    },
    'package-lock.json': LOCKFILE,
    'package.json': '{"type": "module"}',
    'tsconfig.json': JSON.stringify({
      compilerOptions: { target: 'es2023', sourceMap: true },
      include: ['cli'],
    }),
  });
  for (const name of ['lib.mjs', 'build.mjs']) {
    copyFileSync(checkout(`scripts/${name}`), `${root}/scripts/${name}`);
  }
  const note = `${root}/dist/.built.json`;
  const main = `${root}/dist/cli/main.js`;
  /** The exit code, and what was printed. */
  const build = (): string => {
    const { error, status, stderr, stdout } = spawnSync(
      process.execPath,
      [`${root}/scripts/build.mjs`],
      { encoding: 'utf8', timeout: TIMEOUT_MS },
    );
    if (error !== undefined) throw error;
    return `${status} ${stdout}${stderr}`;
  };
  t.equal(build(), '0 ');
  t.match(readFileSync(main, 'utf8'), 'export const one = 1;');
  const whole = readFileSync(note, 'utf8');
  for (const damaged of [whole.slice(0, 40), 'null']) {
    writeFileSync(note, damaged);
    t.equal(build(), '0 ', JSON.stringify(damaged));
    t.equal(readFileSync(note, 'utf8'), whole);
  }
  t.strictSame(readdirSync(`${root}/dist`).sort(), ['.built.json', 'cli'], 'nothing is left over');

  writeFileSync(`${root}/cli/main.ts`, 'export const one: number = ;\n');
  for (const time of ['at once', 'and again']) {
    t.match(build(), /^1 cli\/main\.ts\(1,28\): error TS1109: Expression expected\.\n$/, time);
    t.notOk(existsSync(main), 'what it was before does not run');
    t.ok(existsSync(`${root}/dist/cli/other.js`));
  }
  writeFileSync(`${root}/cli/main.ts`, 'export const one: number = 3;\n');
  t.equal(build(), '0 ');
  t.match(readFileSync(main, 'utf8'), 'export const one = 3;');
});
