/**
 * The series of a tenant's blocks: of each window the blocks that touch it, merged by labels. Blocks that will be
 * deleted (others hold what they have) and downsampled ones are left out, and so is what requests delete of series.
 *
 *   block 1 ─┐
 *   block 2 ─┴─► one series at a time, with the chunks that any block has of it
 */
import { type Labels, compareLabels } from '../../../model/labels.ts';
import type { Selectors } from '../../../model/matchers.ts';
import type { TimeRange } from '../../../model/sample.ts';
import { BlockReader } from '../../block/block-reader.ts';
import type { SourceSeries } from '../../block/cut.ts';
import type { ChunkBytes } from '../../block/format.ts';
import { ChunkMerger } from '../../block/merge-chunks.ts';
import { deletedRefs } from '../../block/select-block.ts';
import { createSeriesEntry } from '../../block/series-reader.ts';
import { joinRanges } from '../../block/tombstones.ts';
import { DeletedRefs, type Deletion } from '../../deletion/deletion.ts';
import type { Pacer } from '../../pacer.ts';
import { type BlockPlace, type ListedBlock, listPlace } from '../place.ts';
import type { PlaceDeletions } from '../place-deletions.ts';
import type { ExportSource, ExportWindow } from './source.ts';

const WINDOW_MS = 24 * 3_600_000;
const SERIES_UNITS = 30;
const CHUNK_UNITS = 6;

export interface BlocksExport extends ExportSource {
  /** All samples of the blocks, closed; undefined: there are no blocks. */
  readonly range: TimeRange | undefined;
  /** What is left out, though blocks may have it. */
  readonly deletions: PlaceDeletions;
}

/** Each inner list of `selectors` is one; none: everything. Throws `bucket.*`, `disk.failed`. */
export async function exportFromBlocks(
  place: BlockPlace,
  selectors: Selectors,
  pacer: Pacer,
): Promise<BlocksExport> {
  const listed = (await listPlace(place)).filter(isExported);
  const deletions = await place.deletions();
  const starts = listed.map(({ meta }) => meta?.meta.minTimeMs ?? 0);
  const ends = listed.map(({ meta }) => meta?.meta.maxTimeMs ?? 0);
  const range =
    listed.length === 0
      ? undefined
      : { minTimeMs: Math.min(...starts), maxTimeMs: Math.max(...ends) - 1 };
  return {
    windowMs: WINDOW_MS,
    range,
    deletions,
    async open(window) {
      const readers: BlockReader[] = [];
      try {
        for (const block of listed) {
          if (touches(block, window)) readers.push(await BlockReader.open(place.files(block.id)));
        }
      } catch (thrown) {
        for (const reader of readers) await reader.close();
        throw thrown;
      }
      const wanted = { selectors, deletions: deletions.requests };
      return new BlocksWindow(readers, wanted, window, pacer);
    },
  };
}

function isExported({ marks, meta }: ListedBlock): boolean {
  return meta?.resolutionMs === 0 && !marks.some(({ kind }) => kind === 'deletion');
}

function touches({ meta }: ListedBlock, { maxTimeMs, minTimeMs }: TimeRange): boolean {
  const own = meta?.meta;
  return own !== undefined && own.minTimeMs <= maxTimeMs && own.maxTimeMs > minTimeMs;
}

interface Wanted {
  readonly selectors: Selectors;
  readonly deletions: readonly Deletion[];
}

class BlocksWindow implements ExportWindow {
  readonly #readers: readonly BlockReader[];
  readonly #wanted: Wanted;
  readonly #window: TimeRange;
  readonly #pacer: Pacer;

  constructor(readers: readonly BlockReader[], wanted: Wanted, window: TimeRange, pacer: Pacer) {
    this.#readers = readers;
    this.#wanted = wanted;
    this.#window = window;
    this.#pacer = pacer;
  }

