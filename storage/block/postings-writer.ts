/**
 * Label indices, postings and their tables, writing. While series are added only their references and,
 * for each label name, how many series have it are kept; then the series are read back from the file
 * once for a batch of names, of which the (value, reference) pairs fit in bounded memory:
 *
 *   batch  pairs of a few names  ──sort by value──►  a list for each value
 *
 * A single name of more series than a batch holds is a batch of its own: 8 bytes a series.
 */
import { assert } from '../../model/assert.ts';
import { crc32c } from '../../model/wire/crc32c.ts';
import { byteReader, putUint32, readUvarint } from '../../model/wire/varint.ts';
import type { AppendFile } from './append-file.ts';
import { Uint32List } from './bytes.ts';
import { CRC_BYTES, POSTINGS_ALIGN_BYTES, SERIES_ALIGN_BYTES } from './format.ts';
import type { SymbolTable } from './symbol-table.ts';
import type { Pacer } from '../pacer.ts';

const BATCH_PAIRS_MAX = 4 * 1024 * 1024;
const SCAN_BYTES = 128 * 1024;

/** Offsets for the table of contents. */
export interface PostingsSections {
  readonly labelIndices: number;
  readonly labelIndicesTable: number;
  readonly postings: number;
  readonly postingsTable: number;
}

/** The series of one label name, sorted by value: value i has `refs[ends[i - 1] .. ends[i])`. */
interface NamePostings {
  readonly name: number;
  readonly values: Uint32Array;
  readonly ends: Uint32Array;
  readonly refs: Uint32Array;
}

export class PostingsWriter {
  readonly #refs = new Uint32List();
  /** Name symbol -> how many series have it. */
  readonly #nameCounts = new Map<number, number>();
  readonly #pacer: Pacer;

  constructor(pacer: Pacer) {
    this.#pacer = pacer;
  }

  /** Hot: notes a series. */
  add(ref: number, symbols: readonly number[]): void {
    this.#refs.push(ref);
    for (let i = 0; i < symbols.length; i += 2) {
      const name = symbols[i]!;
      this.#nameCounts.set(name, (this.#nameCounts.get(name) ?? 0) + 1);
    }
  }

