// Goal: a gather ends with whole answers of enough instances or an error, and the evaluate job merges,
// evaluates and cuts. Method: instances are functions; frames come from real TSDBs on a disk in memory.
import t from 'tap';
import { runEvaluateJob } from '../../actors/querier/evaluate-job.ts';
import { NodeBytes, QueryBytes } from '../../actors/querier/byte-budget.ts';
import { gather } from '../../actors/querier/gather.ts';
import { runNamesJob } from '../../actors/querier/names-job.ts';
import { parsedQuery } from '../../actors/querier/planned-query.ts';
import { Ticket } from '../../actors/querier/ticket.ts';
import { estimateSteps } from '../../actors/querier/workload.ts';
import { packControl } from '../../actors/runtime/index.ts';
import { StarlingError } from '../../model/errors.ts';
import { parseExpr } from '../../promql/index.ts';
import { selectLabelSets } from '../../storage/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { type Behaviour, gatherWorld as world } from '../support/gather-world.ts';
import { refusal } from '../support/refusal.ts';
import { EVERYTHING, batchOf, framesOf, metric, openTsdb } from '../support/toy-tsdb.ts';

const NOW = 1_700_000_000_000;
const bytesOf = (bytesMax: number): QueryBytes => new QueryBytes(new NodeBytes(2000), bytesMax);

t.test(
  'Q17 gather() needs whole answers of all but one, and does not wait for the last',
  async (t) => {
    const check = async (
      behaviours: Record<string, Behaviour>,
      expected: string,
    ): Promise<void> => {
      const { options } = world(behaviours);
      const outcome = await gather(options).then(
        ({ frames }) =>
          frames
            .flat()
            .map((frame) => Buffer.from(frame).toString()[0])
            .sort()
            .join(''),
        (error: unknown) => (error as StarlingError).id,
      );
      t.equal(outcome, expected, JSON.stringify(behaviours));
    };
    await check({ a: 'ok', b: 'ok', c: 'down' }, 'ab');
    await check({ a: 'down', b: 'ok', c: 'ok' }, 'bc');
    await check({ a: 'down', b: 'ok', c: 'down' }, 'read.incomplete');
    await check({ a: 'down', b: 'down', c: 'down' }, 'read.incomplete');
    await check({ a: 'bad', b: 'ok', c: 'ok' }, 'query.parse');
    await check({ a: 'corrupt', b: 'ok', c: 'ok' }, 'bc');
    await check({ a: 'corrupt', b: 'ok', c: 'down' }, 'read.incomplete');
    const { options } = world({ a: 'down', b: 'ok', c: 'down' });
    await t.rejects(gather(options), { http: 503, message: /b|a,c/ }, 'clients ask again');
  },
);

t.test('Q17 gather() asks no more than it needs, until one fails or is late', async (t) => {
  const check = async (
    behaviours: Record<string, Behaviour>,
    isLate: boolean,
    asks: string,
    cancels: string,
  ): Promise<void> => {
    const { asked, cancelled, options } = world(behaviours, undefined, isLate);
    await gather(options);
    t.same([asked.join(''), cancelled.join('')], [asks, cancels], JSON.stringify(behaviours));
  };
  // The first is this instance: its work waits until the others are asked.
  await check({ a: 'ok', b: 'ok', c: 'ok' }, false, 'ba', '');
  await check({ a: 'ok', b: 'down', c: 'ok' }, false, 'bac', '');
  await check({ a: 'ok', b: 'hangs', c: 'ok' }, true, 'bac', 'b');
});

