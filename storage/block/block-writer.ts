/**
 * A block, writing: symbols, then series in label order with their chunks, then `finish`.
 *
 *   <ULID>.tmp-for-creation/ ──files synced──directories synced──► rename ──parent synced──► <ULID>/
 *
 * Invariant: under its own name a block is whole and durable. A crash, or `abort`, leaves at most the
 * temporary directory, which `removeTemporaryBlocks` takes away.
 */
import { attempt } from '../../platform/durable-file.ts';
import type { Disk } from '../../platform/platform.ts';
import {
  BLOCK_CHUNKS_DIRECTORY,
  BLOCK_INDEX_FILE,
  BLOCK_META_FILE,
  BLOCK_TOMBSTONES_FILE,
  blockCreationName,
  blockDeletionName,
  isTemporaryBlock,
  joinPath,
} from '../filenames.ts';
import { AppendFile } from './append-file.ts';
import { ChunkSegmentWriter } from './chunk-segment-writer.ts';
import {
  CHUNK_AGGREGATES,
  CHUNK_FLOAT_HISTOGRAM,
  CHUNK_HISTOGRAM,
  CHUNK_SEGMENT_BYTES_MAX,
  CHUNK_XOR,
  chunkSampleCount,
} from './format.ts';
import type { SeriesEntry } from './series-reader.ts';
import { IndexWriter } from './index-writer.ts';
import { type BlockMeta, encodeBlockMeta } from './meta.ts';
import { NO_TOMBSTONES, encodeTombstones } from './tombstones.ts';
import type { BlockId } from './ulid.ts';
import type { Pacer } from '../pacer.ts';

export interface BlockWriterOptions {
  readonly disk: Disk;
  /** Where blocks are: the block becomes a directory in it. */
  readonly directory: string;
  readonly id: BlockId;
  readonly chunkSegmentBytesMax?: number;
  readonly pacer: Pacer;
}

/** What a finished block says of itself, beside what the writer counted. */
export type BlockDescription = Omit<BlockMeta, 'id' | 'stats'>;

export class BlockWriter {
  readonly #options: BlockWriterOptions;
  readonly #temporary: string;
  readonly #index: IndexWriter;
  readonly #chunks: ChunkSegmentWriter;
  /** True once the block may be under its own name. */
  #isNamed = false;
  #chunkCount = 0;
  #floatSampleCount = 0;
  #histogramSampleCount = 0;
  #otherSampleCount = 0;

  private constructor(
    options: BlockWriterOptions,
    temporary: string,
    index: IndexWriter,
    chunks: ChunkSegmentWriter,
  ) {
    this.#options = options;
    this.#temporary = temporary;
    this.#index = index;
    this.#chunks = chunks;
  }

  /** Makes the temporary directory and begins its files. Throws `disk.failed`. */
  static async create(options: BlockWriterOptions): Promise<BlockWriter> {
    const { chunkSegmentBytesMax = CHUNK_SEGMENT_BYTES_MAX, directory, disk, id } = options;
    const temporary = joinPath(directory, blockCreationName(id));
    const chunksPath = joinPath(temporary, BLOCK_CHUNKS_DIRECTORY);
    await attempt(temporary, () => disk.makeDirectory(temporary));
    await attempt(chunksPath, () => disk.makeDirectory(chunksPath));
    const indexPath = joinPath(temporary, BLOCK_INDEX_FILE);
    const index = await IndexWriter.create(disk, indexPath, id, options.pacer);
    const chunks = new ChunkSegmentWriter(disk, temporary, chunkSegmentBytesMax);
    return new BlockWriter(options, temporary, index, chunks);
  }

  get id(): BlockId {
    return this.#options.id;
  }

  get sampleCount(): number {
    return this.#floatSampleCount + this.#histogramSampleCount + this.#otherSampleCount;
  }

  get chunkCount(): number {
    return this.#chunkCount;
  }

  /** True when `drain` should be awaited before a series is added. */
  get isFull(): boolean {
    return this.#index.isFull;
  }

  drain(): Promise<void> {
    return this.#index.drain();
  }

  /** Adds the next symbol by byte order, the empty one first; returns its number. Keep the bytes. */
  addSymbol(symbol: Uint8Array): number {
    return this.#index.addSymbol(symbol);
  }

