/**
 * Getting what a query of many series will read before it reads it: series entries first, then the chunks
 * they name, each as few large requests. Without it every series would cost a round trip.
 */
import type { TimeRange } from '../../model/sample.ts';
import type { BlockReader } from '../block/block-reader.ts';
import { SERIES_ALIGN_BYTES, chunkRefFile, chunkRefOffset } from '../block/format.ts';
import { createSeriesEntry } from '../block/series-reader.ts';
import { BLOCK_INDEX_FILE, blockChunksName } from '../filenames.ts';
import type { ByteRange, CachedObject, RangeCache } from './range-cache.ts';

/** What most series entries take, at most. */
const ENTRY_BYTES = 512;
/** What most chunks take, at most: for the last one, whose end nothing tells. */
const CHUNK_BYTES = 2048;

export interface PrefetchOptions {
  /** Series references, rising. */
  readonly refs: Uint32Array;
  readonly range: TimeRange;
  readonly withChunks: boolean;
}

export async function prefetchSeries(
  reader: BlockReader,
  objects: ReadonlyMap<string, CachedObject>,
  cache: RangeCache,
  { range, refs, withChunks }: PrefetchOptions,
): Promise<void> {
  const index = objects.get(BLOCK_INDEX_FILE);
  if (index === undefined) return;
  const entries: ByteRange[] = [];
  for (const ref of refs) {
    entries.push({ offset: ref * SERIES_ALIGN_BYTES, byteCount: ENTRY_BYTES });
  }
  await cache.prefetch(index, entries);
  if (!withChunks) return;
  const chunks = await chunkRanges(reader, refs, range);
  const fetches: Promise<void>[] = [];
  for (const [file, ranges] of chunks) {
    const object = objects.get(blockChunksName(file + 1));
    if (object !== undefined) fetches.push(cache.prefetch(object, ranges));
  }
  await Promise.all(fetches);
}

/** By chunk file, where the chunks of these series lie that touch the range. */
async function chunkRanges(
  reader: BlockReader,
  refs: Uint32Array,
  { maxTimeMs, minTimeMs }: TimeRange,
): Promise<ReadonlyMap<number, readonly ByteRange[]>> {
  const byFile = new Map<number, ByteRange[]>();
  const entry = createSeriesEntry();
  for (const ref of refs) {
    if (!reader.index.tryReadSeries(ref, entry)) await reader.index.readSeries(ref, entry);
    const { chunkMaxTimes, chunkMinTimes, chunkRefs } = entry;
    for (let i = 0; i < chunkRefs.length; i++) {
      if (chunkMaxTimes[i]! < minTimeMs || chunkMinTimes[i]! > maxTimeMs) continue;
      const at = chunkRefs[i]!;
      const file = chunkRefFile(at);
      const next = chunkRefs[i + 1];
      const offset = chunkRefOffset(at);
      const isNextBehind = next !== undefined && chunkRefFile(next) === file && next > at;
      const byteCount = isNextBehind ? chunkRefOffset(next) - offset : CHUNK_BYTES;
      let ranges = byFile.get(file);
      if (ranges === undefined) byFile.set(file, (ranges = []));
      ranges.push({ offset, byteCount });
    }
  }
  return byFile;
}
