/**
 * The write-ahead log of one tenant: segments and checkpoints in Prometheus' own format.
 *
 *   append ─► pending ─► (committer's batch) ─► frames ─► wal/00000012 ─► sync ─► durable() resolves
 *
 * Invariant: when `durable()` resolves, everything appended before the call is down as the
 * committer's mode defines it, also when an earlier write failed and its bytes were kept.
 * Opening replays the newest checkpoint and the segments after it, cuts an unfinished record off the
 * end, and writes go to a new segment, made by the first write (an idle tenant makes none).
 */
import { assert } from '../../model/assert.ts';
import type { ReplaySummary, WalOptions } from './types.ts';

export interface OpenedWal {
  readonly wal: Wal;
  readonly replayed: ReplaySummary;
}

export class Wal {
  private constructor() {
    assert(false, 'wal: not built yet');
  }

  /** Opens the log in `options.directory`, replaying it through `options.handler` first. */
  static open(_options: WalOptions): Promise<OpenedWal> {
    return Promise.resolve({ wal: new Wal(), replayed: emptySummary() });
  }

  /** The segment that is written to. Rises; a checkpoint can only replace lower ones. */
  get segment(): number {
    return 0;
  }

  /**
   * Appends one record (its bytes are copied). Cheap and never waits. Throws `wal.sync_failed` when
   * the node lost its disk, `wal.write_failed` or `node.overloaded` when too many bytes wait; the
   * record was then not taken.
   */
  append(_record: Uint8Array): void {}

  /** Resolves when all that was appended until now is durable under the committer's mode. */
  durable(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Replaces the older two thirds of the segments by a checkpoint. It keeps the series whose ref
   * `keepSeries` wants and samples at or after `minTimeMs`. A ref must be kept while samples of it
   * are in segments after `throughSegment`.
   */
  checkpoint(
    _keepSeries: (ref: number, throughSegment: number) => boolean,
    _minTimeMs: number,
  ): Promise<void> {
    return Promise.resolve();
  }

  /** Writes and syncs what is pending, whatever the mode, and closes. Idempotent. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}

function emptySummary(): ReplaySummary {
  return {
    checkpoint: undefined,
    segmentCount: 0,
    recordCount: 0,
    bytesRead: 0,
    tornBytes: 0,
    damage: [],
    damageCount: 0,
    skippedByType: new Map(),
  };
}
