/**
 * Cutting a block from a head: the head streams its series in label order with their chunks as they
 * are, and what lies outside the block's range is left out.
 *
 *   source.symbols() ─► numbers     source.series() ─► chunks, then the index
 *
 * Memory: the symbols, and one series at a time.
 */
import { type Labels, compareUtf8 } from '../../model/labels.ts';
import { assert } from '../../model/assert.ts';
import type { TimeRange } from '../../model/sample.ts';
import { type BlockWriterOptions, BlockWriter } from './block-writer.ts';
import { type SeriesEntry, createSeriesEntry } from './series-reader.ts';
import type { ChunkBytes } from './format.ts';
import { ChunkMerger } from './merge-chunks.ts';
import type { BlockMeta } from './meta.ts';
import { type Pacer, sortPaced } from '../pacer.ts';

/** One series of a source; both parts are only looked at before the next one is asked for. */
export interface SourceSeries {
  readonly labels: Labels;
  /** In any order; they may overlap each other and the ends of the range. */
  readonly chunks: readonly ChunkBytes[];
}

export interface BlockSource {
  /** Every label name and value that `series` will use; more, and twice, does not matter. */
  symbols(): Iterable<string>;
  /** Series, rising by `compareLabels`. */
  series(): AsyncIterable<SourceSeries> | Iterable<SourceSeries>;
}

/** One whose series come at once but now and then; then a promise comes that is to be waited for. */
export interface LoadingSource extends Pick<BlockSource, 'symbols'> {
  series(): Iterable<Promise<void> | SourceSeries>;
}

export interface CutOptions extends BlockWriterOptions {
  /** Notes for meta.json, as `from-out-of-order`. */
  readonly hints?: readonly string[];
}

/**
 * Writes the samples of the closed range as a level 1 block `[minTimeMs, maxTimeMs + 1)`. Undefined, and
 * nothing on disk, when there are none. Throws `disk.failed`; then nothing is left either.
 */
export async function cutBlock(
  options: CutOptions,
  source: BlockSource | LoadingSource,
  range: TimeRange,
): Promise<BlockMeta | undefined> {
  const writer = await BlockWriter.create(options);
  try {
    const numbers = await putSymbols(writer, source.symbols(), options.pacer);
    const cutter = new SeriesCutter(writer, numbers, range);
    const all = source.series();
    if (Symbol.iterator in all) {
      // Not `for await`, which waits for each.
      for (const series of all) {
        if (series instanceof Promise) {
          await series;
          continue;
        }
        if (!cutter.tryPut(series)) await cutter.put(series);
        if (options.pacer.spend(SERIES_UNITS)) await options.pacer.pause();
      }
    } else {
      for await (const series of all) {
        if (!cutter.tryPut(series)) await cutter.put(series);
        if (options.pacer.spend(SERIES_UNITS)) await options.pacer.pause();
      }
    }
    if (writer.sampleCount === 0) {
      await writer.abort();
      return undefined;
    }
    return await writer.finish({
      minTimeMs: range.minTimeMs,
      maxTimeMs: range.maxTimeMs + 1,
      level: 1,
      sources: [options.id],
      parents: [],
      isDeletable: false,
      hasFailed: false,
      hints: options.hints ?? [],
    });
  } catch (thrown) {
    await writer.abort();
    throw thrown;
  }
}

/** What a chunk has around its bytes, at most. */
const CHUNK_FRAME_BYTES_MAX = 16;
/** What one series costs, roughly, in units of the pacer. */
const SERIES_UNITS = 60;

async function putSymbols(
  writer: BlockWriter,
  symbols: Iterable<string>,
  pacer: Pacer,
): Promise<ReadonlyMap<string, number>> {
  const distinct = new Set(['']);
  for (const text of symbols) {
    distinct.add(text);
    if (pacer.spend(1)) await pacer.pause();
  }
  const texts = [...distinct];
  const order = Uint32Array.from(texts.keys());
  await sortPaced(order, (a, b) => compareUtf8(texts[a]!, texts[b]!), pacer);
  const numbers = new Map<string, number>();
  for (const index of order) {
    const text = texts[index]!;
    numbers.set(text, writer.addSymbol(Buffer.from(text)));
    if (writer.isFull) await writer.drain();
    if (pacer.spend(2)) await pacer.pause();
  }
  await writer.finishSymbols();
  return numbers;
}

class SeriesCutter {
  readonly #writer: BlockWriter;
  readonly #numbers: ReadonlyMap<string, number>;
  /** What is not in the range. */
  readonly #outside: readonly TimeRange[];
  readonly #merger = new ChunkMerger();
  readonly #entry: SeriesEntry = createSeriesEntry();

  constructor(writer: BlockWriter, numbers: ReadonlyMap<string, number>, range: TimeRange) {
    this.#writer = writer;
    this.#numbers = numbers;
    this.#outside = [
      { minTimeMs: Number.NEGATIVE_INFINITY, maxTimeMs: range.minTimeMs - 1 },
      { minTimeMs: range.maxTimeMs + 1, maxTimeMs: Number.POSITIVE_INFINITY },
    ];
  }

  /** Hot: writes what is in the range; false when the writer must make room first: then ask `put`. */
  tryPut({ chunks, labels }: SourceSeries): boolean {
    const kept = this.#merger.merge(chunks, this.#outside);
    if (kept.length === 0) return true;
    let byteCount = 0;
    for (let i = 0; i < kept.length; i++) byteCount += kept[i]!.to - kept[i]!.from;
    const writer = this.#writer;
    if (writer.isFull || !writer.hasRoom(byteCount + kept.length * CHUNK_FRAME_BYTES_MAX))
      return false;
    this.#begin(labels);
    for (let i = 0; i < kept.length; i++) putChunk(writer, this.#entry, kept[i]!);
    writer.addSeries(this.#entry);
    return true;
  }

  async put({ labels, chunks }: SourceSeries): Promise<void> {
    const kept = this.#merger.merge(chunks, this.#outside);
    if (kept.length === 0) return;
    this.#begin(labels);
    await putChunks(this.#writer, this.#entry, kept);
    if (this.#writer.isFull) await this.#writer.drain();
    this.#writer.addSeries(this.#entry);
  }

  /** Begins the entry of a series. */
  #begin(labels: Labels): void {
    const { chunkMaxTimes, chunkMinTimes, chunkRefs, symbols } = this.#entry;
    symbols.length = 0;
    for (let i = 0; i < labels.length; i++) {
      const number = this.#numbers.get(labels[i]!);
      assert(number !== undefined, 'block: a label that is not among the symbols');
      symbols.push(number);
    }
    chunkRefs.length = 0;
    chunkMinTimes.length = 0;
    chunkMaxTimes.length = 0;
  }
}

/** Writes chunks, and adds them to those of `entry`. */
export async function putChunks(
  writer: BlockWriter,
  entry: SeriesEntry,
  chunks: readonly ChunkBytes[],
): Promise<void> {
  for (const chunk of chunks) {
    const byteCount = chunk.to - chunk.from;
    if (!writer.hasRoom(byteCount)) await writer.makeRoom(byteCount);
    putChunk(writer, entry, chunk);
  }
}

function putChunk(writer: BlockWriter, entry: SeriesEntry, chunk: ChunkBytes): void {
  const { bytes, encoding, from, maxTimeMs, minTimeMs, to } = chunk;
  entry.chunkRefs.push(writer.putChunk(encoding, bytes, from, to));
  entry.chunkMinTimes.push(minTimeMs);
  entry.chunkMaxTimes.push(maxTimeMs);
}
