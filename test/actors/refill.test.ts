/**
 * Goal: what a refill keeps and how it joins. Method: rings with and without a newcomer, frames of two
 * instances made by hand; the refill as a whole is `test/sim/refill.test.ts`.
 */
import t from 'tap';
import type { ReadScope } from '../../actors/ingester/messages.ts';
import { ClusterViews } from '../../actors/membership/cluster-view.ts';
import { Cover, coverGoalOf } from '../../actors/refill/cover.ts';
import { holdingsOf } from '../../actors/refill/holders.ts';
import { type RefillDependencies, WindowFiller } from '../../actors/refill/window-filler.ts';
import { joinWindow } from '../../actors/refill/window-join.ts';
import { packControl } from '../../actors/runtime/index.ts';
import { Ring } from '../../membership/index.ts';
import { StarlingError } from '../../model/errors.ts';
import { parseInstanceId, parseTenantId } from '../../model/ids.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { xorChunksOf } from '../../storage/index.ts';
import { isInPart } from '../../storage/head/select.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { refusal } from '../support/refusal.ts';
import { silentLog } from '../support/toy-tsdb.ts';
import { WALL_MS, instance, registryOf, rfStep } from '../support/registry-records.ts';

const HASHES = Array.from({ length: 400 }, (_, i) => (i * 0x9e37_79b1) >>> 0);
const HOUR_MS = 3_600_000;
const seams = () => ({ clock: new FakeClock(), log: silentLog });
const ids = ['a', 'b', 'c', 'd', 'e'];
const self = parseInstanceId('a');

t.test(
  'holdingsOf() gives what the ring gives, now or then, and counts holders as the ring does',
  (t) => {
    const old = ids.map((id) => instance(id, { activeSinceMs: WALL_MS - 10 * HOUR_MS, zone: id }));
    const newcomer = instance('f', { activeSinceMs: WALL_MS, zone: 'f' });
    const before = registryOf(rfStep(3), ...old);
    const now = registryOf(rfStep(3), ...old, newcomer);
    const isIn = (registry: typeof now, hash: number): boolean => {
      const ring = new Ring(registry);
      const members = new Uint16Array(ring.replicasMax);
      const count = ring.replicaSet(hash, 'read', members);
      return members.subarray(0, count).includes(ring.indexOf(self));
    };
    const window = { minTimeMs: WALL_MS - 4 * HOUR_MS, maxTimeMs: WALL_MS - 2 * HOUR_MS };
    const { holderOf, isReplica, quorum } = holdingsOf(now, self, window);
    const lost = HASHES.filter((hash) => isIn(before, hash) && !isIn(now, hash));
    t.ok(lost.length > 0, 'the newcomer took some over');
    for (const hash of HASHES) t.equal(isReplica(hash), isIn(before, hash) || isIn(now, hash));
    t.notOk(HASHES.every((hash) => isReplica(hash)));
    t.equal(quorum, 2);
    const small = holdingsOf(registryOf(rfStep(3), ...old.slice(0, 3)), self, window);
    t.ok(HASHES.every((hash) => small.isReplica(hash)));
    const b = parseInstanceId('b');
    const inOneZone = old.map((record) => ({ ...record, zone: 'one' }));
    t.equal(holdingsOf(registryOf(rfStep(3), ...inOneZone), self, window).holderOf(b), 'b');
    const inZones = old.map((record, i) => ({ ...record, zone: `zone-${i % 3}` }));
    t.equal(holdingsOf(registryOf(rfStep(3), ...inZones), self, window).holderOf(b), 'zone-1');
    t.equal(holderOf(b), 'b', 'its zone has its name here');
    t.end();
  },
);

/** Chunks with a sample a second, each [first, last] in seconds. */
type NamedSpans = readonly [string, ...(readonly [number, number])[]];

function frameOf(...series: readonly NamedSpans[]): Uint8Array {
  const writer = new SeriesFrameWriter();
  for (const [name, ...spans] of series) {
    const labels = encodeLabels(['name', name]);
    const print = Uint32Array.of(name.charCodeAt(0), 1, 2, 3);
    writer.putSeries(print, 0, labels, 0, labels.length, spans.length);
    for (const [first, last] of spans) {
      const times = Float64Array.from({ length: last - first + 1 }, (_, i) => (first + i) * 1000);
      for (const { bytes } of xorChunksOf(times, times, 0, times.length)) {
        writer.putChunk(first * 1000, last * 1000, bytes, 0, bytes.length);
      }
    }
  }
  return writer.finish();
}

