/**
 * Attempts with deadlines: each is given its own, all together have one, and between two lies a pause of
 * random length (full jitter), so that many nodes do not come back at once.
 *
 *   attempt ≤ attemptMs ── pause ≤ 100 ms ── attempt ── pause ≤ 200 ms ── …      all of it ≤ totalMs
 */
import type { Clock, Random } from '../../platform.ts';

export interface AttemptLimits {
  readonly countMax: number;
  readonly attemptMs: number;
  readonly totalMs: number;
}

export interface AttemptOptions extends AttemptLimits {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal | undefined;
  /** Turns what an attempt threw into the error to throw, and says whether another one may help. */
  readonly judge: (thrown: unknown) => { readonly error: Error; readonly isRetryable: boolean };
}

const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 5000;

/** Runs `work` until it succeeds. Throws the caller's reason when `signal` aborts. */
export async function attempts<Result>(
  options: AttemptOptions,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { clock, countMax, judge, random, signal, totalMs } = options;
  const endMs = clock.monotonicMs() + totalMs;
  for (let count = 1; ; count++) {
    signal?.throwIfAborted();
    const timeoutMs = Math.min(options.attemptMs, endMs - clock.monotonicMs());
    try {
      return await withDeadline(clock, timeoutMs, signal, work);
    } catch (thrown) {
      signal?.throwIfAborted();
      const { error, isRetryable } = judge(thrown);
      const pauseMs = random.float() * Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** (count - 1));
      const isLast = count >= countMax || clock.monotonicMs() + pauseMs >= endMs;
      if (!isRetryable || isLast) throw error;
      await pause(clock, pauseMs, signal);
    }
  }
}

async function withDeadline<Result>(
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const abort = (): void => controller.abort(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  let timer: { cancel(): void } | undefined;
  try {
    // The race ends the wait even when the work does not look at its signal.
    return await Promise.race([
      work(controller.signal),
      new Promise<never>((_, reject) => {
        timer = clock.after(timeoutMs, () => {
          const late = new Error(`no answer within ${Math.round(timeoutMs)} ms`);
          reject(late);
          controller.abort(late);
        });
        controller.signal.addEventListener('abort', () => reject(reasonOf(controller.signal)));
      }),
    ]);
  } finally {
    timer?.cancel();
    signal?.removeEventListener('abort', abort);
  }
}

function reasonOf({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

function pause(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, resolve);
    signal?.addEventListener(
      'abort',
      () => {
        timer.cancel();
        resolve();
      },
      { once: true },
    );
  });
}
