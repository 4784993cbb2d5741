/**
 * The label sets that a series frame told so far, found by their bytes in it. Slots are an open addressing over hashes:
 * 0 = empty, else the number of a set, from 1 in the order in which they were told.
 */
import { hashOfBytes } from '../byte-hash.ts';

/** Most frames have few. */
const SETS_START = 64;
/** Those after are not remembered: they are told each time. */
const SETS_MAX = 4096;

export class FrameLabelSets {
  #slots = new Uint16Array(SETS_START * 2);
  #starts = new Uint32Array(SETS_START + 1);
  #lengths = new Uint32Array(SETS_START + 1);
  #hashes = new Uint32Array(SETS_START + 1);
  #count = 0;
  /** Of the set that was looked for last. */
  #hash = 0;
  #slot = 0;

  /** Hot: the number of a set that `frame` told, or 0. */
  find(frame: Uint8Array, labels: Uint8Array, from: number, length: number): number {
    const hash = hashOfBytes(labels, from, from + length);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const n = this.#slots[slot]!;
      if (this.#hashes[n] !== hash || this.#lengths[n] !== length) continue;
      const start = this.#starts[n]!;
      let i = 0;
      while (i < length && frame[start + i] === labels[from + i]) i++;
      if (i === length) return n;
    }
    this.#hash = hash;
    this.#slot = slot;
    return 0;
  }

  /** Of the set that was looked for last and not found: it stands at `start` of the frame now. */
  note(start: number, length: number): void {
    if (this.#count === SETS_MAX) return;
    const n = ++this.#count;
    this.#slots[this.#slot] = n;
    this.#starts[n] = start;
    this.#lengths[n] = length;
    this.#hashes[n] = this.#hash;
    if (n + 1 === this.#starts.length && n < SETS_MAX) this.#grow();
  }

  /** A new frame begins. */
  clear(): void {
    if (this.#count > 0) this.#slots.fill(0);
    this.#count = 0;
  }

  #grow(): void {
    const sets = this.#count * 4;
    this.#starts = longer(this.#starts, sets + 1);
    this.#lengths = longer(this.#lengths, sets + 1);
    this.#hashes = longer(this.#hashes, sets + 1);
    this.#slots = new Uint16Array(sets * 2);
    const mask = this.#slots.length - 1;
    for (let n = 1; n <= this.#count; n++) {
      let slot = this.#hashes[n]! & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = n;
    }
  }
}

function longer(from: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const column = new Uint32Array(length);
  column.set(from);
  return column;
}
