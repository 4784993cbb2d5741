/**
 * The postings of an index, reading: for a label pair the references of the series that have it.
 *
 *   offset table  (name, value) -> offset of its list      every 32nd value of a name in memory
 *   list          u32 length | u32 count | u32 references, rising | u32 crc
 *
 * The pair of two empty strings has the list of all series, so no list may be longer than that.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import { VARINT_BYTES_MAX, isOverrun, readUvarint } from '../../model/wire/varint.ts';
import type { PagedSource } from './byte-source.ts';
import { compareBytes, textOf } from './bytes.ts';
import { CRC_BYTES, SPARSE_STEP } from './format.ts';
import { SectionReader } from './section-reader.ts';
import { type CountedSection, openSection } from './symbol-table.ts';

/** Lists up to this size go through the pages. */
const PAGED_LIST_BYTES_MAX = 16 * 1024;
const PAIR_FIELDS = 2;

/** One label name: where its entries are in the table. */
interface NameEntries {
  /** Of the name's entries 0, 32, 64, …: value, and offset of the entry in the file. */
  readonly values: Uint8Array[];
  readonly offsets: number[];
  /** The offset after its last entry. */
  end: number;
}

const NO_POSTINGS = new Uint32Array(0);

export class PostingsTable {
  readonly #source: PagedSource;
  readonly #names: ReadonlyMap<string, NameEntries>;
  /** The end of what lists may take. */
  readonly #end: number;
  #all: Uint32Array | undefined;

  private constructor(source: PagedSource, names: ReadonlyMap<string, NameEntries>, end: number) {
    this.#source = source;
    this.#names = names;
    this.#end = end;
  }

  /** Reads and checks the offset table at `offset`, which must end before `end`. */
  static async open(source: PagedSource, offset: number, end: number): Promise<PostingsTable> {
    const section = await openSection(source, offset, end, 'postings');
    const names = await readTable(source, section);
    await section.finish();
    return new PostingsTable(source, names, end);
  }

