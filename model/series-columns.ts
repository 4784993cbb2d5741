/**
 * Decoded series as columns: what storage hands to the engine. No object per sample.
 *
 * Samples of series i are those in `[ends[i - 1], ends[i])`, sorted by time, no two at one time.
 * Series are sorted by labels. Stale markers stay in and are recognised by their bits: view `values`
 * as `Uint32Array` (model/sample.ts), never test the number.
 */
import type { Labels } from './labels.ts';

export interface SeriesColumns {
  readonly labels: readonly Labels[];
  readonly ends: Uint32Array;
  /** Unix milliseconds. */
  readonly timestamps: Float64Array;
  readonly values: Float64Array;
}
