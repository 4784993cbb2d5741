/**
 * Counting the answers of one push. Each row goes to `n` replicas and needs W = floor(RF/2) + 1
 * acknowledgements. As in Cortex, failures are counted per family (cortex: batch writes):
 *
 *   acks >= W                      the row is stored
 *   rejects > n - W                the row is refused: the request ends in a 400, the rest is stored
 *   failures > n - W, or nobody    the row's fate is open: the whole request ends in a 503,
 *   left and neither of the above  and a retry is idempotent
 */
import { assert } from '../../model/assert.ts';

export type PushVerdict = 'failed' | 'pending' | 'refused' | 'stored';

export interface PushTally {
  readonly quorum: number;
  readonly replicas: Uint8Array;
  readonly acks: Uint8Array;
  readonly rejects: Uint8Array;
  readonly failures: Uint8Array;
  /** 0 pending, 1 stored, 2 refused, 3 failed. */
  readonly decided: Uint8Array;
  pendingRows: number;
  refusedRows: number;
  failedRows: number;
}

/** A tally of `rowCount` rows; `replicas[row]` is how many replicas each was sent to. */
export function createTally(rowCount: number, replicas: Uint8Array, quorum: number): PushTally {
  return {
    quorum,
    replicas,
    acks: new Uint8Array(rowCount),
    rejects: new Uint8Array(rowCount),
    failures: new Uint8Array(rowCount),
    decided: new Uint8Array(rowCount),
    pendingRows: rowCount,
    refusedRows: 0,
    failedRows: 0,
  };
}

/** Counts one replica's answer for one row. */
export function countAnswer(
  tally: PushTally,
  row: number,
  answer: 'ack' | 'fail' | 'reject',
): void {
  const column =
    answer === 'ack' ? tally.acks : answer === 'reject' ? tally.rejects : tally.failures;
  column[row] = column[row]! + 1;
  const n = tally.replicas[row]!;
  const acks = tally.acks[row]!;
  const rejects = tally.rejects[row]!;
  const failures = tally.failures[row]!;
  assert(acks + rejects + failures <= n, 'quorum: more answers than replicas');
  if (tally.decided[row] !== 0) return;
  let verdict = 0;
  if (acks >= tally.quorum) verdict = 1;
  else if (rejects > n - tally.quorum) verdict = 2;
  else if (failures > n - tally.quorum || acks + rejects + failures === n) verdict = 3;
  if (verdict === 0) return;
  tally.decided[row] = verdict;
  tally.pendingRows--;
  if (verdict === 2) tally.refusedRows++;
  if (verdict === 3) tally.failedRows++;
}

/** Hot: counts an acknowledgement of each of the first `rowCount` rows; row r may be given as -r - 1. */
export function countAcks(tally: PushTally, rows: Int32Array, rowCount: number): void {
  const { acks, decided, failures, quorum, rejects } = tally;
  for (let i = 0; i < rowCount; i++) {
    const row = rows[i]! < 0 ? -rows[i]! - 1 : rows[i]!;
    const isPlain = decided[row] === 0 && rejects[row] === 0 && failures[row] === 0;
    if (!isPlain) {
      countAnswer(tally, row, 'ack');
      continue;
    }
    const count = acks[row]! + 1;
    acks[row] = count;
    if (count < quorum) continue;
    decided[row] = 1;
    tally.pendingRows--;
  }
}

/** The verdict of the whole request: a failed row fails it at once, otherwise all rows must be decided. */
export function pushVerdict(tally: PushTally): PushVerdict {
  if (tally.failedRows > 0) return 'failed';
  if (tally.pendingRows > 0) return 'pending';
  return tally.refusedRows > 0 ? 'refused' : 'stored';
}
