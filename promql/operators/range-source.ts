/** What a function over windows reads: a matrix selector's samples, or those of a subquery. */
import type { SeriesColumns } from '../../model/series-columns.ts';

/** Samples, and the windows to look at them through: (end - range, end], end = first + t * step. */
export interface RangeSource {
  readonly columns: SeriesColumns;
  readonly drop: Uint8Array | undefined;
  readonly rangeMs: number;
  readonly firstEndMs: number;
  /** 0 when `@` pins the window. */
  readonly stepMs: number;
}
