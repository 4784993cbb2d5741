/**
 * N blocks become one: symbols are merged first, then series in label order, each with the chunks that the
 * blocks have of it. Everything is read once, forward.
 *
 *   symbols   block 1 ─┐
 *             block 2 ─┴─► numbers of the new index
 *   series    block 1 ─┐
 *             block 2 ─┴─► one label set: its chunks ─► series-chunks.ts ─► chunk files, index
 *
 * Memory: of each block 4 bytes a symbol, 4 bytes a series and a few pages; the chunk references of one
 * series; what the index writer keeps (12 bytes a label pair). Loops are sliced by the pacer.
 */
import { assert } from '../../model/assert.ts';
import { StarlingError } from '../../model/errors.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { BlockReader } from '../block/block-reader.ts';
import { type BlockWriterOptions, BlockWriter } from '../block/block-writer.ts';
import { compareBytes } from '../block/bytes.ts';
import { putChunks } from '../block/cut.ts';
import { type ChunkBytes, chunkSampleCount } from '../block/format.ts';
import { type SeriesEntry, createSeriesEntry } from '../block/series-reader.ts';
import { compareSymbols } from '../block/index-writer.ts';
import { ChunkMerger, UndecodableChunk } from '../block/merge-chunks.ts';
import type { BlockMeta } from '../block/meta.ts';
import { deletedRefs } from '../block/select-block.ts';
import type { SymbolCursor } from '../block/symbol-table.ts';
import { joinRanges } from '../block/tombstones.ts';
import type { BlockId } from '../block/ulid.ts';
import type { DeletedRefs, Deletion } from '../deletion/deletion.ts';
import type { Pacer } from '../pacer.ts';
import { SeriesDownsampler } from '../downsample/series-downsampler.ts';
import { MinHeap } from './min-heap.ts';
import { BadChunk, SeriesChunks } from './series-chunks.ts';

export interface MergeOptions extends BlockWriterOptions {
  /** Called now and then with how many series were written so far. */
  readonly onProgress?: (seriesCount: number) => void;
  /** Of one block: what is written is not its samples but their aggregates of so much time. */
  readonly resolutionMs?: number | undefined;
  /** What of the samples is left out; absent: nothing. */
  readonly deletions?: readonly Deletion[] | undefined;
}

/** What things cost, roughly, in units of the pacer. */
const SERIES_UNITS = 30;
const CHUNK_UNITS = 6;
const SYMBOL_UNITS = 2;
/** Of one sample that is decoded and encoded. */
const SAMPLE_UNITS = 0.6;
const SYMBOLS_MAX = 0xffff_ffff;
const PROGRESS_SERIES = 1000;

/**
 * Writes the samples of all blocks as one. Undefined, and nothing on disk, when all were deleted. Throws
 * `block.corrupt` and `block.unsupported` with the name of the block that is bad, `disk.failed`, and what
 * reading the blocks throws; then nothing is left on disk.
 */
export async function mergeBlocks(
  options: MergeOptions,
  blocks: readonly BlockReader[],
): Promise<BlockMeta | undefined> {
  const writer = await BlockWriter.create(options);
  try {
    const numbers = await mergeSymbols(writer, blocks, options.pacer);
    const cursors = blocks.map((reader, i) => new SeriesCursor(reader, numbers[i]!, i));
    const merger = new SeriesMerger(writer, cursors, options);
    await merger.run();
    if (options.resolutionMs === undefined) merger.checkCount();
    if (writer.chunkCount === 0) {
      await writer.abort();
      return undefined;
    }
    const description = describe(blocks, merger, options.deletions ?? []);
    // One block that is thinned out stays what it is.
    const isSame = options.resolutionMs !== undefined || options.deletions !== undefined;
    if (blocks.length > 1 || !isSame) return await writer.finish(description);
    return await writer.finish({ ...description, level: description.level - 1 });
  } catch (thrown) {
    await writer.abort();
    throw thrown;
  }
}

