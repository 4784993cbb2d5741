/**
 * Replacing a small file so that after a crash the old or the new content is there, whole:
 *
 *   <name>.tmp written and synced ─► renamed over <name> ─► directory synced
 */
import type { Disk } from '../platform/platform.ts';
import { attempt } from './block/attempt.ts';
import { joinPath, temporaryName } from './filenames.ts';

/** Durable when it resolves. Throws `disk.failed`; then the old content or the new one holds. */
export async function replaceFile(
  disk: Disk,
  { directory, name }: { readonly directory: string; readonly name: string },
  bytes: Uint8Array,
): Promise<void> {
  const path = joinPath(directory, name);
  const temporary = temporaryName(path);
  await attempt(temporary, async () => {
    if ((await disk.stat(temporary)) !== undefined) await disk.remove(temporary);
    const file = await disk.open(temporary, 'create');
    try {
      await file.write(bytes, 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(temporary, path);
    await disk.syncDirectory(directory);
  });
}
