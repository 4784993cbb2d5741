/**
 * The head of one tenant: series, their open and closed chunks, and the index over their labels. It
 * knows nothing of disks; the TSDB around it logs what it appends. Samples of a series only move
 * forward in time; an older one is only compared with what is there, so that a body sent again is
 * taken as the duplicate it is, whatever came after its samples.
 *
 * Chunks are cut at times that depend on the clock of the samples only, not on when this node began:
 * two hours are divided by a power of two so that about 120 samples fall into a piece, shifted by an
 * offset from the fingerprint, and never across a two-hour border. Replicas therefore cut alike, and
 * equal chunks are equal bytes.
 */
import type { Labels } from '../../model/labels.ts';
import { decodeLabels } from '../../model/wire/labels-codec.ts';
import { Arena } from '../chunk/arena.ts';
import { XOR_SAMPLE_BYTES_MAX, appendXor, putXorCount } from '../chunk/xor-encode.ts';
import { ChunkTable } from './chunk-table.ts';
import { Bitmap } from './bitmap.ts';
import { Postings } from './postings.ts';
import { SampleLookup } from './sample-lookup.ts';
import { NO_CHUNK, SeriesTable } from './series-table.ts';

export const BLOCK_RANGE_MS = 2 * 3_600_000;
const SAMPLES_PER_CHUNK_TARGET = 120;
const INTERVAL_ASSUMED_MS = 15_000;
const DIVISIONS_MAX = 10;
const CHUNK_BYTES_MAX = 1024;
const OPEN_CHUNK_BYTES_STEP = 64;

/** What became of one sample. */
export const APPENDED = 0;
export const DUPLICATE = 1;
export const CONFLICT = 2;
export const OUT_OF_ORDER = 3;

export class Head {
  readonly series = new SeriesTable();
  readonly chunks = new ChunkTable();
  readonly arena = new Arena();
  readonly postings = new Postings();
  readonly #lookup = new SampleLookup(this.series, this.chunks, this.arena);
  maxTimeMs = Number.NEGATIVE_INFINITY;
  samplesAppended = 0;

  /** Adds a series from its canonical label bytes. */
  addSeries(words: Uint32Array, offset: number, labelBytes: Uint8Array, ref: number): number {
    const labels = decodeLabels(labelBytes);
    const s = this.series.add(words, offset, ref);
    const handle = this.arena.allocate(labelBytes.length);
    this.arena.slab(handle).set(labelBytes, this.arena.offset(handle));
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

  /** Hot: appends one sample. Returns what became of it; only APPENDED changed anything. */
  append(s: number, timeMs: number, low: number, high: number): number {
    const { series } = this;
    const { xor } = series;
    const lastMs = xor.lastTime[s]!;
    if (timeMs <= lastMs) {
      if (timeMs < lastMs) return this.#compareOlder(s, timeMs, low, high);
      return xor.lastLow[s] === low && xor.lastHigh[s] === high ? DUPLICATE : CONFLICT;
    }
    const usedBytes = (xor.bitLength[s]! + 7) >>> 3;
    if (xor.count[s] === 0) this.#openChunk(s, timeMs, lastMs);
    else if (
      timeMs >= series.openCutTime[s]! ||
      usedBytes + XOR_SAMPLE_BYTES_MAX > CHUNK_BYTES_MAX
    ) {
      this.#closeChunk(s);
      this.#openChunk(s, timeMs, lastMs);
    } else if (usedBytes + XOR_SAMPLE_BYTES_MAX > series.openCapacity[s]!) {
      this.#growChunk(s, usedBytes);
    }
    const handle = series.openHandle[s]!;
    appendXor(xor, s, this.arena.slab(handle), this.arena.offset(handle), timeMs, low, high);
    if (timeMs > this.maxTimeMs) this.maxTimeMs = timeMs;
    this.samplesAppended++;
    return APPENDED;
  }

  /** Makes the bytes of the open chunk of a series whole, for a reader. */
  completeOpenChunk(s: number): void {
    const handle = this.series.openHandle[s]!;
    putXorCount(this.arena.slab(handle), this.arena.offset(handle), this.series.xor.count[s]!);
  }

  /** A sample older than the newest one: nothing new when it is there already. */
  #compareOlder(s: number, timeMs: number, low: number, high: number): number {
    if (this.series.xor.count[s]! > 0) this.completeOpenChunk(s);
    const isEqual = this.#lookup.compare(s, timeMs, low, high);
    if (isEqual === undefined) return OUT_OF_ORDER;
    return isEqual ? DUPLICATE : CONFLICT;
  }

  /** The oldest time of a series' data, or Infinity when it has none. */
  oldestTimeOf(s: number): number {
    let oldest =
      this.series.xor.count[s]! > 0 ? this.series.openMinTime[s]! : Number.POSITIVE_INFINITY;
    for (let c = this.series.newestChunk[s]!; c !== NO_CHUNK; c = this.chunks.older[c]!) {
      oldest = this.chunks.minTime[c]!;
    }
    return oldest;
  }

  /** True when the series has data in the closed range. */
  overlaps(s: number, minTimeMs: number, maxTimeMs: number): boolean {
    const { chunks, series } = this;
    if (
      series.xor.count[s]! > 0 &&
      series.openMinTime[s]! <= maxTimeMs &&
      series.xor.lastTime[s]! >= minTimeMs
    ) {
      return true;
    }
    for (let c = series.newestChunk[s]!; c !== NO_CHUNK; c = chunks.older[c]!) {
      if (chunks.maxTime[c]! < minTimeMs) return false;
      if (chunks.minTime[c]! <= maxTimeMs) return true;
    }
    return false;
  }

