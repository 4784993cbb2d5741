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
import type { PagedSource } from './byte-source.ts';
import { CRC_BYTES, SERIES_ALIGN_BYTES } from './format.ts';

/** One series of an index. Its owner reuses it: `read` sets all of it anew. */
export interface SeriesEntry {
  ref: number;
  /** Name and value symbols in turn, names rising. */
  readonly symbols: number[];
  readonly chunkRefs: number[];
  /** Of each chunk its first and last time, both in it. Chunks rise and do not overlap. */
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
  tryRead(ref: number, into: SeriesEntry): boolean {
    const source = this.#source;
    const offset = ref * SERIES_ALIGN_BYTES;
    const head = source.place(offset, LENGTH_BYTES_MAX);
    if (head < 0) return false;
    const size = this.#sizeOf(source.page, head, offset);
    const from = source.place(offset, size);
    if (from < 0) return false;
    this.#decode(source.page, from, size, offset, into);
    return true;
  }

  /** Reads the series at `ref`. Throws `block.corrupt` when there is none. */
  async read(ref: number, into: SeriesEntry): Promise<void> {
    if (this.tryRead(ref, into)) return;
    const offset = ref * SERIES_ALIGN_BYTES;
    const size = this.#sizeOf(await this.#source.read(offset, LENGTH_BYTES_MAX), 0, offset);
    this.#decode(await this.#source.read(offset, size), 0, size, offset, into);
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
  #decode(bytes: Uint8Array, from: number, size: number, offset: number, into: SeriesEntry): void {
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
    readChunks(reader, into);
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

/** Fails the reader for times that do not rise and numbers past 2^53. */
function readChunks(reader: ByteReader, into: SeriesEntry): void {
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
    const isExact =
      Number.isSafeInteger(minTime) && Number.isSafeInteger(maxTime) && Number.isSafeInteger(ref);
    if (!isExact || ref < 0) overrun(reader);
    chunkRefs.push(ref);
    chunkMinTimes.push(minTime);
    chunkMaxTimes.push(maxTime);
  }
}
