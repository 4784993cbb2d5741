/**
 * The symbols of an index, reading: every string of the labels once, strictly rising by bytes, known
 * by its number. Every 32nd offset is in memory, the bytes stay in the file.
 *
 *   u32 length | u32 count | (uvarint length, bytes)* | u32 crc      offsets: ^0 … ^32 … ^64 …
 */
import { byteReader, isOverrun, readUint32, readUvarint } from '../../model/wire/varint.ts';
import type { PagedSource } from './byte-source.ts';
import { compareBytes, textOf } from './bytes.ts';
import { CRC_BYTES, SPARSE_STEP } from './format.ts';
import { SectionReader } from './section-reader.ts';

const TEXTS_CACHED_MAX = 64 * 1024;

export class SymbolTable {
  readonly count: number;
  readonly #source: PagedSource;
  /** Of symbols 0, 32, 64, … and, last, the end of all. */
  readonly #offsets: readonly number[];
  readonly #from: number;
  readonly #texts = new Map<number, string>();

  private constructor(
    source: PagedSource,
    from: number,
    count: number,
    offsets: readonly number[],
  ) {
    this.#source = source;
    this.#from = from;
    this.count = count;
    this.#offsets = offsets;
  }

  /** Reads and checks the section at `offset`, which must end before `end`. */
  static async open(source: PagedSource, offset: number, end: number): Promise<SymbolTable> {
    const section = await openSection(source, offset, end, 'symbols');
    const { from, count, reader } = section;
    const offsets: number[] = [];
    let previous: Uint8Array | undefined;
    for (let i = 0; i < count; i++) {
      const at = reader.offset;
      if (i % SPARSE_STEP === 0) offsets.push(at);
      const symbol = reader.peekString() ?? (await reader.string());
      if (previous !== undefined && compareBytes(previous, symbol) >= 0) {
        throw source.corrupt(at, 'symbols that are not sorted');
      }
      previous = symbol; // windows are never written to again
    }
    offsets.push(reader.offset);
    await section.finish();
    return new SymbolTable(source, from, count, offsets);
  }

  /** The symbol's text when it needs no read, else undefined: then ask `text`. */
  peekText(symbol: number): string | undefined {
    const known = this.#texts.get(symbol);
    if (known !== undefined) return known;
    const bytes = this.peekBytes(symbol);
    return bytes === undefined ? undefined : this.#remember(symbol, bytes);
  }

  /** The text of a symbol below `count`. */
  async text(symbol: number): Promise<string> {
    return this.peekText(symbol) ?? this.#remember(symbol, await this.bytes(symbol));
  }

  /** As `peekText`, the bytes. */
  peekBytes(symbol: number): Uint8Array | undefined {
    const { from, to } = this.#group(symbol);
    const group = this.#source.peek(from, to - from);
    return group === undefined ? undefined : this.#inGroup(symbol, group, from);
  }

  /** The bytes of a symbol below `count`. */
  async bytes(symbol: number): Promise<Uint8Array> {
    const { from, to } = this.#group(symbol);
    return this.#inGroup(symbol, await this.#source.read(from, to - from), from);
  }

  /** All symbols in order. */
  cursor(): SymbolCursor {
    const section = new SectionReader(this.#source, this.#from, this.#offsets.at(-1) ?? this.#from);
    return new SymbolCursor(section, this.count);
  }

  #group(symbol: number): { readonly from: number; readonly to: number } {
    const group = Math.floor(symbol / SPARSE_STEP);
    return { from: this.#offsets[group]!, to: this.#offsets[group + 1]! };
  }

  #inGroup(symbol: number, group: Uint8Array, offset: number): Uint8Array {
    const bytes = symbolInGroup(group, symbol % SPARSE_STEP);
    if (bytes === undefined) throw this.#source.corrupt(offset, 'a symbol that has changed');
    return bytes;
  }

  #remember(symbol: number, bytes: Uint8Array): string {
    const text = textOf(bytes);
    if (this.#texts.size >= TEXTS_CACHED_MAX) this.#texts.clear();
    this.#texts.set(symbol, text);
    return text;
  }
}

/** Goes through all symbols once. */
export class SymbolCursor {
  readonly #section: SectionReader;
  #left: number;

  constructor(section: SectionReader, count: number) {
    this.#section = section;
    this.#left = count;
  }

  /** As `next` when it needs no read, else undefined: then ask `next`. */
  peek(): Uint8Array | undefined {
    if (this.#left === 0) return undefined;
    const symbol = this.#section.peekString();
    if (symbol !== undefined) this.#left--;
    return symbol;
  }

  /** The next symbol's bytes, which stay valid; undefined after the last. */
  async next(): Promise<Uint8Array | undefined> {
    if (this.#left === 0) return undefined;
    this.#left--;
    return this.#section.peekString() ?? this.#section.string();
  }
}

function symbolInGroup(group: Uint8Array, index: number): Uint8Array | undefined {
  const reader = byteReader(group);
  for (let i = 0; ; i++) {
    const length = readUvarint(reader);
    const from = reader.offset;
    if (isOverrun(reader) || from + length > group.length) return undefined;
    if (i === index) return group.subarray(from, from + length);
    reader.offset = from + length;
  }
}

export interface CountedSection {
  /** The offset of the first entry. */
  readonly from: number;
  readonly count: number;
  readonly reader: SectionReader;
  /** Checks that all was read and that the checksum holds. Throws `block.corrupt`. */
  finish(): Promise<void>;
}

/** Opens a section `u32 length, u32 count, entries, u32 crc` that must end before `end`. */
export async function openSection(
  source: PagedSource,
  offset: number,
  end: number,
  what: string,
): Promise<CountedSection> {
  const header = byteReader(await source.read(offset, 4));
  const length = readUint32(header);
  const contentEnd = offset + 4 + length;
  if (length < 4 || contentEnd + CRC_BYTES > end) {
    throw source.corrupt(offset, `a length of ${what} that cannot be`);
  }
  const reader = new SectionReader(source, offset + 4, contentEnd, true);
  await reader.ensure(4);
  const count = readUint32(reader.reader);
  if (count > reader.bytesLeft) throw source.corrupt(offset + 4, `too many ${what}`);
  return {
    from: offset + 8,
    count,
    reader,
    async finish() {
      if (reader.bytesLeft !== 0) throw source.corrupt(reader.offset, `bytes after the ${what}`);
      const stored = readUint32(byteReader(await source.read(contentEnd, CRC_BYTES)));
      if (stored !== reader.checksum) {
        throw source.corrupt(offset, `the checksum of the ${what} is wrong`);
      }
    },
  };
}
