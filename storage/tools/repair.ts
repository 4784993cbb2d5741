/**
 * Writes a block anew from what of it can be read, under a new name:
 *
 *   series that hold ─► sorted if they must be ─► chunks that hold and decode ─► a new, whole block
 *
 * What cannot be read is left out and told, one finding each; nothing that can be read is. The index gives
 * way to the samples: where their times differ, the samples are right. Lost symbols are lost labels, so an index
 * without them cannot be repaired. The old block is only read.
 *
 * The new block is one level above the old, has its sources, and the old one as its parent: whoever finds both
 * (this compactor, Prometheus) takes the old one for compacted.
 */
import { StarlingError } from '../../model/errors.ts';
import type { Disk } from '../../platform/platform.ts';
import { type BlockWriterOptions, BlockWriter } from '../block/block-writer.ts';
import { type BlockFiles, PagedSource } from '../block/byte-source.ts';
import { ChunkSegmentReader, type RawChunk } from '../block/chunk-segment-reader.ts';
import { putChunks } from '../block/cut.ts';
import { CHUNK_AGGREGATES, type ChunkBytes } from '../block/format.ts';
import { compareSymbols } from '../block/index-writer.ts';
import { ChunkMerger } from '../block/merge-chunks.ts';
import type { BlockMeta } from '../block/meta.ts';
import { type SeriesEntry, SeriesReader, createSeriesEntry } from '../block/series-reader.ts';
import type { SymbolTable } from '../block/symbol-table.ts';
import { type Tombstones, NO_TOMBSTONES, readTombstones } from '../block/tombstones.ts';
import type { BlockId } from '../block/ulid.ts';
import type { BucketMeta } from '../bucket/bucket-meta.ts';
import { BLOCK_INDEX_FILE, BLOCK_META_FILE, BLOCK_TOMBSTONES_FILE } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import { ChunkChecker, type ChunkFault, isFaultOfChunk, placeOfChunk } from './check-chunks.ts';
import { FindingList } from './findings.ts';
import { type IndexParts, SeriesWalk, openIndexParts } from './index-parts.ts';
import { labelsText, readFullMeta } from './verify.ts';

export interface RepairOptions {
  readonly files: BlockFiles;
  readonly disk: Disk;
  /** Where the new block becomes a directory. */
  readonly directory: string;
  readonly id: BlockId;
  readonly pacer: Pacer;
}

export interface Repaired {
  /** Undefined: nothing could be read, and nothing was written. */
  readonly meta: BlockMeta | undefined;
  /** The old one, if it could be read. */
  readonly oldMeta: BucketMeta | undefined;
  /** What was left out or put right. */
  readonly findings: FindingList;
  readonly lostSeriesCount: number;
  readonly lostChunkCount: number;
}

const CHUNK_PAGES = { pageBytes: 1024 * 1024, pagesMax: 2 };
const META_PAGES = { pageBytes: 64 * 1024, pagesMax: 16 };
const SYMBOL_UNITS = 2;
const SERIES_UNITS = 30;

/** Throws `block.corrupt` when the labels are lost, `bucket.*`, `disk.failed`; then nothing is left behind. */
export async function repairBlock(options: RepairOptions): Promise<Repaired> {
  const { files } = options;
  const findings = new FindingList();
  const oldMeta = await readFullMeta(files).catch((thrown: unknown) => {
    findings.addThrown('meta.unreadable', thrown, { file: BLOCK_META_FILE });
    return undefined;
  });
  const parts = await openIndexParts(files, (id, thrown) => {
    findings.addThrown(id, thrown, { file: BLOCK_INDEX_FILE });
  });
  if (parts?.symbols === undefined) {
    await parts?.source.close();
    const why = 'its labels cannot be read, so nothing of it can be repaired';
    throw new StarlingError('block.corrupt', {
      block: files.id,
      file: BLOCK_INDEX_FILE,
      offset: 0,
      why,
    });
  }
  const rewriter = new Rewriter(options, { ...parts, symbols: parts.symbols }, findings, oldMeta);
  try {
    const meta = await rewriter.run();
    const { lostChunkCount, lostSeriesCount } = rewriter;
    return { meta, oldMeta, findings, lostSeriesCount, lostChunkCount };
  } finally {
    await parts.source.close();
  }
}

