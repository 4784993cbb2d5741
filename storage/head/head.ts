/**
 * The head of one tenant: series, their open and closed chunks, and the index over their labels. It
 * knows nothing of disks; the TSDB around it logs what it appends. Samples of a series move forward in time; an older
 * one is compared with what is there, so that a body sent again is taken as the duplicate it is, whatever came after
 * its samples; a new one is put in (insert.ts, late-samples.ts) if the TSDB says so.
 *
 * Chunks are cut at times that depend on the clock of the samples only, not on when this node began:
 * two hours are divided by a power of two so that about 120 samples fall into a piece, shifted by an
 * offset from the fingerprint, and never across a two-hour border, next to which no short piece is left.
 * Replicas therefore cut alike, and equal chunks are equal bytes.
 */
import type { HistogramSample } from '../../model/histogram-sample.ts';
import type { Labels } from '../../model/labels.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import { Arena } from '../chunk/arena.ts';
import {
  type ChunkRoom,
  type SampleColumns,
  XOR_SAMPLE_BYTES_MAX,
  appendXor,
  putXorCount,
} from '../chunk/xor-encode.ts';
import { ChunkTable, type FiledChunks, IN_ARENA } from './chunk-table.ts';
import { Bitmap } from './bitmap.ts';
import { HeadTombstones } from './head-tombstones.ts';
import { HistogramChains } from './histogram-chains.ts';
import { SampleInserter } from './insert.ts';
import { Postings } from './postings.ts';
import { PENDING_MAX } from './recent-samples.ts';
import { SampleLookup } from './sample-lookup.ts';
import { MatchCache } from './match-cache.ts';
import { NO_CHUNK, SeriesTable } from './series-table.ts';

export const BLOCK_RANGE_MS = 2 * 3_600_000;
const SAMPLES_PER_CHUNK_TARGET = 120;
const INTERVAL_ASSUMED_MS = 15_000;
const DIVISIONS_MAX = 10;
const CHUNK_BYTES_MAX = 1024;
const OPEN_CHUNK_BYTES_STEP = 64;
/** About what a chunk's count and its first two samples take, which are not packed as the others. */
const XOR_FIRST_SAMPLE_BYTES = 24;

/** What became of one sample. */
export const APPENDED = 0;
export const DUPLICATE = 1;
export const CONFLICT = 2;
export const OUT_OF_ORDER = 3;