function describe(
  blocks: readonly BlockReader[],
  { maxTimeMs, minTimeMs }: TimeRange,
  deletions: readonly Deletion[],
): Omit<BlockMeta, 'id' | 'stats'> {
  const metas = blocks.map(({ meta }) => meta);
  const sources = new Set<BlockId>();
  for (const meta of metas) {
    for (const id of meta.sources.length === 0 ? [meta.id] : meta.sources) sources.add(id);
  }
  return {
    // A block of others may hold more than it says.
    minTimeMs: metas.reduce((min, meta) => Math.min(min, meta.minTimeMs), minTimeMs),
    maxTimeMs: metas.reduce((max, meta) => Math.max(max, meta.maxTimeMs), maxTimeMs + 1),
    level: metas.reduce((max, meta) => Math.max(max, meta.level), 1) + 1,
    sources: [...sources].sort(),
    parents: metas.map((meta) => ({
      id: meta.id,
      minTimeMs: meta.minTimeMs,
      maxTimeMs: meta.maxTimeMs,
    })),
    isDeletable: false,
    hasFailed: false,
    hints: [],
    deletions: appliedDeletions(metas, deletions),
  };
}

/** Those that nothing of is left in what is made of all these blocks. */
function appliedDeletions(
  metas: readonly BlockMeta[],
  now: readonly Deletion[],
): readonly string[] {
  const applied = new Set(
    now
      .filter(({ range }) =>
        metas.some((one) => range.minTimeMs < one.maxTimeMs && range.maxTimeMs >= one.minTimeMs),
      )
      .map(({ id }) => id),
  );
  for (const id of metas[0]?.deletions ?? []) {
    if (metas.every((one) => one.deletions?.includes(id))) applied.add(id);
  }
  return [...applied].sort();
}

interface SymbolSource {
  readonly cursor: SymbolCursor;
  readonly numbers: Uint32Array;
  at: number;
  symbol: Uint8Array;
}

/** Writes the symbols of all blocks; for each block the new numbers of its symbols. */
async function mergeSymbols(
  writer: BlockWriter,
  blocks: readonly BlockReader[],
  pacer: Pacer,
): Promise<readonly Uint32Array[]> {
  const heap = new MinHeap<SymbolSource>((a, b) => compareBytes(a.symbol, b.symbol));
  const all: Uint32Array[] = [];
  for (const { index } of blocks) {
    const numbers = new Uint32Array(index.symbols.count);
    all.push(numbers);
    const cursor = index.symbols.cursor();
    const symbol = await cursor.next();
    if (symbol !== undefined) heap.push({ cursor, numbers, at: 0, symbol });
  }
  let last: Uint8Array = new Uint8Array(0);
  let number = writer.addSymbol(last); // an index begins with the empty one
  for (let source = heap.least; source !== undefined; source = heap.least) {
    if (compareBytes(last, source.symbol) !== 0) {
      last = source.symbol;
      number = writer.addSymbol(last);
      if (number > SYMBOLS_MAX) throw new Error('compact: more symbols than an index can have');
      if (writer.isFull) await writer.drain();
    }
    source.numbers[source.at++] = number;
    const next = source.cursor.peek() ?? (await source.cursor.next());
    if (next === undefined) heap.pop();
    else {
      source.symbol = next;
      heap.settle();
    }
    if (pacer.spend(SYMBOL_UNITS)) await pacer.pause();
  }
  await writer.finishSymbols();
  return all;
}

/** Goes over the series of one block. */
class SeriesCursor {
  readonly reader: BlockReader;
  /** Which of the blocks it is. */
  readonly source: number;
  readonly entry: SeriesEntry = createSeriesEntry();
  /** What is left out of its series. */
  deleted: DeletedRefs | undefined;
  /** The label set in numbers of the new index. */
  readonly symbols: number[] = [];
  readonly #numbers: Uint32Array;
  readonly #before: number[] = [];
  #refs: Uint32Array = new Uint32Array(0);
  #at = -1;

  constructor(reader: BlockReader, numbers: Uint32Array, source: number) {
    this.reader = reader;
    this.source = source;
    this.#numbers = numbers;
  }

  /** The first series; false when there is none. */
  async open(deletions: readonly Deletion[]): Promise<boolean> {
    this.deleted = await deletedRefs(this.reader, deletions);
    this.#refs = await this.reader.select([]);
    return this.next();
  }

