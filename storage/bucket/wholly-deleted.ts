/**
 * Whether nothing is left of a block: deletions that cannot be taken back cover every sample of it, by what the block
 * itself has. So nobody has to remember why the bucket has no copy of it any more.
 */
import type { BlockReader } from '../block/block-reader.ts';
import type { ChunkBytes } from '../block/format.ts';
import { ChunkMerger } from '../block/merge-chunks.ts';
import { deletedRefs } from '../block/select-block.ts';
import { createSeriesEntry } from '../block/series-reader.ts';
import { joinRanges } from '../block/tombstones.ts';
import type { Deletion } from '../deletion/deletion.ts';
import type { Pacer } from '../pacer.ts';

/** What looking at one series costs, roughly, in units of the pacer. */
const SERIES_UNITS = 20;

/** Ends with the first series that has a sample left. Throws `block.corrupt`, `block.unsupported`, `disk.failed`. */
export async function isWhollyDeleted(
  reader: BlockReader,
  deletions: readonly Deletion[],
  pacer: Pacer,
): Promise<boolean> {
  if (deletions.length === 0) return false; // fast path
  const merger = new ChunkMerger();
  const entry = createSeriesEntry();
  const deleted = await deletedRefs(reader, deletions, pacer);
  for (const ref of await reader.select([])) {
    const later = deleted.of(ref) ?? [];
    const ranges = joinRanges([...(reader.tombstones.get(ref) ?? []), ...later]);
    if (ranges.length === 0) return false;
    await reader.index.readSeries(ref, entry);
    for (let i = 0; i < entry.chunkRefs.length; i++) {
      const [minTimeMs, maxTimeMs] = [entry.chunkMinTimes[i]!, entry.chunkMaxTimes[i]!];
      if (ranges.some((one) => one.minTimeMs <= minTimeMs && one.maxTimeMs >= maxTimeMs)) continue;
      const { data, encoding } = await reader.readChunk(entry.chunkRefs[i]!);
      const range = { minTimeMs, maxTimeMs };
      const chunk: ChunkBytes = { encoding, ...range, bytes: data, from: 0, to: data.length };
      if (merger.merge([chunk], ranges, reader.meta.resolutionMs).length > 0) return false;
    }
    if (pacer.spend(SERIES_UNITS)) await pacer.pause();
  }
  return true;
}
