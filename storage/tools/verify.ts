/**
 * Reads a block completely and names everything that is wrong with it (findings.ts):
 *
 *   meta.json ─► files ─► index: symbols, series, postings ─► chunks, sample by sample ─► what meta.json counts
 *
 * Whatever is damaged, the rest is still looked at. Memory: 4 bytes a series, about 60 a label pair, a few pages
 * and the samples of one chunk; a block of any size is read once, forward. Nothing is written.
 */
import { printLabels } from '../../model/labels.ts';
import type { TimeRange } from '../../model/sample.ts';
import { type BlockFiles, PagedSource } from '../block/byte-source.ts';
import { Uint32List } from '../block/bytes.ts';
import { ChunkSegmentReader } from '../block/chunk-segment-reader.ts';
import { compareSymbols } from '../block/index-writer.ts';
import { BLOCK_META_BYTES_MAX, type BlockMeta } from '../block/meta.ts';
import type { SeriesEntry } from '../block/series-reader.ts';
import type { SymbolTable } from '../block/symbol-table.ts';
import { readTombstones } from '../block/tombstones.ts';
import { type BlockFile, type BucketMeta, parseBucketMeta } from '../bucket/bucket-meta.ts';
import { BLOCK_INDEX_FILE, BLOCK_META_FILE, BLOCK_TOMBSTONES_FILE } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import { ChunkChecker, isFaultOfChunk, placeOfChunk } from './check-chunks.ts';
import { FindingList } from './findings.ts';
import { type IndexParts, SeriesWalk, openIndexParts } from './index-parts.ts';
import { PairCounts } from './pair-counts.ts';
import { checkPostings } from './check-postings.ts';

export interface VerifyOptions {
  readonly files: BlockFiles;
  readonly pacer: Pacer;
  /** Checksums of chunks only: samples are not decoded. */
  readonly isShallow?: boolean;
}

export interface BlockReport {
  readonly meta: BlockMeta | undefined;
  readonly findings: FindingList;
  /** What was found. */
  readonly seriesCount: number;
  readonly chunkCount: number;
  readonly sampleCount: number;
}

const CHUNK_PAGES = { pageBytes: 1024 * 1024, pagesMax: 2 };
const META_PAGES = { pageBytes: 64 * 1024, pagesMax: 16 };

/** Throws only for what is not about the block: `bucket.*`, `node.not_ready`. */
export async function verifyBlock(options: VerifyOptions): Promise<BlockReport> {
  const findings = new FindingList();
  const run = new Verification(options, findings);
  await run.readMeta();
  await run.readContents();
  return { meta: run.meta?.meta, findings, ...run.counts };
}

class Verification {
  meta: BucketMeta | undefined;
  readonly counts = { seriesCount: 0, chunkCount: 0, sampleCount: 0 };
  readonly #options: VerifyOptions;
  readonly #findings: FindingList;
  readonly #refs = new Uint32List();
  readonly #scratchLast: number[] = [];
  #lastChunkRef = -1;
  #hasDamage = false;

  constructor(options: VerifyOptions, findings: FindingList) {
    this.#options = options;
    this.#findings = findings;
  }

  async readMeta(): Promise<void> {
    const { files } = this.#options;
    try {
      this.meta = await readFullMeta(files);
      if (this.meta === undefined) {
        this.#findings.add('meta.unreadable', { file: BLOCK_META_FILE, what: 'it is not there' });
      }
    } catch (thrown) {
      this.#findings.addThrown('meta.unreadable', thrown, { file: BLOCK_META_FILE });
    }
    if (this.meta === undefined) return;
    const { maxTimeMs, minTimeMs } = this.meta.meta;
    if (minTimeMs === maxTimeMs) {
      const what = `minTime and maxTime are both ${minTimeMs}: no sample can be in it`;
      this.#findings.add('meta.times', { file: BLOCK_META_FILE, what });
    }
    for (const file of this.meta.files) await this.#checkFile(file);
  }

