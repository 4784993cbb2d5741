/**
 * The real clock: wall time for samples and people, monotonic time for every wait. Node counts a
 * timer from the beginning of the loop's turn, so after a long turn it would fire early; here a
 * callback never runs before its delay has passed on `monotonicMs`.
 */
import { performance } from 'node:perf_hooks';
import { assert } from '../../model/assert.ts';
import type { Clock } from '../platform.ts';

/** Longer waits take several timers: beyond this Node fires at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export function createNodeClock(): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after(delayMs, callback) {
      assert(!Number.isNaN(delayMs), 'clock: a delay that is no number');
      const dueMs = performance.now() + delayMs;
      const fire = (): void => {
        const remainingMs = dueMs - performance.now();
        if (remainingMs > 0) timer = arm(remainingMs, fire);
        else callback();
      };
      let timer = arm(delayMs, fire);
      return { cancel: () => clearTimeout(timer) };
    },
    nextTurn: (callback) => void setImmediate(callback),
    afterPromises: (callback) => process.nextTick(callback),
  };
}

function arm(delayMs: number, fire: () => void): NodeJS.Timeout {
  return setTimeout(fire, Math.min(Math.ceil(delayMs), TIMER_MS_MAX));
}
