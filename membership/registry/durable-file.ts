/**
 * Replacing a small file so that after a crash either the old or the new content is there, whole:
 *
 *   <name>.tmp written, synced, closed  ->  renamed over <name>  ->  directory synced
 *
 * A torn <name>.tmp is what a crash leaves behind; nobody reads it and the next write removes it.
 */
import { StarlingError } from '../../model/errors.ts';
import type { Disk } from '../../platform/platform.ts';

/** Replaces `directory/name`; durable when it resolves. Throws `disk.failed`. */
export async function replaceFile(
  disk: Disk,
  { directory, name }: { readonly directory: string; readonly name: string },
  bytes: Uint8Array,
): Promise<void> {
  const path = `${directory}/${name}`;
  const temporary = `${path}.tmp`;
  try {
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
  } catch (error) {
    throw diskFailed(path, error);
  }
}

/** The content of a file, or undefined when there is none. Throws `disk.failed`. */
export async function readFileIfThere(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  try {
    return (await disk.stat(path)) === undefined ? undefined : await disk.readFile(path);
  } catch (error) {
    throw diskFailed(path, error);
  }
}

/** Wraps what a disk threw, unless it is a catalogue error already. */
export function diskFailed(path: string, error: unknown): StarlingError {
  if (error instanceof StarlingError) return error as StarlingError;
  const why = error instanceof Error ? error.message : String(error);
  return new StarlingError('disk.failed', { path, why }, error);
}