  /** Writes all sections at the end of `file`, which has the symbols and series and is drained. */
  async write(file: AppendFile, symbols: SymbolTable): Promise<PostingsSections> {
    const scan = new SeriesScan(file, this.#refs.view(), symbols.count, this.#pacer);
    const batches = this.#batches();
    let kept: readonly NamePostings[] | undefined;
    const labelIndices = file.position;
    const indexNames: number[] = [];
    const indexOffsets: number[] = [];
    for (const batch of batches) {
      kept = await scan.collect(batch, this.#nameCounts);
      for (const { name, values } of kept) {
        file.pad(POSTINGS_ALIGN_BYTES);
        indexNames.push(name);
        indexOffsets.push(file.position);
        putLabelIndex(file, values);
        if (file.isFull) await file.drain();
        if (this.#pacer.spend(values.length / 20)) await this.#pacer.pause();
      }
    }
    const postings = file.position;
    const table = new TableColumns();
    file.pad(POSTINGS_ALIGN_BYTES);
    table.add(0, 0, file.position); // the empty symbol twice: all series
    putList(file, this.#refs.view(), 0, this.#refs.length);
    for (const batch of batches) {
      const names =
        batches.length === 1 && kept !== undefined
          ? kept
          : await scan.collect(batch, this.#nameCounts);
      for (const each of names) await putPostings(file, each, table, this.#pacer);
    }
    const labelIndicesTable = file.position;
    await putLabelIndexTable(file, symbols, indexNames, indexOffsets);
    const postingsTable = file.position;
    await putPostingsTable(file, symbols, table, this.#pacer);
    return { labelIndices, labelIndicesTable, postings, postingsTable };
  }

  /** Names in order, cut into batches of bounded pairs. */
  #batches(): readonly (readonly number[])[] {
    const names = [...this.#nameCounts.keys()].sort((a, b) => a - b);
    const batches: number[][] = [];
    let pairs = Number.POSITIVE_INFINITY;
    for (const name of names) {
      const count = this.#nameCounts.get(name) ?? 0;
      if (pairs + count > BATCH_PAIRS_MAX) {
        batches.push([]);
        pairs = 0;
      }
      batches.at(-1)?.push(name);
      pairs += count;
    }
    return batches;
  }
}

/** Entries of the offset table, in its order. */
class TableColumns {
  readonly names = new Uint32List();
  readonly values = new Uint32List();
  readonly offsets: number[] = [];

  add(name: number, value: number, offset: number): void {
    this.names.push(name);
    this.values.push(value);
    this.offsets.push(offset);
  }
}

/** The pairs of one name while the series are read back. */
interface NamePairs {
  readonly values: Uint32Array;
  readonly refs: Uint32Array;
  length: number;
}

/** Reads the series back, in order, from the file being written. */
class SeriesScan {
  readonly #file: AppendFile;
  readonly #refs: Uint32Array;
  /** Where the series end. */
  readonly #endOffset: number;
  /** Symbol -> its rank among the values of the name being sorted. */
  readonly #scratchRanks: Uint32Array;
  readonly #pacer: Pacer;

  constructor(file: AppendFile, refs: Uint32Array, symbolCount: number, pacer: Pacer) {
    this.#pacer = pacer;
    this.#file = file;
    this.#refs = refs;
    this.#endOffset = file.position;
    this.#scratchRanks = new Uint32Array(symbolCount);
  }

  /** The postings of some names. */
  async collect(
    names: readonly number[],
    counts: ReadonlyMap<number, number>,
  ): Promise<readonly NamePostings[]> {
    const pairs = new Map<number, NamePairs>();
    for (const name of names) {
      const count = counts.get(name) ?? 0;
      pairs.set(name, { values: new Uint32Array(count), refs: new Uint32Array(count), length: 0 });
    }
    await this.#scan(pairs);
    const sorted: NamePostings[] = [];
    for (const name of names) {
      const found = pairs.get(name);
      pairs.delete(name); // half of the memory is free again, name by name
      if (found === undefined) continue;
      sorted.push(sortPairs(name, found, this.#scratchRanks));
      if (this.#pacer.spend(found.length / 20)) await this.#pacer.pause();
    }
    return sorted;
  }

  async #scan(pairs: ReadonlyMap<number, NamePairs>): Promise<void> {
    const refs = this.#refs;
    const endOf = (i: number): number =>
      i < refs.length ? refs[i]! * SERIES_ALIGN_BYTES : this.#endOffset;
    for (let from = 0; from < refs.length;) {
      const start = refs[from]! * SERIES_ALIGN_BYTES;
      let to = from + 1;
      while (to < refs.length && endOf(to + 1) - start <= SCAN_BYTES) to++;
      const bytes = await this.#file.read(start, endOf(to) - start);
      assert(bytes.length === endOf(to) - start, 'block: the index became shorter');
      for (let i = from; i < to; i++) {
        addPairs(bytes, refs[i]! * SERIES_ALIGN_BYTES - start, refs[i]!, pairs);
      }
      if (this.#pacer.spend((to - from) * 4)) await this.#pacer.pause();
      from = to;
    }
  }
}

/** Hot: adds the pairs of the series entry at `offset` whose names are wanted. */
function addPairs(
  bytes: Uint8Array,
  offset: number,
  ref: number,
  pairs: ReadonlyMap<number, NamePairs>,
): void {
  const reader = byteReader(bytes, offset);
  readUvarint(reader); // the length
  const pairCount = readUvarint(reader);
  for (let i = 0; i < pairCount; i++) {
    const of = pairs.get(readUvarint(reader));
    const value = readUvarint(reader);
    if (of === undefined) continue;
    of.values[of.length] = value;
    of.refs[of.length++] = ref;
  }
}

/** Sorts by value, then reference (which rise already). `ranks` is scratch, one element a symbol. */
function sortPairs(name: number, pairs: NamePairs, ranks: Uint32Array): NamePostings {
  const count = pairs.length;
  const values = distinctSorted(pairs.values.subarray(0, count), ranks);
  const distinct = values.length;
  for (let rank = 0; rank < distinct; rank++) ranks[values[rank]!] = rank;
  const ends = new Uint32Array(distinct);
  for (let i = 0; i < count; i++) ends[ranks[pairs.values[i]!]!]!++;
  for (let rank = 1; rank < distinct; rank++) ends[rank]! += ends[rank - 1]!;
  const refs = new Uint32Array(count);
  for (let i = count - 1; i >= 0; i--) refs[--ends[ranks[pairs.values[i]!]!]!] = pairs.refs[i]!;
  // The loop left the starts in `ends`: shift them.
  ends.copyWithin(0, 1);
  if (distinct > 0) ends[distinct - 1] = count;
  return { name, values, ends, refs };
}

/**
 * Hot: what is in `values`, each once, rising. Values that are many and close together are marked and
 * read off, which is ten times faster than sorting them. `marks` is scratch, one element a symbol.
 */
function distinctSorted(values: Uint32Array, marks: Uint32Array): Uint32Array {
  let least = 0xffff_ffff;
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const isDense = most - least < values.length * 16;
  const result = isDense ? new Uint32Array(values.length) : values.slice().sort();
  let distinct = 0;
  if (isDense) {
    marks.fill(0, least, most + 1);
    for (let i = 0; i < values.length; i++) marks[values[i]!] = 1;
    for (let value = least; value <= most; value++) {
      if (marks[value] === 1) result[distinct++] = value;
    }
  } else {
    for (let i = 0; i < result.length; i++) {
      if (i === 0 || result[i] !== result[i - 1]) result[distinct++] = result[i]!;
    }
  }
  return result.slice(0, distinct);
}

async function putPostings(
  file: AppendFile,
  { name, values, ends, refs }: NamePostings,
  table: TableColumns,
  pacer: Pacer,
): Promise<void> {
  let from = 0;
  for (let i = 0; i < values.length; i++) {
    table.add(name, values[i]!, file.position);
    putList(file, refs, from, ends[i]!);
    const count = ends[i]! - from;
    from = ends[i]!;
    if (file.isFull) await file.drain();
    if (pacer.spend(1 + count / 50)) await pacer.pause();
  }
}

/** A postings list of `refs[from..to)`. Its size is a multiple of 4, so the next one needs no padding. */
function putList(file: AppendFile, refs: Uint32Array, from: number, to: number): void {
  const length = 4 + 4 * (to - from);
  file.reserve(4 + length + CRC_BYTES);
  file.putUint32(length);
  const start = file.length;
  file.putUint32(to - from);
  const target = file.buffer;
  let at = file.length;
  for (let i = from; i < to; i++) at = putUint32(target, at, refs[i]!);
  file.length = putUint32(target, at, crc32c(target, start, at));
}

function putLabelIndex(file: AppendFile, values: Uint32Array): void {
  const length = 8 + 4 * values.length;
  file.reserve(4 + length + CRC_BYTES);
  file.putUint32(length);
  const start = file.length;
  file.putUint32(1); // label names a tuple has
  file.putUint32(values.length);
  const target = file.buffer;
  let at = file.length;
  for (let i = 0; i < values.length; i++) at = putUint32(target, at, values[i]!);
  file.length = putUint32(target, at, crc32c(target, start, at));
}

async function putLabelIndexTable(
  file: AppendFile,
  symbols: SymbolTable,
  names: readonly number[],
  offsets: readonly number[],
): Promise<void> {
  const finish = beginTable(file, names.length);
  for (let i = 0; i < names.length; i++) {
    const name = symbols.peekBytes(names[i]!) ?? (await symbols.bytes(names[i]!));
    file.putUvarint(1);
    file.putString(name);
    file.putUvarint(offsets[i]!);
  }
  await finish();
}

async function putPostingsTable(
  file: AppendFile,
  symbols: SymbolTable,
  table: TableColumns,
  pacer: Pacer,
): Promise<void> {
  const finish = beginTable(file, table.offsets.length);
  for (let i = 0; i < table.offsets.length; i++) {
    const name = symbols.peekBytes(table.names.at(i)) ?? (await symbols.bytes(table.names.at(i)));
    file.putUvarint(2);
    file.putString(name);
    const value = table.values.at(i);
    file.putString(symbols.peekBytes(value) ?? (await symbols.bytes(value)));
    file.putUvarint(table.offsets[i]!);
    if (file.isFull) await file.drain();
    if (pacer.spend(3)) await pacer.pause();
  }
  await finish();
}

/** Begins `u32 length, u32 count, entries, u32 crc`; the result ends it. */
function beginTable(file: AppendFile, count: number): () => Promise<void> {
  const start = file.position;
  file.putUint32(0); // length
  file.putUint32(count);
  return async () => {
    await file.patchUint32(start, file.position - start - 4);
    file.putUint32(await file.checksumFrom(start + 4));
  };
}
