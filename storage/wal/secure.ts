/**
 * Making durable what a replay found. After a crash the end of a log may be readable and yet only in
 * the memory of the system; after a failed sync it stays so for ever, whatever later syncs say. The
 * replayed samples count as held, and a repeated request for them is acknowledged without a write, so
 * they have to be down first: the last segment is written anew, synced, and put in its place. Earlier
 * segments were synced before anything followed them.
 */
import type { Disk, DiskFile } from '../../platform/platform.ts';
import { joinPath, segmentName, temporaryName } from '../filenames.ts';

const PIECE_BYTES = 1024 * 1024;

/** Replaces the segment by a durable copy. Throws what the disk throws; then the old one is intact. */
export async function secureSegment(disk: Disk, directory: string, segment: number): Promise<void> {
  const path = joinPath(directory, segmentName(segment));
  const temporary = joinPath(directory, temporaryName(segmentName(segment)));
  await copyFile(disk, path, temporary);
  await disk.rename(temporary, path);
  await disk.syncDirectory(directory);
}

/** Copies a file's bytes, durably, over whatever is there. The new name is not synced yet. */
export async function copyFile(disk: Disk, from: string, to: string): Promise<void> {
  if ((await disk.stat(to)) !== undefined) await disk.remove(to); // of an earlier crash
  const source = await disk.open(from, 'read');
  try {
    const target = await disk.open(to, 'create');
    try {
      await copy(source, target);
      await target.sync();
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function copy(source: DiskFile, target: DiskFile): Promise<void> {
  for (let offset = 0; ;) {
    const piece = await source.read(offset, PIECE_BYTES);
    if (piece.length === 0) return;
    await target.write(piece, offset);
    offset += piece.length;
  }
}