export class Head {
  readonly series = new SeriesTable();
  readonly matches = new MatchCache(this.series, (s) => this.labelsOf(s));
  readonly chunks = new ChunkTable();
  readonly arena = new Arena();
  readonly postings = new Postings();
  readonly histograms = new HistogramChains();
  readonly tombstones = new HeadTombstones();
  /** Where closed chunks go when they are old; undefined: they stay. */
  files: FiledChunks | undefined;
  readonly #lookup = new SampleLookup(this, (c) => this.files?.readNow(c));
  readonly #inserter = new SampleInserter({
    series: this.series,
    chunks: this.chunks,
    arena: this.arena,
    readFiled: (c) => this.files?.readNow(c),
    chunkBytesMax: CHUNK_BYTES_MAX,
    rangeMs: BLOCK_RANGE_MS,
  });
  #minTimeMs = Number.POSITIVE_INFINITY;
  /** Of what is there when chunks begin to be dropped, until that ends. */
  #oldMinTimeMs = Number.POSITIVE_INFINITY;
  maxTimeMs = Number.NEGATIVE_INFINITY;
  samplesAppended = 0;
  /** The oldest sample that the slices of `dropBefore` kept. */
  #keptMinTimeMs = Number.POSITIVE_INFINITY;

  /** No sample is older; Infinity: there is none. */
  get minTimeMs(): number {
    return Math.min(this.#minTimeMs, this.#oldMinTimeMs);
  }

  /** Adds a series from its canonical label bytes. */
  addSeries(words: Uint32Array, offset: number, labelBytes: Uint8Array, ref: number): number {
    const labels = decodeLabels(labelBytes);
    const handle = this.arena.allocate(labelBytes.length);
    this.arena.slab(handle).set(labelBytes, this.arena.offset(handle));
    let s: number;
    try {
      s = this.series.add(words, offset, ref);
    } catch (error) {
      this.arena.free(handle, labelBytes.length); // no memory: the sender comes again
      throw error;
    }
    this.series.labelHandle[s] = handle;
    this.series.labelLength[s] = labelBytes.length;
    this.postings.add(s, labels);
    return s;
  }

  labelsOf(s: number): Labels {
    const bytes = this.labelBytesOf(s);
    return decodeLabels(bytes);
  }

  /** A view of the series' canonical label bytes; holds until the series is removed. */
  labelBytesOf(s: number): Uint8Array {
    const handle = this.series.labelHandle[s]!;
    const offset = this.arena.offset(handle);
    return this.arena.slab(handle).subarray(offset, offset + this.series.labelLength[s]!);
  }

  /** Hot: appends sample `at` of the columns. Returns what became of it; only APPENDED changed anything. */
  append(s: number, samples: SampleColumns, at: number): number {
    const { recent } = this.series;
    const timeMs = samples.timestamps[at]!;
    const newest = recent.newest(s);
    if (timeMs <= recent.timestamps[newest]!) return this.#compare(s, samples, at);
    const slot = newest + 1;
    recent.timestamps[slot] = timeMs;
    recent.values[slot * 2] = samples.values[at * 2]!;
    recent.values[slot * 2 + 1] = samples.values[at * 2 + 1]!;
    const pending = recent.pending[s]! + 1;
    recent.pending[s] = pending;
    if (pending === PENDING_MAX) this.settle(s);
    if (timeMs > this.maxTimeMs) this.maxTimeMs = timeMs;
    if (timeMs < this.#minTimeMs) this.#minTimeMs = timeMs;
    this.samplesAppended++;
    return APPENDED;
  }

  /** As `append`, of a histogram: cold beside it. */
  appendHistogram(s: number, timeMs: number, sample: HistogramSample): number {
    const { fingerprints, openCapacity, recent } = this.series;
    const newestMs = recent.newestTime(s);
    if (timeMs <= newestMs) return this.#compareHistogram(s, timeMs, sample);
    this.settle(s);
    if (openCapacity[s]! > 0) this.#closeChunk(s, newestMs);
    const intervalMs =
      newestMs > Number.NEGATIVE_INFINITY ? timeMs - newestMs : INTERVAL_ASSUMED_MS;
    this.histograms.append(s, timeMs, sample, newestMs, () =>
      cutTime(timeMs, intervalMs, fingerprints[s * 4 + 1]!),
    );
    recent.putNewestTime(s, timeMs);
    if (timeMs > this.maxTimeMs) this.maxTimeMs = timeMs;
    if (timeMs < this.#minTimeMs) this.#minTimeMs = timeMs;
    this.samplesAppended++;
    return APPENDED;
  }

  #compareHistogram(s: number, timeMs: number, sample: HistogramSample): number {
    const isEqual = this.histograms.compare(s, { timeMs, low: 0, high: 0, histogram: sample });
    if (isEqual !== undefined) return isEqual ? DUPLICATE : CONFLICT;
    this.completeOpenChunk(s);
    const isFloatThere = this.#lookup.compare(s, timeMs, 0, 0) !== undefined;
    return isFloatThere ? CONFLICT : OUT_OF_ORDER;
  }

  /** Encodes the samples of a series that wait for it: before its chunks are looked at. Hot. */
  settle(s: number): void {
    const { recent, xor, openCapacity, openCutTime } = this.series;
    if (recent.pending[s] === 0) return;
    const end = recent.newest(s) + 1;
    let from = recent.firstPending(s);
    while (from < end) {
      const isOpen = openCapacity[s]! > 0;
      if (!isOpen || recent.timestamps[from]! >= openCutTime[s]!) {
        if (isOpen) this.#closeChunk(s, recent.timestamps[from - 1]!);
        this.#openChunk(s, recent.timestamps[from]!, recent.timestamps[from - 1]!);
      }
      let to = from + 1;
      while (to < end && recent.timestamps[to]! < openCutTime[s]!) to++;
      from = appendXor(xor, s, this.#roomOf(s), recent, from, to);
      if (from === to) continue;
      const lastMs = recent.timestamps[from - 1]!;
      if (!this.#growChunk(s, lastMs)) this.#closeChunk(s, lastMs);
    }
    recent.settled(s);
  }

  /** The newest sample of a series is as new as sample `at` or newer: has it that one already? */
  #compare(s: number, samples: SampleColumns, at: number): number {
    const { recent } = this.series;
    const timeMs = samples.timestamps[at]!;
    const low = samples.values[at * 2]!;
    const high = samples.values[at * 2 + 1]!;
    const newest = recent.newest(s);
    if (this.histograms.size > 0) {
      const beside = this.histograms.compare(s, { timeMs, low, high, histogram: undefined });
      if (beside !== undefined) return beside ? DUPLICATE : CONFLICT;
    }
    if (timeMs === recent.timestamps[newest]) {
      const isEqual = recent.values[newest * 2] === low && recent.values[newest * 2 + 1] === high;
      return isEqual ? DUPLICATE : CONFLICT;
    }
    this.completeOpenChunk(s);
    const isEqual = this.#lookup.compare(s, timeMs, low, high);
    if (isEqual === undefined) return OUT_OF_ORDER;
    return isEqual ? DUPLICATE : CONFLICT;
  }

  /** Puts in sample `at` of the columns, which `append` just found to be out of order. */
  insert(s: number, samples: SampleColumns, at: number): void {
    const timeMs = samples.timestamps[at]!;
    const low = samples.values[at * 2]!;
    const high = samples.values[at * 2 + 1]!;
    if (this.histograms.has(s)) {
      this.histograms.insert(s, { timeMs, low, high, histogram: undefined });
    } else {
      this.completeOpenChunk(s);
      this.#inserter.insert(s, timeMs, low, high);
      this.#lookup.forget();
    }
    this.#noteInserted(timeMs);
  }

  /** As `insert`, of a histogram that `appendHistogram` found to be out of order. */
  insertHistogram(s: number, timeMs: number, sample: HistogramSample): void {
    this.histograms.insert(s, { timeMs, low: 0, high: 0, histogram: sample });
    this.#noteInserted(timeMs);
  }

  #noteInserted(timeMs: number): void {
    if (timeMs < this.#minTimeMs) this.#minTimeMs = timeMs;
    this.samplesAppended++;
  }

  /** Makes the open chunk of a series whole, for a reader. False: there is none. */
  completeOpenChunk(s: number): boolean {
    this.settle(s);
    if (this.series.openCapacity[s] === 0) return false;
    const { base, bytes } = this.#roomOf(s);
    putXorCount(bytes, base, this.series.xor.count[s]!);
    return true;
  }

  /** The oldest time of a series' data, or Infinity when it has none. */
  oldestTimeOf(s: number): number {
    this.settle(s);
    let oldest =
      this.series.openCapacity[s]! > 0 ? this.series.openMinTime[s]! : Number.POSITIVE_INFINITY;
    for (let c = this.series.newestChunk[s]!; c !== NO_CHUNK; c = this.chunks.older[c]!) {
      oldest = this.chunks.minTime[c]!;
    }
    return Math.min(oldest, this.histograms.oldestTime(s));
  }

  /** True when the series has data in the closed range. */
  overlaps(s: number, minTimeMs: number, maxTimeMs: number): boolean {
    const { chunks, series } = this;
    const newestMs = series.recent.newestTime(s);
    if (newestMs < minTimeMs) return false;
    if (newestMs <= maxTimeMs) return true;
    this.settle(s);
    if (series.openCapacity[s]! > 0 && series.openMinTime[s]! <= maxTimeMs) return true;
    for (let c = series.newestChunk[s]!; c !== NO_CHUNK; c = chunks.older[c]!) {
      if (chunks.maxTime[c]! < minTimeMs) break;
      if (chunks.minTime[c]! <= maxTimeMs) return true;
    }
    return this.histograms.overlaps(s, minTimeMs, maxTimeMs);
  }

  /** Lets no open chunk go on past `timeMs`: the next sample after it begins a new one. */
  cutOpenChunks(timeMs: number): void {
    const { openCutTime } = this.series;
    for (let s = 0; s < this.series.length; s++) {
      if (openCutTime[s]! > timeMs) openCutTime[s] = timeMs;
    }
    this.histograms.cutOpenChunks(timeMs);
  }

  /** All series that exist, as a fresh bitmap. */
  allSeries(): Bitmap {
    return this.series.alive.copy(this.series.length);
  }

  /**
   * Drops chunks that end before `timeMs`, and series left without any. Yields now and then; appends
   * between the pauses are fine. Returns how many series went.
   */
  *dropBefore(timeMs: number, seriesPerSlice = 1000): Generator<undefined, number> {
    let dropped = 0;
    this.#oldMinTimeMs = this.minTimeMs; // what is not dropped yet can be read
    this.#minTimeMs = Number.POSITIVE_INFINITY; // what is appended meanwhile counts itself
    this.#keptMinTimeMs = Number.POSITIVE_INFINITY;
    try {
      for (let from = 0; from < this.series.length; from += seriesPerSlice) {
        const to = Math.min(from + seriesPerSlice, this.series.length);
        dropped += this.#dropSlice(from, to, timeMs);
        yield;
      }
      this.#oldMinTimeMs = this.#keptMinTimeMs;
    } finally {
      this.#minTimeMs = this.minTimeMs;
      this.#oldMinTimeMs = Number.POSITIVE_INFINITY;
    }
    return dropped;
  }

  #dropSlice(from: number, to: number, timeMs: number): number {
    const { series } = this;
    const removed = new Bitmap(series.length);
    const pairs = new Map<string, Set<string>>();
    const gone: number[] = [];
    for (let s = from; s < to; s++) {
      if (!series.alive.has(s)) continue;
      this.settle(s);
      this.#dropChunks(s, timeMs);
      this.histograms.dropBefore(s, timeMs);
      this.tombstones.dropBefore(s, timeMs);
      if (series.newestChunk[s] !== NO_CHUNK || series.recent.newestTime(s) >= timeMs) {
        this.#keptMinTimeMs = Math.min(this.#keptMinTimeMs, this.oldestTimeOf(s));
        continue;
      }
      removed.add(s);
      gone.push(s);
      const labels = this.labelsOf(s);
      for (let i = 0; i < labels.length; i += 2) {
        const values = pairs.get(labels[i]!);
        if (values === undefined) pairs.set(labels[i]!, new Set([labels[i + 1]!]));
        else values.add(labels[i + 1]!);
      }
    }
    this.postings.remove(removed, pairs);
    for (const s of gone) {
      if (series.openCapacity[s]! > 0)
        this.arena.free(series.openHandle[s]!, series.openCapacity[s]!);
      this.arena.free(series.labelHandle[s]!, series.labelLength[s]!);
      series.remove(s);
      this.tombstones.forget(s);
    }
    return gone.length;
  }

  #dropChunks(s: number, timeMs: number): void {
    const { arena, chunks, series } = this;
    let newer = NO_CHUNK;
    let c = series.newestChunk[s]!;
    while (c !== NO_CHUNK && chunks.maxTime[c]! >= timeMs) {
      newer = c;
      c = chunks.older[c]!;
    }
    if (c === NO_CHUNK) return;
    if (newer === NO_CHUNK) series.newestChunk[s] = NO_CHUNK;
    else chunks.older[newer] = NO_CHUNK;
    while (c !== NO_CHUNK) {
      const older = chunks.older[c]!;
      if (chunks.file[c] === IN_ARENA) arena.free(chunks.handle[c]!, chunks.byteLength[c]!);
      chunks.remove(c);
      c = older;
    }
  }

  #openChunk(s: number, timeMs: number, lastMs: number): void {
    const { series } = this;
    series.openMinTime[s] = timeMs;
    const intervalMs = lastMs > Number.NEGATIVE_INFINITY ? timeMs - lastMs : INTERVAL_ASSUMED_MS;
    series.openCutTime[s] = cutTime(timeMs, intervalMs, series.fingerprints[s * 4 + 1]!);
    // A series' chunks are of much the same size, so this one seldom has to move while it grows.
    const previous = series.newestChunk[s]!;
    const bytes = previous === NO_CHUNK ? 1 : this.chunks.byteLength[previous]!;
    const capacity = roomFor(bytes);
    series.openHandle[s] = this.arena.allocate(capacity);
    series.openCapacity[s] = capacity;
    series.xor.count[s] = 0;
  }

  /**
   * Gives the open chunk, which is full up to its sample at `lastMs`, the room that it will have filled when
   * it is cut if it goes on as it began: rooms of many sizes, each soon given up, are room that nothing else
   * fits in. False: it has as much as a chunk may have.
   */
  #growChunk(s: number, lastMs: number): boolean {
    const { series } = this;
    const usedBytes = (series.xor.bitLength[s]! + 7) >>> 3;
    if (usedBytes + XOR_SAMPLE_BYTES_MAX > CHUNK_BYTES_MAX) return false;
    const pastMs = lastMs - series.openMinTime[s]!;
    const restMs = series.openCutTime[s]! - lastMs;
    const grownBytes = Math.max(usedBytes - XOR_FIRST_SAMPLE_BYTES, 0);
    const moreBytes = pastMs > 0 ? Math.min((grownBytes * restMs) / pastMs, CHUNK_BYTES_MAX) : 0;
    const wanted = Math.min(roomFor(usedBytes + moreBytes), CHUNK_BYTES_MAX);
    const capacity = Math.max(wanted, series.openCapacity[s]! + OPEN_CHUNK_BYTES_STEP);
    series.openHandle[s] = this.#moveOpen(s, usedBytes, this.arena.allocate(capacity));
    series.openCapacity[s] = capacity;
    return true;
  }

  /** Moves the open chunk's bytes into exactly as much room as they need, and links it. */
  #closeChunk(s: number, maxTimeMs: number): void {
    const { chunks, series } = this;
    const { base, bytes } = this.#roomOf(s);
    putXorCount(bytes, base, series.xor.count[s]!);
    const usedBytes = (series.xor.bitLength[s]! + 7) >>> 3;
    const c = chunks.add();
    chunks.minTime[c] = series.openMinTime[s]!;
    chunks.maxTime[c] = maxTimeMs;
    chunks.handle[c] = this.#moveOpen(s, usedBytes, this.arena.append(usedBytes));
    chunks.byteLength[c] = usedBytes;
    chunks.older[c] = series.newestChunk[s]!;
    series.newestChunk[s] = c;
    series.openCapacity[s] = 0;
  }

  /** Copies the open chunk's bytes to new room, whose handle it returns, and frees the old one. */
  #moveOpen(s: number, usedBytes: number, handle: number): number {
    const { arena, series } = this;
    const old = series.openHandle[s]!;
    const from = arena.offset(old) >>> 2;
    const to = arena.offset(handle) >>> 2;
    const source = arena.words(old);
    const target = arena.words(handle);
    const wordCount = (usedBytes + 3) >>> 2; // ranges are whole words
    for (let i = 0; i < wordCount; i++) target[to + i] = source[from + i]!;
    arena.free(old, series.openCapacity[s]!);
    return handle;
  }

  readonly #room: ChunkRoom = { bytes: new Uint8Array(0), base: 0, capacity: 0 };

  /** Where the open chunk of a series is; holds until the next call. */
  #roomOf(s: number): ChunkRoom {
    const room = this.#room;
    const handle = this.series.openHandle[s]!;
    room.bytes = this.arena.slab(handle);
    room.base = this.arena.offset(handle);
    room.capacity = this.series.openCapacity[s]!;
    return room;
  }
}

