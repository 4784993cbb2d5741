/**
 * Small files, and what a disk throws. Replacing one leaves the old or the new content, whole, after a
 * crash:
 *
 *   <name>.tmp written, synced, closed  ->  renamed over <name>  ->  directory synced
 *
 * A torn <name>.tmp is what a crash leaves behind; nobody reads it and the next write removes it. Whatever
 * the disk throws becomes `disk.failed` with the path, so that nothing above sees Node's errors.
 */
import { StarlingError } from '../model/errors.ts';
import type { Disk } from './platform.ts';

/** Replaces `directory/name`; durable when it resolves. Throws `disk.failed`; then either content holds. */
export function replaceFile(
  disk: Disk,
  { directory, name }: { readonly directory: string; readonly name: string },
  bytes: Uint8Array,
): Promise<void> {
  const path = `${directory}/${name}`;
  const temporary = `${path}.tmp`;
  return attempt(path, async () => {
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

/** The content of a file, or undefined when there is none. Throws `disk.failed`. */
export function readFileIfThere(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  return attempt(path, async () =>
    (await disk.stat(path)) === undefined ? undefined : disk.readFile(path),
  );
}

/** Runs a disk operation; a failure becomes `disk.failed`. Catalogue errors pass. */
export async function attempt<Result>(
  path: string,
  operation: () => Promise<Result>,
): Promise<Result> {
  try {
    return await operation();
  } catch (thrown) {
    throw diskFailed(path, thrown);
  }
}

/** Wraps what a disk threw, unless it is a catalogue error already. */
export function diskFailed(path: string, thrown: unknown): StarlingError {
  if (thrown instanceof StarlingError) return thrown as StarlingError;
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new StarlingError('disk.failed', { path, why }, thrown);
}
