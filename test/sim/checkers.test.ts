/**
 * Goal: each checker names what is wrong and nothing else. Method: small answers, right and wrong, for
 * each of those that judge more than single samples.
 */
import t from 'tap';
import type { RingStatus } from '../../http/api.ts';
import { checkAlgebra } from '../../sim/checkers/algebra.ts';
import type { Violation } from '../../sim/checkers/answer.ts';
import { checkAudited } from '../../sim/checkers/audited.ts';
import { NOTICE_MS, checkAvailable } from '../../sim/checkers/available.ts';
import { checkCounted } from '../../sim/checkers/counted.ts';
import { checkExemplars } from '../../sim/checkers/exemplars.ts';
import { checkFailStop, checkFullDisk } from '../../sim/checkers/fail-stop.ts';
import { checkGray } from '../../sim/checkers/gray.ts';
import { checkIsolation } from '../../sim/checkers/isolation.ts';
import { doubtedIn } from '../../sim/checkers/living.ts';
import { checkMetadata } from '../../sim/checkers/metadata.ts';
import { checkPoints } from '../../sim/checkers/points.ts';
import { RECOVERY_MS, checkRecovered } from '../../sim/checkers/recovered.ts';
import { checkRejected } from '../../sim/checkers/rejected.ts';
import { checkRing } from '../../sim/checkers/ring-sanity.ts';
import { checkSeries } from '../../sim/checkers/series.ts';
import { checkSkewed } from '../../sim/checkers/skewed.ts';
import { History } from '../../sim/history.ts';
import { Said, type SaidExemplar, type SaidMetadata } from '../../sim/said.ts';
import { AvailabilityWatch } from '../../sim/watch.ts';

const names = (violations: readonly Violation[]): readonly string[] =>
  violations.map(({ invariant }) => invariant);

t.test('answers: counts, halves, other tenants, refused samples', (t) => {
  const history = new History();
  const acked = history.send(1, 100);
  history.acknowledge([acked], 5);
  history.send(1, 200);
  const asked = { node: 'a', series: 1, fromMs: 0, toMs: 1000, askedAtMs: 10 };
  t.strictSame(names(checkCounted(history, asked, 0)), ['I5']);
  t.strictSame(names(checkCounted(history, asked, 1)), []);
  t.strictSame(names(checkCounted(history, asked, 2)), []);
  t.strictSame(names(checkCounted(history, asked, 3)), ['I17']);
  t.strictSame(names(checkCounted(history, { ...asked, fromMs: 150 }, 0)), []);

  const samples = [{ series: 1, timestampMs: 100, value: acked.value }];
  t.strictSame(names(checkAudited(history, { ...asked, samples }, true)), []);
  t.strictSame(names(checkAudited(history, { ...asked, samples }, false)), ['I12']);

  t.strictSame(names(checkAlgebra('a', new Map([[1, 2]]), new Map([[1, 2]]))), []);
  t.strictSame(names(checkAlgebra('a', new Map([[1, 2]]), new Map([[1, 1]]))), ['I7']);
  t.strictSame(names(checkAlgebra('a', new Map([[1, 2]]), new Map())), ['I7']);
  t.strictSame(names(checkAlgebra('a', new Map([[1, 2]]), new Map([[1, 1]]), () => 1)), []);

  const tenants = ['tenant-0', 'tenant-1'];
  const text = '{"owner":"owned-by-tenant-1"}';
  t.strictSame(names(checkIsolation(text, 'tenant-0', tenants, 'a')), ['I12']);
  t.strictSame(names(checkIsolation(text, 'tenant-1', tenants, 'a')), []);
  t.strictSame(names(checkRejected('a', [])), []);
  t.strictSame(names(checkRejected('a', samples)), ['I4']);
  t.end();
});

