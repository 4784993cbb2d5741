/**
 * One window of a series being downsampled: what of its samples is kept.
 *
 *   count, sum, min, max     of the samples; stale markers are none
 *   kept samples             the first, the last, both sides of each reset, and a stale marker at the end
 *
 * Kept samples are raw ones, with their own times, so that rate, increase and delta over whole windows find
 * the same first and last sample and the same resets as over all samples, and an instant at the end of a window
 * the same newest one. A counter that was reset twice or more in one window has its resets put together: one sample before
 * the last reset with the sum of what came before each. What is no counter (values below zero, NaN) keeps every
 * sample at which it fell.
 */
import { STALE_NAN_HIGH, STALE_NAN_LOW, isStaleWords } from '../../model/sample.ts';

/** So many kept samples end a window early; the rest of it becomes a window of its own. */
export const KEPT_MAX = 150;
const KEPT_PER_SAMPLE = 2;
/** First, before and after the resets, last, stale marker. */
const KEPT_EXTRA = 5;

export class DownsampleWindow {
  count = 0;
  sum = 0;
  min = NaN;
  max = NaN;
  /** Of the newest sample or stale marker. */
  lastMs = Number.NEGATIVE_INFINITY;
  /** The kept samples, filled by `close`. */
  keptCount = 0;
  readonly keptTimes = new Float64Array(KEPT_MAX * KEPT_PER_SAMPLE + KEPT_EXTRA);
  readonly keptValues = new Float64Array(this.keptTimes.length);
  readonly #keptWords = new Uint32Array(this.keptValues.buffer);
  #error = 0;
  /** No sample yet that is not stale. */
  #isEmpty = true;
  readonly #previous = new Float64Array(1);
  readonly #previousWords = new Uint32Array(this.#previous.buffer);
  #previousMs = 0;
  #staleMs = NaN;
  #resetCount = 0;
  #resetSum = 0;
  /** Of the last reset, where its two sides stand among the kept samples. */
  #beforeAt = 0;
  #afterAt = 0;
  #isCounter = true;

  /** Nothing was seen. */
  get isEmpty(): boolean {
    return this.lastMs === Number.NEGATIVE_INFINITY;
  }

  get isFull(): boolean {
    return this.keptCount >= KEPT_MAX;
  }

  clear(): void {
    this.count = 0;
    this.sum = 0;
    this.#error = 0;
    this.min = NaN;
    this.max = NaN;
    this.lastMs = Number.NEGATIVE_INFINITY;
    this.keptCount = 0;
    this.#isEmpty = true;
    this.#staleMs = NaN;
    this.#resetCount = 0;
    this.#resetSum = 0;
    this.#isCounter = true;
  }

  /** Hot: a raw sample; `value` is the double of the words. */
  add(timeMs: number, value: number, low: number, high: number): void {
    this.addKept(timeMs, value, low, high);
    if (!isStaleWords(low, high)) this.addStatistics(1, value, value, value);
  }

  /** What a finer window had. */
  addStatistics(count: number, sum: number, min: number, max: number): void {
    this.count += count;
    const before = this.sum;
    const next = before + sum;
    // Neumaier's: what the addition lost of the smaller one.
    if (Math.abs(before) >= Math.abs(sum)) this.#error += before - next + sum;
    else this.#error += sum - next + before;
    this.sum = next;
    if (min < this.min || Number.isNaN(this.min)) this.min = min;
    if (max > this.max || Number.isNaN(this.max)) this.max = max;
  }

  /** Hot: a sample of which the ends and the resets are kept. */
  addKept(timeMs: number, value: number, low: number, high: number): void {
    this.lastMs = timeMs;
    if (isStaleWords(low, high)) {
      this.#staleMs = timeMs;
      return;
    }
    if (!(value >= 0)) this.#isCounter = false; // NaN too
    const previous = this.#previous[0]!;
    if (this.#isEmpty) {
      this.#isEmpty = false;
      this.#keep(timeMs, low, high);
    } else if (!(value >= previous)) {
      this.#keep(this.#previousMs, this.#previousWords[0]!, this.#previousWords[1]!);
      this.#beforeAt = this.keptCount - 1;
      this.#keep(timeMs, low, high);
      this.#afterAt = this.keptCount - 1;
      this.#resetCount++;
      this.#resetSum += previous;
    }
    this.#previousMs = timeMs;
    this.#previousWords[0] = low;
    this.#previousWords[1] = high;
  }

  /** Completes the sum and the kept samples. */
  close(): void {
    if (Number.isFinite(this.sum)) this.sum += this.#error;
    this.#error = 0;
    if (this.#isEmpty) {
      if (!Number.isNaN(this.#staleMs)) this.#keepStale();
      return;
    }
    if (this.#isCounter && this.#resetCount > 1) this.#joinResets();
    this.#keep(this.#previousMs, this.#previousWords[0]!, this.#previousWords[1]!);
    if (this.#staleMs > this.#previousMs) this.#keepStale();
  }

  #keepStale(): void {
    this.#keep(this.#staleMs, STALE_NAN_LOW, STALE_NAN_HIGH);
  }

  /** First, sum of what came before each reset, after the last one. */
  #joinResets(): void {
    const { keptTimes } = this;
    const words = this.#keptWords;
    const [before, after] = [this.#beforeAt, this.#afterAt];
    keptTimes[1] = keptTimes[before]!;
    this.keptValues[1] = this.#resetSum;
    keptTimes[2] = keptTimes[after]!;
    words[4] = words[after * 2]!;
    words[5] = words[after * 2 + 1]!;
    this.keptCount = 3;
  }

  /** Appends a sample unless it is the one that was kept last. */
  #keep(timeMs: number, low: number, high: number): void {
    const at = this.keptCount;
    if (at > 0 && this.keptTimes[at - 1] === timeMs) return;
    this.keptTimes[at] = timeMs;
    this.#keptWords[at * 2] = low;
    this.#keptWords[at * 2 + 1] = high;
    this.keptCount++;
  }
}
