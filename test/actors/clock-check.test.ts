/**
 * Goal: a node knows when its wall clock is not to be trusted, by the word of a majority, at once when it jumps,
 * and never because one other is wrong. Method: offsets by hand, a clock that is set, peers that answer or not.
 */
import t from 'tap';
import { ClockCheckActor } from '../../actors/clock-check/actor.ts';
import { ClockWatch } from '../../actors/clock-check/clock-watch.ts';
import { clockVerdict } from '../../actors/clock-check/verdict.ts';
import type { ActorRuntime } from '../../actors/runtime/index.ts';
import { parseInstanceId } from '../../model/ids.ts';
import type { Clock } from '../../platform/platform.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { randomSeam } from '../support/random-seam.ts';
import { clusterOf } from '../support/registry-records.ts';
import { silentLog } from '../support/toy-tsdb.ts';

const DAY_MS = 24 * 3_600_000;
const LIMIT_MS = 300_000;

t.test('clockVerdict() believes most clocks, and nobody where there is no majority', (t) => {
  const check = (offsetsMs: readonly number[], expected: string, byMs?: number): void => {
    const found = clockVerdict(offsetsMs, LIMIT_MS);
    t.equal(found.kind, expected, JSON.stringify(offsetsMs));
    if (found.kind === 'wrong') t.equal(found.byMs, byMs);
  };
  check([], 'right');
  check([5], 'right');
  check([LIMIT_MS, -LIMIT_MS], 'right');
  check([DAY_MS], 'disputed');
  check([DAY_MS, 0], 'right');
  check([DAY_MS, DAY_MS + 500], 'wrong', DAY_MS);
  check([-DAY_MS, -DAY_MS], 'wrong', -DAY_MS);
  check([DAY_MS, -DAY_MS], 'disputed');
  check([DAY_MS, DAY_MS, 0], 'disputed');
  check([DAY_MS, DAY_MS, DAY_MS, 0], 'wrong', DAY_MS);
  check([DAY_MS, -DAY_MS, 5, -5], 'right');
  check([DAY_MS, 9 * DAY_MS, -DAY_MS, 5], 'disputed');
  t.end();
});

/** A node with peers whose clocks are so far off; `clock.offsetMs` sets its own. */
function node(peerOffsetsMs: readonly (number | undefined)[]) {
  const base = new FakeClock(1_700_000_000_000);
  const clock = { offsetMs: 0 };
  const own: Clock = {
    wallMs: () => base.wallMs() + clock.offsetMs,
    monotonicMs: () => base.monotonicMs(),
    after: (delayMs, callback) => base.after(delayMs, callback),
    nextTurn: (callback) => base.nextTurn(callback),
    afterPromises: (callback) => base.afterPromises(callback),
  };
  const registry = clusterOf(peerOffsetsMs.length + 1, 1);
  const isAlone = (): boolean => peerOffsetsMs.length === 0;
  const watch = new ClockWatch(own, 2 * LIMIT_MS, isAlone);
  const ask = ({ instance }: { readonly instance: string }) => {
    const offsetMs = peerOffsetsMs[Number(instance.slice(2)) - 1];
    const done =
      offsetMs === undefined
        ? Promise.reject(new Error('no answer'))
        : Promise.resolve(base.wallMs() + offsetMs);
    return { done, cancel: () => undefined };
  };
  const actor = new ClockCheckActor({
    clock: own,
    log: silentLog,
    random: randomSeam({ float: () => 0.5, uint32: () => 7 }),
    runtime: () => ({ self: parseInstanceId('n-00'), ask }) as unknown as ActorRuntime, // all that is used
    registry: () => registry,
    watch,
  });
  const tick = async (byMs = 1000): Promise<void> => {
    base.advance(byMs);
    actor.receive({ type: 'tick' });
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, tick, watch };
}

t.test('ClockWatch knows nothing at first, doubts after a jump, and is told why', async (t) => {
  const { clock, tick, watch } = node([0, 40]);
  t.equal(watch.verdict.kind, 'disputed', 'nobody was asked yet');
  t.equal(watch.reason, '', 'which keeps nobody from taking writes');
  await tick();
  t.equal(watch.verdict.kind, 'right');
  clock.offsetMs = -DAY_MS;
  t.equal(watch.verdict.kind, 'disputed', 'at once');
  await tick();
  t.match(watch.verdict, { kind: 'wrong' });
  t.match(watch.reason, /86400 s behind the clocks of most/);
  clock.offsetMs = DAY_MS;
  await tick();
  t.match(watch.reason, /86400 s ahead of/);
  clock.offsetMs = 0;
  await tick();
  t.equal(watch.reason, '');
  t.equal(watch.verdict.kind, 'right');
});

t.test('ClockWatch does not rely on old news, nor on silence', async (t) => {
  const silent = node([undefined, undefined]);
  await silent.tick();
  t.equal(silent.watch.verdict.kind, 'disputed');
  const one = node([undefined, 0]);
  await one.tick();
  t.equal(one.watch.verdict.kind, 'right');
  const alone = node([]);
  t.equal(alone.watch.verdict.kind, 'right', 'there is no other clock');
  alone.clock.offsetMs = DAY_MS;
  t.equal(alone.watch.verdict.kind, 'right');
  const two = node([DAY_MS]);
  await two.tick();
  t.equal(two.watch.verdict.kind, 'disputed');
  t.equal(two.watch.reason, '');
});