t.test('a query that is over asks nobody, and its hedge throws nothing', async (t) => {
  const { options } = world({ a: 'ok', b: 'ok', c: 'ok' });
  const over = new StarlingError('query.timeout', { timeoutMs: 1 });
  const check = async (asksBefore: number): Promise<void> => {
    let asks = 0;
    let isHedgeStopped = false;
    let hedge: () => void = () => undefined;
    const gone = gather({
      ...options,
      hedge: (callback) => {
        hedge = callback;
        return () => (isHedgeStopped = true);
      },
      ask: () => {
        if (asks++ >= asksBefore) throw over;
        return { done: new Promise(() => undefined), cancel: () => undefined };
      },
    });
    const refused = t.rejects(gone, over, `over after ${asksBefore} asks`);
    if (asksBefore > 1) hedge(); // as a timer calls it: what it throws nobody catches
    await refused;
    t.ok(isHedgeStopped, 'nothing is left running');
    t.doesNotThrow(hedge);
  };
  for (const asksBefore of [0, 1, 2]) await check(asksBefore);
});

t.test(
  'an instance that only a responder knows is asked too, before the answer counts',
  async (t) => {
    const { asked, options } = world({ a: 'stranger', b: 'ok', c: 'down', d: 'ok' }, 'd');
    const { frames } = await gather(options);
    t.equal(asked.join(''), 'bacd');
    t.ok(frames.flat().some((frame) => Buffer.from(frame).toString() === 'd frame'));
    const one = world({ a: 'stranger', b: 'ok', c: 'down', d: 'down' }, 'd');
    await t.rejects(
      gather(one.options),
      refusal('read.incomplete', /c,d/),
      'of four, one may fail',
    );
  },
);

t.test('an answer counts only when all that its instance knew is known here', async (t) => {
  const { asked, options } = world({ a: 'stranger', b: 'ok', c: 'ok' });
  const { frames } = await gather(options);
  t.equal(asked.join(''), 'bac', 'the answer of a does not count, others are enough');
  t.notOk(frames.flat().some((frame) => Buffer.from(frame).toString() === 'a frame'));
  const check = async (behaviours: Record<string, Behaviour>, why: RegExp): Promise<void> => {
    await t.rejects(gather(world(behaviours).options), refusal('read.incomplete', why));
  };
  await check({ a: 'stranger', b: 'stranger', c: 'ok' }, /registry is not known here/);
  await check({ a: 'stranger', b: 'ok', c: 'down' }, /registry is not known here/);
  const gone = world({ a: 'stranger', b: 'ok', c: 'ok' }, 'd');
  const pullRegistry = (): Promise<void> =>
    Promise.reject(new StarlingError('node.unreachable', { instance: 'a', why: 'gone' }));
  await gather({ ...gone.options, pullRegistry });
  t.equal(gone.asked.join(''), 'bac', 'a pull that fails is a failure of that instance');
});

t.test('Q4 gather() stops at its bounds of bytes, and gives back what it took', async (t) => {
  const { options } = world({ a: 'ok', b: 'ok', c: 'ok' });
  const bytes = bytesOf(10);
  await t.rejects(gather({ ...options, bytes }), refusal('query.too_large', /bytes of chunks/));
  const node = new NodeBytes(20);
  const one = new QueryBytes(node, 100);
  await gather({ ...options, bytes: one });
  t.equal(node.count, 'a frame'.length * 2);
  await t.rejects(
    gather({ ...options, bytes: new QueryBytes(node, 100) }),
    refusal('node.overloaded', /bytes of queries in flight/),
  );
  one.close();
  const failing = world({ a: 'ok', b: 'down', c: 'down' });
  const other = new QueryBytes(node, 100);
  await t.rejects(gather({ ...failing.options, bytes: other }), refusal('read.incomplete', /b/));
  other.close();
  one.give(5); // a late frame of a query that is over
  t.equal(node.count, 0);
  t.throws(() => one.take(5), refusal('request.canceled', /left/));
});