t.test('points: the newest sample in reach at each step, of those that are owed or may be', (t) => {
  const history = new History();
  const first = history.send(1, 100);
  const late = history.send(1, 250);
  const early = history.send(1, 150); // sent last, and older
  history.acknowledge([first, early], 5);
  t.strictSame(
    history.samplesOf(1).map(({ timestampMs }) => timestampMs),
    [100, 150, 250],
  );
  t.strictSame(history.samplesIn(1, 101, 250), [early, late]);
  const check = (points: Readonly<Record<number, number>>, wanted: readonly string[]): void => {
    const seen = new Map(Object.entries(points).map(([atMs, value]) => [Number(atMs), value]));
    const asked = { node: 'a', series: 1, askedAtMs: 10, lookbackMs: 100, points: seen };
    const found = checkPoints(history, { ...asked, startMs: 120, endMs: 320, stepMs: 100 });
    t.strictSame(names(found), wanted, JSON.stringify(points));
  };
  check({ 120: first.value, 220: early.value }, []); // the third may show what was not acknowledged
  check({ 120: first.value, 220: early.value, 320: late.value }, []);
  check({ 220: early.value }, ['I5']);
  check({ 120: first.value, 220: first.value }, ['I3']); // out of reach by 20 ms
  check({ 120: early.value, 220: early.value }, ['I3']); // of the future
  check({ 120: 7, 220: early.value }, ['I2']);
  check({ 120: first.value, 220: early.value, 320: early.value }, ['I3']);

  const asked = { node: 'a', series: 1, fromMs: 0, toMs: 1000, askedAtMs: 10 };
  t.strictSame(names(checkSeries(history, asked, [1])), []);
  t.strictSame(names(checkSeries(history, asked, [])), ['I5']);
  t.strictSame(names(checkSeries(history, { ...asked, fromMs: 151 }, [])), []);
  t.strictSame(names(checkSeries(history, asked, [1, 2])), ['I3']);
  t.end();
});

t.test('metadata: what was acknowledged since no process ended, and only what was said', (t) => {
  const said = new Said();
  const [first, second] = [said.newMetric('a', 'mark'), said.newMetric('a', 'mark')];
  first.acked = { askedAtMs: 5, doneAtMs: 6 };
  const check = (
    told: readonly Omit<SaidMetadata, 'acked' | 'tenant'>[],
    count: number,
    asked: { readonly askedAtMs?: number; readonly owedSinceMs?: number; metric?: string } = {},
  ): void => {
    const question = { node: 'a', metric: undefined, askedAtMs: 10, owedSinceMs: 4, ...asked };
    const found = checkMetadata(said.metadataOf('a'), { ...question, told });
    t.equal(found.length, count, JSON.stringify([told, asked]));
  };
  check([first], 0);
  check([first, second], 0); // the second may be there or not
  check([], 1);
  check([], 0, { askedAtMs: 6 });
  check([], 0, { owedSinceMs: 5 });
  check([], 0, { metric: second.metric });
  check([], 1, { metric: first.metric });
  check([first, first], 1);
  check([first, { ...second, help: 'of somebody else' }], 1);
  check([first, { ...second, metric: 'unheard' }], 1);
  t.strictSame(said.metadataOf('b'), []);
  t.end();
});

t.test('exemplars: those of acknowledged samples, in order, of the series and the span', (t) => {
  const history = new History();
  const said = new Said();
  const [one, two] = [history.send(1, 100), history.send(1, 200)];
  const told = [said.newExemplar(one), said.newExemplar(two)] as const;
  const check = (
    shown: readonly SaidExemplar[],
    count: number,
    asked: { readonly toMs?: number; readonly owedSinceMs?: number } = {},
  ): void => {
    const question = { node: 'a', series: 1, fromMs: 50, toMs: 300, askedAtMs: 100_000 };
    const given = { ...question, owedSinceMs: 0, ...asked, told: shown };
    const found = checkExemplars(said, history, given);
    t.equal(found.length, count, JSON.stringify([shown, asked]));
  };
  check([], 0);
  history.acknowledge([one, two], 6);
  for (const exemplar of told) exemplar.acked = { askedAtMs: 5, doneAtMs: 6 };
  check(told, 0);
  check([told[0]], 1);
  check([told[0]], 0, { owedSinceMs: 5 });
  check([told[0]], 0, { toMs: 199 });
  check(told, 1, { toMs: 199 });
  check([told[1], told[0]], 1);
  check([...told, told[1]], 1);
  check([told[0], { ...told[1], value: 7 }], 1);
  check([told[0], { ...told[1], series: 2 }], 1);
  const deleted = history.delete({ series: 1, fromMs: 200, toMs: 200 });
  check([told[0]], 0);
  check(told, 0);
  deleted.doneAtMs = 1;
  check(told, 1);
  t.end();
});