  /** Label names, sorted by bytes. */
  names(): readonly string[] {
    return [...this.#names.keys()].filter((name) => name !== '');
  }

  /** All series. Shared: do not write to it. */
  async all(): Promise<Uint32Array> {
    this.#all ??= await this.#lookup('', '', undefined);
    return this.#all;
  }

  /** The series that have the pair, rising. */
  async of(name: string, value: string): Promise<Uint32Array> {
    return this.#lookup(name, value, (await this.all()).length);
  }

  /** Visits the values of a name, rising by bytes, with the offset of their lists. */
  async forEachValue(
    name: string,
    visit: (value: string, listOffset: number) => void,
  ): Promise<void> {
    const entries = this.#names.get(name);
    if (entries === undefined) return;
    const reader = new SectionReader(this.#source, entries.offsets[0]!, entries.end);
    while (reader.bytesLeft > 0) {
      const entry = peekEntry(reader) ?? (await readEntry(this.#source, reader));
      visit(textOf(entry.value), entry.listOffset);
    }
  }

  /** The list at `offset`, of at most `countMax` references. Throws `block.corrupt`. */
  async list(offset: number, countMax: number | undefined): Promise<Uint32Array> {
    const source = this.#source;
    if (offset + 8 + CRC_BYTES > this.#end) throw source.corrupt(offset, 'a list past its section');
    const header = viewOf(await source.read(offset, 8));
    const length = header.getUint32(0);
    const count = header.getUint32(4);
    if (length !== 4 + 4 * count || offset + 4 + length + CRC_BYTES > this.#end) {
      throw source.corrupt(offset, 'a length of postings that cannot be');
    }
    if (count > (countMax ?? count)) throw source.corrupt(offset, 'more postings than series');
    const size = length + CRC_BYTES;
    const bytes = await (size > PAGED_LIST_BYTES_MAX
      ? source.readDirect(offset + 4, size)
      : source.read(offset + 4, size));
    const view = viewOf(bytes);
    if (crc32c(bytes, 0, length) !== view.getUint32(length)) {
      throw source.corrupt(offset, 'the checksum of postings is wrong');
    }
    const refs = new Uint32Array(count);
    if (!copyRising(view, refs)) throw source.corrupt(offset, 'postings that do not rise');
    return refs;
  }

  async #lookup(name: string, value: string, countMax: number | undefined): Promise<Uint32Array> {
    const entries = this.#names.get(name);
    if (entries === undefined) return NO_POSTINGS;
    const wanted = Buffer.from(value);
    const group = lastAtOrBefore(entries.values, wanted);
    if (group < 0) return NO_POSTINGS;
    const from = entries.offsets[group]!;
    const to = entries.offsets[group + 1] ?? entries.end;
    const reader = new SectionReader(this.#source, from, to);
    while (reader.bytesLeft > 0) {
      const entry = peekEntry(reader) ?? (await readEntry(this.#source, reader));
      const order = compareBytes(entry.value, wanted);
      if (order === 0) return this.list(entry.listOffset, countMax);
      if (order > 0) break;
    }
    return NO_POSTINGS;
  }
}

/** Hot: copies `refs.length` references from offset 4 of the view. False when they do not rise. */
function copyRising(view: DataView, refs: Uint32Array): boolean {
  let previous = 0; // no series is at offset 0
  for (let i = 0; i < refs.length; i++) {
    const ref = view.getUint32(4 + i * 4);
    if (ref <= previous) return false;
    refs[i] = ref;
    previous = ref;
  }
  return true;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The last index whose value is not after `wanted`, or -1. */
function lastAtOrBefore(values: readonly Uint8Array[], wanted: Uint8Array): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(values[middle]!, wanted) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

interface TableEntry {
  /** Views that stay valid. */
  readonly name: Uint8Array;
  readonly value: Uint8Array;
  readonly listOffset: number;
}

/** The next entry where it needs no read; else undefined, and nothing was read. */
function peekEntry(section: SectionReader): TableEntry | undefined {
  const { reader } = section;
  const start = reader.offset;
  if (section.has(1) && readUvarint(reader) === PAIR_FIELDS) {
    const name = section.peekString();
    const value = name && section.peekString();
    if (name !== undefined && value !== undefined && section.has(VARINT_BYTES_MAX)) {
      const listOffset = readUvarint(reader);
      if (!isOverrun(reader)) return { name, value, listOffset };
    }
  }
  reader.offset = start;
  return undefined;
}

async function readEntry(source: PagedSource, section: SectionReader): Promise<TableEntry> {
  const at = section.offset;
  if (!section.has(1)) await section.ensure(1);
  if (readUvarint(section.reader) !== PAIR_FIELDS) {
    throw source.corrupt(at, 'an entry of the postings table that is not a pair');
  }
  const name = section.peekString() ?? (await section.string());
  const value = section.peekString() ?? (await section.string());
  if (!section.has(VARINT_BYTES_MAX)) await section.ensure(VARINT_BYTES_MAX);
  const listOffset = readUvarint(section.reader);
  if (isOverrun(section.reader) || listOffset > source.sizeBytes) {
    throw source.corrupt(at, 'an entry of the postings table that points nowhere');
  }
  return { name, value, listOffset };
}

async function readTable(
  source: PagedSource,
  { count, reader }: CountedSection,
): Promise<ReadonlyMap<string, NameEntries>> {
  const names = new Map<string, NameEntries>();
  let current: NameEntries | undefined;
  let last: TableEntry | undefined;
  let position = 0; // among the entries of the name
  for (let i = 0; i < count; i++) {
    const at = reader.offset;
    const entry = await readEntry(source, reader);
    const nameOrder = last === undefined ? -1 : compareBytes(last.name, entry.name);
    const valueOrder = last === undefined ? -1 : compareBytes(last.value, entry.value);
    if (nameOrder > 0 || (nameOrder === 0 && valueOrder >= 0)) {
      throw source.corrupt(at, 'a postings table that is not sorted');
    }
    if (current === undefined || nameOrder !== 0) {
      current = { values: [], offsets: [], end: at };
      names.set(textOf(entry.name), current);
      position = 0;
    }
    if (position++ % SPARSE_STEP === 0) {
      current.values.push(entry.value.slice());
      current.offsets.push(at);
    }
    current.end = reader.offset;
    last = entry;
  }
  return names;
}
