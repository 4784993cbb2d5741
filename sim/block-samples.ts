/** The samples of a block of the load, read as storage reads them, with nothing left out of what the block has. */
import type { TimeRange } from '../model/sample.ts';
import type { BlockReader } from '../storage/block/block-reader.ts';
import { SeriesSamples } from '../storage/block/series-samples.ts';
import { createSeriesEntry } from '../storage/block/series-reader.ts';
import { SERIES_LABEL } from './texts.ts';

/** Adds the samples of a block that are in the range: by the number of their series, time to value. */
export async function addBlockSamples(
  reader: BlockReader,
  range: TimeRange,
  into: Map<number, Map<number, number>>,
): Promise<void> {
  const entry = createSeriesEntry();
  const columns = new SeriesSamples();
  const words = new Uint32Array(2);
  const value = new Float64Array(words.buffer);
  for (const ref of await reader.select([])) {
    await reader.index.readSeries(ref, entry);
    const labels = await reader.labels(entry);
    const number = Number(labels[labels.indexOf(SERIES_LABEL) + 1]);
    const samples = into.get(number) ?? new Map<number, number>();
    into.set(number, samples);
    for (const chunkRef of entry.chunkRefs) {
      const { data, encoding } = await reader.readChunk(chunkRef);
      columns.clear();
      const chunk = { bytes: data, encoding, from: 0, to: data.length };
      if (!columns.addChunk(chunk)) throw reader.corruptChunk('it does not decode');
      for (let i = 0; i < columns.length; i++) {
        const timeMs = columns.timeAt(i);
        if (timeMs < range.minTimeMs || timeMs > range.maxTimeMs) continue;
        words.set(columns.wordsAt(i));
        samples.set(timeMs, value[0]!);
      }
    }
  }
}