t.test('a ticket stops what works for it at the deadline and when the client leaves', async (t) => {
  const check = async (cause: (clock: FakeClock, leave: () => void) => void, id: string) => {
    const clock = new FakeClock();
    let leave = (): void => undefined;
    const reply = { onCancel: (callback: () => void) => void (leave = callback) };
    const nodeBytes = new NodeBytes(100);
    const ticket = new Ticket({ clock, timeoutMs: 1000, reply, nodeBytes, bytesMax: 100 });
    let stops = 0;
    ticket.onStop(() => stops++);
    const run = ticket.run(() => {
      ticket.bytes.take(10);
      return new Promise<never>(() => undefined);
    });
    t.equal(nodeBytes.count, 10);
    cause(clock, leave);
    t.equal((await run.catch((error: unknown) => error as StarlingError)).id, id);
    t.same([stops, ticket.stopFlag[0], nodeBytes.count], [1, 1, 0]);
    ticket.onStop(() => stops++);
    t.equal(stops, 2, 'who comes late is told at once');
  };
  await check((clock) => clock.advance(1001), 'query.timeout');
  await check((_clock, leave) => leave(), 'request.canceled');
});

t.test(
  'runEvaluateJob() merges replicas, evaluates, cuts to the limit and bounds samples',
  async (t) => {
    const frames: Uint8Array[] = [];
    for (const from of [0, 1]) {
      const { tsdb } = await openTsdb(new MemoryDisk());
      const series = Array.from({ length: 4 - from }, (_, i) => ({
        labels: metric('m', { i: String(i + from) }),
        samples: [[NOW, i + from]] as const,
      }));
      tsdb.append(batchOf(series), NOW);
      frames.push(...framesOf(tsdb));
    }
    const run = (
      query: string,
      limit = 0,
      samplesMax = 1000,
      stopFlag = new Int32Array(new SharedArrayBuffer(4)),
    ): { readonly data: string; readonly warnings: readonly string[] } => {
      const input = {
        query,
        startMs: NOW,
        endMs: NOW,
        stepMs: 0,
        lookbackMs: 300_000,
        samplesMax,
        limit,
        stopFlag,
        selections: [{ frames, range: EVERYTHING, isProjected: false }],
      };
      const { data, warnings } = runEvaluateJob(input);
      return { data: Buffer.from(data).toString(), warnings };
    };
    t.equal(
      run('sum(m)').data,
      '{"resultType":"vector","result":[{"metric":{},"value":[1700000000,"6"]}]}',
    );
    t.match(run('m', 2), { warnings: ['results truncated due to limit'] });
    t.equal(run('m', 2).data.split('"metric"').length - 1, 2);
    t.same(run('m', 4).warnings, []);
    const stopFlag = new Int32Array(new SharedArrayBuffer(4));
    t.equal(run('sum(m)', 0, 1000, stopFlag).warnings.length, 0);
    stopFlag[0] = 1;
    t.throws(() => run('sum(m)', 0, 1000, stopFlag), refusal('request.canceled', /left/));
    t.throws(() => run('m', 0, 3), refusal('query.too_large', /4 samples, the limit is 3/));
  },
);

t.test('Q7 estimateSteps() knows the grids of subqueries and refuses huge ones', async (t) => {
  const check = (query: string, expected: number, steps = 1, spanMs = 0): void => {
    const work = estimateSteps(parseExpr(query), { steps, spanMs, stepsMax: 50_000_000 });
    t.equal(work, expected, query);
  };
  check('1 + 1', 3);
  check('sum(rate(m[5m]))', 300, 100, 99_000);
  check('sum_over_time(vector(1)[1h:1ms])', 1 + 3_600_001 * 3);
  check('max_over_time(m[1h:])', 2 + 100 * 61 + 98 + 61 + 1, 100, 60_000);
  check('max_over_time(m[1h:1m] @ 5)', 100 + 100 * 61 + 61, 100, 60_000);
  const refused = refusal('query.too_large', /steps of a subquery, the limit is 50000000/);
  t.throws(() => check('count_over_time(vector(1)[100y:1ms])', 0), refused);
  t.throws(() => check('max_over_time(max_over_time(m[1d:1s])[2y:1s])', 0, 1, 0), refused);
  t.throws(() => check('max_over_time(m[1h:1s])', 0, 11_000, 11_000 * 86_400_000), refused);
});