  /** The next series; false after the last one. Throws `block.corrupt` for series out of order. */
  async next(): Promise<boolean> {
    const ref = this.#refs[++this.#at];
    if (ref === undefined) return false;
    const { entry, symbols } = this;
    const before = this.#before;
    before.length = 0;
    for (let i = 0; i < symbols.length; i++) before.push(symbols[i]!);
    const { index } = this.reader;
    if (!index.tryReadSeries(ref, entry)) await index.readSeries(ref, entry);
    symbols.length = 0;
    for (let i = 0; i < entry.symbols.length; i++) symbols.push(this.#numbers[entry.symbols[i]!]!);
    if (this.#at > 0 && compareSymbols(before, symbols) >= 0) {
      throw this.corrupt('index', ref * 16, 'its series are not in the order of their labels');
    }
    return true;
  }

  corrupt(file: string, offset: number, why: string): StarlingError {
    return new StarlingError('block.corrupt', { block: this.reader.meta.id, file, offset, why });
  }
}

/** Where a chunk is. */
interface ChunkPlace {
  readonly cursor: SeriesCursor;
  readonly ref: number;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  /** Its bytes, if they had to be looked at already. */
  readonly chunk: ChunkBytes | undefined;
}

class SeriesMerger implements TimeRange {
  /** Of all chunks that were written. */
  minTimeMs = Number.POSITIVE_INFINITY;
  maxTimeMs = Number.NEGATIVE_INFINITY;
  readonly #writer: BlockWriter;
  readonly #cursors: readonly SeriesCursor[];
  readonly #options: MergeOptions;
  readonly #entry = createSeriesEntry();
  readonly #chunks = new SeriesChunks();
  readonly #deleter = new ChunkMerger();
  readonly #downsampler: SeriesDownsampler | undefined;
  /** The blocks that have the series. */
  readonly #same: SeriesCursor[] = [];
  /** Of each block: samples and chunks that were read. */
  readonly #samplesIn: Float64Array;
  readonly #chunksIn: Float64Array;

  constructor(writer: BlockWriter, cursors: readonly SeriesCursor[], options: MergeOptions) {
    this.#writer = writer;
    this.#cursors = cursors;
    this.#options = options;
    const { resolutionMs } = options;
    if (resolutionMs !== undefined) {
      assert(cursors.length === 1, 'compact: blocks are downsampled one by one');
      const lastMs = cursors[0]!.reader.meta.maxTimeMs - 1;
      this.#downsampler = new SeriesDownsampler({ resolutionMs, lastMs });
    }
    this.#samplesIn = new Float64Array(cursors.length);
    this.#chunksIn = new Float64Array(cursors.length);
  }

  /** Nothing may be lost: at the least there is what one block had (chunks of it may share a time). */
  checkCount(): void {
    const { sampleCount } = this.#writer;
    let sum = 0;
    for (let i = 0; i < this.#samplesIn.length; i++) {
      const count = this.#samplesIn[i]!;
      assert(
        sampleCount >= count - this.#chunksIn[i]!,
        'compact: fewer samples than one block has',
      );
      sum += count;
    }
    assert(sampleCount <= sum, 'compact: more samples than all blocks have');
  }

