/**
 * Reads a block from end to end: meta.json, symbols, every list of postings, every series, every chunk. It resolves
 * only if each of their checksums holds, so that what others will rely on is known to be readable. meta.json has none: it
 * has to say a time in which all chunks lie.
 *
 * One pass beside its readers, in slices; memory is 8 bytes for each value of a label and a few pages.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import { BLOCK_META_FILE } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import { BlockReader } from './block-reader.ts';
import type { BlockFiles } from './byte-source.ts';
import { createChunkPlace } from './chunk-segment-reader.ts';
import type { BlockMeta } from './meta.ts';
import { type SeriesEntry, createSeriesEntry } from './series-reader.ts';

/** Checking one chunk, or one list of postings, roughly, in units of the pacer. */
const CHECK_UNITS = 20;

/** The meta of a block that is whole. Throws `block.corrupt`, `block.unsupported`, and what its files and the pacer throw. */
export async function checkBlock(files: BlockFiles, pacer: Pacer): Promise<BlockMeta> {
  const reader = await BlockReader.open(files);
  try {
    await checkPostings(reader, pacer);
    const entry = createSeriesEntry();
    const place = createChunkPlace();
    for (const ref of await reader.select([])) {
      if (!reader.index.tryReadSeries(ref, entry)) await reader.index.readSeries(ref, entry);
      checkTimes(reader, entry);
      for (const chunkRef of entry.chunkRefs) {
        if (!reader.tryPlaceChunk(chunkRef, place)) await reader.readChunk(chunkRef);
        if (pacer.spend(CHECK_UNITS)) await pacer.pause();
      }
    }
    return reader.meta;
  } finally {
    await reader.close();
  }
}

/** Throws `block.corrupt` for a chunk outside of the block's time, by which others decide whether they look at it. */
function checkTimes({ meta }: BlockReader, { chunkMaxTimes, chunkMinTimes }: SeriesEntry): void {
  const { id, maxTimeMs, minTimeMs, resolutionMs = 0 } = meta;
  for (let i = 0; i < chunkMinTimes.length; i++) {
    const [firstMs, lastMs] = [chunkMinTimes[i]!, chunkMaxTimes[i]!];
    if (firstMs >= minTimeMs && lastMs < maxTimeMs + resolutionMs) continue;
    const why = `it tells [${minTimeMs}, ${maxTimeMs}), a chunk has ${firstMs} to ${lastMs}`;
    throw new StarlingError('block.corrupt', { block: id, file: BLOCK_META_FILE, offset: 0, why });
  }
}

/**
 * The same for a block that was just made of others, before it takes their place: what does not hold then is the fault of
 * the disk at `path`, not of any block. Throws `disk.failed` for it.
 */
export async function checkWritten(files: BlockFiles, path: string, pacer: Pacer): Promise<void> {
  try {
    await checkBlock(files, pacer);
  } catch (thrown) {
    const error = toStarlingError(thrown);
    if (error.id !== 'block.corrupt' && error.id !== 'block.unsupported') throw thrown;
    const why = `what was written is not what is read: ${error.message}`;
    throw new StarlingError('disk.failed', { path, why }, thrown);
  }
}

async function checkPostings({ index }: BlockReader, pacer: Pacer): Promise<void> {
  const { postings } = index;
  const countMax = (await postings.all()).length;
  for (const name of postings.names()) {
    const offsets: number[] = [];
    await postings.forEachValue(name, (_, listOffset) => {
      offsets.push(listOffset);
    });
    for (const offset of offsets) {
      await postings.list(offset, countMax);
      if (pacer.spend(CHECK_UNITS)) await pacer.pause();
    }
  }
}
