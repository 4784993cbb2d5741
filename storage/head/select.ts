/**
 * Reading a head: which series match, and their chunks as series frames. A cursor works in short
 * slices; between them the head may be written to, so every slice looks the columns up anew and a
 * series that went in the meantime is left out.
 */
import { type Matcher, compileMatcher } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import { SERIES_FRAME_BYTES_TARGET, SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import type { Head } from './head.ts';
import { Bitmap } from './postings.ts';
import { NO_CHUNK } from './series-table.ts';

/** Series looked at in one slice, whether or not they have data in the range. */
const SERIES_PER_SLICE = 2000;

/** Each inner list is one selector: a series counts when any of them matches. None: every series. */
export type Selectors = readonly (readonly Matcher[])[];

/**
 * The numbers of the series that match and have data in the range, rising. Yields between slices.
 * Throws `query.parse` for a bad regular expression.
 */
export function* matchSeries(
  head: Head,
  selectors: Selectors,
  range: TimeRange,
): Generator<undefined, Uint32Array> {
  const all = head.allSeries();
  let found = all;
  if (selectors.length > 0) {
    found = new Bitmap(all.size);
    for (const matchers of selectors) {
      const matching = head.allSeries();
      yield* head.postings.match(matchers.map(compileMatcher), matching);
      found.or(matching);
    }
  }
  const numbers = found.toArray();
  let kept = 0;
  for (let i = 0; i < numbers.length; i++) {
    const s = numbers[i]!;
    const isIn = head.series.isAlive[s] === 1 && head.overlaps(s, range.minTimeMs, range.maxTimeMs);
    if (isIn) numbers[kept++] = s;
    if (i % (SERIES_PER_SLICE * 4) === SERIES_PER_SLICE * 4 - 1) yield;
  }
  return numbers.subarray(0, kept);
}

/** Series frames of matching series. `undefined` is a pause: go on after a turn of the loop. */
export function* selectFrames(
  head: Head,
  selectors: Selectors,
  range: TimeRange,
  withChunks: boolean,
): Generator<Uint8Array | undefined, void> {
  const numbers = yield* matchSeries(head, selectors, range);
  const writer = new SeriesFrameWriter();
  const chunkNumbers: number[] = [];
  for (let i = 0; i < numbers.length; i++) {
    const s = numbers[i]!;
    if (head.series.isAlive[s] === 1) putSeries(head, s, range, withChunks, writer, chunkNumbers);
    if (writer.length >= SERIES_FRAME_BYTES_TARGET) yield writer.finish();
    else if (i % SERIES_PER_SLICE === SERIES_PER_SLICE - 1) yield undefined;
  }
  if (writer.seriesCount > 0) yield writer.finish();
}

/** Hot: writes one series with the chunks that overlap the range, oldest first. */
function putSeries(
  head: Head,
  s: number,
  { minTimeMs, maxTimeMs }: TimeRange,
  withChunks: boolean,
  writer: SeriesFrameWriter,
  scratchChunks: number[],
): void {
  const { arena, chunks, series } = head;
  let count = 0;
  let hasOpen = false;
  if (withChunks) {
    for (
      let c = series.newestChunk[s]!;
      c !== NO_CHUNK && chunks.maxTime[c]! >= minTimeMs;
      c = chunks.older[c]!
    ) {
      if (chunks.minTime[c]! <= maxTimeMs) scratchChunks[count++] = c;
    }
    hasOpen =
      series.xor.count[s]! > 0 &&
      series.openMinTime[s]! <= maxTimeMs &&
      series.xor.lastTime[s]! >= minTimeMs;
  }
  const labels = series.labelHandle[s]!;
  const labelSlab = arena.slab(labels);
  const chunkCount = count + (hasOpen ? 1 : 0);
  writer.putSeries(
    series.fingerprints,
    s * 4,
    labelSlab,
    arena.offset(labels),
    series.labelLength[s]!,
    chunkCount,
  );
  while (count > 0) {
    const c = scratchChunks[--count]!;
    const handle = chunks.handle[c]!;
    writer.putChunk(
      chunks.minTime[c]!,
      chunks.maxTime[c]!,
      arena.slab(handle),
      arena.offset(handle),
      chunks.byteLength[c]!,
    );
  }
  if (!hasOpen) return;
  const handle = series.openHandle[s]!;
  const length = (series.xor.bitLength[s]! + 7) >>> 3;
  writer.putChunk(
    series.openMinTime[s]!,
    series.xor.lastTime[s]!,
    arena.slab(handle),
    arena.offset(handle),
    length,
  );
}

/** Names of labels that matching series have. */
export function* selectLabelNames(
  head: Head,
  selectors: Selectors,
  range: TimeRange,
): Generator<undefined, readonly string[]> {
  const among = yield* seriesBitmap(head, selectors, range);
  const names: string[] = [];
  for (const name of head.postings.names()) {
    if (head.postings.values(name).some((value) => head.postings.hasAny(name, value, among)))
      names.push(name);
    yield;
  }
  return names;
}

/** Values of one label that matching series have. */
export function* selectLabelValues(
  head: Head,
  name: string,
  selectors: Selectors,
  range: TimeRange,
): Generator<undefined, readonly string[]> {
  const among = yield* seriesBitmap(head, selectors, range);
  const values: string[] = [];
  let asked = 0;
  for (const value of head.postings.values(name)) {
    if (head.postings.hasAny(name, value, among)) values.push(value);
    if (++asked % SERIES_PER_SLICE === 0) yield;
  }
  return values;
}

function* seriesBitmap(
  head: Head,
  selectors: Selectors,
  range: TimeRange,
): Generator<undefined, Bitmap> {
  const numbers = yield* matchSeries(head, selectors, range);
  const bitmap = new Bitmap(head.series.length);
  for (const s of numbers) bitmap.add(s);
  return bitmap;
}
