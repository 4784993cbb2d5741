/**
 * Blocks that were set aside as `<ULID>.damaged`: kept for people to look at, then removed.
 *
 *   set aside ─► (others filled its time again) ─► an hour counted, in KEPT, for each that passes ─► DAMAGED_KEPT_HOURS: removed
 *
 * Invariants: none goes while anything is missing on this node (`isWhole`): it may be all that is left of its samples.
 * What `starling blocks repair` set aside goes alike, though what it could not save was never told as missing: the two
 * weeks are the time in which to look at it.
 * Only hours that this node ran through count, so that no wall clock removes anything; a count that cannot be read
 * begins anew. All of it is told in the log.
 */
import { toStarlingError } from '../model/errors.ts';
import { attempt, readFileIfThere, replaceFile } from '../platform/durable-file.ts';
import type { Clock, Disk, Log } from '../platform/platform.ts';
import { DAMAGED_KEPT_FILE, joinPath, parseDamagedBlockName } from './filenames.ts';

/** Two weeks in which somebody can look at what happened to the disk. */
export const DAMAGED_KEPT_HOURS = 14 * 24;
const HOUR_MS = 3_600_000;

export interface DamagedBlocksOptions {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  /** The tenant's. */
  readonly directory: string;
  /** Whether nothing that this node promised to hold is missing here. */
  readonly isWhole: () => boolean;
}

export class DamagedBlocks {
  readonly #options: DamagedBlocksOptions;
  #countedAtMs: number;

  constructor(options: DamagedBlocksOptions) {
    this.#options = options;
    this.#countedAtMs = options.clock.monotonicMs();
  }

  /** Counts an hour when one has passed, and removes what was kept for long enough. Throws nothing. */
  async sweep(): Promise<void> {
    const { clock, directory, disk, isWhole, log } = this.#options;
    if (clock.monotonicMs() - this.#countedAtMs < HOUR_MS) return; // fast path
    this.#countedAtMs = clock.monotonicMs();
    if (!isWhole()) return;
    try {
      for (const name of await attempt(directory, () => disk.list(directory))) {
        if (parseDamagedBlockName(name) !== undefined) await this.#count(joinPath(directory, name));
      }
    } catch (thrown) {
      log.warn('damaged blocks were not looked at', { why: toStarlingError(thrown).message });
    }
  }

  async #count(path: string): Promise<void> {
    const { disk, log } = this.#options;
    const bytes = await readFileIfThere(disk, joinPath(path, DAMAGED_KEPT_FILE));
    const text = bytes === undefined ? '' : Buffer.from(bytes).toString('latin1').trim();
    const hours = (/^\d{1,6}$/.test(text) ? Number(text) : 0) + 1;
    if (hours < DAMAGED_KEPT_HOURS) {
      const count = Buffer.from(`${hours}\n`);
      await replaceFile(disk, { directory: path, name: DAMAGED_KEPT_FILE }, count);
      if (hours === 1)
        log.warn('a damaged block is kept for a while', { path, DAMAGED_KEPT_HOURS });
      return;
    }
    await attempt(path, () => disk.removeTree(path));
    log.info('a damaged block is removed: it was kept, and nothing is missing on this node', {
      path,
      hours,
    });
  }
}
