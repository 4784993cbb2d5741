/**
 * Putting a log in order after a replay, so that the next one meets the same damage never again: it has
 * been told, and what it means was noted before (open.ts).
 *
 *   segment with bad places   whole records ─► repair.tmp/00000000 ─sync, rename─► in its place
 *                             the old one is kept as <segment>.corrupt if something promised is gone
 *   missing segments          made, empty: Prometheus wants numbers without gaps
 *
 * A crash in between leaves the old state or the new one of each file.
 */
import { attempt } from '../../platform/durable-file.ts';
import {
  WAL_REPAIR_DIRECTORY,
  corruptName,
  joinPath,
  parentPath,
  segmentName,
} from '../filenames.ts';
import { PAGE_BYTES } from './frame.ts';
import { RecordDecoder } from './record-decoder.ts';
import { WRITE_BYTES_TARGET } from './record-queue.ts';
import type { RecordHandler } from './record.ts';
import { readSegment } from './replay.ts';
import { copyFile } from './secure.ts';
import { RECORD_BYTES_MAX } from './segment-scanner.ts';
import { SegmentWriter } from './segment-writer.ts';
import { readSyncMark } from './sync-mark.ts';
import type { WalOptions } from './types.ts';

/** Whatever the records come to, they stay in one segment. */
const SEGMENT_BYTES_MAX = PAGE_BYTES * 2 ** 24;
/** Gaps that are larger are no gaps: somebody put a file there. */
const GAP_MAX = 10_000;

const NOBODY: RecordHandler = { onSeries: () => undefined, onSamples: () => undefined };

/** Removes what a repair left half-made. */
export async function removeRepairs({ disk, directory }: WalOptions): Promise<void> {
  const path = joinPath(directory, WAL_REPAIR_DIRECTORY);
  if ((await attempt(path, () => disk.stat(path))) === undefined) return;
  await attempt(path, () => disk.removeTree(path));
}

/** Replaces a segment by its whole records, durably; returns the bytes they take. Throws `disk.failed`. */
export async function repairSegment(
  options: WalOptions,
  path: string,
  keepsOld: boolean,
): Promise<number> {
  const { disk } = options;
  await removeRepairs(options);
  const temporary = joinPath(options.directory, WAL_REPAIR_DIRECTORY);
  await attempt(temporary, () => disk.makeDirectory(temporary));
  const byteCount = await writeWholeRecords(options, path, temporary);
  await attempt(path, async () => {
    if (keepsOld) await copyFile(disk, path, corruptName(path));
    await disk.rename(joinPath(temporary, segmentName(0)), path);
    await disk.syncDirectory(parentPath(path));
  });
  await removeRepairs(options);
  options.log.probe?.('wal.repaired');
  return byteCount;
}

async function writeWholeRecords(
  options: WalOptions,
  path: string,
  temporary: string,
): Promise<number> {
  const { committer, disk, log } = options;
  const writer = new SegmentWriter({
    ...{ disk, log, directory: temporary, buffers: committer.buffers, segment: 0 },
    segmentBytesMax: SEGMENT_BYTES_MAX,
    pendingBytesMax: 2 * RECORD_BYTES_MAX,
  });
  const decoder = new RecordDecoder(NOBODY);
  try {
    await attempt(temporary, () => writer.create());
    const sink = {
      onRecord: (record: Uint8Array) => {
        const why = decoder.decode(record);
        const isMark = readSyncMark(record) !== undefined; // of lengths that change
        if (why === undefined && !isMark) writer.append(record);
        return why;
      },
      onDamage: () => undefined, // told by the replay
    };
    const afterSlice = async (): Promise<void> => {
      if (writer.pendingByteCount >= WRITE_BYTES_TARGET) await writer.write();
    };
    await readSegment(options, path, sink, { afterSlice, isCancelled: () => false });
    await writer.write();
    await writer.sync();
    return writer.recordByteCount;
  } finally {
    await writer.close();
  }
}

/** Makes the segments `[from, to)`, empty. */
export async function fillGap(
  { disk, directory }: WalOptions,
  from: number,
  to: number,
): Promise<void> {
  if (to - from > GAP_MAX) return;
  await attempt(directory, async () => {
    for (let segment = from; segment < to; segment++) {
      await (await disk.open(joinPath(directory, segmentName(segment)), 'create')).close();
    }
    await disk.syncDirectory(directory);
  });
}
