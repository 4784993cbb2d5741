/**
 * A block, reading: opens all of its files, checks what docs/format/block.md says, then finds series by
 * matchers and gives their chunks. Works over ranged reads only, so the same code reads a bucket.
 *
 *   matchers -> postings -> series references -> labels and chunk references -> chunks
 *
 * Memory: every 32nd symbol offset and label pair, a bounded number of pages, what selectors matched lately, and of
 * `WITHOUT_MAX` deletions that they have nothing here.
 */
import { StarlingError } from '../../model/errors.ts';
import type { Labels } from '../../model/labels.ts';
import { SymbolFields } from './symbol-fields.ts';
import { type CompiledMatcher, type Matcher, compileMatcher } from '../../model/matchers.ts';
import { BLOCK_INDEX_FILE, BLOCK_META_FILE, BLOCK_TOMBSTONES_FILE } from '../filenames.ts';
import { type BlockFiles, type ByteSource, type PageOptions, PagedSource } from './byte-source.ts';
import { type ChunkPlace, ChunkSegmentReader, type RawChunk } from './chunk-segment-reader.ts';
import { IndexReader } from './index-reader.ts';
import type { SeriesEntry } from './series-reader.ts';
import { BlockMatchCache } from './match-cache.ts';
import { matchPostings } from './match-postings.ts';
import { BLOCK_META_BYTES_MAX, type BlockMeta, parseBlockMeta } from './meta.ts';
import { NO_TOMBSTONES, type Tombstones, readTombstones } from './tombstones.ts';

export interface BlockReaderOptions {
  /** Pages of the index, and of each chunk file. */
  readonly indexPages?: PageOptions;
  readonly chunkPages?: PageOptions;
}

const INDEX_PAGES: PageOptions = { pageBytes: 64 * 1024, pagesMax: 64 };
const CHUNK_PAGES: PageOptions = { pageBytes: 64 * 1024, pagesMax: 16 };

/** So many deletions that have nothing in a block are remembered: as many as a tenant may have. */
const WITHOUT_MAX = 5000;

export class BlockReader {
  readonly meta: BlockMeta;
  readonly tombstones: Tombstones;
  readonly index: IndexReader;
  /** For one series at a time. */
  readonly fields: SymbolFields;
  readonly matches = new BlockMatchCache();
  readonly #indexSource: PagedSource;
  readonly #chunks: ChunkSegmentReader;
  /** A block does not change: what is not in it never will be. */
  readonly #without = new Set<string>();

  private constructor(
    parts: { readonly meta: BlockMeta; readonly tombstones: Tombstones },
    indexSource: PagedSource,
    index: IndexReader,
    chunks: ChunkSegmentReader,
  ) {
    this.meta = parts.meta;
    this.tombstones = parts.tombstones;
    this.#indexSource = indexSource;
    this.index = index;
    this.fields = new SymbolFields(index.symbols);
    this.#chunks = chunks;
  }

  /** Throws `block.corrupt`, `block.unsupported` or `disk.failed`; then nothing stays open. */
  static async open(files: BlockFiles, options: BlockReaderOptions = {}): Promise<BlockReader> {
    const meta = await readBlockMeta(files);
    const deletions = openTombstones(files); // meanwhile: it may be far away
    deletions.catch(() => undefined); // told below
    const source = await required(files, BLOCK_INDEX_FILE);
    const indexSource = paged(files, BLOCK_INDEX_FILE, source, options.indexPages ?? INDEX_PAGES);
    try {
      const index = await IndexReader.open(indexSource);
      const tombstones = await deletions;
      const chunks = await ChunkSegmentReader.open(files, options.chunkPages ?? CHUNK_PAGES);
      return new BlockReader({ meta, tombstones }, indexSource, index, chunks);
    } catch (thrown) {
      await indexSource.close();
      throw thrown;
    }
  }

  get sizeBytes(): number {
    return this.#indexSource.sizeBytes + this.#chunks.sizeBytes;
  }

  /** References of the series that match all matchers, in label order. Throws `query.parse` too. */
  select(matchers: readonly Matcher[]): Promise<Uint32Array> {
    return this.selectCompiled(matchers.map(compileMatcher));
  }

  /** As `select`. */
  selectCompiled(matchers: readonly CompiledMatcher[]): Promise<Uint32Array> {
    return matchPostings(this.index.postings, matchers);
  }

  /** Whether it was noted that no series of the block is of a deletion. */
  isWithout(deletionId: string): boolean {
    return this.#without.has(deletionId);
  }

  /** Remembers it while the reader is open; of the oldest ones it forgets. */
  noteWithout(deletionId: string): void {
    if (this.#without.size >= WITHOUT_MAX) {
      for (const oldest of this.#without) {
        this.#without.delete(oldest);
        break;
      }
    }
    this.#without.add(deletionId);
  }

  /** Label names of all series, sorted by bytes. */
  labelNames(): readonly string[] {
    return this.index.postings.names();
  }

  /** Values of a label, sorted by bytes. */
  async labelValues(name: string): Promise<readonly string[]> {
    const values: string[] = [];
    await this.index.postings.forEachValue(name, (value) => {
      values.push(value);
    });
    return values;
  }

  /** The label set of a series that was read. */
  async labels({ symbols }: SeriesEntry): Promise<Labels> {
    const table = this.index.symbols;
    const labels: string[] = [];
    for (const symbol of symbols) labels.push(table.peekText(symbol) ?? (await table.text(symbol)));
    return labels;
  }

  /** The chunk if its bytes are at hand, else undefined: then ask `readChunk`. */
  peekChunk(ref: number): RawChunk | undefined {
    return this.#chunks.peek(ref);
  }

  /** Hot: where the chunk is, if its bytes are at hand; false: ask `readChunk`. */
  tryPlaceChunk(ref: number, into: ChunkPlace): boolean {
    return this.#chunks.tryPlace(ref, into);
  }

  /** The chunk at `ref`. Throws `block.corrupt`. */
  readChunk(ref: number): Promise<RawChunk> {
    return this.#chunks.read(ref);
  }

  /** The error for a chunk whose samples do not decode. */
  corruptChunk(why: string): StarlingError {
    return new StarlingError('block.corrupt', {
      block: this.meta.id,
      file: 'chunks',
      offset: 0,
      why,
    });
  }

  async close(): Promise<void> {
    await this.#indexSource.close();
    await this.#chunks.close();
  }
}

/** meta.json of a block, without opening the rest. */
export async function readBlockMeta(files: BlockFiles): Promise<BlockMeta> {
  const source = await required(files, BLOCK_META_FILE);
  try {
    const size = Math.min(source.sizeBytes, BLOCK_META_BYTES_MAX + 1);
    return parseBlockMeta(await source.read(0, size), files.id);
  } finally {
    await source.close();
  }
}

async function openTombstones(files: BlockFiles): Promise<Tombstones> {
  const source = await files.open(BLOCK_TOMBSTONES_FILE);
  if (source === undefined) return NO_TOMBSTONES;
  try {
    return await readTombstones(paged(files, BLOCK_TOMBSTONES_FILE, source, INDEX_PAGES));
  } finally {
    await source.close();
  }
}

async function required(files: BlockFiles, file: string): Promise<ByteSource> {
  const source = await files.open(file);
  if (source !== undefined) return source;
  throw new StarlingError('block.corrupt', {
    block: files.id,
    file,
    offset: 0,
    why: 'the file is missing',
  });
}

function paged(
  files: BlockFiles,
  file: string,
  source: ByteSource,
  options: PageOptions,
): PagedSource {
  return new PagedSource({ block: files.id, file }, source, options);
}
