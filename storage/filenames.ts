/**
 * Every name inside a tenant's directory on disk, and nowhere else. The layout is Prometheus' own:
 *
 *   FORMAT                       our version of the directory
 *   HORIZON                      the time before which data was dropped (horizon.ts)
 *   thanos.shipper.json          the blocks that are in the bucket (bucket/shipped-file.ts)
 *   wal/00000000                 segments of the write-ahead log, 8 digits, rising
 *   wal/checkpoint.00000007/     replaces the segments up to 7; holds segments from 00000000
 *   wal/checkpoint.00000007.tmp/ a checkpoint being written: removed when the log is opened
 *   wal/00000003.corrupt         a damaged segment as it was, kept for people
 *   wal/repair.tmp/              a damaged segment being written anew: removed when the log is opened
 *   head-chunks/000001           chunks of the head that left memory (head/chunk-files.ts): removed at every start
 *   wal.synced                   how far each segment is durable (wal/synced-lengths.ts)
 *   <ULID>/                      a block: meta.json, index, tombstones, chunks/000001, …
 *   <ULID>.tmp-for-creation/     a block being written: removed when blocks are opened
 *   <ULID>.tmp-for-deletion/     a block being removed
 *   <ULID>.restored/             from the bucket, to replace a bad <ULID>/: opening blocks goes on
 *   <ULID>.damaged/              a block that was repaired or healed, as it was, kept for people for a while
 *   <ULID>.damaged/KEPT          for how many hours (damaged-blocks.ts)
 *
 * Parsing is strict: a name that we would not have written is somebody else's and is left alone.
 */

export const FORMAT_FILE = 'FORMAT';
export const HORIZON_FILE = 'HORIZON';
/** Thanos' and Cortex' own name. */
export const SHIPPED_FILE = 'thanos.shipper.json';
export const WAL_DIRECTORY = 'wal';

export const WAL_REPAIR_DIRECTORY = 'repair.tmp';

export const HEAD_CHUNKS_DIRECTORY = 'head-chunks';

/** The name of a file of the head's chunks, counted from 1. */
export function headChunksName(count: number): string {
  return String(count).padStart(6, '0');
}

const CHECKPOINT_PREFIX = 'checkpoint.';
const TEMPORARY_SUFFIX = '.tmp';
const CORRUPT_SUFFIX = '.corrupt';

/** Joins path parts with '/', as every `Disk` wants them. */
export function joinPath(...parts: readonly string[]): string {
  return parts.join('/');
}

/** The directory that holds `path`. */
export function parentPath(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** The last part of `path`. */
export function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The file name of a WAL segment. */
export function segmentName(segment: number): string {
  return String(segment).padStart(8, '0');
}

/** The segment that `name` is, or undefined. */
export function parseSegmentName(name: string): number | undefined {
  return parseNumbered(name, segmentName);
}

/** The directory name of the checkpoint that replaces the segments up to `segment`. */
export function checkpointName(segment: number): string {
  return CHECKPOINT_PREFIX + segmentName(segment);
}

/** The last segment that the checkpoint `name` replaces, or undefined. */
export function parseCheckpointName(name: string): number | undefined {
  if (!name.startsWith(CHECKPOINT_PREFIX)) return undefined;
  return parseSegmentName(name.slice(CHECKPOINT_PREFIX.length));
}

/** The name of a file or directory while it is being written. */
export function temporaryName(name: string): string {
  return name + TEMPORARY_SUFFIX;
}

/** True for a checkpoint that was never finished. */
export function isTemporaryCheckpoint(name: string): boolean {
  return name.startsWith(CHECKPOINT_PREFIX) && name.endsWith(TEMPORARY_SUFFIX);
}

/** The name a damaged file is kept under. */
export function corruptName(name: string): string {
  return name + CORRUPT_SUFFIX;
}

/** The file beside a log that says how far it is durable. */
export function syncedLengthsPath(logDirectory: string): string {
  return `${logDirectory}.synced`;
}

/** The number whose name is exactly `name`. */
function parseNumbered(name: string, format: (count: number) => string): number | undefined {
  if (!/^[0-9]{6,15}$/.test(name)) return undefined;
  const parsed = Number(name);
  return format(parsed) === name ? parsed : undefined;
}

/** A block `<ULID>/` and what is in it; also a block that is being made or removed. */
export const BLOCK_META_FILE = 'meta.json';
export const BLOCK_INDEX_FILE = 'index';
export const BLOCK_TOMBSTONES_FILE = 'tombstones';
export const BLOCK_CHUNKS_DIRECTORY = 'chunks';
const BLOCK_CREATION_SUFFIX = '.tmp-for-creation';
const BLOCK_DELETION_SUFFIX = '.tmp-for-deletion';
const BLOCK_RESTORED_SUFFIX = '.restored';

/** The name of chunk segment `segment` (from 1) of a block, below the block's directory. */
export function blockChunksName(segment: number): string {
  return joinPath(BLOCK_CHUNKS_DIRECTORY, String(segment).padStart(6, '0'));
}

/** The name of a block's directory while it is being written. */
export function blockCreationName(block: string): string {
  return block + BLOCK_CREATION_SUFFIX;
}

/** The name of a block's directory from when its removal is decided. */
export function blockDeletionName(block: string): string {
  return block + BLOCK_DELETION_SUFFIX;
}

/** The name of a block's directory after a repaired one took its place. */
export function damagedBlockName(block: string): string {
  return `${block}.damaged`;
}

/** The block that a directory of this name was, or undefined. */
export function parseDamagedBlockName(name: string): string | undefined {
  const block = name.slice(0, -damagedBlockName('').length);
  return /^[0-9A-Z]{26}$/.test(block) && damagedBlockName(block) === name ? block : undefined;
}

/** In it: for how many hours it was kept (damaged-blocks.ts). */
export const DAMAGED_KEPT_FILE = 'KEPT';

/** The name of a restored block's directory until it takes the place of the one that cannot be read. */
export function restoredBlockName(block: string): string {
  return block + BLOCK_RESTORED_SUFFIX;
}

/** The block that a restored one of that name is, or undefined. */
export function parseRestoredBlockName(name: string): string | undefined {
  return name.endsWith(BLOCK_RESTORED_SUFFIX)
    ? name.slice(0, -BLOCK_RESTORED_SUFFIX.length)
    : undefined;
}

/** True for a block that was never finished, or not removed to the end. */
export function isTemporaryBlock(name: string): boolean {
  return name.endsWith(BLOCK_CREATION_SUFFIX) || name.endsWith(BLOCK_DELETION_SUFFIX);
}
