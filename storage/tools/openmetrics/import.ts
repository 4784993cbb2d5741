/**
 * OpenMetrics text becomes blocks of two hours. The text is read once; nothing is a block before all of the
 * text was read without an error, and after an error no block is left.
 *
 *   text ─► reader.ts ─► spool.ts ─► window-source.ts ─► a block a window
 */
import { compareLabels } from '../../../model/labels.ts';
import { attempt } from '../../../platform/durable-file.ts';
import type { Clock, Disk, Random } from '../../../platform/platform.ts';
import { removeBlock } from '../../block/block-writer.ts';
import type { ByteSource } from '../../block/byte-source.ts';
import { cutBlock } from '../../block/cut.ts';
import type { BlockMeta } from '../../block/meta.ts';
import { newBlockId } from '../../block/ulid.ts';
import { joinPath } from '../../filenames.ts';
import { type Pacer, sortPaced } from '../../pacer.ts';
import { type SeriesRegister, readOpenMetrics } from './reader.ts';
import { BUFFERED_RECORDS_MAX, SampleSpool } from './spool.ts';
import { PART_SAMPLES_MAX, type SortedSeries, windowSource } from './window-source.ts';

const BLOCK_MS = 2 * 3_600_000;
const SPOOL_DIRECTORY = 'openmetrics.tmp';

export interface OpenMetricsImport {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly random: Random;
  readonly pacer: Pacer;
  readonly source: ByteSource;
  /** Where the blocks become directories. */
  readonly directory: string;
  /** Smaller ones, for tests. */
  readonly bounds?: { readonly bufferedRecordsMax: number; readonly partSamplesMax: number };
}

export interface Imported {
  readonly blocks: readonly BlockMeta[];
  readonly seriesCount: number;
  readonly sampleCount: number;
}

/** Throws `openmetrics.*` and `disk.failed`; then nothing is left behind. */
export async function importOpenMetrics(options: OpenMetricsImport): Promise<Imported> {
  const { directory, disk, pacer, source } = options;
  const scratch = joinPath(directory, SPOOL_DIRECTORY);
  await attempt(scratch, () => disk.removeTree(scratch)); // of a run that was killed
  await attempt(scratch, () => disk.makeDirectory(scratch));
  try {
    const { bufferedRecordsMax = BUFFERED_RECORDS_MAX, partSamplesMax = PART_SAMPLES_MAX } =
      options.bounds ?? {};
    const spool = new SampleSpool({
      disk,
      directory: scratch,
      windowMs: BLOCK_MS,
      bufferedRecordsMax,
    });
    const register = await readOpenMetrics(source, pacer, (series, timeMs, value) =>
      spool.add(series, timeMs, value),
    );
    const sorted = { ...(await sortSeries(register, pacer)), partSamplesMax };
    const blocks = await writeBlocks(options, spool, sorted);
    return { blocks, seriesCount: register.labels.length, sampleCount: spool.sampleCount };
  } finally {
    await disk.removeTree(scratch).catch(() => undefined); // removed by the next run
  }
}

async function sortSeries(
  { labels }: SeriesRegister,
  pacer: Pacer,
): Promise<Omit<SortedSeries, 'partSamplesMax'>> {
  const order = Uint32Array.from(labels.keys());
  await sortPaced(order, (a, b) => compareLabels(labels[a]!, labels[b]!), pacer);
  const ranks = new Uint32Array(order.length);
  for (let rank = 0; rank < order.length; rank++) ranks[order[rank]!] = rank;
  return { labels, order, ranks };
}

async function writeBlocks(
  { clock, directory, disk, pacer, random }: OpenMetricsImport,
  spool: SampleSpool,
  sorted: SortedSeries,
): Promise<readonly BlockMeta[]> {
  const blocks: BlockMeta[] = [];
  try {
    for (const window of spool.windows()) {
      const id = newBlockId({ clock, random });
      const { maxTimeMs, minTimeMs } = window;
      const source = await windowSource(spool, window, sorted);
      const meta = await cutBlock({ directory, disk, id, pacer }, source, { minTimeMs, maxTimeMs });
      if (meta !== undefined) blocks.push(meta);
    }
    return blocks;
  } catch (thrown) {
    for (const { id } of blocks) await removeBlock(disk, directory, id).catch(() => undefined);
    throw thrown;
  }
}
