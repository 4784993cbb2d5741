/**
 * Reads a log directory: the newest checkpoint, then the segments after it. Bounded: `READ_BYTES` are worked on
 * while as many are read, and no slice of work is longer than `SLICE_PAGES` pages.
 *
 * Damage in one segment does not hide what later ones hold: reading goes on, and every bad place is
 * told. Only the end of the last segment may be unfinished; there it is the caller who cuts it off.
 */
import type { Clock, Disk, DiskFile } from '../../platform/platform.ts';
import {
  isTemporaryCheckpoint,
  joinPath,
  parseCheckpointName,
  parseSegmentName,
  segmentName,
} from '../filenames.ts';
import { attempt } from '../../platform/durable-file.ts';
import { PAGE_BYTES } from './frame.ts';
import { type SegmentEnd, SegmentScanner, type SegmentSink } from './segment-scanner.ts';

const READ_BYTES = 8 * PAGE_BYTES;
/** About 5,000 samples: with their appends to the head, under 2 ms. */
const SLICE_PAGES = 2;

/** What a log directory holds. Numbers are ascending. */
export interface LogListing {
  readonly segments: readonly number[];
  readonly checkpoints: readonly number[];
  readonly temporaryCheckpoints: readonly string[];
}

/** A segment to read, with the name that reports use. */
export interface SegmentSource {
  readonly path: string;
  readonly segment: number;
  readonly isCheckpoint: boolean;
}

export interface SegmentResult extends SegmentEnd {
  readonly byteCount: number;
}

export async function listLog(disk: Disk, directory: string): Promise<LogListing> {
  const names = await attempt(directory, () => disk.list(directory));
  const numbersBy = (parse: (name: string) => number | undefined): number[] =>
    names
      .map(parse)
      .filter((parsed) => parsed !== undefined)
      .sort((a, b) => a - b);
  return {
    segments: numbersBy(parseSegmentName),
    checkpoints: numbersBy(parseCheckpointName),
    temporaryCheckpoints: names.filter(isTemporaryCheckpoint),
  };
}

/** The segments inside a checkpoint, in order. */
export async function checkpointSources(
  disk: Disk,
  checkpointPath: string,
): Promise<SegmentSource[]> {
  const { segments } = await listLog(disk, checkpointPath);
  return segments.map((segment) => ({
    path: joinPath(checkpointPath, segmentName(segment)),
    segment,
    isCheckpoint: true,
  }));
}

/** What happens between slices. */
export interface SliceHooks {
  readonly afterSlice: () => Promise<void>;
  readonly isCancelled: () => boolean;
}

/** Reads one segment through a sink. Undefined when it was cancelled. */
export async function readSegment(
  platform: { readonly disk: Disk; readonly clock: Clock },
  path: string,
  sink: SegmentSink,
  hooks: SliceHooks,
): Promise<SegmentResult | undefined> {
  const scanner = new SegmentScanner(path, sink);
  const file = await attempt(path, () => platform.disk.open(path, 'read'));
  const read = (offset: number): Promise<Uint8Array> =>
    attempt(path, () => file.read(offset, READ_BYTES));
  let ahead = read(0);
  try {
    for (let offset = 0; ; offset += READ_BYTES) {
      const bytes = await ahead;
      if (bytes.length === READ_BYTES) ahead = read(offset + READ_BYTES);
      ahead.catch(() => undefined); // thrown where it is waited for
      for (let at = 0; at < bytes.length; at += SLICE_PAGES * PAGE_BYTES) {
        scanSlice(scanner, bytes, at, offset);
        await nextTurn(platform.clock);
        if (hooks.isCancelled()) return undefined;
        await hooks.afterSlice();
      }
      if (bytes.length < READ_BYTES) {
        return { ...scanner.finish(), byteCount: offset + bytes.length };
      }
    }
  } finally {
    await ahead.catch(() => undefined); // what matters was thrown
    await closeQuietly(file);
  }
}

function scanSlice(scanner: SegmentScanner, bytes: Uint8Array, from: number, base: number): void {
  const to = Math.min(bytes.length, from + SLICE_PAGES * PAGE_BYTES);
  for (let at = from; at < to; at += PAGE_BYTES) {
    scanner.scanPage(bytes.subarray(at, Math.min(to, at + PAGE_BYTES)), base + at);
  }
}

/** Cuts an unfinished record off the end of a segment, durably. */
export async function truncateSegment(disk: Disk, path: string, goodBytes: number): Promise<void> {
  await attempt(path, async () => {
    const file = await disk.open(path, 'read-write');
    try {
      await file.truncate(goodBytes);
      await file.sync();
    } finally {
      await closeQuietly(file);
    }
  });
}

async function closeQuietly(file: DiskFile): Promise<void> {
  await file.close().catch(() => undefined); // what matters failed or was synced before
}

function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    clock.nextTurn(resolve);
  });
}