  /** Ends the symbols: chunks and series follow. */
  finishSymbols(): Promise<void> {
    return this.#index.finishSymbols();
  }

  /** True when a chunk of this size can be put without waiting; else await `makeRoom`. */
  hasRoom(byteCount: number): boolean {
    return this.#chunks.hasRoom(byteCount);
  }

  makeRoom(byteCount: number): Promise<void> {
    return this.#chunks.makeRoom(byteCount);
  }

  /** Appends the chunk `bytes[from..to)` and returns its reference. `hasRoom` must be true. */
  putChunk(encoding: number, bytes: Uint8Array, from: number, to: number): number {
    const samples = to - from < 2 ? 0 : (bytes[from]! << 8) | bytes[from + 1]!;
    if (encoding === CHUNK_XOR) this.#floatSampleCount += samples;
    else if (encoding === CHUNK_HISTOGRAM || encoding === CHUNK_FLOAT_HISTOGRAM) {
      this.#histogramSampleCount += samples;
    } else if (encoding === CHUNK_AGGREGATES) {
      const times = { minTimeMs: 0, maxTimeMs: 0 };
      this.#otherSampleCount += chunkSampleCount({ ...times, encoding, bytes, from, to });
    } else this.#otherSampleCount += samples;
    this.#chunkCount++;
    return this.#chunks.put(encoding, bytes, from, to);
  }

  /** Adds the next series by label order; its chunks were put. */
  addSeries(series: SeriesEntry): void {
    this.#index.addSeries(series);
  }

  /** Makes the block durable under its name. After an error only `abort` may follow. */
  async finish(description: BlockDescription): Promise<BlockMeta> {
    const { directory, disk, id } = this.#options;
    const temporary = this.#temporary;
    const meta: BlockMeta = {
      ...description,
      id,
      stats: {
        sampleCount: this.sampleCount,
        floatSampleCount: this.#floatSampleCount,
        histogramSampleCount: this.#histogramSampleCount,
        seriesCount: this.#index.seriesCount,
        chunkCount: this.#chunkCount,
        tombstoneCount: 0,
      },
    };
    await this.#chunks.finish();
    await this.#index.finish();
    await writeFile(
      disk,
      joinPath(temporary, BLOCK_TOMBSTONES_FILE),
      encodeTombstones(NO_TOMBSTONES),
    );
    await writeFile(disk, joinPath(temporary, BLOCK_META_FILE), encodeBlockMeta(meta));
    for (const path of [joinPath(temporary, BLOCK_CHUNKS_DIRECTORY), temporary]) {
      await attempt(path, () => disk.syncDirectory(path));
    }
    const path = joinPath(directory, id);
    this.#isNamed = true;
    await attempt(path, () => disk.rename(temporary, path));
    await attempt(directory, () => disk.syncDirectory(directory));
    return meta;
  }

  /** Leaves nothing behind, not even a block that was renamed, as far as the disk lets it. Does not throw. */
  async abort(): Promise<void> {
    await this.#index.close();
    await this.#chunks.close();
    const { directory, disk, id } = this.#options;
    await disk.removeTree(this.#temporary).catch(() => undefined);
    // Whether the new name is durable is unknown: whoever gave up on the block must not find it later.
    if (this.#isNamed) await removeBlock(disk, directory, id).catch(() => undefined);
  }
}

/** Writes a small file of a block durably; its name is not yet. */
export async function writeFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await AppendFile.create(disk, path);
  try {
    file.putBytes(bytes);
    await file.finish();
  } finally {
    await file.close();
  }
}

/** Removes what unfinished writing and removing of blocks left in `directory`. */
export async function removeTemporaryBlocks(disk: Disk, directory: string): Promise<void> {
  for (const name of await attempt(directory, () => disk.list(directory))) {
    if (!isTemporaryBlock(name)) continue;
    const path = joinPath(directory, name);
    await attempt(path, () => disk.removeTree(path));
  }
}

/** Removes a block: gone, or whole, after a crash at any point. */
export async function removeBlock(disk: Disk, directory: string, id: BlockId): Promise<void> {
  const path = joinPath(directory, id);
  const doomed = joinPath(directory, blockDeletionName(id));
  await attempt(path, () => disk.rename(path, doomed));
  await attempt(directory, () => disk.syncDirectory(directory));
  await attempt(doomed, () => disk.removeTree(doomed));
}
