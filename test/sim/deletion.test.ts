/**
 * Goal: samples that a client had deleted are hidden from every node in time, and nothing else is, through cuts,
 * cancellations and restarts, and is cut out of blocks in the end. Method: a short story of the shape `deletion`, and answers right and wrong
 * for its checker; what the product must do for it is planted away in sim/planted/mutants.ts.
 */
import t from 'tap';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { checkKeptInBlocks, countUncut } from '../../sim/checkers/cut.ts';
import { HIDE_MS, checkDeleted } from '../../sim/checkers/deleted.ts';
import { History } from '../../sim/history.ts';
import { runStory } from '../../sim/story.ts';
import { SHAPES } from '../../sim/swarm.ts';
import { jobs } from '../../cli/jobs.ts';

t.test('runStory() hides what was deleted, and nothing else', async (t) => {
  const swarm = SHAPES['deletion'];
  if (swarm === undefined) throw new Error('there is no shape deletion');
  const ciphers = createNodeCiphers();
  const { counts, probes, violations } = await runStory({
    ...{ seed: 3, minutes: 1.5, ciphers, jobs, swarm },
  });
  t.strictSame(violations, []);
  t.ok((counts['deletions'] ?? 0) > 2, JSON.stringify(counts));
  t.ok((counts['cancellations'] ?? 0) > 0, JSON.stringify(counts));
  t.ok((probes.get('compact.cut') ?? 0) > 0, 'and it is cut out of blocks');
  t.ok((probes.get('deletion.processed') ?? 0) > 0);
});

t.test('a seed tells the same story, whatever ran before in the process', async (t) => {
  const { cutsDeletions: _, ...swarm } = { ...SHAPES['deletion'], tenantCount: 1, faults: [] };
  const hashOf = async (seed: number): Promise<string> => {
    const base = { seed, minutes: 0.7, ciphers: createNodeCiphers(), jobs, swarm };
    const { counts, hash } = await runStory(base);
    t.ok((counts['deletions'] ?? 0) > 0, JSON.stringify(counts));
    return hash;
  };
  const first = await hashOf(1);
  t.not(await hashOf(2), first);
  t.equal(await hashOf(1), first);
});

t.test('History: what is asked to be deleted is owed no more, until that was cancelled', (t) => {
  const history = new History();
  const [before, within, late] = [100, 200, 210].map((atMs) => history.send(4, atMs));
  if (before === undefined || within === undefined || late === undefined) throw new Error('none');
  history.acknowledge([before, within], 1);
  const deleted = history.delete({ series: 4, fromMs: 150, toMs: 250 });
  history.acknowledge([late], 2);
  t.strictSame(history.acked, [before]);
  history.restore(deleted, 5000);
  t.strictSame(
    history.acked.map(({ ackedAtMs, timestampMs }) => [timestampMs, ackedAtMs]),
    [[100, 1], [200, 5000], [210, 5000]], // prettier-ignore
  );
  t.end();
});

t.test('checkDeleted() names deleted samples that are shown a minute later', (t) => {
  const history = new History();
  const samples = [100, 200, 300].map((atMs) => history.send(4, atMs));
  const deleted = history.delete({ series: 4, fromMs: 200, toMs: 250 });
  const check = (timesMs: readonly number[], askedAtMs: number, count: number): void => {
    const shown = samples.filter(({ timestampMs }) => timesMs.includes(timestampMs));
    const found = checkDeleted(history, { node: 'a', askedAtMs, samples: shown });
    t.equal(found.length, count, `${timesMs.join()} at ${askedAtMs}`);
  };
  check([100, 200, 300], 10 * HIDE_MS, 0); // the request was never answered
  deleted.doneAtMs = 1000;
  history.allHearSinceMs = 9 * HIDE_MS; // the bucket was away
  check([100, 200, 300], 10 * HIDE_MS, 0);
  check([100, 200, 300], 10 * HIDE_MS + 1, 1);
  history.allHearSinceMs = 0;
  deleted.sureToMs = 199; // the clock of who took it was behind
  check([100, 200, 300], 10 * HIDE_MS, 0);
  deleted.sureToMs = 250;
  check([100, 200, 300], 1000 + HIDE_MS, 0);
  check([100, 200, 300], 1001 + HIDE_MS, 1);
  check([100, 300], 1001 + HIDE_MS, 0);
  t.end();
});

t.test('countUncut() and checkKeptInBlocks() name what blocks have too much or too little', (t) => {
  const history = new History();
  const samples = [100, 200, 300].map((atMs) => history.send(4, atMs));
  history.acknowledge(samples, 1);
  const deleted = history.delete({ series: 4, fromMs: 150, toMs: 250 });
  const check = (timesMs: readonly number[], uncut: number, expected: RegExp | undefined): void => {
    const shown = samples.filter(({ timestampMs }) => timesMs.includes(timestampMs));
    const found = new Map([[4, new Map(shown.map((one) => [one.timestampMs, one.value]))]]);
    t.equal(countUncut(history, found), uncut, timesMs.join());
    const [first] = checkKeptInBlocks(history, found);
    if (expected === undefined) t.equal(first, undefined, timesMs.join());
    else t.match(first?.what, expected);
  };
  check([100, 200, 300], 0, undefined); // the request was never answered
  deleted.doneAtMs = 1000;
  check([100, 200, 300], 1, undefined);
  check([100, 300], 0, undefined);
  check([300], 0, /lack 1 acknowledged samples, the first of series 4 at 100/);
  t.end();
});
