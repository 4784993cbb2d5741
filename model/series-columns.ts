/**
 * Decoded series as columns: what storage hands to the engine. No object per sample.
 *
 * Samples of series i are those in `[ends[i - 1], ends[i])`, sorted by time, no two at one time.
 * Series are sorted by labels. Stale markers stay in and are recognised by their bits: view `values`
 * as `Uint32Array` (model/sample.ts), never test the number.
 *
 * Native histograms stand beside the values, at the place of their sample; most columns have none.
 */
import type { Histogram } from './histogram.ts';
import type { Labels } from './labels.ts';

export interface SeriesColumns {
  readonly labels: readonly Labels[];
  readonly ends: Uint32Array;
  /** Unix milliseconds. */
  readonly timestamps: Float64Array;
  readonly values: Float64Array;
  /** True: no value is a stale marker. Otherwise that is not known. */
  readonly isStaleFree?: boolean;
  /**
   * The histogram of each sample that is one (its place in `values` means nothing then), as long as
   * `values`; absent when all samples are numbers.
   */
  readonly histograms?: readonly (Histogram | undefined)[] | undefined;
  /**
   * How many raw samples each sample stands for, where some come of downsampled blocks (model/window-value.ts); absent:
   * one each, or nobody reads it.
   */
  readonly weights?: Float64Array | undefined;
  /** When the counter of each sample began, in Unix milliseconds; 0: unknown. Absent: all unknown. */
  readonly startTimes?: Float64Array | undefined;
}

/** Series that are decoded when they are read: all at once, or rows after rows where an operator needs no more. */
export interface SeriesPieces {
  /** Of all rows. */
  readonly labels: readonly Labels[];
  /** About how many samples all rows have, copies included; what is no number is not counted. */
  readonly samples: number;
  /** The same, of one row. */
  readonly samplesOf: (row: number) => number;
  /** The rows [from, to). Throws for bytes that do not hold. */
  readonly decode: (from: number, to: number) => SeriesColumns;
}
