/**
 * Opening a log: what a crash left is put in order and everything readable is replayed.
 *
 *   checkpoint.N.tmp     removed: it was never finished
 *   checkpoint.N         the newest is read; older ones and segments up to N are covered by it and
 *                        wait for the next checkpoint to remove them
 *   segments after N     read in order; gaps in their numbers are damage
 *   end of the last      an unfinished record is cut off, or Prometheus would throw away what follows
 *   the last             written anew and synced: what was replayed counts as held (secure.ts)
 */
import { assert } from '../../model/assert.ts';
import { checkpointName, joinPath, parentPath, segmentName } from '../filenames.ts';
import { RecordDecoder } from './record-decoder.ts';
import type { RecordHandler } from './record.ts';
import {
  type LogListing,
  type SegmentSource,
  attempt,
  checkpointSources,
  listLog,
  readSegment,
  truncateSegment,
} from './replay.ts';
import { secureSegment } from './secure.ts';
import { DAMAGE_LISTED_MAX, type ReplaySummary, type WalDamage, type WalOptions } from './types.ts';

export interface OpenedLog {
  readonly replayed: ReplaySummary;
  /** The number of the segment to write next. */
  readonly nextSegment: number;
}

const NO_HOOKS = { afterSlice: () => Promise.resolve(), isCancelled: () => false };

/** Counts while replaying. */
interface Tally {
  recordCount: number;
  bytesRead: number;
  tornBytes: number;
  damageCount: number;
  readonly damage: WalDamage[];
  readonly skippedByType: Map<number, number>;
}

export async function openLog(options: WalOptions): Promise<OpenedLog> {
  const { disk, directory } = options;
  await attempt(directory, () => makeDirectory(options));
  const listing = await listLog(disk, directory);
  for (const name of listing.temporaryCheckpoints) {
    await attempt(directory, () => disk.removeTree(joinPath(directory, name)));
  }
  const checkpoint = listing.checkpoints.at(-1);
  const sources = await sourcesOf(options, listing, checkpoint);
  const tally = await replaySources(options, sources, checkpoint);
  const newest = listing.segments.at(-1);
  if (newest !== undefined) await attempt(directory, () => secureSegment(disk, directory, newest));
  const replayed = { ...tally, checkpoint, segmentCount: sources.length };
  const last = Math.max(listing.segments.at(-1) ?? -1, checkpoint ?? -1);
  return { replayed, nextSegment: last + 1 };
}

/** Makes the directory, durably: what is acked later must not vanish with its name. */
async function makeDirectory({ disk, directory }: WalOptions): Promise<void> {
  if ((await disk.stat(directory)) !== undefined) return;
  await disk.makeDirectory(directory);
  await disk.syncDirectory(parentPath(directory));
}

async function sourcesOf(
  { disk, directory }: WalOptions,
  listing: LogListing,
  checkpoint: number | undefined,
): Promise<SegmentSource[]> {
  const after = listing.segments
    .filter((segment) => segment > (checkpoint ?? -1))
    .map((segment) => ({
      path: joinPath(directory, segmentName(segment)),
      segment,
      isCheckpoint: false,
    }));
  if (checkpoint === undefined) return after;
  const checkpointPath = joinPath(directory, checkpointName(checkpoint));
  const before = await checkpointSources(disk, checkpointPath);
  return [...before, ...after];
}

async function replaySources(
  options: WalOptions,
  sources: readonly SegmentSource[],
  checkpoint: number | undefined,
): Promise<Tally> {
  const tally = newTally();
  const decoder = new RecordDecoder(countingHandler(options.handler, tally));
  const sink = {
    onRecord: (record: Uint8Array) => {
      tally.recordCount++;
      return decoder.decode(record);
    },
    onDamage: (damage: WalDamage) => reportDamage(options, tally, damage),
  };
  let expected = checkpoint === undefined ? undefined : checkpoint + 1;
  for (const [i, source] of sources.entries()) {
    const { path, segment, isCheckpoint } = source;
    if (!isCheckpoint) {
      if (expected !== undefined && segment !== expected) {
        const why = `segments ${expected} to ${segment - 1} are missing`;
        sink.onDamage({ file: path, offset: 0, why, bytesLost: 0 });
      }
      expected = segment + 1;
    }
    const end = await readSegment(options, path, sink, NO_HOOKS);
    assert(end !== undefined, 'wal: a replay is not cancelled');
    tally.bytesRead += end.byteCount;
    if (end.torn === undefined) continue;
    const { goodBytes } = end;
    const bytesLost = end.byteCount - goodBytes;
    if (isCheckpoint || i < sources.length - 1) {
      sink.onDamage({ file: path, offset: goodBytes, why: end.torn.why, bytesLost });
      continue;
    }
    options.log.warn('wal.torn_tail', { file: path, offset: goodBytes, bytesLost, ...end.torn });
    tally.tornBytes = bytesLost;
    await truncateSegment(options.disk, path, goodBytes);
  }
  return tally;
}

function newTally(): Tally {
  return {
    recordCount: 0,
    bytesRead: 0,
    tornBytes: 0,
    damageCount: 0,
    damage: [],
    skippedByType: new Map(),
  };
}

function reportDamage(options: WalOptions, tally: Tally, damage: WalDamage): void {
  tally.damageCount++;
  if (tally.damage.length >= DAMAGE_LISTED_MAX) return;
  tally.damage.push(damage);
  options.log.error('wal.corrupt', { ...damage });
}

/** The caller's handler, with the skipped records counted. */
function countingHandler(handler: RecordHandler, { skippedByType }: Tally): RecordHandler {
  return {
    onSeries: (ref, labelBytes) => handler.onSeries(ref, labelBytes),
    onSamples: (count, refs, timestamps, values) =>
      handler.onSamples(count, refs, timestamps, values),
    onExemplar: (exemplar) => handler.onExemplar?.(exemplar),
    onMetadata: (metadata) => handler.onMetadata?.(metadata),
    onSkipped: (type) => {
      skippedByType.set(type, (skippedByType.get(type) ?? 0) + 1);
      handler.onSkipped?.(type);
    },
  };
}
