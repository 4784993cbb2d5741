/** Which series of a head a deletion takes samples of: one bitmap each, made once a read. */
import type { TimeRange } from '../../model/sample.ts';
import { compiledSelector } from '../deletion/compiled.ts';
import type { Deletion } from '../deletion/deletion.ts';
import { Bitmap } from './bitmap.ts';
import type { Head } from './head.ts';

export interface DeletedPart {
  readonly series: Bitmap;
  readonly range: TimeRange;
}

/**
 * Of the series with these numbers; a deletion that ends before all of the head has none. Yields between slices. Throws
 * `query.parse` for a bad regular expression.
 */
export function* deletedSeries(
  head: Head,
  deletions: readonly Deletion[],
  numbers: Uint32Array,
): Generator<undefined, readonly DeletedPart[]> {
  const parts: DeletedPart[] = [];
  if (deletions.length === 0) return parts; // fast path: nearly always
  const read = new Bitmap(head.series.length);
  for (const s of numbers) read.add(s);
  for (const { range, selectors } of deletions) {
    if (range.maxTimeMs < head.minTimeMs) continue;
    const series = new Bitmap(read.size);
    for (const matchers of selectors) {
      const matching = read.copy();
      yield* head.postings.match(compiledSelector(matchers), matching);
      series.or(matching);
    }
    yield;
    if (!series.isEmpty) parts.push({ series, range });
  }
  return parts;
}

/** The deleted ranges of a series, in no order; undefined: nothing. */
export function deletedRanges(
  parts: readonly DeletedPart[],
  s: number,
): readonly TimeRange[] | undefined {
  let ranges: TimeRange[] | undefined;
  for (let i = 0; i < parts.length; i++) {
    if (parts[i]!.series.has(s)) (ranges ??= []).push(parts[i]!.range);
  }
  return ranges;
}
