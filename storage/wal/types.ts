/**
 * What the write-ahead log needs and what it tells: options, the summary of a replay, and the
 * damage it found. Damage is never silent: it is in the summary and in the log.
 */
import type { Clock, Disk, Log } from '../../platform/platform.ts';
import type { Committer } from '../committer.ts';
import type { RecordHandler } from './record.ts';

export interface WalOptions {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  /** Owns durability for every log of the node. */
  readonly committer: Committer;
  /** The `wal` directory of a tenant. Made when it does not exist. */
  readonly directory: string;
  /** Gets what the log holds, in order, during `Wal.open`. */
  readonly handler: RecordHandler;
  /** Waited for between two slices of that. */
  readonly afterSlice?: (() => Promise<void>) | undefined;
  /**
   * Called when the replay found that something promised is gone, before any trace of it is repaired:
   * once it resolves, the loss is known for good. Damage of an end that nobody was promised is no loss.
   */
  readonly onLoss?: (damage: readonly WalDamage[]) => Promise<void>;
  readonly segmentBytesMax?: number | undefined;
  /** How many bytes may wait to be written before `append` refuses. */
  readonly pendingBytesMax?: number;
}

/** One damaged place. `bytesLost` is what could not be read there, as far as that is known. */
export interface WalDamage {
  readonly file: string;
  readonly offset: number;
  readonly why: string;
  readonly bytesLost: number;
}

/** What a replay read and what it could not. */
export interface ReplaySummary {
  /** The checkpoint it started from: the last segment that one replaces. */
  readonly checkpoint: number | undefined;
  /** How many segment files were read, those of the checkpoint included. */
  readonly segmentCount: number;
  readonly recordCount: number;
  readonly bytesRead: number;
  /** Bytes of an unfinished record at the end, which nobody was promised: cut off. */
  readonly tornBytes: number;
  /** The first of the damaged places, at most `DAMAGE_LISTED_MAX`. */
  readonly damage: readonly WalDamage[];
  readonly damageCount: number;
  /** How many of them concern what was durable once: something acknowledged may be gone. */
  readonly lossCount: number;
  /** Records of types this version does not read, by type. */
  readonly skippedByType: ReadonlyMap<number, number>;
}

export const DAMAGE_LISTED_MAX = 64;
