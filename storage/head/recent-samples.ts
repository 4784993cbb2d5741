/**
 * The newest samples of every series, as they came: encoding waits until there are several, so that the
 * end of a series' chunk, which is far from everything else, is visited once for all of them.
 *
 *   slot    0                        1 … PENDING_MAX
 *           newest encoded sample    not encoded yet: `pending[s]` of them
 *
 * Invariant: slot `pending[s]` is the newest sample; a series without samples has -Infinity in slot 0. Of a
 * histogram (histogram-chains.ts) only the time is there, in slot 0, and the series has no open chunk then.
 */
import type { SampleColumns } from '../chunk/xor-encode.ts';
import { grown } from '../../model/columns.ts';

const SLOTS = 8;
export const PENDING_MAX = SLOTS - 1;

export class RecentSamples implements SampleColumns {
  timestamps: Float64Array;
  values: Uint32Array;
  pending: Uint8Array;

  constructor(capacity: number) {
    this.timestamps = new Float64Array(capacity * SLOTS);
    this.values = new Uint32Array(capacity * SLOTS * 2);
    this.pending = new Uint8Array(capacity);
  }

  grow(capacity: number): void {
    this.timestamps = grown(Float64Array, this.timestamps, capacity * SLOTS);
    this.values = grown(Uint32Array, this.values, capacity * SLOTS * 2);
    this.pending = grown(Uint8Array, this.pending, capacity);
  }

  /** Makes series `s` one without samples. */
  clear(s: number): void {
    this.pending[s] = 0;
    this.timestamps[s * SLOTS] = Number.NEGATIVE_INFINITY;
  }

  /** The index of the newest sample in the columns. */
  newest(s: number): number {
    return s * SLOTS + this.pending[s]!;
  }

  /** Unix milliseconds of the newest sample, or -Infinity. */
  newestTime(s: number): number {
    return this.timestamps[s * SLOTS + this.pending[s]!]!;
  }

  /** Of a series without pending samples: its newest sample is not among these, and of this time. */
  putNewestTime(s: number, timeMs: number): void {
    this.timestamps[s * SLOTS] = timeMs;
  }

  /** The index of the oldest sample that is not encoded, when there is one. */
  firstPending(s: number): number {
    return s * SLOTS + 1;
  }

  /** Everything is encoded: the newest sample moves to the front. */
  settled(s: number): void {
    const from = this.newest(s);
    const to = s * SLOTS;
    this.timestamps[to] = this.timestamps[from]!;
    this.values[to * 2] = this.values[from * 2]!;
    this.values[to * 2 + 1] = this.values[from * 2 + 1]!;
    this.pending[s] = 0;
  }
}