class Rewriter {
  lostSeriesCount = 0;
  lostChunkCount = 0;
  readonly #options: RepairOptions;
  readonly #parts: IndexParts & { readonly symbols: SymbolTable };
  readonly #findings: FindingList;
  readonly #oldMeta: BucketMeta | undefined;
  readonly #merger = new ChunkMerger();
  #symbolShift = 0;
  #minTimeMs = Number.POSITIVE_INFINITY;
  #maxTimeMs = Number.NEGATIVE_INFINITY;

  constructor(
    options: RepairOptions,
    parts: IndexParts & { readonly symbols: SymbolTable },
    findings: FindingList,
    oldMeta: BucketMeta | undefined,
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#findings = findings;
    this.#oldMeta = oldMeta;
  }

  async run(): Promise<BlockMeta | undefined> {
    const { directory, disk, files, id, pacer } = this.#options;
    const writerOptions: BlockWriterOptions = { disk, directory, id, pacer };
    const refs = await this.#findSeries();
    const deleted = await this.#tombstones();
    const chunks = await ChunkSegmentReader.open(files, CHUNK_PAGES, (thrown) => {
      this.#findings.addThrown('chunks.header', thrown, { file: 'chunks' });
    });
    try {
      const writer = await BlockWriter.create(writerOptions);
      try {
        await this.#putSymbols(writer);
        await this.#putAll(writer, refs, new ChunkChecker(chunks, pacer), deleted);
        if (writer.sampleCount > 0) return await writer.finish(this.#describe());
        await writer.abort();
        return undefined;
      } catch (thrown) {
        await writer.abort();
        throw thrown;
      }
    } finally {
      await chunks.close();
    }
  }

  /** The series that hold, in the order of their labels. */
  async #findSeries(): Promise<readonly number[]> {
    const refs: number[] = [];
    let isSorted = true;
    let last: readonly number[] = [];
    const walk = await SeriesWalk.open(this.#parts, this.#options.pacer, ({ from, to, what }) => {
      this.lostSeriesCount++; // one at the least
      const sentence = `${what}; nothing in ${to - from} bytes can be used`;
      const where = { file: BLOCK_INDEX_FILE, offset: from, what: sentence };
      this.#findings.add('series.unreadable', where);
    });
    while (await walk.next()) {
      const { ref, symbols } = walk.entry;
      if (refs.length > 0 && compareSymbols(last, symbols) > 0) isSorted = false;
      last = [...symbols];
      refs.push(ref);
    }
    return isSorted ? refs : this.#sort(refs);
  }

  /** Only for blocks that are out of order: takes memory for all label sets. */
  async #sort(refs: readonly number[]): Promise<readonly number[]> {
    const what = 'the series are put in the order of their labels';
    this.#findings.add('series.order', { file: BLOCK_INDEX_FILE, what });
    const reader = new SeriesReader(this.#parts.source, this.#parts.symbols.count);
    const entry = createSeriesEntry();
    const sets: { readonly ref: number; readonly symbols: readonly number[] }[] = [];
    for (const ref of refs) {
      await reader.read(ref, entry);
      sets.push({ ref, symbols: [...entry.symbols] });
    }
    sets.sort((a, b) => compareSymbols(a.symbols, b.symbols));
    return sets.map(({ ref }) => ref);
  }

  async #tombstones(): Promise<Tombstones> {
    const { files } = this.#options;
    const file = BLOCK_TOMBSTONES_FILE;
    const opened = await files.open(file);
    if (opened === undefined) return NO_TOMBSTONES;
    const source = new PagedSource({ block: files.id, file }, opened, META_PAGES);
    try {
      return await readTombstones(source);
    } catch (thrown) {
      // Nothing is deleted on doubt: what was deleted comes back, and that is told.
      this.#findings.addThrown('tombstones.unreadable', thrown, { file });
      return NO_TOMBSTONES;
    } finally {
      await source.close();
    }
  }

  /** Symbols keep their numbers; an index of others may lack the empty one, which comes first. */
  async #putSymbols(writer: BlockWriter): Promise<void> {
    const { pacer } = this.#options;
    const cursor = this.#parts.symbols.cursor();
    for (let isFirst = true; ; isFirst = false) {
      const symbol = cursor.peek() ?? (await cursor.next());
      if (symbol === undefined) break;
      if (isFirst && symbol.length > 0) this.#symbolShift = writer.addSymbol(new Uint8Array(0)) + 1;
      writer.addSymbol(symbol);
      if (writer.isFull) await writer.drain();
      if (pacer.spend(SYMBOL_UNITS)) await pacer.pause();
    }
    await writer.finishSymbols();
  }

  async #putAll(
    writer: BlockWriter,
    refs: readonly number[],
    checker: ChunkChecker,
    deleted: Tombstones,
  ): Promise<void> {
    const { pacer } = this.#options;
    const reader = new SeriesReader(this.#parts.source, this.#parts.symbols.count);
    const entry = createSeriesEntry();
    const out = createSeriesEntry();
    let kept: ChunkBytes[] = [];
    let last: readonly number[] = [];
    for (const ref of refs) {
      await reader.read(ref, entry);
      if (compareSymbols(last, entry.symbols) !== 0) {
        await this.#putSeries(writer, out, kept);
        kept = [];
        last = [...entry.symbols];
        out.symbols.length = 0;
        for (const symbol of last) out.symbols.push(symbol + this.#symbolShift);
      }
      const chunks = await this.#readChunks(entry, checker);
      kept.push(...this.#merger.merge(chunks, deleted.get(ref) ?? []));
      if (chunks.length === 0) this.lostSeriesCount++;
      if (pacer.spend(SERIES_UNITS)) await pacer.pause();
    }
    await this.#putSeries(writer, out, kept);
  }

  /** The chunks of a series that hold, with the times of their samples. */
  async #readChunks(entry: SeriesEntry, checker: ChunkChecker): Promise<ChunkBytes[]> {
    const kept: ChunkBytes[] = [];
    for (let i = 0; i < entry.chunkRefs.length; i++) {
      const chunk = {
        ref: entry.chunkRefs[i]!,
        minTimeMs: entry.chunkMinTimes[i]!,
        maxTimeMs: entry.chunkMaxTimes[i]!,
      };
      const found = withoutAggregates(await checker.read(chunk));
      const isLost = isFaultOfChunk(found);
      for (const { id, what } of isLost ? [found] : checker.timeFaults(chunk, undefined)) {
        const series = await labelsText(this.#parts.symbols, entry);
        this.#findings.add(id, { ...placeOfChunk(chunk.ref), series, what });
      }
      if (isLost) {
        this.lostChunkCount++;
        continue;
      }
      const { data, encoding } = found;
      const { addedMaxMs: maxTimeMs, addedMinMs: minTimeMs } = checker.samples;
      kept.push({ encoding, minTimeMs, maxTimeMs, bytes: data, from: 0, to: data.length });
    }
    return kept;
  }

  async #putSeries(writer: BlockWriter, out: SeriesEntry, kept: ChunkBytes[]): Promise<void> {
    const chunks = this.#merger.merge(kept, []);
    if (chunks.length === 0 || out.symbols.length === 0) return;
    out.chunkRefs.length = 0;
    out.chunkMinTimes.length = 0;
    out.chunkMaxTimes.length = 0;
    await putChunks(writer, out, chunks);
    this.#minTimeMs = Math.min(this.#minTimeMs, out.chunkMinTimes[0]!);
    this.#maxTimeMs = Math.max(this.#maxTimeMs, out.chunkMaxTimes.at(-1) ?? 0);
    if (writer.isFull) await writer.drain();
    writer.addSeries(out);
  }

  #describe(): Omit<BlockMeta, 'id' | 'stats'> {
    const old = this.#oldMeta?.meta;
    const { id } = this.#options.files;
    const minTimeMs = Math.min(this.#minTimeMs, old?.minTimeMs ?? this.#minTimeMs);
    const maxTimeMs = Math.max(this.#maxTimeMs + 1, old?.maxTimeMs ?? 0);
    const sources = old === undefined || old.sources.length === 0 ? [id] : old.sources;
    return {
      minTimeMs,
      maxTimeMs,
      level: (old?.level ?? 1) + 1,
      sources,
      parents: [{ id, minTimeMs, maxTimeMs }],
      isDeletable: false,
      hasFailed: false,
      hints: old?.hints ?? [],
    };
  }
}

/** A block that lost its meta.json does not tell its resolution: aggregates would be taken for samples. */
function withoutAggregates(found: ChunkFault | RawChunk): ChunkFault | RawChunk {
  if (isFaultOfChunk(found) || found.encoding !== CHUNK_AGGREGATES) return found;
  return { id: 'chunk.encoding', what: 'a chunk of aggregates is not repaired' };
}