  /** All series that exist, as a fresh bitmap. */
  allSeries(): Bitmap {
    return this.series.alive.copy();
  }

  /**
   * Drops chunks that end before `timeMs`, and series left without any. Yields now and then; appends
   * between the pauses are fine. Returns how many series went.
   */
  *dropBefore(timeMs: number, seriesPerSlice = 4000): Generator<undefined, number> {
    let dropped = 0;
    for (let from = 0; from < this.series.length; from += seriesPerSlice) {
      dropped += this.#dropSlice(from, Math.min(from + seriesPerSlice, this.series.length), timeMs);
      yield;
    }
    return dropped;
  }

  #dropSlice(from: number, to: number, timeMs: number): number {
    const { series } = this;
    const removed = new Bitmap(series.length);
    const pairs = new Map<string, readonly [string, string]>();
    const gone: number[] = [];
    for (let s = from; s < to; s++) {
      if (!series.alive.has(s)) continue;
      this.#dropChunks(s, timeMs);
      if (series.newestChunk[s] !== NO_CHUNK || series.xor.lastTime[s]! >= timeMs) continue;
      removed.add(s);
      gone.push(s);
      const labels = this.labelsOf(s);
      for (let i = 0; i < labels.length; i += 2) {
        pairs.set(`${labels[i]!.length}:${labels[i]!}${labels[i + 1]!}`, [
          labels[i]!,
          labels[i + 1]!,
        ]);
      }
    }
    this.postings.remove(removed, pairs.values());
    for (const s of gone) {
      if (series.xor.count[s]! > 0) this.arena.free(series.openHandle[s]!, series.openCapacity[s]!);
      this.arena.free(series.labelHandle[s]!, series.labelLength[s]!);
      series.remove(s);
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
      arena.free(chunks.handle[c]!, chunks.byteLength[c]!);
      chunks.remove(c);
      c = older;
    }
  }

  #openChunk(s: number, timeMs: number, lastMs: number): void {
    const { series } = this;
    series.openMinTime[s] = timeMs;
    const intervalMs = lastMs > Number.NEGATIVE_INFINITY ? timeMs - lastMs : INTERVAL_ASSUMED_MS;
    series.openCutTime[s] = cutTime(timeMs, intervalMs, series.fingerprints[s * 4 + 1]!);
    series.openHandle[s] = this.arena.allocate(OPEN_CHUNK_BYTES_STEP);
    series.openCapacity[s] = OPEN_CHUNK_BYTES_STEP;
  }

  #growChunk(s: number, usedBytes: number): void {
    const { arena, series } = this;
    const capacity = series.openCapacity[s]! + OPEN_CHUNK_BYTES_STEP;
    this.#moveOpen(s, usedBytes, capacity);
    arena.free(series.openHandle[s]!, series.openCapacity[s]!);
    series.openHandle[s] = this.#moved;
    series.openCapacity[s] = capacity;
  }

  /** Moves the open chunk's bytes into exactly as much room as they need, and links it. */
  #closeChunk(s: number): void {
    const { arena, chunks, series } = this;
    this.completeOpenChunk(s);
    const usedBytes = (series.xor.bitLength[s]! + 7) >>> 3;
    this.#moveOpen(s, usedBytes, usedBytes);
    arena.free(series.openHandle[s]!, series.openCapacity[s]!);
    const c = chunks.add();
    chunks.minTime[c] = series.openMinTime[s]!;
    chunks.maxTime[c] = series.xor.lastTime[s]!;
    chunks.handle[c] = this.#moved;
    chunks.byteLength[c] = usedBytes;
    chunks.older[c] = series.newestChunk[s]!;
    series.newestChunk[s] = c;
    series.openCapacity[s] = 0;
    series.xor.count[s] = 0;
  }

  /** Where `#moveOpen` put the bytes. */
  #moved = 0;

  #moveOpen(s: number, usedBytes: number, capacity: number): void {
    const { arena, series } = this;
    const to = arena.allocate(capacity);
    const from = series.openHandle[s]!;
    const source = arena.slab(from);
    const start = arena.offset(from);
    arena.slab(to).set(source.subarray(start, start + usedBytes), arena.offset(to));
    this.#moved = to;
  }
}

/** The time at which a chunk that begins at `timeMs` must end: the next border of its grid. */
export function cutTime(timeMs: number, intervalMs: number, fingerprintWord: number): number {
  const wanted = BLOCK_RANGE_MS / (SAMPLES_PER_CHUNK_TARGET * intervalMs);
  const divisions = Math.min(Math.max(Math.round(Math.log2(wanted)), 0), DIVISIONS_MAX);
  const pieceMs = BLOCK_RANGE_MS / 2 ** divisions;
  const offsetMs = fingerprintWord % Math.floor(pieceMs);
  const pieceEnd = (Math.floor((timeMs - offsetMs) / pieceMs) + 1) * pieceMs + offsetMs;
  return Math.min(pieceEnd, (Math.floor(timeMs / BLOCK_RANGE_MS) + 1) * BLOCK_RANGE_MS);
}
