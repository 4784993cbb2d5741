// npm run ok: every check; the closing line is `N passed, N failed`.
//
// Two lanes beside each other: types and lint, which take one core for long, and all the rest. A step's output is
// shown when it ends, so that lanes do not mix. After one that failed no other begins.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensureInstalled, root } from './lib.mjs';

const started = Date.now();
const secondsSince = (from) => `${((Date.now() - from) / 1000).toFixed(1)} s`;
let failed = false;

/** Runs a command and shows what it printed; nothing once a step failed. */
async function step(name, command, ...args) {
  if (failed) return;
  const from = Date.now();
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = [];
  child.stdout.on('data', (bytes) => output.push(bytes));
  child.stderr.on('data', (bytes) => output.push(bytes));
  const code = await new Promise((resolve) => {
    child.on('close', resolve);
    child.on('error', (error) => resolve(output.push(Buffer.from(`${error.message}\n`))));
  });
  console.log(`== ${name}: ${code === 0 ? 'ok' : 'failed'}, ${secondsSince(from)}`);
  process.stdout.write(Buffer.concat(output));
  if (code !== 0) failed = true;
}

const tool = (name) => join(root, 'node_modules', '.bin', name);
const node = process.execPath;

async function everythingElse() {
  await step('build', node, 'scripts/build.mjs');
  await step('simulator', node, '--enable-source-maps', 'dist/sim/main.js', ...SEEDS);
  await step('format', tool('prettier'), '--check', '--log-level', 'warn', '.');
  await step('compiled WebAssembly text', node, 'scripts/wat.mjs', '--check');
  await step('layers', node, 'scripts/layers.mjs');
  await step('dead code', tool('knip'));
  if (failed) return;
  const from = Date.now();
  const tests = spawn(node, ['scripts/unit.mjs', '--built'], { cwd: root, stdio: 'inherit' });
  const code = await new Promise((resolve) => tests.on('close', resolve));
  if (code !== 0) failed = true;
  console.error(`tests: ${secondsSince(from)}`);
}

const SEEDS = ['--seeds', '1..2', '--minutes', '0.5'];

ensureInstalled();
await Promise.all([step('types and lint', node, 'scripts/types-and-lint.mjs'), everythingElse()]);
console.error(`all checks: ${secondsSince(started)}`);
process.exitCode = failed ? 1 : 0;
