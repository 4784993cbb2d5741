/** Which series of a head a deletion takes samples of: one bitmap each, made once a read. */
import { compileMatcher } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { Deletion } from '../deletion/deletion.ts';
import { Bitmap } from './bitmap.ts';
import type { Head } from './head.ts';

export interface DeletedPart {
  readonly series: Bitmap;
  readonly range: TimeRange;
}

/** Yields between slices. Throws `query.parse` for a bad regular expression. */
export function* deletedSeries(
  head: Head,
  deletions: readonly Deletion[],
): Generator<undefined, readonly DeletedPart[]> {
  const parts: DeletedPart[] = [];
  for (const { range, selectors } of deletions) {
    const series = new Bitmap(head.allSeries().size);
    for (const matchers of selectors) {
      const matching = head.allSeries();
      yield* head.postings.match(matchers.map(compileMatcher), matching);
      series.or(matching); // series that are newer than the read are not asked for
    }
    const { first, last } = series.span();
    if (first <= last) parts.push({ series, range });
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
