/**
 * Reading a head: which series match, and their chunks as series frames. A cursor works in short
 * slices; between them the head may be written to, so every slice looks the columns up anew and a
 * series that went in the meantime is left out. While a cursor is open no series number gets a new
 * meaning: who does not run it to its end must `return()` it.
 */
import { assert } from '../../model/assert.ts';
import { type Selectors, compileMatcher } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { WindowValue } from '../../model/window-value.ts';
import type { LabelProjection } from '../../model/projection.ts';
import { LabelProjector } from '../../model/wire/labels-codec.ts';
import { SERIES_FRAME_BYTES_TARGET, SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { joinRanges } from '../block/tombstones.ts';
import type { ChunkBytes } from '../block/format.ts';
import { ChunkMerger } from '../block/merge-chunks.ts';
import { type Deletion, NO_DELETIONS } from '../deletion/deletion.ts';
import { chunksOf } from './block-source.ts';
import type { Pacer } from '../pacer.ts';
import { type DeletedPart, deletedRanges, deletedSeries } from './deleted-series.ts';
import type { Head } from './head.ts';
import { Bitmap } from './bitmap.ts';
import { ChunkLoader } from './chunk-loader.ts';
import { IN_ARENA } from './chunk-table.ts';
import { matchKey } from './match-cache.ts';
import { NO_CHUNK } from './series-table.ts';
import { SERIES_TOUCHED, touchSeries } from './touch-series.ts';

/** Series looked at in one slice, whether or not they have data in the range. */
const SERIES_PER_SLICE = 2000;
/** The clock is looked at after a few dozen: while code is cold, a series takes ten times as long. */
const UNITS_PER_SERIES = 4;

/**
 * The numbers of the series that match and have data in the range, rising. Yields between slices.
 * Throws `query.parse` for a bad regular expression.
 */
export function* matchSeries(
  head: Head,
  selectors: Selectors,
  range: TimeRange,
): Generator<undefined, Uint32Array> {
  const matching = yield* matchingSeries(head, selectors);
  const numbers = new Uint32Array(matching.length);
  let kept = 0;
  for (let i = 0; i < matching.length; i++) {
    const s = matching[i]!;
    const isIn = head.series.alive.has(s) && head.overlaps(s, range.minTimeMs, range.maxTimeMs);
    if (isIn) numbers[kept++] = s;
    if (i % (SERIES_PER_SLICE * 4) === SERIES_PER_SLICE * 4 - 1) yield;
  }
  return numbers.subarray(0, kept);
}

/** Whatever the time. */
function* matchingSeries(head: Head, selectors: Selectors): Generator<undefined, Uint32Array> {
  if (selectors.length === 0) return head.allSeries().toArray();
  const key = matchKey(selectors);
  const known = head.matches.find(key, selectors);
  if (known !== undefined) return known;
  const { length, reuses } = head.series;
  const found = new Bitmap(length);
  for (const matchers of selectors) {
    const matching = head.allSeries();
    yield* head.postings.match(matchers.map(compileMatcher), matching);
    found.or(matching);
  }
  const numbers = found.toArray();
  head.matches.note(key, numbers, { length, reuses });
  return numbers;
}

/** What a reader of samples looks at; without hints it gets whole label sets and chunks. */
export interface SelectHints {
  readonly projection: LabelProjection | undefined;
  /** Of each series only the newest sample in the range matters. */
  readonly newestOnly: boolean;
  /** What to read where a block has aggregates; absent: such a block cannot be read. */
  readonly value?: WindowValue | undefined;
  /** Leaves out blocks of the local disk that end by this time and that every reader finds in the bucket. */
  readonly settledBeforeMs?: number | undefined;
  /** Only these series: parts of about the same size that together are all. */
  readonly part?: SeriesPart | undefined;
}

/** The series whose fingerprint's last word lies in the `index`-th of `count` equal ranges. */
export interface SeriesPart {
  readonly index: number;
  readonly count: number;
}

/** Whether the last word of a fingerprint is in a part. Halves of a part are parts of twice as many. */
export function isInPart(lastWord: number, { count, index }: SeriesPart): boolean {
  return Math.floor((lastWord / 2 ** 32) * count) === index;
}

/**
 * Series frames of matching series, with chunks, without what was deleted. `undefined` is a pause: go on after
 * a turn of the loop, and when what the loader loads is there. By the number of series, and by time where there is a pacer.
 */
export function selectFrames(
  head: Head,
  selectors: Selectors,
  range: TimeRange,
  hints: SelectHints = { projection: undefined, newestOnly: false },
  deletions: readonly Deletion[] = NO_DELETIONS,
  pacer?: Pacer,
  loader = new ChunkLoader(head, range),
): Generator<Uint8Array | undefined, void> {
  const putter = new SeriesPutter(head, range, hints, loader);
  return reading(head, frames(head, selectors, range, putter, deletions, pacer));
}

/** Series frames of the label sets of matching series, without chunks. Pauses as `selectFrames`. */
export function selectLabelSets(
  head: Head,
  selectors: Selectors,
  range: TimeRange,
  deletions: readonly Deletion[] = NO_DELETIONS,
  pacer?: Pacer,
  loader = new ChunkLoader(head, range),
): Generator<Uint8Array | undefined, void> {
  const putter = new SeriesPutter(head, range, undefined, loader);
  return reading(head, frames(head, selectors, range, putter, deletions, pacer));
}

function* reading<Item, Result>(
  head: Head,
  cursor: Generator<Item, Result>,
): Generator<Item, Result> {
  const read = head.series.beginRead();
  try {
    return yield* cursor;
  } finally {
    head.series.endRead(read);
  }
}

function* frames(
  head: Head,
  selectors: Selectors,
  range: TimeRange,
  putter: SeriesPutter,
  deletions: readonly Deletion[],
  pacer: Pacer | undefined,
): Generator<Uint8Array | undefined, void> {
  const numbers = yield* matchSeries(head, selectors, range);
  const deleted = yield* deletedSeries(head, deletions, numbers);
  try {
    yield* framesOf(head, numbers, putter, deleted, pacer);
  } finally {
    putter.writer.close();
  }
}

function* framesOf(
  head: Head,
  numbers: Uint32Array,
  putter: SeriesPutter,
  deleted: readonly DeletedPart[],
  pacer: Pacer | undefined,
): Generator<Uint8Array | undefined, void> {
  const { loader, writer } = putter;
  pacer?.begin();
  for (let i = 0; i < numbers.length; i++) {
    const s = numbers[i]!;
    if (i % SERIES_TOUCHED === 0) putter.touch(numbers, i);
    if (head.series.alive.has(s) && putter.wants(s)) {
      const later = deleted.length === 0 ? undefined : deletedRanges(deleted, s);
      const own = head.tombstones.of(s);
      const ranges = own === undefined || later === undefined ? (own ?? later) : [...own, ...later];
      while (putter.looksAtChunks(ranges) && !loader.has(s)) {
        loader.load(numbers, i);
        yield undefined;
        pacer?.begin();
      }
      if (ranges === undefined) putter.put(s);
      else putter.putUndeleted(s, ranges);
    }
    const isFrameFull = writer.length >= SERIES_FRAME_BYTES_TARGET;
    const isSliceFull =
      i % SERIES_PER_SLICE === SERIES_PER_SLICE - 1 ||
      putter.takesSlice(s) ||
      pacer?.spend(UNITS_PER_SERIES) === true;
    if (!isFrameFull && !isSliceFull) continue;
    yield isFrameFull ? writer.finish() : undefined;
    pacer?.begin();
  }
  if (writer.seriesCount > 0) yield writer.finish();
}

/** Writes series into frames. Hot, but for its making. */
class SeriesPutter {
  readonly writer: SeriesFrameWriter;
  readonly loader: ChunkLoader;
  readonly #head: Head;
  readonly #range: TimeRange;
  /** Undefined: no chunks at all. */
  readonly #hints: SelectHints | undefined;
  readonly #projector: LabelProjector | undefined;
  readonly #deleter = new ChunkMerger();
  /** Kept so that reads ahead are not left out as useless. */
  #touched = 0;
  readonly #scratchChunks: number[] = [];

  constructor(head: Head, range: TimeRange, hints: SelectHints | undefined, loader: ChunkLoader) {
    this.loader = loader;
    this.#head = head;
    this.#range = range;
    this.#hints = hints;
    const projection = hints?.projection;
    this.#projector = projection === undefined ? undefined : new LabelProjector(projection);
    this.writer = new SeriesFrameWriter(projection !== undefined);
  }

  /** Reads ahead where chunks of all these series are copied. */
  touch(numbers: Uint32Array, from: number): void {
    if (this.#hints === undefined || this.#hints.newestOnly || this.#hints.part !== undefined)
      return;
    const to = Math.min(from + SERIES_TOUCHED, numbers.length);
    this.#touched ^= touchSeries(this.#head, numbers, from, to, this.#range.minTimeMs);
  }

  /** Whether the series is in the part that was asked for. */
  wants(s: number): boolean {
    const part = this.#hints?.part;
    return part === undefined || isInPart(this.#head.series.fingerprints[s * 4 + 3]!, part);
  }

  /** Whether to put a series of which these ranges were deleted reads its chunks. */
  looksAtChunks(deleted: readonly TimeRange[] | undefined): boolean {
    return this.#hints !== undefined || deleted !== undefined;
  }

  /** Whether chunks of the series are encoded anew for a read, which takes a millisecond or more. */
  takesSlice(s: number): boolean {
    return this.#hints !== undefined && this.#head.histograms.hasLate(s) && this.wants(s);
  }

  /** Writes one series with what was asked of its chunks, oldest first. */
  put(s: number): void {
    if (this.#hints === undefined) {
      this.#putLabels(s, 0);
      return;
    }
    const { maxTimeMs, minTimeMs } = this.#range;
    const newestMs = this.#head.series.recent.newestTime(s);
    if (this.#head.histograms.has(s)) this.#putWithHistograms(s, this.#hints.newestOnly);
    else if (!this.#hints.newestOnly) this.#putChunks(s, Number.POSITIVE_INFINITY);
    else if (newestMs > maxTimeMs) this.#putChunks(s, 1);
    else if (newestMs >= minTimeMs) this.#putNewest(s, newestMs);
  }

  #putLabels(s: number, chunkCount: number): void {
    const { arena, series } = this.#head;
    const handle = series.labelHandle[s]!;
    const slab = arena.slab(handle);
    const start = arena.offset(handle);
    const length = series.labelLength[s]!;
    const projector = this.#projector;
    if (projector === undefined) {
      this.writer.putSeries(series.fingerprints, s * 4, slab, start, length, chunkCount);
      return;
    }
    const kept = projector.project(slab, start, start + length);
    this.writer.putSeries(series.fingerprints, s * 4, projector.scratch, 0, kept, chunkCount);
  }

  /** Writes what is left of a series; nothing, when all of it in the range was deleted. */
  putUndeleted(s: number, deleted: readonly TimeRange[]): void {
    const { maxTimeMs, minTimeMs } = this.#range;
    const all = chunksOf(this.#head, s, this.#range, this.loader);
    const left = this.#deleter
      .merge(all, joinRanges(deleted))
      .filter((chunk) => chunk.minTimeMs <= maxTimeMs && chunk.maxTimeMs >= minTimeMs);
    if (left.length === 0) return;
    if (this.#hints === undefined) this.#putLabels(s, 0);
    else this.#putAll(s, this.#hints.newestOnly ? left.slice(-1) : left);
  }

  /** Chunks of both kinds, oldest first; with `newestOnly` the last one. */
  #putWithHistograms(s: number, newestOnly: boolean): void {
    const all = chunksOf(this.#head, s, this.#range, this.loader);
    const chunks = newestOnly ? all.slice(-1) : all;
    if (newestOnly && chunks.length === 0) return;
    this.#putAll(s, chunks);
  }

  #putAll(s: number, chunks: readonly ChunkBytes[]): void {
    this.#putLabels(s, chunks.length);
    for (const { bytes, encoding, from, maxTimeMs, minTimeMs, to } of chunks) {
      this.writer.putChunk(minTimeMs, maxTimeMs, bytes, from, to - from, encoding);
    }
  }

  #putNewest(s: number, newestMs: number): void {
    const { recent } = this.#head.series;
    const at = recent.newest(s) * 2;
    this.#putLabels(s, 1);
    this.writer.putSample(newestMs, recent.values[at]!, recent.values[at + 1]!);
  }

  /** The chunks that overlap the range, of which the newest `countMax`. */
  #putChunks(s: number, countMax: number): void {
    const { arena, chunks, series } = this.#head;
    const { maxTimeMs, minTimeMs } = this.#range;
    const newestMs = series.recent.newestTime(s);
    const hasOpen =
      this.#head.completeOpenChunk(s) &&
      series.openMinTime[s]! <= maxTimeMs &&
      newestMs >= minTimeMs;
    const closedMax = hasOpen ? countMax - 1 : countMax;
    let count = 0;
    for (
      let c = series.newestChunk[s]!;
      c !== NO_CHUNK && chunks.maxTime[c]! >= minTimeMs && count < closedMax;
      c = chunks.older[c]!
    ) {
      if (chunks.minTime[c]! <= maxTimeMs) this.#scratchChunks[count++] = c;
    }
    this.#putLabels(s, count + (hasOpen ? 1 : 0));
    while (count > 0) {
      const c = this.#scratchChunks[--count]!;
      if (chunks.file[c] !== IN_ARENA) {
        this.#putFiled(c);
        continue;
      }
      const handle = chunks.handle[c]!;
      this.writer.putChunkOfWords(
        chunks.minTime[c]!,
        chunks.maxTime[c]!,
        arena.words(handle),
        arena.offset(handle) >>> 2,
        chunks.byteLength[c]!,
      );
    }
    if (!hasOpen) return;
    const handle = series.openHandle[s]!;
    this.writer.putChunkOfWords(
      series.openMinTime[s]!,
      newestMs,
      arena.words(handle),
      arena.offset(handle) >>> 2,
      (series.xor.bitLength[s]! + 7) >>> 3,
    );
  }

  #putFiled(c: number): void {
    const { chunks } = this.#head;
    const loaded = this.loader.find(c);
    assert(loaded !== undefined, 'head: a chunk that was not loaded');
    const { bytes, from } = loaded;
    this.writer.putChunk(
      chunks.minTime[c]!,
      chunks.maxTime[c]!,
      bytes,
      from,
      chunks.byteLength[c]!,
    );
  }
}

/** Names of labels that matching series have. */
export function selectLabelNames(
  head: Head,
  selectors: Selectors,
  range: TimeRange,
): Generator<undefined, readonly string[]> {
  return reading(head, labelNames(head, selectors, range));
}

/** Values of one label that matching series have. */
export function selectLabelValues(
  head: Head,
  name: string,
  selectors: Selectors,
  range: TimeRange,
): Generator<undefined, readonly string[]> {
  return reading(head, labelValues(head, name, selectors, range));
}

function* labelNames(
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

function* labelValues(
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
