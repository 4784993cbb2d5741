/** The real clock: wall time for samples and people, monotonic time for every wait. */
import { performance } from 'node:perf_hooks';
import type { Clock } from '../platform.ts';

export function createNodeClock(): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after(delayMs, callback) {
      const timer = setTimeout(callback, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
    nextTurn: (callback) => void setImmediate(callback),
  };
}
