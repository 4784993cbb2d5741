/**
 * Disk calls of blocks: whatever the disk throws becomes `disk.failed` with the path, so that nothing
 * above sees Node's errors.
 */
import { StarlingError } from '../../model/errors.ts';

/** Runs a disk operation; a failure becomes `disk.failed`. Catalogue errors pass. */
export async function attempt<Result>(
  path: string,
  operation: () => Promise<Result>,
): Promise<Result> {
  try {
    return await operation();
  } catch (thrown) {
    if (thrown instanceof StarlingError) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new StarlingError('disk.failed', { path, why }, thrown);
  }
}
