/** The part of fetched series that one selector reads, where a fetch serves several. */
import type { Histogram } from '../../model/histogram.ts';
import { scratchFloats } from '../../model/scratch-memory.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import type { TimeRange } from '../../model/sample.ts';

/** The samples in a closed range and the series that have any; the same object when that is all. */
export function partOf(columns: SeriesColumns, { maxTimeMs, minTimeMs }: TimeRange): SeriesColumns {
  const { ends, timestamps } = columns;
  const firsts = new Uint32Array(ends.length);
  const lasts = new Uint32Array(ends.length);
  let kept = 0;
  let rows = 0;
  for (let row = 0, from = 0; row < ends.length; row++) {
    const end = ends[row]!;
    firsts[row] = firstFrom(timestamps, minTimeMs, from, end);
    lasts[row] = firstFrom(timestamps, maxTimeMs + 1, firsts[row]!, end);
    kept += lasts[row]! - firsts[row]!;
    if (lasts[row]! > firsts[row]!) rows++;
    from = end;
  }
  if (kept === timestamps.length && rows === ends.length) return columns;
  return copied(columns, firsts, lasts, { rows, kept });
}

/** The first index in [from, to) with a time not before `timeMs`; `to` when there is none. */
function firstFrom(timestamps: Float64Array, timeMs: number, from: number, to: number): number {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (timestamps[middle]! < timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

function copied(
  { labels, histograms, startTimes, timestamps, values, weights }: SeriesColumns,
  firsts: Uint32Array,
  lasts: Uint32Array,
  { kept, rows }: { readonly kept: number; readonly rows: number },
): SeriesColumns {
  const part = {
    labels: labels.filter((_, row) => lasts[row]! > firsts[row]!),
    ends: new Uint32Array(rows),
    timestamps: scratchFloats(kept),
    values: scratchFloats(kept),
    histograms: histograms && ([] as (Histogram | undefined)[]),
    startTimes: startTimes && new Float64Array(kept),
    weights: weights && new Float64Array(kept),
  };
  let to = 0;
  let out = 0;
  for (let row = 0; row < firsts.length; row++) {
    const [first, last] = [firsts[row]!, lasts[row]!];
    if (last === first) continue;
    part.timestamps.set(timestamps.subarray(first, last), to);
    part.values.set(values.subarray(first, last), to);
    if (startTimes !== undefined) part.startTimes?.set(startTimes.subarray(first, last), to);
    if (weights !== undefined) part.weights?.set(weights.subarray(first, last), to);
    if (histograms !== undefined) {
      for (let i = first; i < last; i++) part.histograms?.push(histograms[i]);
    }
    to += last - first;
    part.ends[out++] = to;
  }
  return part;
}
