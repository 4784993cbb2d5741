/**
 * The horizon of a tenant's directory: the time before which data was dropped, in a small file.
 *
 *   HORIZON    decimal Unix milliseconds and a newline; no file: nothing was dropped yet
 *
 * Invariant: the file is durable before anything older is dropped, and it only rises; so what a node
 * promises after a restart, under whatever settings, it never promises of data that is gone.
 */
import { StarlingError } from '../model/errors.ts';
import { readFileIfThere, replaceFile } from '../platform/durable-file.ts';
import type { Disk } from '../platform/platform.ts';
import { HORIZON_FILE, joinPath } from './filenames.ts';

/** The horizon, or -Infinity. Throws `disk.failed` for a file that says no time. */
export async function readHorizon(disk: Disk, directory: string): Promise<number> {
  const path = joinPath(directory, HORIZON_FILE);
  const bytes = await readFileIfThere(disk, path);
  if (bytes === undefined) return Number.NEGATIVE_INFINITY;
  const text = Buffer.from(bytes).toString('latin1');
  const horizonMs = /^-?[0-9]{1,16}\n$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(horizonMs)) return horizonMs;
  const why = 'it must hold one number, the Unix milliseconds before which data was dropped';
  throw new StarlingError('disk.failed', { path, why });
}

/** Replaces the horizon, durably. Throws `disk.failed`; then the old one or the new one holds. */
export async function writeHorizon(
  disk: Disk,
  directory: string,
  horizonMs: number,
): Promise<void> {
  const bytes = Buffer.from(`${Math.floor(horizonMs)}\n`);
  await replaceFile(disk, { directory, name: HORIZON_FILE }, bytes);
}
