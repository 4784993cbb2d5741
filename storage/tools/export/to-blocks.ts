/** Series as blocks of a Prometheus, one for each window that has samples. */
import type { TimeRange } from '../../../model/sample.ts';
import type { Clock, Disk, Random } from '../../../platform/platform.ts';
import { removeBlock } from '../../block/block-writer.ts';
import { cutBlock } from '../../block/cut.ts';
import type { BlockMeta } from '../../block/meta.ts';
import { newBlockId } from '../../block/ulid.ts';
import type { Pacer } from '../../pacer.ts';
import { type ExportSource, windowsOf } from './source.ts';

export interface BlocksTarget {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly random: Random;
  readonly pacer: Pacer;
  /** Where the blocks become directories. */
  readonly directory: string;
}

/** Writes the blocks of a range. Throws what the source throws and `disk.failed`; then no block is left. */
export async function exportBlocks(
  source: ExportSource,
  range: TimeRange,
  { clock, directory, disk, pacer, random }: BlocksTarget,
): Promise<readonly BlockMeta[]> {
  const blocks: BlockMeta[] = [];
  try {
    for (const window of windowsOf(range, source.windowMs)) {
      const opened = await source.open(window);
      try {
        const symbols = await opened.symbols();
        const id = newBlockId({ clock, random });
        const series = { symbols: () => symbols, series: () => opened.series() };
        const meta = await cutBlock({ directory, disk, id, pacer }, series, window);
        if (meta !== undefined) blocks.push(meta);
      } finally {
        await opened.close();
      }
    }
    return blocks;
  } catch (thrown) {
    for (const { id } of blocks) await removeBlock(disk, directory, id).catch(() => undefined);
    throw thrown;
  }
}
