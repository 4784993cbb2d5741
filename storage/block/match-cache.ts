/**
 * The series of one block that selectors matched lately, for dashboards and rules ask the same again and again. A block
 * does not change, so what matched once always will.
 *
 *   key of the selectors -> references, rising       (latest use last)
 */

/** Of one block that is open. */
const ENTRIES_MAX = 32;
const REFS_MAX = 32 * 1024;
/** Of larger matches, reading the series costs much more than finding them. */
const REFS_PER_ENTRY_MAX = 16 * 1024;
const KEY_CHARS_MAX = 2048;

export class BlockMatchCache {
  readonly #entries = new Map<string, Uint32Array>();
  #refsHeld = 0;

  /** Not to be written to; undefined: not known. */
  find(key: string): Uint32Array | undefined {
    const refs = this.#entries.get(key);
    if (refs === undefined) return undefined;
    this.#entries.delete(key); // used last: to the end
    this.#entries.set(key, refs);
    return refs;
  }

  /** Notes all that matched. It keeps a copy. */
  note(key: string, refs: Uint32Array): void {
    const isKept = refs.length <= REFS_PER_ENTRY_MAX && key.length <= KEY_CHARS_MAX;
    if (!isKept || this.#entries.has(key)) return;
    this.#entries.set(key, refs.slice());
    this.#refsHeld += refs.length;
    for (const [oldest, { length }] of this.#entries) {
      if (this.#entries.size <= ENTRIES_MAX && this.#refsHeld <= REFS_MAX) break;
      this.#entries.delete(oldest);
      this.#refsHeld -= length;
    }
  }
}
