/**
 * Goal: who may be forgotten without an operator, how long one is down, what a takeover adds, and when
 * it is done. Method: registries and frames made by hand; clusters are in test/sim/auto-forget.test.ts.
 */
import t from 'tap';
import { AutoForgetActor } from '../../actors/auto-forget/actor.ts';
import { forgetCandidate } from '../../actors/auto-forget/candidate.ts';
import { coverGoalOf } from '../../actors/refill/cover.ts';
import { joinLacking } from '../../actors/refill/window-join.ts';
import type { ActorRuntime, OutgoingMessage } from '../../actors/runtime/index.ts';
import { DownWatch, type InstanceRecord, MISSING_ALWAYS_MS } from '../../membership/index.ts';
import { LOOK_MAX_MS } from '../../membership/down-watch.ts';
import { type InstanceId, parseInstanceId } from '../../model/ids.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { xorChunksOf } from '../../storage/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { WALL_MS, instance, registryOf, rfStep } from '../support/registry-records.ts';
import { silentLog } from '../support/toy-tsdb.ts';

const HOUR_MS = 3_600_000;
const self = parseInstanceId('a');
const b = parseInstanceId('b');

t.test('DownWatch counts while it looks, and begins at nothing when one was up', (t) => {
  const watch = new DownWatch();
  const down = new Set([b]);
  watch.look(0, down);
  t.equal(watch.downMs(b), 1, 'a moment');
  watch.look(10_000, down);
  t.equal(watch.downMs(b), 10_001);
  watch.look(10_000 + 5 * HOUR_MS, down);
  t.equal(watch.downMs(b), 10_001 + LOOK_MAX_MS, 'it slept and saw nothing');
  watch.look(6 * HOUR_MS, new Set());
  t.equal(watch.downMs(b), 0);
  watch.look(6 * HOUR_MS + 10_000, down);
  t.equal(watch.downMs(b), 1);
  t.end();
});

const oldWorld = { joinedRf: 3, settledRf: 3, activeSinceMs: WALL_MS - 100 * HOUR_MS };

t.test('forgetCandidate() takes only what enough others live for and hold', (t) => {
  const check = (
    ids: string,
    downHours: Readonly<Record<string, number>>,
    expected: string | undefined,
    changes: Readonly<Record<string, Partial<InstanceRecord>>> = {},
  ): void => {
    const records = ids.split(' ').map((id) => instance(id, { ...oldWorld, ...changes[id] }));
    const registry = registryOf(rfStep(3, -100 * HOUR_MS), ...records);
    const found = forgetCandidate(registry, {
      self,
      downMs: (id) => (downHours[id] ?? 0) * HOUR_MS,
      afterMs: 12 * HOUR_MS,
      promised: { minTimeMs: WALL_MS - 50 * HOUR_MS, maxTimeMs: WALL_MS },
    });
    t.equal(found?.id, expected, JSON.stringify({ ids, downHours, changes }));
  };
  check('a b c d', { d: 13 }, 'd');
  check('a b c d', { d: 11 }, undefined);
  check('a b c d', {}, undefined);
  check('a b c', { c: 13 }, undefined); // no more copies could be made
  check('a b c d e', { d: 13, e: 1 }, undefined); // together they may hold what nobody else does
  check('a b c d e f', { d: 13, e: 20, f: 1 }, undefined);
  check('a b c d', { a: 13 }, undefined); // nobody forgets itself
  check('a b c d', { d: 13 }, undefined, { c: { proposal: 'forget' } }); // one after another
  // A ballot that ran out of time, or one that died while it left: nobody else ends that.
  check('a b c d', { d: 13 }, 'd', { d: { proposal: 'forget' } });
  check('a b c d', { d: 13 }, 'd', { d: { proposal: 'leave', state: 'LEAVING' } });
  check('a b c d', { d: 11 }, undefined, { d: { proposal: 'forget' } });
  check('a b c d', { d: 13 }, undefined, { c: { missingBeforeMs: WALL_MS } }); // d may be needed to fill it
  const grave = { state: 'FORGOTTEN', missingBeforeMs: WALL_MS } as const;
  check('a b c d e', { d: 13 }, undefined, { e: grave }); // not taken over yet
  check('a b c d e', { d: 13 }, 'd', { e: { ...grave, missingBeforeMs: 0 } });
  // By zones: a whole one may go.
  const zones = Object.fromEntries(
    'a b c d e f g h'.split(' ').map((id, i) => [id, { zone: `z${i % 4}` }]),
  );
  check('a b c d e f g h', { d: 13, h: 14 }, 'h', zones);
  check('a b c d e f g h', { c: 13, h: 14 }, undefined, zones);
  t.end();
});

