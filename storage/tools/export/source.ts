/**
 * Series on their way out, window by window: what blocks and running nodes have in common for an export.
 */
import type { TimeRange } from '../../../model/sample.ts';
import type { SourceSeries } from '../../block/cut.ts';

export interface ExportWindow {
  /** Every string of the labels that `series` gives, and maybe more. */
  symbols(): Promise<Iterable<string>>;
  /** By labels, rising; chunks may reach beyond the window and overlap. Once. */
  series(): AsyncIterable<SourceSeries>;
  close(): Promise<void>;
}

export interface ExportSource {
  /** How much time is asked for at once, aligned to itself. */
  readonly windowMs: number;
  open(window: TimeRange): Promise<ExportWindow>;
}

/** The windows of a closed range. */
export function* windowsOf(range: TimeRange, windowMs: number): Generator<TimeRange> {
  for (
    let start = Math.floor(range.minTimeMs / windowMs) * windowMs;
    start <= range.maxTimeMs;
    start += windowMs
  ) {
    yield {
      minTimeMs: Math.max(start, range.minTimeMs),
      maxTimeMs: Math.min(start + windowMs - 1, range.maxTimeMs),
    };
  }
}
