/**
 * The index of a block, writing, in one pass over symbols and series (docs/format/block.md):
 *
 *   addSymbol*  ->  addSeries*  ->  finish: label indices, postings, tables, TOC
 *
 * Label sets come as symbol numbers; symbols rise by bytes, so numbers order label sets as their
 * strings would. In memory: 4 bytes a symbol, 4 bytes a series, 12 bytes a label pair; postings are
 * made by reading the series back (postings-writer.ts).
 */
import { assert } from '../../model/assert.ts';
import { crc32c } from '../../model/wire/crc32c.ts';
import { VARINT_BYTES_MAX, putUint32, putUvarint, putVarint } from '../../model/wire/varint.ts';
import type { Disk } from '../../platform/platform.ts';
import { BLOCK_INDEX_FILE } from '../filenames.ts';
import { AppendFile } from './append-file.ts';
import { PagedSource } from './byte-source.ts';
import { compareBytes } from './bytes.ts';
import {
  CRC_BYTES,
  INDEX_MAGIC,
  INDEX_TOC_BYTES,
  INDEX_VERSION,
  SERIES_ALIGN_BYTES,
} from './format.ts';
import type { SeriesEntry } from './series-reader.ts';
import { PostingsWriter } from './postings-writer.ts';
import { SymbolTable } from './symbol-table.ts';
import type { Pacer } from '../pacer.ts';

const PAGES = { pageBytes: 64 * 1024, pagesMax: 64 };

export class IndexWriter {
  readonly #file: AppendFile;
  readonly #block: string;
  readonly #toc = { symbols: 0, series: 0 };
  #lastSymbol: Uint8Array | undefined;
  #symbolCount = 0;
  #symbols: SymbolTable | undefined;
  #seriesCount = 0;
  readonly #postings: PostingsWriter;
  /** The symbols of the last series. */
  readonly #scratchLast: number[] = [];

  private constructor(file: AppendFile, block: string, pacer: Pacer) {
    this.#file = file;
    this.#block = block;
    this.#postings = new PostingsWriter(pacer);
  }

  /** Begins the index file at `path`; `block` names it in errors. */
  static async create(disk: Disk, path: string, block: string, pacer: Pacer): Promise<IndexWriter> {
    const writer = new IndexWriter(await AppendFile.create(disk, path), block, pacer);
    const file = writer.#file;
    file.putUint32(INDEX_MAGIC);
    file.putByte(INDEX_VERSION);
    writer.#toc.symbols = file.position;
    file.putUint32(0); // length and count follow
    file.putUint32(0);
    return writer;
  }

  get seriesCount(): number {
    return this.#seriesCount;
  }

  /** True when `drain` should be awaited before more is added. */
  get isFull(): boolean {
    return this.#file.isFull;
  }

  drain(): Promise<void> {
    return this.#file.drain();
  }

  /** Adds the next symbol, the empty one first, and returns its number. The bytes must stay as they are. */
  addSymbol(symbol: Uint8Array): number {
    const last = this.#lastSymbol;
    assert(this.#symbols === undefined, 'block: a symbol after the symbols');
    assert(last === undefined || compareBytes(last, symbol) < 0, 'block: symbols must rise');
    this.#lastSymbol = symbol;
    this.#file.putString(symbol);
    return this.#symbolCount++;
  }

  /** Ends the symbols: now series can be added. */
  async finishSymbols(): Promise<void> {
    const file = this.#file;
    const { symbols: start } = this.#toc;
    await file.patchUint32(start, file.position - start - 4);
    await file.patchUint32(start + 4, this.#symbolCount);
    file.putUint32(await file.checksumFrom(start + 4));
    await file.drain();
    const where = { block: this.#block, file: BLOCK_INDEX_FILE };
    const source = new PagedSource(where, file.source(), PAGES);
    this.#symbols = await SymbolTable.open(source, start, file.position);
    this.#toc.series = file.position;
  }

  /** Hot: adds the next series by label order and returns its reference. */
  addSeries(series: SeriesEntry): number {
    const { chunkMaxTimes, chunkMinTimes, chunkRefs, symbols } = series;
    this.#checkOrder(symbols);
    const file = this.#file;
    file.pad(SERIES_ALIGN_BYTES);
    const ref = file.position / SERIES_ALIGN_BYTES;
    assert(ref <= 0xffff_ffff, 'block: an index over 64 GiB');
    const bodyBytesMax = VARINT_BYTES_MAX * (2 + symbols.length + 3 * chunkRefs.length);
    file.reserve(bodyBytesMax * 2 + VARINT_BYTES_MAX + CRC_BYTES);
    const target = file.buffer;
    // The body goes after the room for its length, then moves down.
    const bodyFrom = file.length + VARINT_BYTES_MAX;
    let at = putUvarint(target, bodyFrom, symbols.length / 2);
    for (let i = 0; i < symbols.length; i++) at = putUvarint(target, at, symbols[i]!);
    at = putUvarint(target, at, chunkRefs.length);
    for (let i = 0; i < chunkRefs.length; i++) {
      const minTime = chunkMinTimes[i]!;
      if (i === 0) at = putVarint(target, at, minTime);
      else at = putUvarint(target, at, minTime - chunkMaxTimes[i - 1]!);
      at = putUvarint(target, at, chunkMaxTimes[i]! - minTime);
      if (i === 0) at = putUvarint(target, at, chunkRefs[i]!);
      else at = putVarint(target, at, chunkRefs[i]! - chunkRefs[i - 1]!);
    }
    const from = putUvarint(target, file.length, at - bodyFrom);
    target.copyWithin(from, bodyFrom, at);
    const to = from + at - bodyFrom;
    file.length = putUint32(target, to, crc32c(target, from, to));
    this.#postings.add(ref, symbols);
    this.#seriesCount++;
    return ref;
  }

  /** Writes what follows the series, and makes the file durable. */
  async finish(): Promise<void> {
    const file = this.#file;
    assert(this.#symbols !== undefined, 'block: an index without symbols');
    await file.drain();
    const sections = await this.#postings.write(file, this.#symbols);
    const toc = new Uint8Array(INDEX_TOC_BYTES);
    const offsets = [
      this.#toc.symbols,
      this.#toc.series,
      sections.labelIndices,
      sections.labelIndicesTable,
      sections.postings,
      sections.postingsTable,
    ];
    offsets.forEach((offset, i) => {
      putUint32(toc, i * 8, Math.floor(offset / 0x1_0000_0000));
      putUint32(toc, i * 8 + 4, offset);
    });
    const tocEnd = INDEX_TOC_BYTES - CRC_BYTES;
    putUint32(toc, tocEnd, crc32c(toc, 0, tocEnd));
    file.putBytes(toc);
    await file.finish();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #checkOrder(symbols: readonly number[]): void {
    const last = this.#scratchLast;
    if (this.#seriesCount > 0) {
      assert(compareSymbols(last, symbols) < 0, 'block: series must rise by labels');
    }
    last.length = symbols.length;
    for (let i = 0; i < symbols.length; i++) {
      const symbol = symbols[i]!;
      assert(symbol < this.#symbolCount, 'block: a symbol that was not added');
      assert(i < 2 || i % 2 === 1 || symbols[i - 2]! < symbol, 'block: label names must rise');
      last[i] = symbol;
    }
  }
}

/** Orders label sets given as symbol numbers of one table. */
export function compareSymbols(a: readonly number[], b: readonly number[]): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}
