/** Whether a block has samples that deletions take: from its index alone, as exactly as that tells. */
import type { BlockReader } from '../block/block-reader.ts';
import { createSeriesEntry } from '../block/series-reader.ts';
import { deletedRefs } from '../block/select-block.ts';
import type { Deletion } from '../deletion/deletion.ts';
import type { Pacer } from '../pacer.ts';

/** What looking at one series costs, roughly, in units of the pacer. */
const SERIES_UNITS = 20;

/**
 * The ids of those that the block has chunks of. `reachMs`: a sample may be so much before the time of its chunk (of
 * aggregates). Throws `block.corrupt`.
 */
export async function findDeleted(
  reader: BlockReader,
  deletions: readonly Deletion[],
  { pacer, reachMs }: { readonly pacer: Pacer; readonly reachMs: number },
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const entry = createSeriesEntry();
  for (const deletion of deletions) {
    const { maxTimeMs, minTimeMs } = deletion.range;
    const refs = await deletedRefs(reader, [deletion]);
    for (const ref of refs.all()) {
      if (!reader.index.tryReadSeries(ref, entry)) await reader.index.readSeries(ref, entry);
      const { chunkMaxTimes, chunkMinTimes } = entry;
      const has = chunkMinTimes.some(
        (firstMs, i) => firstMs - reachMs <= maxTimeMs && chunkMaxTimes[i]! >= minTimeMs,
      );
      if (pacer.spend(SERIES_UNITS)) await pacer.pause();
      if (!has) continue;
      found.add(deletion.id);
      break;
    }
  }
  return found;
}
