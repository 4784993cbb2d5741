// npm run ok: every check; the closing line is `N passed, N failed`.
//
// Two lanes beside each other, then the tests, which take every core themselves. A step's output is shown
// when it ends, so that lanes do not mix; the first one that fails ends the run once its lane-mate is done.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensureInstalled, root, run } from './lib.mjs';

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

async function lint() {
  await step('lint', tool('eslint'), '.', '--max-warnings', '0');
}

async function everythingElse() {
  await step('build and types', node, 'scripts/build.mjs', '--types');
  await step('simulator', node, '--enable-source-maps', 'dist/sim/main.js', ...SEEDS);
  await step('format', tool('prettier'), '--check', '--log-level', 'warn', '.');
  await step('layers', node, 'scripts/layers.mjs');
  await step('dead code', tool('knip'));
}

const SEEDS = ['--seeds', '1..3', '--minutes', '0.5'];

ensureInstalled();
await Promise.all([lint(), everythingElse()]);
if (failed) process.exit(1);
const from = Date.now();
run(node, ['scripts/unit.mjs', '--built']);
console.error(`tests: ${secondsSince(from)}, all checks: ${secondsSince(started)}`);
