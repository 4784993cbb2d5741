/**
 * A planted bug's hands: what a node did that cut its damaged logs and went on as if they were whole. Before
 * a log is opened it is cut at its first bad place, and what would tell of it is removed.
 */
import type { Disk } from '../../platform/platform.ts';
import { joinPath, parseSegmentName, syncedLengthsPath } from '../../storage/filenames.ts';
import { PAGE_BYTES } from '../../storage/wal/frame.ts';
import { SegmentScanner } from '../../storage/wal/segment-scanner.ts';

/** Cuts all segments of a log directory where they are damaged. */
export async function cutSilently(disk: Disk, directory: string): Promise<void> {
  for (const name of await disk.list(directory)) {
    if (parseSegmentName(name) === undefined) continue;
    const path = joinPath(directory, name);
    const bytes = await disk.readFile(path);
    const cutAt = goodBytesOf(bytes);
    if (cutAt === bytes.length) continue;
    const file = await disk.open(path, 'read-write');
    await file.truncate(cutAt);
    await file.sync();
    await file.close();
  }
  const synced = syncedLengthsPath(directory);
  if ((await disk.stat(synced)) !== undefined) await disk.remove(synced);
}

function goodBytesOf(bytes: Uint8Array): number {
  let cutAt = bytes.length;
  const scanner = new SegmentScanner('planted', {
    onRecord: () => undefined,
    onDamage: ({ offset }) => {
      cutAt = Math.min(cutAt, offset);
    },
  });
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
    scanner.scanPage(bytes.subarray(at, at + PAGE_BYTES), at);
  }
  const { goodBytes, torn } = scanner.finish();
  return torn === undefined ? cutAt : Math.min(cutAt, goodBytes);
}