t.test('requests: what is owed while one machine is harmed, and after all is whole', (t) => {
  const harm = { victim: 'b', sinceMs: 0, untilMs: Infinity };
  const request = { kind: 'push', node: 'a', startMs: NOTICE_MS, endMs: NOTICE_MS + 1 } as const;
  const failed = { ...request, why: 'no' };
  t.strictSame(names(checkAvailable(failed, harm, false)), ['I24']);
  t.strictSame(names(checkAvailable({ ...failed, node: 'b' }, harm, false)), []);
  t.strictSame(names(checkAvailable({ ...failed, startMs: NOTICE_MS - 1 }, harm, false)), []);
  t.strictSame(names(checkAvailable({ ...failed, why: undefined }, harm, false)), []);
  t.strictSame(names(checkAvailable(failed, undefined, false)), []);
  const tooOld = { ...failed, why: 'b: down; c refused it: sample-timestamp-too-old: …' };
  t.strictSame(names(checkAvailable(tooOld, harm, false)), ['I24']);
  t.strictSame(names(checkAvailable(tooOld, harm, true)), []);
  t.strictSame(names(checkAvailable(failed, harm, true)), ['I24']);
  const another = { ...tooOld, why: 'd: down; c refused it: sample-timestamp-too-old: …' };
  t.strictSame(names(checkAvailable(another, harm, true)), ['I24']);
  t.strictSame(names(checkRecovered({ ...failed, startMs: RECOVERY_MS }, 0)), ['I23']);
  t.strictSame(names(checkRecovered({ ...failed, startMs: RECOVERY_MS }, 1)), []);

  const fast = Array.from({ length: 200 }, () => 5);
  t.strictSame(names(checkGray(fast, fast, 'b')), []);
  t.strictSame(names(checkGray(fast, [...fast, 900, 900, 900, 900], 'b')), ['I25']);
  t.strictSame(names(checkGray(fast, [900], 'b')), [], 'too few to say');

  const watch = new AvailabilityWatch(() => false);
  watch.whole(0);
  t.strictSame(names(watch.saw({ ...failed, startMs: RECOVERY_MS + 1 })), ['I23']);
  watch.disturb();
  watch.strike('b', 0);
  t.strictSame(names(watch.saw(failed)), ['I24']);
  t.strictSame(names(watch.end(true)), []);
  t.strictSame(names(watch.saw(failed)), []);
  t.end();
});

t.test('nodes: shares of the ring, ghosts, trust, lives that must end or go on', (t) => {
  const ring = (shares: readonly number[], liveness = 'ALIVE'): RingStatus => ({
    self: 'n0',
    digest: '',
    replicationFactor: 3,
    configuredReplicationFactor: 3,
    instances: shares.map((ownership, i) => ({
      id: `n${i}`,
      zone: '',
      state: 'ACTIVE',
      liveness,
      httpAddress: '',
      grpcAddress: '',
      gossipAddress: '',
      bootCounter: 1,
      tokens: 128,
      ownership,
      missingBeforeMs: 0,
    })),
  });
  t.strictSame(names(checkRing(ring([0.5, 0.5]), ['n0', 'n1'])), []);
  t.strictSame(names(checkRing(ring([0.5, 0.6]), ['n0', 'n1'])), ['I9']);
  t.strictSame(names(checkRing(ring([0.5, 0.5]), ['n0'])), ['I10']);
  t.strictSame(names(checkRing(ring([1]), ['n0', 'n1'])), ['I10']);
  t.strictSame(doubtedIn([ring([1])]), []);
  t.strictSame(doubtedIn([ring([1], 'DEAD')]), ['n0 takes n0 for DEAD']);
  const life = { machine: 'a', failedSyncs: 1, isAlive: true };
  t.strictSame(names(checkFailStop(life)), ['I28']);
  t.strictSame(names(checkFailStop({ ...life, isAlive: false })), []);
  t.strictSame(names(checkFailStop({ ...life, failedSyncs: 0 })), []);
  t.strictSame(names(checkFullDisk(life)), []);
  t.strictSame(names(checkFullDisk({ ...life, isAlive: false })), ['I27']);
  t.end();
});

t.test(
  'checkSkewed(): a wrong clock makes nobody incomplete and moves no part of the ring',
  (t) => {
    const row = { id: 'b', ownership: 0.5, missingBeforeMs: 0 } as RingStatus['instances'][number];
    const ring = (...instances: readonly (typeof row)[]): RingStatus =>
      ({ self: 'a', instances }) as unknown as RingStatus; // all that is looked at
    const before = [ring(row)];
    t.strictSame(names(checkSkewed(before, [ring(row)])), []);
    t.strictSame(names(checkSkewed(before, [ring({ ...row, missingBeforeMs: 9 })])), ['I29']);
    t.strictSame(names(checkSkewed(before, [ring({ ...row, missingBeforeMs: 9 })], 'b')), []);
    t.strictSame(names(checkSkewed(before, [ring({ ...row, ownership: 0.4 })], 'b')), ['I29']);
    const joined = { ...row, id: 'c' };
    t.strictSame(names(checkSkewed(before, [ring({ ...row, ownership: 0.4 }, joined)])), []);
    t.end();
  },
);