  async run(): Promise<void> {
    const { deletions = [], onProgress, pacer } = this.#options;
    const heap = new MinHeap<SeriesCursor>(
      (a, b) => compareSymbols(a.symbols, b.symbols) || a.source - b.source,
    );
    for (const cursor of this.#cursors) if (await cursor.open(deletions)) heap.push(cursor);
    const same = this.#same;
    for (let count = 0; ; count++) {
      const first = heap.pop();
      if (first === undefined) return;
      same.length = 0;
      for (let next: SeriesCursor | undefined = first; next !== undefined;) {
        same.push(next);
        const least: SeriesCursor | undefined = heap.least;
        next = least !== undefined && isSame(least, first) ? heap.pop() : undefined;
      }
      await this.#putSeries();
      for (const cursor of same) if (await cursor.next()) heap.push(cursor);
      if (pacer.spend(SERIES_UNITS * same.length)) await pacer.pause();
      if (count % PROGRESS_SERIES === 0) onProgress?.(count);
    }
  }

  /** Writes the chunks of the series that `#same` have, and the series. */
  async #putSeries(): Promise<void> {
    const { pacer } = this.#options;
    const entry = this.#entry;
    entry.symbols.length = 0;
    for (const symbol of this.#same[0]!.symbols) entry.symbols.push(symbol);
    entry.chunkRefs.length = 0;
    entry.chunkMinTimes.length = 0;
    entry.chunkMaxTimes.length = 0;
    const chunks = this.#chunks;
    chunks.begin();
    this.#downsampler?.begin();
    for (const place of await this.#places()) {
      const chunk = place.chunk ?? (await readChunk(place));
      const { source } = place.cursor;
      this.#samplesIn[source]! += chunkSampleCount(chunk);
      this.#chunksIn[source]!++;
      this.#guard(() => {
        chunks.add({ ...chunk, source });
      });
      await this.#putReady();
      if (pacer.spend(CHUNK_UNITS + chunks.takeDecoded() * SAMPLE_UNITS)) await pacer.pause();
    }
    this.#guard(() => {
      chunks.finish();
    });
    await this.#putReady();
    this.#downsampler?.finish();
    await this.#putAggregates();
    if (entry.chunkRefs.length === 0) return; // all of it was deleted
    this.minTimeMs = Math.min(this.minTimeMs, entry.chunkMinTimes[0]!);
    const last = entry.chunkMaxTimes.length - 1;
    this.maxTimeMs = Math.max(this.maxTimeMs, entry.chunkMaxTimes[last]!);
    if (this.#writer.isFull) await this.#writer.drain();
    this.#writer.addSeries(entry);
  }

  /** All chunks of the series by first time, without what was deleted. */
  async #places(): Promise<readonly ChunkPlace[]> {
    const places: ChunkPlace[] = [];
    for (const cursor of this.#same) {
      const { chunkMaxTimes, chunkMinTimes, chunkRefs, ref } = cursor.entry;
      const later = cursor.deleted?.of(ref);
      const own = cursor.reader.tombstones.get(ref);
      const deleted = later === undefined ? own : joinRanges([...(own ?? []), ...later]);
      for (let i = 0; i < chunkRefs.length; i++) {
        const place = {
          cursor,
          ref: chunkRefs[i]!,
          minTimeMs: chunkMinTimes[i]!,
          maxTimeMs: chunkMaxTimes[i]!,
          chunk: undefined,
        };
        if (deleted === undefined) places.push(place);
        else places.push(...(await this.#undeleted(place, deleted)));
      }
    }
    if (this.#same.length > 1) places.sort(byTime);
    return places;
  }

  /** What is left of a chunk. */
  async #undeleted(
    place: ChunkPlace,
    deleted: readonly TimeRange[],
  ): Promise<readonly ChunkPlace[]> {
    const { cursor, ref } = place;
    const chunk = await readChunk(place);
    const { resolutionMs } = cursor.reader.meta;
    try {
      return this.#deleter.merge([chunk], deleted, resolutionMs).map((left) => ({
        cursor,
        ref,
        minTimeMs: left.minTimeMs,
        maxTimeMs: left.maxTimeMs,
        chunk: left,
      }));
    } catch (thrown) {
      if (!(thrown instanceof UndecodableChunk)) throw thrown;
      throw cursor.corrupt('chunks', 0, thrown.message);
    }
  }

  /** Says which block is bad. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      const cursor = thrown instanceof BadChunk ? this.#cursors[thrown.source] : undefined;
      if (cursor === undefined || !(thrown instanceof BadChunk)) throw thrown;
      const block = cursor.reader.meta.id;
      if (!thrown.isUnsupported) throw cursor.corrupt('chunks', 0, thrown.message);
      throw new StarlingError('block.unsupported', { block, file: 'chunks', why: thrown.message });
    }
  }

  async #putReady(): Promise<void> {
    const { ready } = this.#chunks;
    if (ready.length === 0) return;
    if (this.#downsampler === undefined) await putChunks(this.#writer, this.#entry, ready);
    else {
      for (const chunk of ready) {
        if (!this.#downsampler.add(chunk)) throw this.#undecodable();
      }
      await this.#putAggregates();
    }
    ready.length = 0;
  }

  #undecodable(): StarlingError {
    return this.#cursors[0]!.corrupt('chunks', 0, 'the samples of a chunk do not decode');
  }

  async #putAggregates(): Promise<void> {
    const downsampler = this.#downsampler;
    if (downsampler === undefined) return;
    const { pacer } = this.#options;
    await putChunks(this.#writer, this.#entry, downsampler.ready);
    downsampler.ready.length = 0;
    if (pacer.spend(downsampler.takeDecoded() * SAMPLE_UNITS)) await pacer.pause();
  }
}

async function readChunk({ cursor, maxTimeMs, minTimeMs, ref }: ChunkPlace): Promise<ChunkBytes> {
  const { reader } = cursor;
  const { data, encoding } = reader.peekChunk(ref) ?? (await reader.readChunk(ref));
  return { encoding, minTimeMs, maxTimeMs, bytes: data, from: 0, to: data.length };
}

function isSame(a: SeriesCursor, b: SeriesCursor): boolean {
  return compareSymbols(a.symbols, b.symbols) === 0;
}

function byTime(a: ChunkPlace, b: ChunkPlace): number {
  return (
    a.minTimeMs - b.minTimeMs || a.maxTimeMs - b.maxTimeMs || a.cursor.source - b.cursor.source
  );
}