t.test('joinWindow() joins by fingerprint, drops equal chunks, sorts by labels', async (t) => {
  const answers = [
    {
      holder: '1',
      frames: [frameOf(['z', [10, 12]], ['b', [10, 12], [20, 22]]), frameOf(['b', [30, 32]])],
    },
    { holder: '2', frames: [frameOf(['b', [10, 12], [40, 42]])] },
  ];
  const own = { isReplica: () => true, quorum: 2 };
  const source = await joinWindow(seams(), answers, own);
  const found: unknown[] = [];
  for await (const { chunks, labels } of source?.series() ?? []) {
    found.push([labels[1], chunks.map(({ minTimeMs }) => minTimeMs / 1000)]);
  }
  t.strictSame(found, [
    ['b', [10, 20, 30, 40]],
    ['z', [10]],
  ]);
  t.ok([...(source?.symbols() ?? [])].includes('name'));
});

t.test('joinWindow() keeps of others what fewer holders than a quorum have', async (t) => {
  type Spans = readonly (readonly [number, number])[];
  const check = async (held: readonly Spans[], quorum: number, expected: Spans): Promise<void> => {
    const answers = held.map((spans, i) => ({
      holder: `${i}`,
      frames: [frameOf(['s', ...spans])],
    }));
    const rules = { isReplica: () => false, quorum };
    const source = await joinWindow(seams(), answers, rules);
    const found: unknown[] = [];
    for await (const { chunks } of source?.series() ?? []) {
      for (const one of chunks) found.push([one.minTimeMs / 1000, one.maxTimeMs / 1000]);
    }
    t.strictSame(found, expected, JSON.stringify(held));
  };
  await check([[[1, 9]], [[1, 9]], []], 2, []);
  await check([[[1, 9]], [], []], 2, [[1, 9]]);
  await check([[[1, 9]]], 1, []);
  // Cut at other places, but the same samples.
  await check(
    [
      [[1, 9]],
      [
        [1, 4],
        [5, 9],
      ],
    ],
    2,
    [],
  );
  // One sample is with one holder only: the chunk that has it, and no other.
  await check(
    [
      [
        [1, 4],
        [5, 9],
      ],
      [
        [1, 4],
        [5, 8],
      ],
    ],
    2,
    [[5, 9]],
  );
  await check(
    [
      [
        [1, 4],
        [5, 9],
      ],
      [
        [1, 4],
        [6, 9],
      ],
      [[1, 3]],
    ],
    2,
    [[5, 9]],
  );
  // Twice with the same holder, from a block and from its head, is once.
  await check(
    [
      [
        [1, 9],
        [1, 8],
      ],
      [[1, 7]],
    ],
    2,
    [
      [1, 9],
      [1, 8],
    ],
  );
});

t.test('joinWindow() leaves out what one holder has and nobody can read', async (t) => {
  const writer = new SeriesFrameWriter();
  const labels = encodeLabels(['name', 's']);
  writer.putSeries(Uint32Array.of(115, 1, 2, 3), 0, labels, 0, labels.length, 2);
  writer.putChunk(1, 2, Uint8Array.of(0, 9, 1), 0, 3);
  writer.putChunk(3, 4, Uint8Array.of(0, 9, 1, 1), 0, 4);
  const bad = { holder: '1', frames: [writer.finish()] };
  const good = { holder: '2', frames: [frameOf(['s', [1, 9]])] };
  for (const isOwn of [false, true]) {
    const told: unknown[] = [];
    const log = { ...silentLog, warn: (_: string, facts: unknown) => void told.push(facts) };
    const rules = { isReplica: () => isOwn, quorum: 2 };
    const clock = new FakeClock();
    t.equal(await joinWindow({ clock, log }, [bad], rules), undefined);
    t.strictSame(told, [{ count: 2 }]);
    const source = await joinWindow({ clock, log }, [bad, good], rules);
    for await (const { chunks } of source?.series() ?? []) {
      t.strictSame(
        chunks.map(({ minTimeMs }) => minTimeMs),
        [1000],
      );
    }
  }
});

t.test('joinWindow() lets others work, also while it leaves everything out', async (t) => {
  const clock = new FakeClock();
  let turns = 0;
  clock.nextTurn = (callback) => {
    turns++;
    setImmediate(callback);
  };
  const names = Array.from({ length: 900 }, (_, i) => String.fromCharCode(i + 65));
  const whole = names.map((name): NamedSpans => [name, [1, 9]]);
  const inHalves = names.map((name): NamedSpans => [name, [1, 4], [5, 9]]);
  const answers = [whole, inHalves].map((series, i) => ({
    holder: `${i}`,
    frames: [frameOf(...series)],
  }));
  const rules = { isReplica: () => false, quorum: 2 };
  t.equal(await joinWindow({ clock, log: silentLog }, answers, rules), undefined);
  t.ok(turns >= 10, `${turns} turns`);
});

