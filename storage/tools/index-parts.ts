/**
 * The index of a block that may be damaged: each section is opened for itself, and what does not hold is
 * told and left out. A reader that answers queries wants all of it instead (block/index-reader.ts).
 *
 * Without a table of contents the symbols are where every writer puts them, behind the header, and series
 * are looked for up to the end of the file.
 */
import { byteReader, readUint32 } from '../../model/wire/varint.ts';
import { type BlockFiles, PagedSource } from '../block/byte-source.ts';
import { type IndexToc, checkIndexHeader, readIndexToc } from '../block/index-reader.ts';
import {
  CRC_BYTES,
  INDEX_HEADER_BYTES,
  INDEX_TOC_BYTES,
  SERIES_ALIGN_BYTES,
} from '../block/format.ts';
import { PostingsTable } from '../block/postings-table.ts';
import { type SeriesEntry, SeriesReader, createSeriesEntry } from '../block/series-reader.ts';
import { SymbolTable } from '../block/symbol-table.ts';
import { BLOCK_INDEX_FILE } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import { type FindingId, damageOf } from './findings.ts';

const PAGES = { pageBytes: 256 * 1024, pagesMax: 16 };

export interface IndexParts {
  readonly source: PagedSource;
  readonly toc: IndexToc | undefined;
  readonly symbols: SymbolTable | undefined;
  readonly postings: PostingsTable | undefined;
}

export type OnDamage = (id: FindingId, thrown: unknown) => void;

/** Opens what can be opened; undefined when there is no index at all. The caller closes the source. */
export async function openIndexParts(
  files: BlockFiles,
  onDamage: OnDamage,
): Promise<IndexParts | undefined> {
  const opened = await files.open(BLOCK_INDEX_FILE);
  if (opened === undefined) return undefined;
  const source = new PagedSource({ block: files.id, file: BLOCK_INDEX_FILE }, opened, PAGES);
  const attempt = async <Part>(
    id: FindingId,
    open: () => Promise<Part>,
  ): Promise<Part | undefined> => {
    try {
      return await open();
    } catch (thrown) {
      onDamage(id, thrown);
      return undefined;
    }
  };
  try {
    await attempt('index.header', () => checkIndexHeader(source));
    const toc = await attempt('index.toc', () => readIndexToc(source));
    const end = source.sizeBytes - INDEX_TOC_BYTES;
    const symbolsAt = toc?.symbols ?? INDEX_HEADER_BYTES;
    const symbols = await attempt('index.symbols', () => SymbolTable.open(source, symbolsAt, end));
    const postings =
      toc === undefined
        ? undefined
        : await attempt('index.postings_table', () =>
            PostingsTable.open(source, toc.postingsTable, end),
          );
    return { source, toc, symbols, postings };
  } catch (thrown) {
    await source.close();
    throw thrown;
  }
}

/** Bytes between series that hold no series. */
export interface DamagedBytes {
  readonly from: number;
  readonly to: number;
  readonly what: string;
}

const SERIES_UNITS = 4;

/**
 * Goes over the series section byte by byte, without help of the postings: after damage it goes on at the
 * next border of 16 bytes where a series holds.
 */
export class SeriesWalk {
  /** The series that `next` found. Reused. */
  readonly entry: SeriesEntry = createSeriesEntry();
  readonly #source: PagedSource;
  readonly #reader: SeriesReader;
  readonly #pacer: Pacer;
  readonly #onDamage: (damage: DamagedBytes) => void;
  #offset: number;
  readonly #end: number;
  #damage: { readonly from: number; readonly what: string } | undefined;

  private constructor(
    source: PagedSource,
    range: { readonly from: number; readonly to: number; readonly symbolCount: number },
    pacer: Pacer,
    onDamage: (damage: DamagedBytes) => void,
  ) {
    this.#source = source;
    this.#reader = new SeriesReader(source, range.symbolCount);
    this.#offset = aligned(range.from);
    this.#end = range.to;
    this.#pacer = pacer;
    this.#onDamage = onDamage;
  }

  static async open(
    { source, symbols, toc }: IndexParts & { readonly symbols: SymbolTable },
    pacer: Pacer,
    onDamage: (damage: DamagedBytes) => void,
  ): Promise<SeriesWalk> {
    const to = endOfSeries(toc, source.sizeBytes);
    const from = toc?.series ?? (await endOfSymbols(source));
    const range = { from, to, symbolCount: symbols.count };
    return new SeriesWalk(source, range, pacer, onDamage);
  }

  /** The next series that holds; false after the last one. */
  async next(): Promise<boolean> {
    const reader = this.#reader;
    for (;;) {
      const offset = this.#offset;
      if (offset + CRC_BYTES >= this.#end) {
        this.#tell(this.#end);
        return false;
      }
      if (this.#pacer.spend(SERIES_UNITS)) await this.#pacer.pause();
      const ref = offset / SERIES_ALIGN_BYTES;
      try {
        if (!reader.tryRead(ref, this.entry)) await reader.read(ref, this.entry);
        if (offset + reader.lastBytes > this.#end) throw this.#past(offset);
      } catch (thrown) {
        this.#damage ??= { from: offset, what: damageOf(thrown).what };
        this.#offset = offset + SERIES_ALIGN_BYTES;
        continue;
      }
      this.#tell(offset);
      this.#offset = aligned(offset + reader.lastBytes);
      return true;
    }
  }

  #past(offset: number): Error {
    return this.#source.corrupt(offset, 'a series that goes beyond the series');
  }

  #tell(to: number): void {
    if (this.#damage !== undefined) this.#onDamage({ ...this.#damage, to });
    this.#damage = undefined;
  }
}

function aligned(offset: number): number {
  return Math.ceil(offset / SERIES_ALIGN_BYTES) * SERIES_ALIGN_BYTES;
}

/** Series end where the next section begins. */
export function endOfSeries(toc: IndexToc | undefined, sizeBytes: number): number {
  const end = sizeBytes - INDEX_TOC_BYTES;
  if (toc === undefined) return end;
  const later = [toc.labelIndices, toc.postings, toc.labelIndicesTable, toc.postingsTable];
  return later.reduce((least, at) => (at >= toc.series && at < least ? at : least), end);
}

async function endOfSymbols(source: PagedSource): Promise<number> {
  const length = readUint32(byteReader(await source.read(INDEX_HEADER_BYTES, 4)));
  return INDEX_HEADER_BYTES + 4 + length + CRC_BYTES;
}
