/**
 * Opening a log: what a crash left is put in order and everything readable is replayed.
 *
 *   checkpoint.N.tmp     removed: it was never finished
 *   checkpoint.N         the newest is read; older ones and segments up to N are covered by it and
 *                        wait for the next checkpoint to remove them
 *   segments after N     read in order; gaps in their numbers are damage
 *   end of the last      an unfinished record is cut off, or Prometheus would throw away what follows
 *   the last             written anew and synced: what was replayed counts as held (secure.ts)
 *
 * A bad place is a loss when something durable was there: in a checkpoint, in a segment that is not the
 * last, or in the last one below the length that `wal.synced` knows (synced-lengths.ts) or a mark of a later
 * batch (sync-mark.ts). Above these a crash explains it. Invariant: `onLoss` was done before anything is repaired; after the repair no later
 * replay meets the damage again.
 */
import { assert } from '../../model/assert.ts';
import { attempt } from '../../platform/durable-file.ts';
import {
  checkpointName,
  joinPath,
  parentPath,
  segmentName,
  syncedLengthsPath,
} from '../filenames.ts';
import { RecordDecoder } from './record-decoder.ts';
import { fillGap, removeRepairs, repairSegment } from './repair.ts';
import type { RecordHandler } from './record.ts';
import {
  type LogListing,
  type SegmentSource,
  checkpointSources,
  listLog,
  readSegment,
  truncateSegment,
} from './replay.ts';
import { secureSegment } from './secure.ts';
import { readSyncMark } from './sync-mark.ts';
import { SyncedLengths, type SyncedSegments, readSyncedSegments } from './synced-lengths.ts';
import { DAMAGE_LISTED_MAX, type ReplaySummary, type WalDamage, type WalOptions } from './types.ts';

export interface OpenedLog {
  readonly replayed: ReplaySummary;
  /** The number of the segment to write next. */
  readonly nextSegment: number;
}

const NO_PAUSE = (): Promise<void> => Promise.resolve();

/** Counts while replaying. */
interface Tally {
  recordCount: number;
  bytesRead: number;
  tornBytes: number;
  damageCount: number;
  lossCount: number;
  readonly damage: WalDamage[];
  readonly skippedByType: Map<number, number>;
}

/** A segment that was read, and what is to be done with it. */
interface ReadSource extends SegmentSource {
  goodBytes: number;
  /** Bytes after the last whole record. */
  isTorn: boolean;
  hasBadPlaces: boolean;
  hasLoss: boolean;
}

/** What there is to replay, and what is known of it beforehand. */
interface Found {
  readonly checkpoint: number | undefined;
  readonly sources: readonly SegmentSource[];
  readonly synced: SyncedSegments;
}

/** Missing segments: `[from, to)`. */
interface Gap {
  readonly from: number;
  readonly to: number;
}

