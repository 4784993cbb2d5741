/** What every `Clock` does: order, never early, cancelled is silent, turns let others run. */
import type { Test } from 'tap';
import type { Clock } from '../../../platform/platform.ts';

const FAR_MS = 2 ** 31 + 1000;

export async function checkClock(t: Test, clock: Clock): Promise<void> {
  const begunMs = clock.monotonicMs();
  t.ok(Number.isInteger(clock.wallMs()), 'the wall clock counts whole milliseconds');
  const order: string[] = [];
  let isTooEarly = false;
  const mark = (name: string, dueMs: number) => (): void => {
    order.push(name);
    isTooEarly ||= clock.monotonicMs() < dueMs;
  };
  await new Promise<void>((resolve) => {
    clock.after(30, mark('30', begunMs + 30));
    clock.after(10, mark('10', begunMs + 10));
    clock.after(20, mark('never', 0)).cancel();
    const far = clock.after(FAR_MS, mark('far', begunMs + FAR_MS));
    const last = clock.after(60, () => {
      far.cancel();
      last.cancel();
      resolve();
    });
    clock.after(0, mark('0', begunMs));
    clock.after(-5, mark('-5', begunMs));
    clock.nextTurn(() => order.push('turn'));
    void Promise.resolve().then(() => {
      order.push('promise');
      clock.afterPromises(() => order.push('after promises'));
      void Promise.resolve().then(() => order.push('another promise'));
    });
    order.push('now');
  });
  t.strictSame(
    order.slice(0, 4),
    ['now', 'promise', 'another promise', 'after promises'],
    'callbacks never run inside the call',
  );
  t.strictSame(
    order.filter((name) => Number(name) > 0),
    ['10', '30'],
  );
  t.strictSame(order.slice(4).sort(), ['-5', '0', '10', '30', 'turn']);
  t.notOk(isTooEarly, 'no callback before its delay has passed');
  t.ok(clock.monotonicMs() >= begunMs + 60);
  t.throws(() => clock.after(NaN, () => undefined));

  const turns: number[] = [];
  await new Promise<void>((resolve) => {
    const poll = (count: number): void => {
      turns.push(count);
      if (count < 100) clock.nextTurn(() => poll(count + 1));
    };
    clock.after(5, resolve);
    poll(1);
  });
  t.ok(turns.length > 1, 'polling by turns does not keep a timer from firing');
}
