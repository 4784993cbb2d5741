/**
 * The rows of a table by their fingerprints of four words: open addressing, probed from the first word on, which is a
 * keyed hash that nobody can aim at. It grows a little with each row that is added, so that none waits for all the
 * others; until the larger table has everything, both are looked at. A row is in one of them.
 *
 *   slots[]   0 = empty, else row + 1
 *   old[]     the same, or MOVED
 */
const SLOTS_START = 128;
const FILL_RATIO_MAX = 0.5;
const MOVED = 0xffff_ffff;
/** Slots that are moved with each row that comes: all are, long before the larger table is full. */
const MOVED_AT_ONCE = 32;

export class FingerprintIndex {
  #slots = new Uint32Array(SLOTS_START);
  /** The smaller table, while some rows are still there. */
  #old: Uint32Array | undefined;
  /** So many slots of the smaller one were looked at. */
  #moved = 0;
  #count = 0;

  /** Rows that are in it. */
  get count(): number {
    return this.#count;
  }

  /** Hot: the row of `prints` with the fingerprint at `words[offset..offset + 4)`, or -1. */
  find(prints: Uint32Array, words: Uint32Array, offset: number): number {
    const row = findIn(this.#slots, prints, words, offset);
    return row >= 0 || this.#old === undefined ? row : findIn(this.#old, prints, words, offset);
  }

  /** Adds a row whose fingerprint is in `prints` already, and that `find` did not find. */
  add(prints: Uint32Array, row: number): void {
    if (this.#old !== undefined) this.#move(prints, MOVED_AT_ONCE);
    if (this.#count + 1 > this.#slots.length * FILL_RATIO_MAX) {
      if (this.#old !== undefined) this.#move(prints, this.#old.length);
      const larger = new Uint32Array(this.#slots.length * 2);
      this.#old = this.#slots;
      this.#slots = larger;
      this.#moved = 0;
    }
    place(this.#slots, prints[row * 4]!, row + 1);
    this.#count++;
  }

  /** Removes a row that is in it; its fingerprint is in `prints` still. */
  remove(prints: Uint32Array, row: number): void {
    this.#count--;
    const slot = slotOf(this.#slots, prints, row);
    if (slot >= 0) close(this.#slots, prints, slot);
    else if (this.#old !== undefined) this.#old[slotOf(this.#old, prints, row)] = MOVED;
  }

  #move(prints: Uint32Array, slotCount: number): void {
    const old = this.#old;
    if (old === undefined) return;
    const end = Math.min(this.#moved + slotCount, old.length);
    for (let slot = this.#moved; slot < end; slot++) {
      const entry = old[slot]!;
      if (entry === 0 || entry === MOVED) continue;
      place(this.#slots, prints[(entry - 1) * 4]!, entry);
      old[slot] = MOVED;
    }
    this.#moved = end;
    if (end === old.length) this.#old = undefined;
  }
}

function findIn(
  slots: Uint32Array,
  prints: Uint32Array,
  words: Uint32Array,
  offset: number,
): number {
  const a = words[offset]!;
  const b = words[offset + 1]!;
  const c = words[offset + 2]!;
  const d = words[offset + 3]!;
  const mask = slots.length - 1;
  for (let slot = a & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
    const entry = slots[slot]!;
    if (entry === MOVED) continue;
    const at = (entry - 1) * 4;
    if (prints[at] === a && prints[at + 1] === b && prints[at + 2] === c && prints[at + 3] === d) {
      return entry - 1;
    }
  }
  return -1;
}

function place(slots: Uint32Array, firstWord: number, entry: number): void {
  const mask = slots.length - 1;
  let slot = firstWord & mask;
  while (slots[slot] !== 0) slot = (slot + 1) & mask;
  slots[slot] = entry;
}

/** Where a row is, or -1. */
function slotOf(slots: Uint32Array, prints: Uint32Array, row: number): number {
  const mask = slots.length - 1;
  for (let slot = prints[row * 4]! & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
    if (slots[slot] === row + 1) return slot;
  }
  return -1;
}

/** Empties a slot: later entries that could move up fill the hole, so that there are no tombstones. */
function close(slots: Uint32Array, prints: Uint32Array, at: number): void {
  const mask = slots.length - 1;
  let slot = at;
  for (let next = (slot + 1) & mask; slots[next] !== 0; next = (next + 1) & mask) {
    const home = prints[(slots[next]! - 1) * 4]! & mask;
    if (((next - home) & mask) >= ((next - slot) & mask)) {
      slots[slot] = slots[next]!;
      slot = next;
    }
  }
  slots[slot] = 0;
}