export async function openLog(options: WalOptions): Promise<OpenedLog> {
  const { disk, directory } = options;
  await attempt(directory, () => makeDirectory(options));
  const listing = await listLog(disk, directory);
  for (const name of listing.temporaryCheckpoints) {
    await attempt(directory, () => disk.removeTree(joinPath(directory, name)));
  }
  await removeRepairs(options);
  const checkpoint = listing.checkpoints.at(-1);
  const synced = await readSyncedSegments(disk, syncedLengthsPath(directory));
  const sources = await sourcesOf(options, listing, checkpoint);
  const replay = new Replay(options, { checkpoint, sources, synced });
  await replay.run();
  const { gaps, reads, tally } = replay;
  if (tally.lossCount > 0) {
    options.log.probe?.('wal.loss_noted');
    await options.onLoss?.(tally.damage);
  }
  const lengths = await putInOrder(options, reads, gaps);
  if (synced.isTorn) options.log.probe?.('wal.torn_length');
  await noteLengths(options, lengths, synced, tally.lossCount > 0);
  const replayed = { ...tally, checkpoint, segmentCount: sources.length };
  return { replayed, nextSegment: replay.lastSegment + 1 };
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

/** Reads all sources in order, and judges what is wrong with them. */
class Replay {
  readonly tally: Tally = {
    recordCount: 0,
    bytesRead: 0,
    tornBytes: 0,
    damageCount: 0,
    lossCount: 0,
    damage: [],
    skippedByType: new Map(),
  };
  readonly reads: ReadSource[] = [];
  readonly gaps: Gap[] = [];
  readonly #options: WalOptions;
  readonly #found: Found;
  readonly #decoder: RecordDecoder;

  constructor(options: WalOptions, found: Found) {
    this.#options = options;
    this.#found = found;
    this.#decoder = new RecordDecoder(countingHandler(options.handler, this.tally));
  }

  /** The highest segment that is there, or that the newest checkpoint replaced. */
  get lastSegment(): number {
    const { checkpoint, sources } = this.#found;
    const last = sources.at(-1);
    return Math.max(last?.isCheckpoint === false ? last.segment : -1, checkpoint ?? -1);
  }

  async run(): Promise<void> {
    const { checkpoint, sources } = this.#found;
    this.#judgeNames();
    let expected = checkpoint === undefined ? undefined : checkpoint + 1;
    for (const source of sources) {
      const { isCheckpoint, path, segment } = source;
      if (!isCheckpoint) {
        if (expected !== undefined && segment !== expected) {
          const why = `segments ${expected} to ${segment - 1} are missing`;
          this.gaps.push({ from: expected, to: segment });
          this.#report({ file: path, offset: 0, why, bytesLost: 0 }, true);
        }
        expected = segment + 1;
      }
      await this.#read(source, source === sources.at(-1));
    }
  }

  /** Segments that were durable and have no file, and a file of lengths that is damaged itself. */
  #judgeNames(): void {
    const { checkpoint, sources, synced } = this.#found;
    const file = syncedLengthsPath(this.#options.directory);
    if (synced.isDamaged) {
      const why = 'it is damaged, so nobody knows what of the log was durable';
      this.#report({ file, offset: 0, why, bytesLost: 0 }, true);
    }
    const there = new Set(
      sources.filter(({ isCheckpoint }) => !isCheckpoint).map(({ segment }) => segment),
    );
    for (const [segment, byteCount] of synced.lengths) {
      if (byteCount === 0 || segment <= (checkpoint ?? -1) || there.has(segment)) continue;
      const why = `segment ${segment} is missing, of which ${byteCount} bytes were durable`;
      this.#report({ file, offset: 0, why, bytesLost: byteCount }, true);
    }
  }

  async #read(source: SegmentSource, isLast: boolean): Promise<void> {
    const { isCheckpoint, path, segment } = source;
    const { log } = this.#options;
    const durableBytes = isCheckpoint ? 0 : (this.#found.synced.lengths.get(segment) ?? 0);
    const isSettled = isCheckpoint || !isLast;
    const read: ReadSource = {
      ...source,
      ...{ goodBytes: 0, isTorn: false, hasBadPlaces: false, hasLoss: false },
    };
    this.reads.push(read);
    const badPlaces: WalDamage[] = [];
    let badPlaceCount = 0;
    let markedBytes = durableBytes;
    const onDamage = (damage: WalDamage): void => {
      badPlaceCount++;
      if (badPlaces.length < DAMAGE_LISTED_MAX) badPlaces.push(damage); // rising: the first decide
    };
    const onRecord = (record: Uint8Array): string | undefined => {
      const mark = readSyncMark(record);
      if (mark?.segment === segment) markedBytes = Math.max(markedBytes, mark.byteCount);
      if (mark !== undefined) return undefined;
      this.tally.recordCount++;
      return this.#decoder.decode(record);
    };
    const { afterSlice = NO_PAUSE } = this.#options;
    const hooks = { afterSlice, isCancelled: () => false };
    const end = await readSegment(this.#options, path, { onRecord, onDamage }, hooks);
    assert(end !== undefined, 'wal: a replay is not cancelled');
    const { byteCount, goodBytes } = end;
    this.tally.bytesRead += byteCount;
    this.tally.damageCount += badPlaceCount - badPlaces.length;
    read.goodBytes = goodBytes;
    read.hasBadPlaces = badPlaceCount > 0;
    for (const damage of badPlaces) {
      const isLoss = isSettled || damage.offset < markedBytes;
      read.hasLoss ||= isLoss;
      this.#report(damage, isLoss);
    }
    const why = end.torn?.why ?? `only ${goodBytes} of ${durableBytes} durable bytes are there`;
    const isShort = goodBytes < durableBytes;
    if (end.torn === undefined && !isShort) return;
    read.isTorn = end.torn !== undefined;
    if (isSettled || isShort) {
      const bytesLost = Math.max(byteCount, durableBytes) - goodBytes;
      read.hasLoss = true;
      this.#report({ file: path, offset: goodBytes, why, bytesLost }, true);
    } else {
      this.tally.tornBytes = byteCount - goodBytes;
      log.probe?.('wal.torn_tail');
      log.warn('wal.torn_tail', {
        file: path,
        offset: goodBytes,
        bytesLost: byteCount - goodBytes,
        why,
      });
    }
  }

  #report(damage: WalDamage, isLoss: boolean): void {
    const { tally } = this;
    tally.damageCount++;
    if (isLoss) tally.lossCount++;
    if (tally.damage.length >= DAMAGE_LISTED_MAX) return;
    tally.damage.push(damage);
    if (isLoss) this.#options.log.error('wal.corrupt', { ...damage });
    else this.#options.log.warn('wal.torn_tail', { ...damage });
  }
}

/** Repairs what was read; returns the durable length of each segment. */
async function putInOrder(
  options: WalOptions,
  reads: readonly ReadSource[],
  gaps: readonly Gap[],
): Promise<ReadonlyMap<number, number>> {
  const { disk, directory } = options;
  const lengths = new Map<number, number>();
  for (const { from, to } of gaps) {
    options.log.probe?.('wal.gap_filled');
    await fillGap(options, from, to);
  }
  for (const [i, read] of reads.entries()) {
    const { goodBytes, hasBadPlaces, hasLoss, isCheckpoint, isTorn, path, segment } = read;
    const isLast = !isCheckpoint && i === reads.length - 1;
    let byteCount = goodBytes;
    if (hasBadPlaces || (isTorn && !isLast)) {
      byteCount = await repairSegment(options, path, hasLoss);
    } else if (isLast) {
      if (isTorn) await truncateSegment(disk, path, goodBytes);
      await attempt(directory, () => secureSegment(disk, directory, segment));
    }
    if (!isCheckpoint) lengths.set(segment, byteCount);
  }
  return lengths;
}

/** Notes what is durable now. After a loss nothing of before is left in the file, nor a slot written in part. */
async function noteLengths(
  { disk, directory }: WalOptions,
  lengths: ReadonlyMap<number, number>,
  before: SyncedSegments,
  hasLoss: boolean,
): Promise<void> {
  const synced = new SyncedLengths(disk, syncedLengthsPath(directory));
  if (hasLoss || before.isTorn) {
    await synced.replace(lengths);
    return;
  }
  const newest = [...lengths].at(-1);
  if (newest === undefined) return;
  const [segment, byteCount] = newest;
  if (byteCount === (before.lengths.get(segment) ?? 0)) return;
  await synced.open();
  synced.note(segment, byteCount);
  await synced.close();
}

/** The caller's handler, with the skipped records counted. */
function countingHandler(handler: RecordHandler, { skippedByType }: Tally): RecordHandler {
  return {
    onSeries: (ref, labelBytes) => handler.onSeries(ref, labelBytes),
    onSamples: (count, refs, timestamps, values) =>
      handler.onSamples(count, refs, timestamps, values),
    onExemplar: (exemplar) => handler.onExemplar?.(exemplar),
    onHistogram: (histogram) => handler.onHistogram?.(histogram),
    onTombstone: (ref, range) => handler.onTombstone?.(ref, range),
    onMetadata: (metadata) => handler.onMetadata?.(metadata),
    onSkipped: (type) => {
      skippedByType.set(type, (skippedByType.get(type) ?? 0) + 1);
      handler.onSkipped?.(type);
    },
  };
}
