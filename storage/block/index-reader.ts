/**
 * The index of a block, reading: TOC, then symbols and postings through their tables, then single
 * series by reference. What is in memory is small; a series is read when it is asked for, through
 * pages, and its checksum is checked each time.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import {
  type ByteReader,
  byteReader,
  isOverrun,
  overrun,
  readUint32,
  readUint64,
  readUvarint,
  readVarint,
} from '../../model/wire/varint.ts';
import { StarlingError } from '../../model/errors.ts';
import type { PagedSource } from './byte-source.ts';
import {
  CRC_BYTES,
  INDEX_HEADER_BYTES,
  INDEX_MAGIC,
  INDEX_TOC_BYTES,
  INDEX_VERSION,
  SERIES_ALIGN_BYTES,
} from './format.ts';
import { PostingsTable } from './postings-table.ts';
import { SymbolTable } from './symbol-table.ts';

/** One series of an index. Its owner reuses it: `readSeries` sets all of it anew. */
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
const TOC_ENTRIES = 6;

export class IndexReader {
  readonly symbols: SymbolTable;
  readonly postings: PostingsTable;
  readonly #source: PagedSource;
  readonly #reader: ByteReader = byteReader(new Uint8Array(0));

  private constructor(source: PagedSource, symbols: SymbolTable, postings: PostingsTable) {
    this.#source = source;
    this.symbols = symbols;
    this.postings = postings;
  }

  /** Throws `block.corrupt` or `block.unsupported`. */
  static async open(source: PagedSource): Promise<IndexReader> {
    if (source.sizeBytes < INDEX_HEADER_BYTES + INDEX_TOC_BYTES) {
      throw source.corrupt(0, 'shorter than an index can be');
    }
    const header = byteReader(await source.read(0, INDEX_HEADER_BYTES));
    if (readUint32(header) !== INDEX_MAGIC) throw source.corrupt(0, 'not an index');
    const version = header.bytes[4]!;
    if (version !== INDEX_VERSION) throw unsupported(source, version);
    const toc = await readToc(source);
    const end = source.sizeBytes - INDEX_TOC_BYTES;
    const symbols = await SymbolTable.open(source, toc.symbols, end);
    const postings = await PostingsTable.open(source, toc.postingsTable, end);
    return new IndexReader(source, symbols, postings);
  }

  /** Reads the series at `ref` if its bytes are at hand; false: ask `readSeries`. */
  tryReadSeries(ref: number, into: SeriesEntry): boolean {
    const offset = ref * SERIES_ALIGN_BYTES;
    const head = this.#source.peek(offset, LENGTH_BYTES_MAX);
    if (head === undefined) return false;
    const size = this.#sizeOf(head, offset);
    const bytes = this.#source.peek(offset, size);
    if (bytes === undefined) return false;
    this.#decode(bytes, offset, into);
    return true;
  }

  /** Reads the series at `ref`. Throws `block.corrupt` when there is none. */
  async readSeries(ref: number, into: SeriesEntry): Promise<void> {
    if (this.tryReadSeries(ref, into)) return;
    const offset = ref * SERIES_ALIGN_BYTES;
    const size = this.#sizeOf(await this.#source.read(offset, LENGTH_BYTES_MAX), offset);
    this.#decode(await this.#source.read(offset, size), offset, into);
  }

  /** How many bytes the series takes whose first bytes are `head`, its length and checksum included. */
  #sizeOf(head: Uint8Array, offset: number): number {
    const reader = this.#reader;
    reader.bytes = head;
    reader.offset = 0;
    reader.end = head.length;
    const length = readUvarint(reader);
    const size = reader.offset + length + CRC_BYTES;
    if (isOverrun(reader) || offset + size > this.#source.sizeBytes) {
      throw this.#source.corrupt(offset, 'a length of a series that cannot be');
    }
    return size;
  }

  /** Hot, once a series. `bytes` is all of the entry. */
  #decode(bytes: Uint8Array, offset: number, into: SeriesEntry): void {
    const reader = this.#reader;
    reader.bytes = bytes;
    reader.offset = 0;
    reader.end = bytes.length;
    readUvarint(reader);
    const bodyEnd = bytes.length - CRC_BYTES;
    const checksum = crc32c(bytes, reader.offset, bodyEnd);
    const body = reader.offset;
    reader.offset = bodyEnd;
    if (readUint32(reader) !== checksum) {
      throw this.#source.corrupt(offset, 'the checksum of a series is wrong');
    }
    reader.offset = body;
    reader.end = bodyEnd;
    into.ref = offset / SERIES_ALIGN_BYTES;
    readSymbols(reader, this.symbols.count, into);
    readChunks(reader, into);
    if (reader.offset !== reader.end)
      throw this.#source.corrupt(offset, 'a series that does not hold');
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

async function readToc(
  source: PagedSource,
): Promise<{ readonly symbols: number; readonly postingsTable: number }> {
  const at = source.sizeBytes - INDEX_TOC_BYTES;
  const bytes = await source.read(at, INDEX_TOC_BYTES);
  const reader = byteReader(bytes);
  const offsets = Array.from({ length: TOC_ENTRIES }, () => readUint64(reader));
  if (readUint32(reader) !== crc32c(bytes, 0, INDEX_TOC_BYTES - CRC_BYTES)) {
    throw source.corrupt(at, 'the checksum of the table of contents is wrong');
  }
  const symbols = offsets[0]!;
  const postingsTable = offsets[5]!;
  for (const offset of [symbols, postingsTable]) {
    if (offset < INDEX_HEADER_BYTES || offset > at) {
      throw source.corrupt(at, 'a table of contents that points nowhere');
    }
  }
  return { symbols, postingsTable };
}

function unsupported(source: PagedSource, version: number): StarlingError {
  const why = `version ${version} of the index, this one reads version ${INDEX_VERSION}`;
  return new StarlingError('block.unsupported', { block: source.block, file: source.file, why });
}
