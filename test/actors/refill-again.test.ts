/**
 * Goal: a loss that is found while a refill runs is filled with it. Method: a refill of others that hold nothing,
 * and a note that gets another loss after some of the windows.
 */
import t from 'tap';
import { Refill } from '../../actors/refill/refill.ts';
import type { RefillDependencies } from '../../actors/refill/window-filler.ts';
import {
  type ActorRuntime,
  type OutgoingMessage,
  packControl,
} from '../../actors/runtime/index.ts';
import { type Loss, LossNote } from '../../membership/index.ts';
import { parseInstanceId } from '../../model/ids.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { silentLog } from '../support/toy-tsdb.ts';
import { WALL_MS, instance, registryOf, rfStep } from '../support/registry-records.ts';

const HOUR_MS = 3_600_000;
const ids = ['a', 'b', 'c'];
const self = parseInstanceId('a');

t.test('a refill begins again when more is lost while it runs', async (t) => {
  const hour = (hours: number): number => WALL_MS - (WALL_MS % (2 * HOUR_MS)) + hours * HOUR_MS;
  /** Returns the windows that were read, in hours; `loss` is found when that many were. */
  const check = async (
    before: Loss,
    loss: Loss | undefined,
    count: number,
    expected: readonly number[],
  ): Promise<void> => {
    const disk = new MemoryDisk();
    await disk.makeDirectory('/d');
    const note = await LossNote.open(disk, '/d', WALL_MS);
    await note.add(before);
    const read: number[] = [];
    const told: unknown[] = [];
    const answer = async (
      message: OutgoingMessage,
      onFrame?: (frame: Uint8Array) => void,
    ): Promise<unknown> => {
      if (message.type === 'tenants') onFrame?.(packControl(['0 t']));
      if (message.type === 'refilled') told.push(message['restMs']);
      if (message.type === 'select') {
        const { range } = message['scope'] as { range: { minTimeMs: number } }; // as it is sent
        const at = (range.minTimeMs - hour(0)) / HOUR_MS;
        if (read.at(-1) !== at) read.push(at);
        if (read.length === count && loss !== undefined) await note.add(loss);
      }
      return { digest: 'd', oldestTimeMs: 0 };
    };
    const ask = (
      _to: unknown,
      message: OutgoingMessage,
      _options: unknown,
      onFrame?: (frame: Uint8Array) => void,
    ) => ({ done: answer(message, onFrame), cancel: () => undefined });
    const fake = new FakeClock(WALL_MS);
    const clock = {
      wallMs: () => fake.wallMs(),
      monotonicMs: () => fake.monotonicMs(),
      after: (delayMs: number, callback: () => void) => {
        if (delayMs === 0) queueMicrotask(callback); // a rest after no work
        return fake.after(delayMs, delayMs === 0 ? () => undefined : callback);
      },
    };
    const world = ids
      .slice(0, 3)
      .map((id) => instance(id, { activeSinceMs: WALL_MS - 99 * HOUR_MS }));
    const registry = registryOf(rfStep(3, -99 * HOUR_MS), ...world);
    const dependencies = {
      clock,
      log: silentLog,
      runtime: () => ({ self, ask }) as unknown as ActorRuntime, // all that is used of it
      view: () => ({ registry, digest: 'd' }),
      note,
      retentionMs: 99 * HOUR_MS,
      isStopped: () => false,
    } as unknown as RefillDependencies; // nothing is kept, so no tenant is opened
    t.strictSame(await new Refill(dependencies).run(before.beforeMs), { restMs: 0 });
    t.strictSame(read, expected);
    t.strictSame(told, [0], 'said to be whole once, at the end');
    t.equal(note.current, undefined);
  };
  const before = { fromMs: hour(-10), beforeMs: hour(-5) };
  await check(before, undefined, 0, [-10, -8, -6]);
  const older = { fromMs: hour(-12), beforeMs: hour(-11) };
  await check(before, older, 2, [-10, -8, -12, -10, -8, -6]);
  await check(before, older, 3, [-10, -8, -6, -12, -10, -8, -6]);
  // Of a window that was done with, and of the only one there is.
  await check(before, { fromMs: hour(-10), beforeMs: hour(-9) }, 2, [-10, -8, -10, -8, -6]);
});
