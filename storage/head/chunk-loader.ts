/**
 * What a read needs of chunks that are in files (chunk-files.ts): fetched ahead for as many series as a megabyte holds, in
 * few reads, because neighbours of a metric lie together. A read of the newest hour finds nothing to do here.
 *
 *   while (!loader.has(s)) { loader.load(numbers, i); pause until loader.loading is settled }
 *
 * What is at hand stays until the next `load`. One read, one loader.
 */
import type { TimeRange } from '../../model/sample.ts';
import { UNIT_BYTES, filedBytes } from './chunk-files.ts';
import { type FiledChunks, IN_ARENA } from './chunk-table.ts';
import type { Head } from './head.ts';
import { NO_CHUNK } from './series-table.ts';

const LOADED_BYTES_MAX = 1 << 20;
const LOADED_SERIES_MAX = 4096;
const READ_BYTES_MAX = 256 * 1024;
/** What lies between two chunks is read too rather than beginning a new read. */
const GAP_BYTES_MAX = 8 * 1024;
/** The others of the thread pool are for the log. */
const READS_AT_ONCE = 2;

/** `bytes[from..from + length)`, with their check after them. */
export interface LoadedChunk {
  readonly bytes: Uint8Array;
  readonly from: number;
}

interface Wanted {
  readonly c: number;
  readonly file: number;
  readonly offset: number;
  readonly length: number;
}

/** Neighbours in a file, in one read. */
interface Stretch {
  readonly file: number;
  readonly offset: number;
  end: number;
  readonly wanted: Wanted[];
}

export class ChunkLoader {
  readonly #head: Head;
  readonly #range: TimeRange;
  #loaded = new Map<number, LoadedChunk>();
  /** The running `load`; rejects with `disk.failed`. */
  loading: Promise<void> | undefined;

  constructor(head: Head, range: TimeRange) {
    this.#head = head;
    this.#range = range;
  }

  /** Hot: whether all chunks of a series in the range are at hand or in memory. */
  has(s: number): boolean {
    const { chunks, series } = this.#head;
    const { maxTimeMs, minTimeMs } = this.#range;
    if (chunks.newestFiledMs < minTimeMs) return true;
    for (let c = series.newestChunk[s]!; c !== NO_CHUNK; c = chunks.older[c]!) {
      if (chunks.maxTime[c]! < minTimeMs) break;
      const isFiled = chunks.file[c] !== IN_ARENA && chunks.minTime[c]! <= maxTimeMs;
      if (isFiled && !this.#loaded.has(c)) return false;
    }
    return true;
  }

  /** A chunk that is in a file, and at hand. */
  find(c: number): LoadedChunk | undefined {
    return this.#loaded.get(c);
  }

  /** Begins to fetch for `numbers` from `from` on, instead of what is at hand. */
  load(numbers: Uint32Array, from: number): void {
    const { files } = this.#head;
    const loaded = new Map<number, LoadedChunk>();
    this.#loaded = loaded;
    if (files === undefined) return;
    const stretches = stretchesOf(this.#wanted(numbers, from));
    this.loading = fetchAll(files, stretches, loaded).finally(() => (this.loading = undefined));
  }

  #wanted(numbers: Uint32Array, from: number): Wanted[] {
    const { chunks, series } = this.#head;
    const { maxTimeMs, minTimeMs } = this.#range;
    const wanted: Wanted[] = [];
    let byteCount = 0;
    const to = Math.min(numbers.length, from + LOADED_SERIES_MAX);
    for (let i = from; i < to && byteCount < LOADED_BYTES_MAX; i++) {
      const s = numbers[i]!;
      if (!series.alive.has(s)) continue;
      for (let c = series.newestChunk[s]!; c !== NO_CHUNK; c = chunks.older[c]!) {
        if (chunks.maxTime[c]! < minTimeMs) break;
        const file = chunks.file[c]!;
        if (file === IN_ARENA || chunks.minTime[c]! > maxTimeMs) continue;
        const length = chunks.byteLength[c]!;
        wanted.push({ c, file, offset: chunks.handle[c]! * UNIT_BYTES, length });
        byteCount += length;
      }
    }
    return wanted;
  }
}

function stretchesOf(wanted: Wanted[]): Stretch[] {
  wanted.sort((a, b) => a.file - b.file || a.offset - b.offset);
  const stretches: Stretch[] = [];
  for (const one of wanted) {
    const end = one.offset + filedBytes(one.length);
    const last = stretches.at(-1);
    const isNear =
      last?.file === one.file &&
      one.offset - last.end <= GAP_BYTES_MAX &&
      end - last.offset <= READ_BYTES_MAX;
    if (last !== undefined && isNear) {
      last.end = end;
      last.wanted.push(one);
    } else stretches.push({ file: one.file, offset: one.offset, end, wanted: [one] });
  }
  return stretches;
}

async function fetchAll(
  files: FiledChunks,
  stretches: readonly Stretch[],
  loaded: Map<number, LoadedChunk>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < stretches.length) await fetchOne(files, stretches[next++]!, loaded);
  };
  await Promise.all(Array.from({ length: READS_AT_ONCE }, lane));
}

async function fetchOne(
  files: FiledChunks,
  { end, file, offset, wanted }: Stretch,
  loaded: Map<number, LoadedChunk>,
): Promise<void> {
  const bytes = await files.read(file, offset, end - offset);
  for (const { c, length, offset: at } of wanted) {
    files.check(file, bytes, at - offset, length);
    loaded.set(c, { bytes, from: at - offset });
  }
}
