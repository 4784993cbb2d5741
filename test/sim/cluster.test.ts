/**
 * Goal: a simulated cluster of real nodes keeps what it acknowledged, a run repeats exactly, and the
 * simulator notices a node that does not. Method: short stories, in this process and in fresh ones;
 * nodes that acknowledge before their log is durable are the planted bug.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import type { RingStatus } from '../../http/api.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { checkAcknowledged } from '../../sim/checkers/acknowledged.ts';
import { checkInvented } from '../../sim/checkers/invented.ts';
import { isConverged } from '../../sim/checkers/converged.ts';
import { DurableChecker } from '../../sim/checkers/durable.ts';
import { checkPoints } from '../../sim/checkers/points.ts';
import { checkSeries } from '../../sim/checkers/series.ts';
import { History } from '../../sim/history.ts';
import { PLANTED } from '../../sim/planted/index.ts';
import { type StoryOptions, type Verdict, runStory } from '../../sim/story.ts';
import type { Swarm } from '../../sim/swarm.ts';
import { jobs } from '../../cli/jobs.ts';

const MINUTES = 0.1;

function run(seed: number, more: Partial<StoryOptions> = {}): Promise<Verdict> {
  return runStory({
    seed,
    minutes: MINUTES,
    ...more,
    ciphers: createNodeCiphers(),
    jobs,
  });
}

t.test('runStory() keeps every acknowledged sample, and repeats to the bit', async (t) => {
  const first = await run(6);
  t.strictSame(first.violations, []);
  t.ok(first.acked > 100, `${first.acked} samples acknowledged`);
  const again = await run(6);
  t.equal(again.hash, first.hash);
  t.equal(again.events, first.events);
  t.not((await run(2)).hash, first.hash);

  const command = ['dist/sim/main.js', '--seed', '6', '--minutes', String(MINUTES)];
  const { stdout } = await promisify(execFile)(process.execPath, command);
  t.match(
    stdout,
    new RegExp(`^seed=6 verdict=ok events=${first.events} .* hash=${first.hash}$`, 'm'),
  );
});

t.test('runStory() reads from the bucket what nodes do not keep', async (t) => {
  const shape = { machineCount: 3, tenantCount: 1, replicationFactor: 3, hasBucket: true };
  const load = { writers: 3, seriesPerWriter: 2, everyMs: 300, tenantCount: 1 };
  const swarm = {
    ...shape,
    faults: ['flush', 'wipe'],
    load: { ...load, repeatChance: 0, lateChance: 0 },
  };
  const { probes, violations } = await run(2, { minutes: 0.6, swarm });
  t.strictSame(violations, []);
  const count = probes.get('read.blocks') ?? 0;
  t.ok(count > 10, `${count} reads of blocks`);
});

t.test('runStory() finds planted bugs: no canary lives', async (t) => {
  const load = { writers: 3, seriesPerWriter: 2, everyMs: 200, tenantCount: 3 };
  const swarm = {
    faults: ['power', 'restart-all'],
    machineCount: 3,
    tenantCount: 3,
    load: { ...load, repeatChance: 0, lateChance: 0 },
  };
  // Begins with the seed that found it when this was written: others may when the nodes' code has changed.
  const check = async (
    name: string,
    expected: readonly string[],
    seedFirst: number,
    more: Partial<Swarm> = {},
  ): Promise<void> => {
    const planted = PLANTED[name];
    if (planted === undefined) throw new Error(`there is no planted bug ${name}`);
    const found = new Set<string>();
    let seed = seedFirst - 1;
    while (found.size === 0 && seed < seedFirst + 7) {
      const { violations } = await run(++seed, {
        planted,
        swarm: { ...swarm, ...more },
        minutes: 0.4,
      });
      for (const { invariant } of violations) found.add(invariant);
    }
    t.ok(
      expected.some((one) => found.has(one)),
      `${name}: ${[...found].join(', ')} found with seed ${seed}`,
    );
  };
  await check('early-ack', ['I1', 'I5'], 4);
  await check('swallow', ['I1', 'I5'], 2);
  await check('silent-gap', ['I5'], 2);
  await check('wrong-tenant', ['I12', 'I3', 'I5'], 2);
  await check('nobody-home', ['liveness'], 2);
  await check('cut-log', ['I1', 'I5'], 5, PLANTED['cut-log']?.swarm);
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

t.test('checkPoints(), checkSeries(), DurableChecker and isConverged() name what is wrong', (t) => {
  const history = new History();
  const early = history.send(4, 100);
  const late = history.send(4, 200);
  history.acknowledge([early, late], 10);
  const unknown = history.send(4, 250);
  const asked = { node: 'a', series: 4, askedAtMs: 20 };
  const check = (points: readonly [number, number][], expected: readonly string[]): void => {
    const span = { startMs: 150, endMs: 250, stepMs: 100, lookbackMs: 100 };
    const found = checkPoints(history, { ...asked, ...span, points: new Map(points) });
    t.strictSame(
      found.map(({ invariant }) => invariant),
      expected,
    );
  };
  check([[150, early.value], [250, late.value]], []); // prettier-ignore
  check([[150, early.value], [250, unknown.value]], []); // prettier-ignore
  check([[250, late.value]], ['I5']);
  check([[150, early.value], [250, early.value]], ['I3']); // prettier-ignore
  check([[150, -1], [250, late.value]], ['I2']); // prettier-ignore

  const names = (found: readonly number[], toMs = 1000): readonly string[] =>
    checkSeries(history, { ...asked, fromMs: 0, toMs }, found).map(({ invariant }) => invariant);
  t.strictSame(names([4]), []);
  t.strictSame(names([], 50), []);
  t.strictSame(names([]), ['I5']);
  t.strictSame(names([4, 5]), ['I3']);
  t.strictSame(names([4, 4]), ['I3']);

  const ring = (digest: string, ...boots: number[]): RingStatus => ({
    self: 'a',
    digest,
    replicationFactor: 3,
    configuredReplicationFactor: 3,
    instances: boots.map((bootCounter, i) => ({
      id: `node-${i}`,
      zone: '',
      state: 'ACTIVE',
      liveness: 'ALIVE',
      httpAddress: '',
      grpcAddress: '',
      gossipAddress: '',
      bootCounter,
      tokens: 0,
      ownership: 0,
      missingBeforeMs: 0,
    })),
  });
  const durable = new DurableChecker();
  t.strictSame(durable.saw('a', ring('x', 1, 2), 1), []);
  t.strictSame(durable.saw('b', ring('x', 1, 1), 1), []);
  t.match(durable.saw('a', ring('x', 1, 1), 1), [{ invariant: 'durable' }]);
  const own = (boot: number): RingStatus => ({ ...ring('x', boot), self: 'node-0' });
  t.strictSame(durable.saw('node-0', own(4), 'one life'), []);
  t.strictSame(durable.saw('node-0', own(4), 'one life'), []);
  t.match(durable.saw('node-0', own(4), 'the next'), [{ invariant: 'durable' }]);
  t.strictSame(durable.saw('node-0', own(5), 'a later one'), []);
  t.ok(isConverged([ring('x', 1, 1), ring('x', 1, 1)]));
  t.notOk(isConverged([ring('x', 1, 1), ring('y', 1, 1)]));
  t.notOk(isConverged([ring('x', 1), ring('x', 1)]));
  t.end();
});
