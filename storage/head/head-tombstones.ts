/**
 * Deleted ranges of series of a head, as a log that Prometheus wrote has them: hidden from reads, and left out when
 * the head is cut. They stay in the log as long as their samples may be there.
 *
 * Invariant: ranges are of a series that exists, or of one that a read may still see.
 */
import type { TimeRange } from '../../model/sample.ts';
import { joinRanges } from '../block/tombstones.ts';

export class HeadTombstones {
  /** By the series' number; sorted and apart, but for those in `#unsorted`: a replay adds one at a time. */
  readonly #ranges = new Map<number, TimeRange[]>();
  readonly #unsorted = new Set<number>();

  /** How many series have any. */
  get size(): number {
    return this.#ranges.size;
  }

  add(s: number, range: TimeRange): void {
    const known = this.#ranges.get(s);
    if (known === undefined) {
      this.#ranges.set(s, [range]);
      return;
    }
    known.push(range);
    this.#unsorted.add(s);
  }

  /** Sorted and apart; undefined: nothing of the series was deleted. */
  of(s: number): readonly TimeRange[] | undefined {
    if (this.#ranges.size === 0) return undefined; // fast path: nearly always
    if (this.#unsorted.delete(s)) this.#ranges.set(s, [...joinRanges(this.#ranges.get(s) ?? [])]);
    return this.#ranges.get(s);
  }

  /** What ends before a time is in no chunk any more. */
  dropBefore(s: number, timeMs: number): void {
    const ranges = this.of(s);
    if (ranges === undefined) return;
    const left = ranges.filter(({ maxTimeMs }) => maxTimeMs >= timeMs);
    if (left.length === 0) this.#ranges.delete(s);
    else this.#ranges.set(s, left);
  }

  /** The series is gone: its number may mean another one. */
  forget(s: number): void {
    if (this.#ranges.size === 0) return;
    this.#ranges.delete(s);
    this.#unsorted.delete(s);
  }
}
