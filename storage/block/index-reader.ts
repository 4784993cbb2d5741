/**
 * The index of a block, reading: TOC, then symbols and postings through their tables, then single
 * series by reference. What is in memory is small; a series is read when it is asked for, through
 * pages, and its checksum is checked each time.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import { byteReader, readUint32, readUint64 } from '../../model/wire/varint.ts';
import { StarlingError } from '../../model/errors.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { PagedSource } from './byte-source.ts';
import {
  CRC_BYTES,
  INDEX_HEADER_BYTES,
  INDEX_MAGIC,
  INDEX_TOC_BYTES,
  INDEX_VERSION,
} from './format.ts';
import { PostingsTable } from './postings-table.ts';
import { type SeriesEntry, SeriesReader } from './series-reader.ts';
import { SymbolTable } from './symbol-table.ts';

const TOC_ENTRIES = 6;

export class IndexReader {
  readonly symbols: SymbolTable;
  readonly postings: PostingsTable;
  readonly #series: SeriesReader;

  private constructor(series: SeriesReader, symbols: SymbolTable, postings: PostingsTable) {
    this.#series = series;
    this.symbols = symbols;
    this.postings = postings;
  }

  /** Throws `block.corrupt` or `block.unsupported`. */
  static async open(source: PagedSource): Promise<IndexReader> {
    await checkIndexHeader(source);
    const toc = await readIndexToc(source);
    const end = source.sizeBytes - INDEX_TOC_BYTES;
    const symbols = await SymbolTable.open(source, toc.symbols, end);
    const postings = await PostingsTable.open(source, toc.postingsTable, end);
    const series = new SeriesReader(source, symbols.count);
    return new IndexReader(series, symbols, postings);
  }

  /** Reads the series at `ref` if its bytes are at hand; false: ask `readSeries`. */
  tryReadSeries(ref: number, into: SeriesEntry, range?: TimeRange): boolean {
    return this.#series.tryRead(ref, into, range);
  }

  /** Reads the series at `ref`; of its chunks those that touch the range. Throws `block.corrupt` when there is none. */
  readSeries(ref: number, into: SeriesEntry, range?: TimeRange): Promise<void> {
    return this.#series.read(ref, into, range);
  }
}

/** Throws `block.corrupt` or `block.unsupported` for a file that does not begin as an index we read. */
export async function checkIndexHeader(source: PagedSource): Promise<void> {
  if (source.sizeBytes < INDEX_HEADER_BYTES + INDEX_TOC_BYTES) {
    throw source.corrupt(0, 'shorter than an index can be');
  }
  const header = byteReader(await source.read(0, INDEX_HEADER_BYTES));
  if (readUint32(header) !== INDEX_MAGIC) throw source.corrupt(0, 'not an index');
  const version = header.bytes[4]!;
  if (version !== INDEX_VERSION) throw unsupported(source, version);
}

/** Where the sections of an index begin; 0: there is none. */
export interface IndexToc {
  readonly symbols: number;
  readonly series: number;
  readonly labelIndices: number;
  readonly labelIndicesTable: number;
  readonly postings: number;
  readonly postingsTable: number;
}

/** Reads the table of contents. Throws `block.corrupt`. */
export async function readIndexToc(source: PagedSource): Promise<IndexToc> {
  const at = source.sizeBytes - INDEX_TOC_BYTES;
  const bytes = await source.read(at, INDEX_TOC_BYTES);
  const reader = byteReader(bytes);
  const offsets = Array.from({ length: TOC_ENTRIES }, () => readUint64(reader));
  if (readUint32(reader) !== crc32c(bytes, 0, INDEX_TOC_BYTES - CRC_BYTES)) {
    throw source.corrupt(at, 'the checksum of the table of contents is wrong');
  }
  const toc: IndexToc = {
    symbols: offsets[0]!,
    series: offsets[1]!,
    labelIndices: offsets[2]!,
    labelIndicesTable: offsets[3]!,
    postings: offsets[4]!,
    postingsTable: offsets[5]!,
  };
  for (const offset of [toc.symbols, toc.postingsTable]) {
    if (offset < INDEX_HEADER_BYTES || offset > at) {
      throw source.corrupt(at, 'a table of contents that points nowhere');
    }
  }
  return toc;
}

function unsupported(source: PagedSource, version: number): StarlingError {
  const why = `version ${version} of the index, this one reads version ${INDEX_VERSION}`;
  return new StarlingError('block.unsupported', { block: source.block, file: source.file, why });
}
