/**
 * Checkpoints: the older two thirds of the segments, and the checkpoint before, shrunk to what is
 * still wanted, in the same format.
 *
 *   checkpoint.K + K+1 … N ──filter──► checkpoint.N.tmp ──sync, rename, sync──► checkpoint.N
 *   then segments up to N and older checkpoints are removed
 *
 * Invariant: at every moment the newest finished checkpoint and the segments after it hold all that
 * is wanted; a crash leaves at worst files that are covered already. A segment in which the reading
 * met damage is kept, renamed, for people to look at.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import { checkpointName, corruptName, joinPath, segmentName, temporaryName } from '../filenames.ts';
import { attempt } from '../../platform/durable-file.ts';
import { CheckpointFilter } from './checkpoint-filter.ts';
import { WRITE_BYTES_TARGET } from './record-queue.ts';
import {
  type LogListing,
  type SegmentSource,
  checkpointSources,
  listLog,
  readSegment,
} from './replay.ts';
import { RECORD_BYTES_MAX } from './segment-scanner.ts';
import { SegmentWriter } from './segment-writer.ts';
import type { WalDamage, WalOptions } from './types.ts';

export interface CheckpointRequest extends WalOptions {
  readonly keepSeries: (ref: number, throughSegment: number) => boolean;
  readonly minTimeMs: number;
  /** Asked between slices: true stops the work, without an error. */
  readonly isCancelled: () => boolean;
}

const SEGMENT_BYTES_MAX = 128 * 1024 * 1024;
/** What one slice of reading can add: everything it holds, uncompressed. */
const PENDING_BYTES_MAX = 2 * RECORD_BYTES_MAX;

/** Writes a checkpoint of the segments below `activeSegment`, if there are enough of them. */
export async function writeCheckpoint(
  request: CheckpointRequest,
  activeSegment: number,
): Promise<void> {
  const { disk, directory } = request;
  const listing = await listLog(disk, directory);
  const previous = listing.checkpoints.at(-1);
  const closed = listing.segments.filter((n) => n > (previous ?? -1) && n < activeSegment);
  const first = closed[0];
  if (first === undefined) return;
  const through = first + Math.floor(((closed.at(-1) ?? first) - first) * (2 / 3));
  if (through <= first) return;
  const covered = closed.filter((segment) => segment <= through);
  const finished = joinPath(directory, checkpointName(through));
  const temporary = temporaryName(finished);
  try {
    const damaged = await fillCheckpoint(request, temporary, { previous, covered, through });
    if (damaged === undefined) return;
    await attempt(finished, () => disk.rename(temporary, finished));
    await attempt(directory, () => disk.syncDirectory(directory));
    await removeCovered(request, listing, through, damaged);
    request.log.probe?.('wal.checkpointed');
  } finally {
    // Leaves nothing half-made. What cannot be removed now is removed when the log is opened.
    await disk.removeTree(temporary).catch(() => undefined);
  }
}

interface Plan {
  readonly previous: number | undefined;
  readonly covered: readonly number[];
  readonly through: number;
}

/** Returns the segments in which damage was met, or undefined when it was cancelled. */
async function fillCheckpoint(
  request: CheckpointRequest,
  temporary: string,
  plan: Plan,
): Promise<ReadonlySet<number> | undefined> {
  const { disk, directory } = request;
  await attempt(temporary, async () => {
    await disk.removeTree(temporary);
    await disk.makeDirectory(temporary);
  });
  const writer = checkpointWriter(request, temporary);
  try {
    await attempt(temporary, () => writer.create());
    const sources = await sourcesOf(request, plan);
    const damaged = await filterSources(request, plan.through, sources, writer);
    if (damaged === undefined) return undefined;
    await writer.write();
    await writer.sync();

    return damaged;
  } catch (thrown) {
    throw checkpointFailed(directory, thrown);
  } finally {
    await writer.close();
  }
}

function checkpointWriter(request: CheckpointRequest, temporary: string): SegmentWriter {
  return new SegmentWriter({
    disk: request.disk,
    log: request.log,
    directory: temporary,
    buffers: request.committer.buffers,
    segment: 0,
    segmentBytesMax: request.segmentBytesMax ?? SEGMENT_BYTES_MAX,
    pendingBytesMax: PENDING_BYTES_MAX,
  });
}

async function sourcesOf(
  { disk, directory }: CheckpointRequest,
  plan: Plan,
): Promise<SegmentSource[]> {
  const { previous, covered } = plan;
  const before: SegmentSource[] =
    previous === undefined
      ? []
      : await checkpointSources(disk, joinPath(directory, checkpointName(previous)));
  const after = covered.map((segment) => ({
    path: joinPath(directory, segmentName(segment)),
    segment,
    isCheckpoint: false,
  }));
  return [...before, ...after];
}

async function filterSources(
  request: CheckpointRequest,
  through: number,
  sources: readonly SegmentSource[],
  writer: SegmentWriter,
): Promise<ReadonlySet<number> | undefined> {
  const { minTimeMs, keepSeries, log } = request;
  const filter = new CheckpointFilter({
    minTimeMs,
    keepSeries: (ref) => keepSeries(ref, through),
    append: (record) => writer.append(record),
  });
  const hooks = {
    afterSlice: async () => {
      if (writer.pendingByteCount >= WRITE_BYTES_TARGET) await writer.write();
    },
    isCancelled: request.isCancelled,
  };
  const damaged = new Set<number>();
  for (const { path, segment, isCheckpoint } of sources) {
    const onDamage = (damage: WalDamage): void => {
      if (!isCheckpoint) damaged.add(segment);
      log.error('wal.corrupt', { ...damage });
    };
    const sink = { onRecord: (record: Uint8Array) => filter.take(record), onDamage };
    const end = await readSegment(request, path, sink, hooks);
    if (end === undefined) return undefined;
    const { torn, goodBytes, byteCount } = end;
    if (torn === undefined) continue;
    onDamage({ file: path, offset: goodBytes, why: torn.why, bytesLost: byteCount - goodBytes });
  }
  filter.finish();
  for (const [type, count] of filter.droppedByType) {
    log.warn('wal.checkpoint_dropped', { recordType: type, count });
  }
  return damaged;
}

async function removeCovered(
  { disk, directory }: CheckpointRequest,
  listing: LogListing,
  through: number,
  damaged: ReadonlySet<number>,
): Promise<void> {
  for (const segment of listing.segments) {
    if (segment > through) break;
    const path = joinPath(directory, segmentName(segment));
    await attempt(path, () =>
      damaged.has(segment) ? disk.rename(path, corruptName(path)) : disk.remove(path),
    );
  }
  for (const checkpoint of listing.checkpoints) {
    if (checkpoint >= through) break;
    const path = joinPath(directory, checkpointName(checkpoint));
    await attempt(path, () => disk.removeTree(path));
  }
}

/** Nothing acked depends on a checkpoint: its failed writes and syncs concern only itself. */
function checkpointFailed(path: string, thrown: unknown): unknown {
  const { id, message } = toStarlingError(thrown);
  if (id !== 'wal.write_failed' && id !== 'wal.sync_failed') return thrown;
  return new StarlingError('disk.failed', { path, why: message }, thrown);
}
