// npm run ok: every check, in CI's order; the closing line is `N passed, N failed`.
import { build, run, tool } from './lib.mjs';

const started = Date.now();
const step = (name, action) => {
  const from = Date.now();
  console.log(`== ${name}`);
  action();
  console.log(`== ${name}: ${((Date.now() - from) / 1000).toFixed(1)} s`);
};

step('build', build);
step('types', () => tool('tsc', '--noEmit'));
step('lint', () => tool('eslint', '.', '--max-warnings', '0'));
step('format', () => tool('prettier', '--check', '--log-level', 'warn', '.'));
step('layers', () => run(process.execPath, ['scripts/layers.mjs']));
step('dead code', () => tool('knip'));
step('simulator', () =>
  run(process.execPath, [
    '--enable-source-maps',
    'dist/sim/main.js',
    '--seeds',
    '1..3',
    '--minutes',
    '0.5',
  ]),
);
step('tests', () => run(process.execPath, ['scripts/unit.mjs']));
console.error(`all checks: ${((Date.now() - started) / 1000).toFixed(0)} s`);
