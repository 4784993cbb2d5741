/**
 * Which series of a head the refs of a log mean, while it is replayed. Refs are given out one by one, so most are found
 * in a column; what a log has beyond it (few series of a long life, or somebody else's refs) is in a map.
 */
const REFS_START = 1024;
/** So many places of the column for each series, at most: memory follows the series, whatever the refs are. */
const REFS_PER_SERIES_MAX = 8;

export class SeriesOfRef {
  /** The series' number and one; 0: it is not here. */
  #byRef = new Uint32Array(REFS_START);
  readonly #others = new Map<number, number>();
  #count = 0;

  set(ref: number, s: number): void {
    this.#count++;
    if (ref >= this.#byRef.length) this.#grow(ref);
    if (ref < this.#byRef.length) this.#byRef[ref] = s + 1;
    else this.#others.set(ref, s);
  }

  /** Hot: the series that a ref means, or -1. */
  get(ref: number): number {
    if (ref < this.#byRef.length) return this.#byRef[ref]! - 1;
    return this.#others.get(ref) ?? -1;
  }

  #grow(ref: number): void {
    const length = Math.max(this.#byRef.length * 2, ref + 1);
    if (length > Math.max(REFS_START, this.#count * REFS_PER_SERIES_MAX)) return;
    const larger = new Uint32Array(length);
    larger.set(this.#byRef);
    this.#byRef = larger;
    for (const [known, s] of this.#others) {
      if (known >= length) continue;
      larger[known] = s + 1;
      this.#others.delete(known);
    }
  }
}
