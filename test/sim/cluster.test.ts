/**
 * Goal: a simulated cluster of real nodes keeps what it acknowledged, a run repeats exactly, and the
 * simulator notices a node that does not. Method: short stories, in this process and in fresh ones;
 * nodes that acknowledge before their log is durable are the planted bug.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import {
  EVALUATE_JOB,
  type EvaluateInput,
  runEvaluateJob,
} from '../../actors/querier/evaluate-job.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { checkAcknowledged } from '../../sim/checkers/acknowledged.ts';
import { checkInvented } from '../../sim/checkers/invented.ts';
import { History } from '../../sim/history.ts';
import { type Verdict, runStory } from '../../sim/story.ts';

const MINUTES = 1;

function run(seed: number, flags: Readonly<Record<string, string>> = {}): Promise<Verdict> {
  return runStory({
    seed,
    minutes: MINUTES,
    flags,
    ciphers: createNodeCiphers(),
    jobs: new Map([
      [EVALUATE_JOB, (input) => ({ output: runEvaluateJob(input as EvaluateInput) })],
    ]),
  });
}

t.test('runStory() keeps every acknowledged sample, and repeats to the bit', async (t) => {
  const first = await run(2);
  t.strictSame(first.violations, []);
  t.ok(first.acked > 100, `${first.acked} samples acknowledged`);
  const again = await run(2);
  t.equal(again.hash, first.hash);
  t.equal(again.events, first.events);
  t.not((await run(3)).hash, first.hash);

  const command = ['--import=tsx', 'sim/main.ts', '--seed', '2', '--minutes', String(MINUTES)];
  const outputs = await Promise.all(
    [1, 2].map(() => promisify(execFile)(process.execPath, command)),
  );
  for (const { stdout } of outputs) {
    t.match(
      stdout,
      new RegExp(`^seed=2 verdict=ok events=${first.events} .* hash=${first.hash}$`, 'm'),
    );
  }
});

t.test('runStory() finds nodes that acknowledge before their log is durable', async (t) => {
  let found: Verdict | undefined;
  let seed = 0;
  while (found === undefined && seed < 8) {
    const verdict = await run(++seed, { 'wal.durability': 'os' });
    if (verdict.violations.length > 0) found = verdict;
  }
  t.ok(
    found?.violations.some(({ invariant }) => invariant === 'I1' || invariant === 'I5'),
    `found with seed ${seed}`,
  );
});

t.test('checkAcknowledged() and checkInvented() name what is wrong with an answer', (t) => {
  const history = new History();
  const early = history.send(4, 100);
  const late = history.send(4, 200);
  const lost = history.send(4, 300);
  history.acknowledge([early, late], 10);
  const answer = { node: 'a', series: 4, fromMs: 0, toMs: 1000, askedAtMs: 20 };
  const both = [early, late];
  const check = (
    samples: readonly { series: number; timestampMs: number; value: number }[],
    expected: readonly string[],
    askedAtMs = 20,
  ): void => {
    const asked = { ...answer, askedAtMs, samples };
    const found = [...checkAcknowledged(history, asked, 'I1'), ...checkInvented(history, asked)];
    t.strictSame(
      found.map((one) => one.invariant),
      expected,
    );
  };
  check(both, []);
  check([...both, lost], []);
  check([early], ['I1']);
  check([early], [], 5);
  check([], ['I1']);
  check([...both, { series: 4, timestampMs: 999, value: 1 }], ['I2']);
  check([...both.map((one) => ({ ...one, series: 5 }))], ['I2', 'I2']);
  check([early, { ...late, value: early.value }], ['I3']);
  check([late, early], ['I3']);
  t.end();
});
