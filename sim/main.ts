/**
 * The simulator's command: seeds in, one line a verdict out.
 *
 *   node dist/sim/main.js --seed 7 [--minutes 5] [--trace]
 *   node dist/sim/main.js --seeds 1..100
 *
 * Exit code 1 when a seed failed; its line is followed by what was violated and how to replay it.
 */
import { parseArgs } from 'node:util';
import {
  EVALUATE_JOB,
  type EvaluateInput,
  runEvaluateJob,
} from '../actors/querier/evaluate-job.ts';
import { NAMES_JOB, type NamesInput, runNamesJob } from '../actors/querier/names-job.ts';
import { createNodeCiphers } from '../platform/node/ciphers.ts';
import { type Verdict, runStory } from './story.ts';
import type { SimJobs } from './workers.ts';

const MINUTES = 5;
const LINES_ON_FAILURE = 40;

// A job and its caller share the type; the table erases it.
const jobs: SimJobs = new Map<string, (input: unknown) => { readonly output: unknown }>([
  [EVALUATE_JOB, (input) => ({ output: runEvaluateJob(input as EvaluateInput) })],
  [NAMES_JOB, (input) => ({ output: runNamesJob(input as NamesInput) })],
]);

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    minutes: { type: 'string', default: String(MINUTES) },
    trace: { type: 'boolean', default: false },
  },
});

const [first, last] = readSeeds(values.seed ?? values.seeds ?? '1');
const minutes = readNumber(values.minutes, '--minutes');
let failures = 0;
for (let seed = first; seed <= last; seed++) {
  const startedMs = performance.now();
  const verdict = await runStory({ seed, minutes, ciphers: createNodeCiphers(), jobs });
  const seconds = (performance.now() - startedMs) / 1000;
  if (verdict.violations.length > 0) failures++;
  print(verdict, seconds);
}
process.exitCode = failures > 0 ? 1 : 0;

function print(verdict: Verdict, seconds: number): void {
  const { acked, counts, events, hash, lastLines, seed, sent, violations } = verdict;
  const isOk = violations.length === 0;
  const facts = Object.entries({ events, sent, acked, ...counts, hash });
  const text = facts.map(([key, value]) => `${key}=${value}`).join(' ');
  const lines = [`seed=${seed} verdict=${isOk ? 'ok' : 'violated'} ${text}`];
  if (values.trace) lines.push(...lastLines.map((line) => `  ${line}`));
  else if (!isOk) lines.push(...lastLines.slice(-LINES_ON_FAILURE).map((line) => `  ${line}`));
  for (const { invariant, what } of violations) lines.push(`  violated ${invariant}: ${what}`);
  if (!isOk) {
    lines.push(`  replay: node dist/sim/main.js --seed ${seed} --minutes ${minutes} --trace`);
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  process.stderr.write(`  ${seconds.toFixed(1)} s, ${Math.round(events / seconds)} events/s\n`);
}

function readSeeds(text: string): readonly [first: number, last: number] {
  const [from = '', to = from] = text.split('..');
  return [readNumber(from, '--seeds'), readNumber(to, '--seeds')];
}

function readNumber(text: string, name: string): number {
  const number = Number(text);
  if (text !== '' && Number.isFinite(number) && number >= 0) return number;
  process.stderr.write(`${name} ${text}: is not a number\n`);
  process.exit(2);
}
