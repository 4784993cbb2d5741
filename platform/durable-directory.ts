/**
 * Making a directory so that it outlives a power loss: a name lives in the directory above, which has
 * to be synced too. Done at every start, because an earlier one may have died between making and
 * syncing.
 */
import type { Disk } from './platform.ts';

/**
 * Makes a directory and its missing parents, and syncs what holds them: the parent of every directory
 * that was missing, and at least `levels` parents. Of those that were there before a parent may be
 * unreadable; then whoever made it answers for it. Throws what the disk throws.
 */
export async function makeDurableDirectory(
  disk: Disk,
  directory: string,
  levels: number,
): Promise<void> {
  const missing = new Set<string>();
  for (let path = directory; path !== '/'; path = parentOf(path)) {
    if ((await disk.stat(path)) !== undefined) break;
    missing.add(path);
  }
  await disk.makeDirectory(directory);
  let path = directory;
  for (let level = 0; path !== '/' && (level < levels || missing.has(path)); level++) {
    const parent = parentOf(path);
    if (missing.has(path)) await disk.syncDirectory(parent);
    else await disk.syncDirectory(parent).catch(() => undefined);
    path = parent;
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