t.test('Q4 a query of everything is 422 by the samples that it needs, others go on', async (t) => {
  const { tsdb } = await openTsdb(new MemoryDisk());
  const series = Array.from({ length: 20 }, (_, i) => ({
    labels: metric(`m${i}`),
    samples: [1, 2, 3, 4, 5].map((k) => [NOW - 60_000 * k, i] as const).reverse(),
  }));
  tsdb.append(batchOf(series), NOW);
  const run = (query: string, samplesMax: number): string => {
    const params = { startMs: NOW, endMs: NOW, stepMs: 0, lookbackMs: 300_000, limit: 0 };
    const selection = { frames: framesOf(tsdb), range: EVERYTHING, isProjected: false };
    const input = { ...params, query, samplesMax, selections: [selection] };
    return Buffer.from(runEvaluateJob(input).data).toString();
  };
  for (const query of [
    '{__name__=~".+"}',
    'count({__name__!=""})',
    'last_over_time({__name__=~"m.*"}[1h])',
  ]) {
    const refused = { id: 'query.too_large', http: 422, message: /100 samples, the limit is 99/ };
    t.throws(() => run(query, 99), refused, query);
    t.match(run(query, 100), '"resultType":"vector"', query);
  }
});

t.test(
  'runNamesJob() joins, sorts, cuts and encodes; unreadable frames are internal',
  async (t) => {
    const stopFlag = new Int32Array(new SharedArrayBuffer(4));
    const run = (
      kind: 'label-sets' | 'names',
      frames: readonly Uint8Array[],
      limit = 0,
    ): string => {
      const { data, warnings } = runNamesJob({ kind, frames, limit, stopFlag });
      return Buffer.from(data).toString() + warnings.join();
    };
    const names = [packControl(['b', '__proto__']), packControl(['b', '"'])];
    t.equal(run('names', names), '["\\"","__proto__","b"]');
    t.equal(run('names', names, 2), '["\\"","__proto__"]results truncated due to limit');
    t.equal(run('names', []), '[]');
    const { tsdb } = await openTsdb(new MemoryDisk());
    const labels = metric('m', { ['__proto__']: 'x' });
    tsdb.append(batchOf([{ labels, samples: [[NOW, 1]] }]), NOW);
    const frames = [...selectLabelSets(tsdb.head, [], EVERYTHING)].filter(
      (one) => one !== undefined,
    );
    t.equal(run('label-sets', [...frames, ...frames]), '[{"__name__":"m","__proto__":"x"}]');
    for (const bad of [Buffer.of(0xc1), packControl({ a: 1 }), Buffer.alloc(0)]) {
      t.throws(() => run('names', [bad]), refusal('internal', /internal/));
    }
    t.throws(() => run('label-sets', [Buffer.of(1, 2, 3)]), refusal('internal', /internal/));
    stopFlag[0] = 1;
    t.throws(() => run('names', names), refusal('request.canceled', /left/));
  },
);

t.test('Q24 parsedQuery() gives the tree of its text and language, however often', async (t) => {
  const tree = (query: string, isExperimental = false): unknown =>
    parsedQuery({ query, isExperimental });
  t.equal(tree('a + b'), tree('a + b'), 'kept');
  t.strictSame(tree('a + b'), parseExpr('a + b'));
  t.not(tree('a + b'), tree('a + c'));
  t.not(tree('a + b'), tree('a + b', true));
  t.not(tree('a + b'), tree(':a + b'), 'a separator in the text is text');
  t.throws(() => tree('experimental:a + b :'), refusal('query.parse'));
  t.strictSame(tree('experimental:a'), parseExpr('experimental:a'));
  t.not(tree('a', true), tree('experimental:a'));
  for (let i = 0; i < 2; i++) {
    t.throws(() => tree('limitk(1, a)'), refusal('query.parse'));
    t.ok(tree('limitk(1, a)', true));
  }
  const first = tree('first');
  for (let i = 0; i < 1000; i++) tree(`a + ${i}`);
  t.not(tree('first'), first, 'the oldest are forgotten');
});