t.test('isInPart() puts each series in one part, and halves of a part are parts', (t) => {
  for (const word of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, ...HASHES]) {
    for (let count = 1; count <= 64; count *= 2) {
      const parts = Array.from({ length: count }, (_, index) => index);
      const own = parts.filter((index) => isInPart(word, { index, count }));
      t.equal(own.length, 1);
      const half = [0, 1].filter((i) =>
        isInPart(word, { index: own[0]! * 2 + i, count: count * 2 }),
      );
      t.equal(half.length, 1);
    }
  }
  t.end();
});

t.test('WindowFiller.firstMs() is the oldest sample that anybody still has', (t) => {
  const clock = new FakeClock();
  clock.wallMs = () => WALL_MS;
  const dependencies = { clock, retentionMs: 24 * HOUR_MS } as unknown as RefillDependencies; // no more is used
  const filler = new WindowFiller(dependencies, {
    order: (all) => all,
    keep: async () => undefined,
  });
  const check = (
    lossFromHours: number,
    oldestHours: readonly number[],
    expectedHours: number,
  ): void => {
    const timeOf = (hoursAgo: number): number =>
      hoursAgo === Infinity ? 0 : WALL_MS - hoursAgo * HOUR_MS;
    const oldest = oldestHours.map((hours, i) => [parseTenantId(`t${i}`), timeOf(hours)] as const);
    const found = filler.firstMs(timeOf(lossFromHours), new Map(oldest));
    t.equal(found, timeOf(expectedHours), `${lossFromHours} ${oldestHours.join()}`);
  };
  check(Infinity, [3, 5], 5);
  check(Infinity, [3, 50], 50); // not shipped yet: the bucket would have let it go here
  check(2, [3, 50], 2);
  check(Infinity, [3, Infinity], 24); // one cannot tell what it has
  t.end();
});

t.test('Cover.run() goes on with the window that failed', async (t) => {
  const sinceMs = WALL_MS - 30 * HOUR_MS;
  const old = { activeSinceMs: sinceMs, registeredAtMs: sinceMs, joinedRf: 3, settledRf: 3 };
  const living = ['a', 'c', 'd'].map((id) => instance(id, old));
  const dead = instance('b', { ...old, state: 'FORGOTTEN', missingBeforeMs: WALL_MS });
  const views = new ClusterViews();
  views.publish(registryOf(rfStep(3, -30 * HOUR_MS), ...living, dead));
  const clock = new FakeClock();
  clock.after = (delayMs, callback) => {
    if (delayMs === 0) setImmediate(callback);
    return { cancel: () => undefined };
  };
  const asked: number[] = [];
  let isDown = true;
  const runtime = {
    self,
    ask: (
      to: { readonly instance: string },
      { scope, type }: { readonly scope?: ReadScope; readonly type: string },
      _: unknown,
      onFrame: (frame: Uint8Array) => void,
    ) => {
      const hoursAgo = (WALL_MS - (scope?.range.minTimeMs ?? 0)) / HOUR_MS;
      if (type === 'tenants') onFrame(packControl([`${WALL_MS - 8 * HOUR_MS} t`]));
      else if (to.instance === self) asked.push(hoursAgo);
      const fails = isDown && type === 'select' && hoursAgo < 5;
      const { digest } = views.current;
      const done = fails
        ? Promise.reject(new StarlingError('node.unreachable', { instance: 'a', why: 'down' }))
        : Promise.resolve({ digest, oldestTimeMs: 0 });
      return { done, cancel: () => undefined };
    },
  };
  const dependencies = {
    ...{ clock, log: silentLog, retentionMs: 24 * HOUR_MS, isStopped: () => false },
    ...{ runtime: () => runtime, view: () => views.current },
  };
  const cover = new Cover(dependencies as unknown as RefillDependencies); // no more of it is used
  const goal = coverGoalOf(views.current.registry);
  if (goal === undefined) throw new Error('there is a tombstone');
  await t.rejects(cover.run(goal), refusal('read.incomplete'));
  const whole = asked.splice(0);
  t.ok(whole.length >= 2 && (whole.at(-1) ?? 9) < 5, `asked for ${whole.join(', ')} hours ago`);
  isDown = false;
  await cover.run(goal);
  t.equal(asked[0], whole.at(-1), 'what was done is not asked for again');
  t.ok(cover.hasCovered(goal.key));
});