  async symbols(): Promise<Iterable<string>> {
    const found = new Set<string>();
    for (const reader of this.#readers) {
      const cursor = new SeriesCursor(reader, this.#window);
      await cursor.open(this.#wanted, this.#pacer);
      while (await cursor.next()) {
        for (const text of cursor.labels) found.add(text);
        if (this.#pacer.spend(SERIES_UNITS)) await this.#pacer.pause();
      }
    }
    return found;
  }

  async *series(): AsyncGenerator<SourceSeries> {
    const cursors: SeriesCursor[] = [];
    for (const reader of this.#readers) {
      const cursor = new SeriesCursor(reader, this.#window);
      await cursor.open(this.#wanted, this.#pacer);
      if (await cursor.next()) cursors.push(cursor);
    }
    while (cursors.length > 0) {
      const labels = cursors.reduce(
        (least, cursor) => (compareLabels(cursor.labels, least) < 0 ? cursor.labels : least),
        cursors[0]!.labels,
      );
      const chunks: ChunkBytes[] = [];
      for (let i = cursors.length - 1; i >= 0; i--) {
        const cursor = cursors[i]!;
        if (compareLabels(cursor.labels, labels) !== 0) continue;
        chunks.push(...(await cursor.chunks()));
        if (this.#pacer.spend(SERIES_UNITS + chunks.length * CHUNK_UNITS))
          await this.#pacer.pause();
        if (!(await cursor.next())) cursors.splice(i, 1);
      }
      if (chunks.length > 0) yield { labels, chunks };
    }
  }

  async close(): Promise<void> {
    for (const reader of this.#readers) await reader.close();
  }
}

/** Goes over the series of one block that match and have chunks in the window. */
class SeriesCursor {
  labels: Labels = [];
  readonly #reader: BlockReader;
  readonly #window: TimeRange;
  readonly #entry = createSeriesEntry();
  readonly #merger = new ChunkMerger();
  #refs: readonly number[] = [];
  #deleted = new DeletedRefs([]);
  #at = 0;

  constructor(reader: BlockReader, window: TimeRange) {
    this.#reader = reader;
    this.#window = window;
  }

  async open({ deletions, selectors }: Wanted, pacer: Pacer): Promise<void> {
    const refs = new Set<number>();
    for (const matchers of selectors.length === 0 ? [[]] : selectors) {
      for (const ref of await this.#reader.select(matchers)) refs.add(ref);
    }
    this.#refs = [...refs].sort((a, b) => a - b); // series are in the order of their labels
    this.#deleted = await deletedRefs(this.#reader, deletions, pacer);
  }

  async next(): Promise<boolean> {
    for (;;) {
      const ref = this.#refs[this.#at++];
      if (ref === undefined) return false;
      await this.#reader.index.readSeries(ref, this.#entry);
      if (!this.#entry.chunkRefs.some((_, i) => this.#isInside(i))) continue;
      this.labels = await this.#reader.labels(this.#entry);
      return true;
    }
  }

  /** Its chunks in the window, without what was deleted. */
  async chunks(): Promise<readonly ChunkBytes[]> {
    const { chunkMaxTimes, chunkMinTimes, chunkRefs, ref } = this.#entry;
    const chunks: ChunkBytes[] = [];
    for (let i = 0; i < chunkRefs.length; i++) {
      if (!this.#isInside(i)) continue;
      const { data, encoding } = await this.#reader.readChunk(chunkRefs[i]!);
      const times = { minTimeMs: chunkMinTimes[i]!, maxTimeMs: chunkMaxTimes[i]! };
      chunks.push({ encoding, ...times, bytes: data, from: 0, to: data.length });
    }
    const own = this.#reader.tombstones.get(ref) ?? [];
    const later = this.#deleted.of(ref) ?? [];
    if (own.length + later.length === 0) return chunks;
    return [...this.#merger.merge(chunks, joinRanges([...own, ...later]))];
  }

  #isInside(i: number): boolean {
    const { chunkMaxTimes, chunkMinTimes } = this.#entry;
    const { maxTimeMs, minTimeMs } = this.#window;
    return chunkMinTimes[i]! <= maxTimeMs && chunkMaxTimes[i]! >= minTimeMs;
  }
}
