/**
 * The series section of an index, reading: one series by its reference, through pages, with its checksum
 * checked each time.
 *
 *   uvarint length | label pairs as symbol numbers | chunks: times and references | u32 crc
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import {
  type ByteReader,
  byteReader,
  isOverrun,
  overrun,
  readUint32,
  readUvarint,
  readVarint,
} from '../../model/wire/varint.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { PagedSource } from './byte-source.ts';
import { CRC_BYTES, SERIES_ALIGN_BYTES } from './format.ts';

/** One series of an index. Its owner reuses it: `read` sets all of it anew. */
export interface SeriesEntry {
  ref: number;
  /** Name and value symbols in turn, names rising. */
  readonly symbols: number[];
  readonly chunkRefs: number[];
  /** Of each chunk its first and last time, both in it. Chunks rise and do not overlap; those outside the range that was asked for are left out. */
  readonly chunkMinTimes: number[];
  readonly chunkMaxTimes: number[];
}

export function createSeriesEntry(): SeriesEntry {
  return { ref: 0, symbols: [], chunkRefs: [], chunkMinTimes: [], chunkMaxTimes: [] };
}

/** The most bytes of the length before a series. */
const LENGTH_BYTES_MAX = 5;
/** Nothing that is read may claim more: a million chunks take less. */
const SERIES_BYTES_MAX = 64 * 1024 * 1024;

/** An entry of a file, where it was read to. */
interface EntryBytes {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly size: number;
  readonly offset: number;
}

const ALL_TIMES: TimeRange = { minTimeMs: -Infinity, maxTimeMs: Infinity };

export class SeriesReader {
  readonly #source: PagedSource;
  readonly #symbolCount: number;
  readonly #reader: ByteReader = byteReader(new Uint8Array(0));
  /** Of the series that was read last, its length and checksum included. */
  lastBytes = 0;

  constructor(source: PagedSource, symbolCount: number) {
    this.#source = source;
    this.#symbolCount = symbolCount;
  }

  /** Hot: reads the series at `ref` if its bytes are at hand; false: ask `read`. */
  tryRead(ref: number, into: SeriesEntry, range: TimeRange = ALL_TIMES): boolean {
    const source = this.#source;
    const offset = ref * SERIES_ALIGN_BYTES;
    const head = source.place(offset, LENGTH_BYTES_MAX);
    if (head < 0) return false;
    const size = this.#sizeOf(source.page, head, offset);
    const from = source.place(offset, size);
    if (from < 0) return false;
    this.#decode({ bytes: source.page, from, size, offset }, into, range);
    return true;
  }

  /** Reads the series at `ref`. Throws `block.corrupt` when there is none. */
  async read(ref: number, into: SeriesEntry, range: TimeRange = ALL_TIMES): Promise<void> {
    if (this.tryRead(ref, into, range)) return;
    const offset = ref * SERIES_ALIGN_BYTES;
    const size = this.#sizeOf(await this.#source.read(offset, LENGTH_BYTES_MAX), 0, offset);
    const bytes = await this.#source.read(offset, size);
    this.#decode({ bytes, from: 0, size, offset }, into, range);
  }

  /** How many bytes the series takes whose first ones are at `from`, its length and checksum included. */
  #sizeOf(bytes: Uint8Array, from: number, offset: number): number {
    const reader = this.#reader;
    reader.bytes = bytes;
    reader.offset = from;
    reader.end = from + LENGTH_BYTES_MAX;
    const length = readUvarint(reader);
    const size = reader.offset - from + length + CRC_BYTES;
    const isTooLong = length > SERIES_BYTES_MAX || offset + size > this.#source.sizeBytes;
    if (isOverrun(reader) || isTooLong) {
      throw this.#source.corrupt(offset, 'a length of a series that cannot be');
    }
    return size;
  }

  /** Hot, once a series: the entry is `bytes[from..from + size)`. */
  #decode({ bytes, from, offset, size }: EntryBytes, into: SeriesEntry, range: TimeRange): void {
    const reader = this.#reader;
    reader.bytes = bytes;
    reader.offset = from;
    reader.end = from + size;
    readUvarint(reader);
    const bodyEnd = from + size - CRC_BYTES;
    const checksum = crc32c(bytes, reader.offset, bodyEnd);
    const body = reader.offset;
    reader.offset = bodyEnd;
    if (readUint32(reader) !== checksum) {
      throw this.#source.corrupt(offset, 'the checksum of a series is wrong');
    }
    reader.offset = body;
    reader.end = bodyEnd;
    into.ref = offset / SERIES_ALIGN_BYTES;
    readSymbols(reader, this.#symbolCount, into);
    readChunks(reader, into, range);
    if (reader.offset !== reader.end)
      throw this.#source.corrupt(offset, 'a series that does not hold');
    this.lastBytes = size;
  }
}

/** Fails the reader for symbols that are not there and names that do not rise. */
function readSymbols(reader: ByteReader, symbolCount: number, into: SeriesEntry): void {
  const { symbols } = into;
  symbols.length = 0;
  const pairCount = readUvarint(reader);
  let previous = -1;
  for (let i = 0; i < pairCount && !isOverrun(reader); i++) {
    const name = readUvarint(reader);
    const value = readUvarint(reader);
    if (name <= previous || name >= symbolCount || value >= symbolCount) overrun(reader);
    previous = name;
    symbols.push(name, value);
  }
}

/** Hot. Fails the reader for times that do not rise and numbers past 2^53. */
function readChunks(
  reader: ByteReader,
  into: SeriesEntry,
  { maxTimeMs, minTimeMs }: TimeRange,
): void {
  const { chunkMaxTimes, chunkMinTimes, chunkRefs } = into;
  chunkRefs.length = 0;
  chunkMinTimes.length = 0;
  chunkMaxTimes.length = 0;
  const chunkCount = readUvarint(reader);
  let maxTime = 0;
  let ref = 0;
  for (let i = 0; i < chunkCount && !isOverrun(reader); i++) {
    const minTime = i === 0 ? readVarint(reader) : maxTime + readUvarint(reader);
    maxTime = minTime + readUvarint(reader);
    ref = i === 0 ? readUvarint(reader) : ref + readVarint(reader);
    // the last time is the largest: where it is exact the first one is
    const isExact = minTime >= Number.MIN_SAFE_INTEGER && maxTime <= Number.MAX_SAFE_INTEGER;
    if (!isExact || ref < 0 || ref > Number.MAX_SAFE_INTEGER) overrun(reader);
    if (maxTime < minTimeMs || minTime > maxTimeMs) continue;
    chunkRefs.push(ref);
    chunkMinTimes.push(minTime);
    chunkMaxTimes.push(maxTime);
  }
}