t.test('AutoForgetActor asks the others, and forgets only with a majority', async (t) => {
  const check = async (votes: Readonly<Record<string, boolean>>, expected: boolean) => {
    const clock = new FakeClock(WALL_MS);
    const ids = ['a', 'b', 'c', 'd', 'e'];
    const registry = registryOf(
      rfStep(3, -100 * HOUR_MS),
      ...ids.map((id) => instance(id, oldWorld)),
    );
    const forgotten: unknown[] = [];
    const ask = (to: { readonly instance: InstanceId }, message: OutgoingMessage) => {
      if (message.type === 'forget') forgotten.push(message['instance']);
      const vote = votes[to.instance];
      const done =
        message.type === 'forget' || vote !== undefined
          ? Promise.resolve(vote ?? null)
          : Promise.reject(new Error('no answer'));
      return { done, cancel: () => undefined };
    };
    const actor = new AutoForgetActor({
      clock,
      log: silentLog,
      runtime: () => ({ self, ask }) as unknown as ActorRuntime, // all that is used of it
      registry: () => registry,
      isDown: (id) => id === 'e',
      isReady: () => true,
      afterMs: HOUR_MS,
      retentionMs: 50 * HOUR_MS,
    });
    for (let i = 0; i < 125; i++) {
      if (i === 119) t.strictSame(forgotten, [], 'not before its time');
      actor.receive({ type: 'tick' });
      clock.advance(30_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    t.strictSame([...new Set(forgotten)], expected ? ['e'] : [], JSON.stringify(votes));
  };
  await check({ b: true, c: true, d: true }, true);
  await check({ b: true, c: true, d: false }, true);
  await check({ b: true, c: false }, false);
  await check({ b: true }, false);
  await check({}, false);
});

t.test('coverGoalOf() names sealed tombstones and the ring they are covered under', (t) => {
  const grave = (missingBeforeMs: number): InstanceRecord =>
    instance('d', { ...oldWorld, state: 'FORGOTTEN', missingBeforeMs });
  const three = ['a', 'b', 'c'].map((id) => instance(id, oldWorld));
  const goal = (...more: readonly InstanceRecord[]) =>
    coverGoalOf(registryOf(rfStep(3), ...three, ...more));
  t.equal(goal(), undefined);
  t.equal(goal(grave(0)), undefined, 'settled');
  t.equal(goal(grave(MISSING_ALWAYS_MS)), undefined, 'somebody may still write to it');
  const sealed = goal(grave(WALL_MS));
  t.match(sealed, { beforeMs: WALL_MS, tombstones: [{ id: 'd' }] });
  t.equal(goal(grave(WALL_MS))?.key, sealed?.key);
  t.not(goal(grave(WALL_MS + 1))?.key, sealed?.key);
  t.not(goal(grave(WALL_MS), instance('e', oldWorld))?.key, sealed?.key, 'another ring');
  t.equal(
    goal(grave(WALL_MS), instance('a', { ...oldWorld, bootCounter: 2 }))?.key,
    sealed?.key,
    'a restart moves nothing',
  );
  t.end();
});

t.test('joinLacking() keeps what this instance should have and has not', async (t) => {
  type Spans = readonly (readonly [number, number])[];
  const frameOf = (spans: Spans): Uint8Array => {
    const writer = new SeriesFrameWriter();
    const labels = encodeLabels(['name', 's']);
    writer.putSeries(Uint32Array.of(1, 1, 2, 3), 0, labels, 0, labels.length, spans.length);
    for (const [first, last] of spans) {
      const times = Float64Array.from({ length: last - first + 1 }, (_, i) => (first + i) * 1000);
      for (const { bytes } of xorChunksOf(times, times, 0, times.length)) {
        writer.putChunk(first * 1000, last * 1000, bytes, 0, bytes.length);
      }
    }
    return writer.finish();
  };
  const check = async (
    own: Spans,
    others: readonly Spans[],
    expected: Spans,
    isReplica = true,
  ): Promise<void> => {
    const answers = [
      { holder: 'a', frames: own.length === 0 ? [] : [frameOf(own)] },
      ...others.map((spans, i) => ({ holder: `o${i}`, frames: [frameOf(spans)] })),
    ];
    const rules = { isReplica: () => isReplica, self: 'a' };
    const source = await joinLacking({ clock: new FakeClock(), log: silentLog }, answers, rules);
    const found: unknown[] = [];
    for await (const { chunks } of source?.series() ?? []) {
      for (const one of chunks) found.push([one.minTimeMs / 1000, one.maxTimeMs / 1000]);
    }
    t.strictSame(found, expected, JSON.stringify({ own, others }));
  };
  await check([[1, 9]], [[[1, 9]]], []);
  await check([], [[[1, 9]], [[1, 9]]], [[1, 9]]);
  await check([], [[[1, 9]]], [], false);
  await check(
    [
      [1, 4],
      [5, 9],
    ],
    [[[1, 9]], [[2, 7]]],
    [],
  );
  await check([[1, 8]], [[[1, 9]], [[3, 5]]], [[1, 9]]);
  await check([[1, 4]], [[[1, 4]], [[5, 9]]], [[5, 9]]);
});