  async #checkFile({ path, sizeBytes }: BlockFile): Promise<void> {
    const source = await this.#options.files.open(path);
    await source?.close();
    if (source === undefined) {
      const what = `meta.json says ${sizeBytes} bytes, it is not there`;
      this.#findings.add('files.missing', { file: path, what });
    } else if (source.sizeBytes !== sizeBytes) {
      const what = `meta.json says ${sizeBytes} bytes, it has ${source.sizeBytes}`;
      this.#findings.add('files.size', { file: path, what });
    }
  }

  async readContents(): Promise<void> {
    const { files } = this.#options;
    const parts = await openIndexParts(files, (id, thrown) => {
      this.#findings.addThrown(id, thrown, { file: BLOCK_INDEX_FILE });
    });
    if (parts === undefined) {
      this.#findings.add('index.header', { file: BLOCK_INDEX_FILE, what: 'it is not there' });
      return;
    }
    try {
      if (parts.symbols !== undefined) await this.#readSeries(parts, parts.symbols);
    } finally {
      await parts.source.close();
    }
    await this.#checkTombstones();
  }

  async #readSeries(parts: IndexParts, symbols: SymbolTable): Promise<void> {
    const { files, isShallow, pacer } = this.#options;
    const chunks = await ChunkSegmentReader.open(files, CHUNK_PAGES, (thrown) => {
      this.#findings.addThrown('chunks.header', thrown, { file: 'chunks' });
    });
    try {
      const checker = new ChunkChecker(chunks, pacer, isShallow);
      const pairs = new PairCounts(symbols.count);
      const walk = await SeriesWalk.open({ ...parts, symbols }, pacer, ({ from, to, what }) => {
        this.#hasDamage = true;
        const sentence = `${what}; nothing in ${to - from} bytes can be used`;
        const where = { file: BLOCK_INDEX_FILE, offset: from, what: sentence };
        this.#findings.add('series.unreadable', where);
      });
      while (await walk.next()) {
        pairs.add(walk.entry.ref, walk.entry.symbols);
        await this.#checkSeries(walk.entry, symbols, checker);
      }
      const { postings } = parts;
      if (postings !== undefined) {
        const refs = this.#refs.view();
        await checkPostings({ postings, symbols, pairs, refs, pacer }, this.#findings);
      }
      this.#checkTotals(checker);
    } finally {
      await chunks.close();
    }
  }

  async #checkSeries(
    entry: SeriesEntry,
    symbols: SymbolTable,
    checker: ChunkChecker,
  ): Promise<void> {
    const place = { file: BLOCK_INDEX_FILE, offset: entry.ref * 16 };
    const last = this.#scratchLast;
    const isFirst = this.#refs.length === 0;
    const order = isFirst ? -1 : compareSymbols(last, entry.symbols);
    this.#refs.push(entry.ref);
    this.counts.seriesCount++;
    this.counts.chunkCount += entry.chunkRefs.length;
    // The text is only made for what is wrong.
    const name = (): Promise<string> => labelsText(symbols, entry);
    if (order >= 0) {
      const what = order === 0 ? 'the series before has the same labels' : 'it belongs before';
      this.#findings.add('series.order', { ...place, series: await name(), what });
    }
    last.length = 0;
    for (const symbol of entry.symbols) last.push(symbol);
    if (entry.symbols.length === 0) {
      this.#findings.add('series.labels', { ...place, what: 'it has no label' });
    }
    for (let i = 1; i < entry.symbols.length; i += 2) {
      const symbol = entry.symbols[i]!;
      if (symbol !== 0 || (await symbols.text(symbol)) !== '') continue;
      const what = 'the value of a label is empty';
      this.#findings.add('series.labels', { ...place, series: await name(), what });
    }
    await this.#checkChunks(entry, checker, name);
  }

  async #checkChunks(
    { chunkMaxTimes, chunkMinTimes, chunkRefs, ref: seriesRef }: SeriesEntry,
    checker: ChunkChecker,
    name: () => Promise<string>,
  ): Promise<void> {
    const findings = this.#findings;
    const inIndex = { file: BLOCK_INDEX_FILE, offset: seriesRef * 16 };
    if (chunkRefs.length === 0) {
      findings.add('series.chunks', { ...inIndex, series: await name(), what: 'it has no chunk' });
    }
    for (let i = 0; i < chunkRefs.length; i++) {
      const ref = chunkRefs[i]!;
      const chunk = { ref, minTimeMs: chunkMinTimes[i]!, maxTimeMs: chunkMaxTimes[i]! };
      if (i > 0 && chunk.minTimeMs <= chunkMaxTimes[i - 1]!) {
        const what = `a chunk begins at ${chunk.minTimeMs}, the one before ends at ${chunkMaxTimes[i - 1]!}`;
        findings.add('series.chunks', { ...inIndex, series: await name(), what });
      }
      const place = placeOfChunk(ref);
      if (ref <= this.#lastChunkRef) {
        const what = `the chunk is at ${ref}, the one before at ${this.#lastChunkRef}`;
        findings.add('chunk.order', { ...place, series: await name(), what });
      }
      this.#lastChunkRef = ref;
      const found = await checker.read(chunk);
      const faults = isFaultOfChunk(found) ? [found] : checker.timeFaults(chunk, this.#range());
      for (const { id, what } of faults) {
        findings.add(id, { ...place, series: await name(), what });
        this.#hasDamage = true;
      }
    }
  }

  #range(): TimeRange | undefined {
    if (this.meta === undefined) return undefined;
    const { maxTimeMs, minTimeMs } = this.meta.meta;
    return { minTimeMs, maxTimeMs: maxTimeMs - 1 };
  }

  #checkTotals(checker: ChunkChecker): void {
    const { floatSampleCount, histogramSampleCount, windowCount } = checker;
    this.counts.sampleCount = floatSampleCount + histogramSampleCount + windowCount;
    if (!this.#hasDamage && checker.unreferencedBytes > 0) {
      const what = `${checker.unreferencedBytes} bytes in all chunk files`;
      this.#findings.add('chunks.unreferenced', { file: 'chunks', what });
    }
    if (this.meta === undefined) return;
    const { stats } = this.meta.meta;
    const { chunkCount, sampleCount, seriesCount } = this.counts;
    const expected: [name: string, said: number, found: number][] = [
      ['numSeries', stats.seriesCount, seriesCount],
      ['numChunks', stats.chunkCount, chunkCount],
      ['numSamples', stats.sampleCount, sampleCount],
    ];
    // Older versions of Prometheus do not tell the kinds apart.
    if (stats.floatSampleCount + stats.histogramSampleCount > 0) {
      expected.push(['numSeriesSamples', stats.floatSampleCount, floatSampleCount]);
      expected.push(['numHistogramSamples', stats.histogramSampleCount, histogramSampleCount]);
    }
    for (const [name, said, found] of expected) {
      if (said === found) continue;
      const what = `${name} is ${said}, the block has ${found} that can be read`;
      this.#findings.add('meta.stats', { file: BLOCK_META_FILE, what });
    }
  }

  async #checkTombstones(): Promise<void> {
    const { files } = this.#options;
    const file = BLOCK_TOMBSTONES_FILE;
    const opened = await files.open(file);
    if (opened === undefined) return;
    const source = new PagedSource({ block: files.id, file }, opened, META_PAGES);
    try {
      const known = new Set(this.#refs.view());
      for (const ref of (await readTombstones(source)).keys()) {
        if (known.has(ref)) continue;
        const what = `they name the series ${ref}, which is not in the index`;
        this.#findings.add('tombstones.series', { file, what });
      }
    } catch (thrown) {
      this.#findings.addThrown('tombstones.unreadable', thrown, { file });
    } finally {
      await source.close();
    }
  }
}

/** meta.json with what buckets add to it; undefined when there is none. Throws `block.*`. */
export async function readFullMeta(files: BlockFiles): Promise<BucketMeta | undefined> {
  const source = await files.open(BLOCK_META_FILE);
  if (source === undefined) return undefined;
  try {
    const size = Math.min(source.sizeBytes, BLOCK_META_BYTES_MAX + 1);
    return parseBucketMeta(await source.read(0, size), files.id);
  } finally {
    await source.close();
  }
}

export async function labelsText(symbols: SymbolTable, entry: SeriesEntry): Promise<string> {
  const labels: string[] = [];
  for (const symbol of entry.symbols) labels.push(await symbols.text(symbol));
  return printLabels(labels);
}
