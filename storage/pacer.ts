/**
 * Long work in short slices: who loops over much tells the pacer what it spent, and pauses when it says
 * so; appends and queries run in the pauses. By time, and also by count, because under a virtual clock
 * a slice takes no time at all.
 */
import { StarlingError } from '../model/errors.ts';
import type { Clock } from '../platform/platform.ts';

/** One slice, whatever else it must share a turn of the loop with. */
const SLICE_MS = 1;
/** The clock is asked once for so many units. A unit is roughly half a microsecond. */
const UNITS_PER_LOOK = 100;
const LOOKS_PER_SLICE_MAX = 200;

export class Pacer {
  readonly #clock: Clock;
  readonly #isCancelled: () => boolean;
  readonly #sliceMs: number;
  #startedMs: number;
  #units = 0;
  #looks = 0;

  /** Once `isCancelled` says so, the next pause throws `node.not_ready`. */
  constructor(clock: Clock, isCancelled: () => boolean = () => false, sliceMs = SLICE_MS) {
    this.#clock = clock;
    this.#isCancelled = isCancelled;
    this.#sliceMs = sliceMs;
    this.#startedMs = clock.monotonicMs();
  }

  /** Hot: notes work; true when `pause` should be awaited before more is done. */
  spend(units: number): boolean {
    this.#units += units;
    if (this.#units < UNITS_PER_LOOK) return false;
    this.#looks += Math.floor(this.#units / UNITS_PER_LOOK);
    this.#units = 0;
    return (
      this.#looks >= LOOKS_PER_SLICE_MAX ||
      this.#clock.monotonicMs() - this.#startedMs >= this.#sliceMs
    );
  }

  /** Lets the loop turn once, and begins the next slice. */
  async pause(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.nextTurn(resolve));
    if (this.#isCancelled()) throw new StarlingError('node.not_ready', { why: 'it is stopping' });
    this.begin();
  }

  /** Begins the next slice: for who pauses by other means. */
  begin(): void {
    this.#startedMs = this.#clock.monotonicMs();
    this.#units = 0;
    this.#looks = 0;
  }
}

/** Runs of so many are sorted at once: less than a millisecond. */
const RUN_LENGTH = 128;

/** Sorts numbers in place by `compare`, in slices: runs, then merges of merges. Stable. */
export async function sortPaced(
  items: Uint32Array,
  compare: (a: number, b: number) => number,
  pacer: Pacer,
): Promise<Uint32Array> {
  for (let from = 0; from < items.length; from += RUN_LENGTH) {
    items.subarray(from, from + RUN_LENGTH).sort(compare);
    if (pacer.spend(RUN_LENGTH * 7)) await pacer.pause();
  }
  let source: Uint32Array = items;
  let target: Uint32Array = new Uint32Array(items.length);
  for (let width = RUN_LENGTH; width < items.length; width *= 2) {
    for (let from = 0; from < items.length; from += width * 2) {
      const middle = Math.min(from + width, items.length);
      const end = Math.min(from + width * 2, items.length);
      let a = from;
      let b = middle;
      for (let at = from; at < end; at++) {
        const takesA = b === end || (a < middle && compare(source[a]!, source[b]!) <= 0);
        target[at] = takesA ? source[a++]! : source[b++]!;
        if (pacer.spend(1)) await pacer.pause();
      }
    }
    [source, target] = [target, source];
  }
  if (source !== items) items.set(source);
  return items;
}
