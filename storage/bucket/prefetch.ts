/**
 * Getting what a query of many series will read before it reads it: series entries first, then the chunks
 * they name, each as few large requests. Without it every series would cost a round trip.
 */
import { SERIES_ALIGN_BYTES, chunkRefFile, chunkRefOffset } from '../block/format.ts';
import type { BlockPrefetch } from '../block/block-selection.ts';
import type { SeriesEntry } from '../block/series-reader.ts';
import { BLOCK_INDEX_FILE, blockChunksName } from '../filenames.ts';
import type { ByteRange, CachedObject, RangeCache } from './range-cache.ts';

/** What most series entries take, at most. */
const ENTRY_BYTES = 512;
/** What most chunks take, at most: for the last one, whose end nothing tells. */
const CHUNK_BYTES = 2048;

/** Of one block. */
export function blockPrefetch(
  objects: ReadonlyMap<string, CachedObject>,
  cache: RangeCache,
): BlockPrefetch {
  const fetched = async (file: string, ranges: readonly ByteRange[]): Promise<void> => {
    const object = objects.get(file);
    if (object !== undefined) await cache.prefetch(object, ranges);
  };
  return {
    entries: (refs) => {
      const ranges: ByteRange[] = [];
      for (const ref of refs)
        ranges.push({ offset: ref * SERIES_ALIGN_BYTES, byteCount: ENTRY_BYTES });
      return fetched(BLOCK_INDEX_FILE, ranges);
    },
    chunks: async (entries) => {
      const fetches: Promise<void>[] = [];
      for (const [file, ranges] of chunkRanges(entries))
        fetches.push(fetched(blockChunksName(file + 1), ranges));
      await Promise.all(fetches);
    },
  };
}

/** By chunk file, where the chunks of these series lie. */
function chunkRanges(entries: readonly SeriesEntry[]): ReadonlyMap<number, readonly ByteRange[]> {
  const byFile = new Map<number, ByteRange[]>();
  for (const { chunkRefs } of entries) {
    for (let i = 0; i < chunkRefs.length; i++) {
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