function roomFor(bytes: number): number {
  return Math.ceil(bytes / OPEN_CHUNK_BYTES_STEP) * OPEN_CHUNK_BYTES_STEP;
}

/**
 * The time at which a chunk that begins at `timeMs` must end: the next border of its grid. The one border that lies
 * nearer to an end of the two hours than half a piece is left out, so that there are as many chunks as pieces.
 */
export function cutTime(timeMs: number, intervalMs: number, fingerprintWord: number): number {
  const wanted = BLOCK_RANGE_MS / (SAMPLES_PER_CHUNK_TARGET * intervalMs);
  const divisions = Math.min(Math.max(Math.round(Math.log2(wanted)), 0), DIVISIONS_MAX);
  const pieceMs = BLOCK_RANGE_MS / 2 ** divisions;
  const offsetMs = fingerprintWord % Math.floor(pieceMs);
  const rangeStart = Math.floor(timeMs / BLOCK_RANGE_MS) * BLOCK_RANGE_MS;
  const rangeEnd = rangeStart + BLOCK_RANGE_MS;
  let pieceEnd = (Math.floor((timeMs - offsetMs) / pieceMs) + 1) * pieceMs + offsetMs;
  if (pieceEnd - rangeStart < pieceMs / 2) pieceEnd += pieceMs;
  return rangeEnd - pieceEnd <= pieceMs / 2 ? rangeEnd : pieceEnd;
}
