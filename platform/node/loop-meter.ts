/**
 * How long the loop keeps others waiting, and how much of that is our own doing. On a busy machine the
 * delay of the loop also counts the time that other processes had the core; the CPU time of a slice
 * (one turn of the loop) counts only ours, so a budget on it holds on any machine.
 *
 *   turn ──poll── check ──poll── check       a check that holds no loop awake reads the CPU time in every turn
 *   timer ──────── due ── late ──> fires     a timer tells how late the loop is
 *
 * CPU time is the thread's own, from the kernel's scheduler, which brings it up to date when it takes the
 * core away and at its own ticks (4 ms apart on many systems). A short turn in which a tick falls would be
 * told as a whole tick, so none is told as longer than it was: its time, less what the loop waited in poll.
 * Where the kernel does not tell, only delays are measured.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

const TICK_MS = 20;
const NS_PER_MS = 1e6;
const SCHEDSTAT = '/proc/thread-self/schedstat';
const SCHEDSTAT_BYTES_MAX = 64;
const SLICE_MS_MIN = 0.01;
const BUCKETS_PER_DOUBLING = 4;
const BUCKET_COUNT = 96;

/** Of one period, milliseconds. Percentiles are upper bounds of their bucket (19 % wide). */
export interface LoopReading {
  /** How late the loop ran what was due. */
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Undefined where the system does not tell a thread's CPU time. */
  readonly sliceCpuMs: { readonly p99: number; readonly max: number } | undefined;
}

/** Counts of durations in buckets that grow by a fixed factor. */
export class DurationCounts {
  readonly #counts = new Float64Array(BUCKET_COUNT);
  #total = 0;
  maxMs = 0;

  add(durationMs: number): void {
    const doublings = Math.log2(Math.max(1, durationMs / SLICE_MS_MIN));
    const bucket = Math.min(BUCKET_COUNT - 1, Math.ceil(doublings * BUCKETS_PER_DOUBLING));
    this.#counts[bucket]!++;
    this.#total++;
    this.maxMs = Math.max(this.maxMs, durationMs);
  }

  /** The upper bound of the bucket in which the `share` of all durations is reached; 0 when empty. */
  percentileMs(share: number): number {
    let rest = this.#total * share;
    for (let i = 0; i < BUCKET_COUNT - 1 && this.#total > 0; i++) {
      rest -= this.#counts[i]!;
      if (rest <= 0) return Math.min(this.maxMs, SLICE_MS_MIN * 2 ** (i / BUCKETS_PER_DOUBLING));
    }
    return this.maxMs;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.maxMs = 0;
  }
}

export class LoopMeter {
  readonly #delays = new DurationCounts();
  readonly #slices = new DurationCounts();
  readonly #scratch = Buffer.alloc(SCHEDSTAT_BYTES_MAX);
  readonly #timer: NodeJS.Timeout;
  #schedstat: number | undefined;
  #tickMs = performance.now();
  #cpuMs: number;
  #busyMs: number;

  constructor() {
    this.#schedstat = openSchedstat();
    this.#cpuMs = this.#readCpuMs();
    this.#busyMs = readBusyMs();
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref();
    setImmediate(this.#check).unref();
  }

  /** What was measured since the last reading. */
  read(): LoopReading {
    const reading = {
      delayMs: {
        p50: this.#delays.percentileMs(0.5),
        p99: this.#delays.percentileMs(0.99),
        max: this.#delays.maxMs,
      },
      sliceCpuMs:
        this.#schedstat === undefined
          ? undefined
          : { p99: this.#slices.percentileMs(0.99), max: this.#slices.maxMs },
    };
    this.#delays.clear();
    this.#slices.clear();
    return reading;
  }

  close(): void {
    clearInterval(this.#timer);
    if (this.#schedstat !== undefined) closeSync(this.#schedstat);
    this.#schedstat = undefined;
  }

  #tick(): void {
    const nowMs = performance.now();
    this.#delays.add(Math.max(0, nowMs - this.#tickMs - TICK_MS));
    this.#tickMs = nowMs;
  }

  /** Once in every turn. */
  readonly #check = (): void => {
    if (this.#schedstat === undefined) return;
    const cpuMs = this.#readCpuMs();
    const busyMs = readBusyMs();
    this.#slices.add(Math.min(cpuMs - this.#cpuMs, busyMs - this.#busyMs));
    this.#cpuMs = cpuMs;
    this.#busyMs = busyMs;
    setImmediate(this.#check).unref();
  };

  /** The first number of the file: nanoseconds this thread was on a core. */
  #readCpuMs(): number {
    if (this.#schedstat === undefined) return 0;
    const byteCount = readSync(this.#schedstat, this.#scratch, 0, SCHEDSTAT_BYTES_MAX, 0);
    return Number.parseInt(this.#scratch.toString('latin1', 0, byteCount), 10) / NS_PER_MS;
  }
}

/** All the time that the loop did not wait in poll. */
function readBusyMs(): number {
  return performance.now() - performance.nodeTiming.idleTime;
}

/** Kept open: a reading is one system call. */
function openSchedstat(): number | undefined {
  try {
    return openSync(SCHEDSTAT, 'r');
  } catch {
    return undefined; // not Linux, or a kernel without scheduler statistics
  }
}
