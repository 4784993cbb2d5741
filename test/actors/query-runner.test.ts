// Goal: a query that ends its worker is told and then refused, what tells how it came about is not evaluated
// ahead, and rows that are decoded twice count once. Method: the runner between series that are given and a
// worker that does what the test says; frames come of TSDBs on a disk in memory.
import t from 'tap';
import type { Clock } from '../../platform/platform.ts';
import { NodeBytes } from '../../actors/querier/byte-budget.ts';
import { type EvaluateInput, runEvaluateJob } from '../../actors/querier/evaluate-job.ts';
import type { QueryWants } from '../../actors/querier/messages.ts';
import { plannedQuery } from '../../actors/querier/planned-query.ts';
import { NO_AGGREGATES } from '../../actors/querier/plan-blocks.ts';
import { type QueryDeath, QueryRunner } from '../../actors/querier/query-runner.ts';
import { Ticket } from '../../actors/querier/ticket.ts';
import { StarlingError } from '../../model/errors.ts';
import { ANONYMOUS_TENANT } from '../../model/ids.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { histogramSeries } from '../support/histograms.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { mixedBatch } from '../support/mixed-batches.ts';
import { refusal } from '../support/refusal.ts';
import { EVERYTHING, batchOf, framesOf, metric, openTsdb } from '../support/toy-tsdb.ts';

const NOW = 1_700_000_000_000;

interface World {
  readonly deaths: QueryDeath[];
  readonly probes: string[];
  /** By gather: whether it may tell of answers ahead. */
  readonly isAhead: boolean[];
  readonly ask: (query: string, wants?: QueryWants) => Promise<string>;
}

/** `inlineBytesMax` 0: all is evaluated by the worker, which ends. */
async function world(inlineBytesMax: number): Promise<World> {
  const { tsdb } = await openTsdb(new MemoryDisk());
  tsdb.append(batchOf([{ labels: metric('m'), samples: [[NOW - 1000, 7]] }]), NOW);
  const frames = framesOf(tsdb);
  const clock: Clock = new FakeClock(NOW);
  const [deaths, probes, isAhead] = [[] as QueryDeath[], [] as string[], [] as boolean[]];
  const runner = new QueryRunner({
    clock,
    inlineBytesMax,
    settings: {
      ...{ timeoutMs: 1000, samplesMax: 1000, lookbackMs: 300_000 },
      ...{ concurrentMax: 1, concurrentPerTenantMax: 1, queuedPerTenantMax: 1 },
      ...{ maxSourceResolution: 'raw', isExperimental: false, delayedNameRemoval: false },
    },
    source: {
      downsamplingFor: () => Promise.resolve(undefined),
      gather: async (_message, _scope, { onEarly }) => {
        isAhead.push(onEarly !== undefined);
        onEarly?.(frames);
        await new Promise((resolve) => clock.nextTurn(() => clock.nextTurn(() => resolve(null))));
        return { frames: [frames], oldestTimeMs: 0, use: NO_AGGREGATES };
      },
    },
    workers: {
      run: () => Promise.reject(new StarlingError('node.worker_ended', { job: 'x' })),
      close: () => Promise.resolve(),
    },
    probe: (name) => void probes.push(name),
    onDeath: (death) => void deaths.push(death),
  });
  const ask = async (query: string, wants: QueryWants = {}): Promise<string> => {
    const reply = { onCancel: (): void => undefined };
    const nodeBytes = new NodeBytes(1e6);
    const ticket = new Ticket({ clock, timeoutMs: 1000, reply, nodeBytes, bytesMax: 1e6 });
    const asked = {
      ...{ tenant: ANONYMOUS_TENANT, query, startMs: NOW, endMs: NOW, stepMs: 0, limit: 0 },
      ...{ lookbackMs: undefined, timeoutMs: undefined, wants },
    };
    const work = () => runner.run(asked, { queueMs: 0, timeoutMs: 1000 }, ticket);
    const { data } = await ticket.run(work);
    return Buffer.from(data).toString();
  };
  return { ask, deaths, isAhead, probes };
}

t.test('Q18 a query that ends its worker is told, and the third time refused', async (t) => {
  const { ask, deaths } = await world(0);
  for (let i = 0; i < 2; i++) await t.rejects(ask('m'), refusal('node.worker_ended'));
  await t.rejects(ask('m'), { http: 422, message: /ended its worker 2 times/ });
  await t.rejects(ask('m + 1'), refusal('node.worker_ended'), 'others are not');
  t.same(deaths, [
    { tenant: 'anonymous', query: 'm', deaths: 1 },
    { tenant: 'anonymous', query: 'm', deaths: 2 },
    { tenant: 'anonymous', query: 'm + 1', deaths: 1 },
  ]);
});

t.test('a query is evaluated ahead unless it tells how it came about', async (t) => {
  const check = async (wants: QueryWants, isAhead: boolean, answer: RegExp): Promise<void> => {
    const one = await world(1e6);
    t.match(await one.ask('m', wants), answer);
    t.same(one.isAhead, [isAhead], JSON.stringify(wants));
    t.same(one.probes, isAhead ? ['query.ahead'] : [], JSON.stringify(wants));
  };
  await check({}, true, /"7"\]\}\]\}$/);
  await check({ stats: undefined, explain: false }, true, /"7"\]\}\]\}$/);
  await check({ stats: 'totals' }, false, /"totalQueryableSamples":1/);
  await check({ stats: 'all' }, false, /"totalQueryableSamplesPerStep":\[\[1700000000,1\]\]/);
  await check({ explain: true }, false, /"7"\]\}\]\}$/);
});

t.test('rows that a fold decodes again, all at once, count once', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  const each = 3000;
  const times = Array.from({ length: each }, (_, k) => NOW - (each - k) * 1000);
  for (let i = 0; i < 100; i++) {
    const samples = times.map((timeMs) => [timeMs, i] as const);
    tsdb.append(batchOf([{ labels: metric('m', { i: String(i).padStart(3) }), samples }]), NOW);
  }
  // The last series: what is folded piece by piece until it comes begins again.
  const histograms = histogramSeries('gauge', { startMs: NOW - 1000, count: 1, seed: 1 });
  tsdb.append(mixedBatch([{ labels: metric('m', { i: 'z' }), histograms }]), NOW);
  const total = 100 * each + 1;
  const run = (samplesMax: number): string => {
    const plan = { query: 'count(m)', startMs: NOW, endMs: NOW, stepMs: 0, lookbackMs: 300_000 };
    const selection = { frames: framesOf(tsdb), range: EVERYTHING, isProjected: false };
    const input: EvaluateInput = { ...plan, samplesMax, limit: 0, selections: [selection] };
    return Buffer.from(runEvaluateJob(input, () => 0, plannedQuery(plan)).data).toString();
  };
  t.match(run(total), '"value":[1700000000,"101"]');
  const refused = refusal('query.too_large', /300001 samples, the limit is 300000/);
  t.throws(() => run(total - 1), refused);
});
