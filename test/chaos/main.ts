/**
 * The chaos rig's command: real nodes, broken for a while, then audited; one line says how it went.
 *
 *   npm run chaos -- --seconds 60 --seed 7 [--nodes 3] [--faults kill,partition] [--loopback] [--trace]
 *
 * Exit code 1 when a promise was broken; 130 and no trace of it left when it is interrupted.
 */
import { parseArgs } from 'node:util';
import { CHAOS_FAULTS } from './faults.ts';
import { runChaos } from './story.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    nodes: { type: 'string', default: '3' },
    faults: { type: 'string' },
    loopback: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
  },
});
const LINES_ON_FAILURE = 200;
const NODES_MAX = 30;

// The exit hook of the story removes what it made.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => process.exit(130));
}

const seed = readNumber('seed', Number.MAX_SAFE_INTEGER);
const seconds = readNumber('seconds', 1e6);
const nodeCount = readNumber('nodes', NODES_MAX);
const faults = values.faults?.split(',');
for (const name of faults ?? []) {
  if (!(name in CHAOS_FAULTS)) usage(`--faults: one of ${Object.keys(CHAOS_FAULTS).join(', ')}`);
}
const lines: string[] = [];
const { facts, logs, readErrorsBy, violations } = await runChaos({
  seed,
  seconds,
  nodeCount,
  isLoopback: values.loopback,
  ...(faults === undefined ? {} : { faults }),
  onLine: (line) => {
    if (values.trace) process.stderr.write(`${line}\n`);
    lines.push(line);
    if (lines.length > LINES_ON_FAILURE) lines.shift();
  },
});
const isOk = violations.length === 0;
if (!isOk && !values.trace) process.stderr.write(`${lines.join('\n')}\n`);
if (!isOk) process.stderr.write(`${logs.join('\n')}\n`);
for (const [why, count] of readErrorsBy) process.stdout.write(`  read error ${why}: ${count}\n`);
for (const { invariant, what } of violations) {
  process.stdout.write(`  violated ${invariant}: ${what}\n`);
}
if (!isOk) {
  const chosen = values.faults === undefined ? '' : ` --faults ${values.faults}`;
  const again = `--seed ${seed} --seconds ${seconds} --nodes ${nodeCount}${chosen} --trace`;
  process.stdout.write(`  again: npm run chaos -- ${again}\n`);
}
const text = Object.entries(facts).map(([key, value]) => `${key}=${value}`);
process.stdout.write(`seed=${seed} verdict=${isOk ? 'ok' : 'violated'} ${text.join(' ')}\n`);
process.exitCode = isOk ? 0 : 1;

function readNumber(name: 'nodes' | 'seconds' | 'seed', max: number): number {
  const number = Number(values[name]);
  if (Number.isFinite(number) && number >= 0 && number <= max) return number;
  return usage(`--${name} ${values[name]}: is no number from 0 to ${max}`);
}

function usage(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(2);
}
