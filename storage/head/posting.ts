/**
 * The numbers of the series that have one label pair, in whichever shape takes less memory when it must grow:
 *
 *   list     u32 numbers, rising until a number is reused        4 bytes a series, for a pair of few
 *   bitmap   one bit for each number up to the greatest          for a pair of many: combined a word at a time
 */
import { Bitmap } from './bitmap.ts';
import type { Marks } from './marks.ts';

const LIST_START = 4;
/** By how much a shape grows when it is full. */
const GROWTH = 1.5;

/** A bitmap of so many bits a number or more becomes a list when numbers are taken out: twice what a list takes. */
const SPARSE_BITS = 64;
const NO_NUMBERS = new Uint32Array(0);

/** A set of series numbers. */
export class Posting {
  #length = 1;
  #list: Uint32Array;
  #isRising = true;
  /** Instead of the list, which is empty then. */
  #bits: Bitmap | undefined;

  constructor(s: number) {
    this.#list = Uint32Array.of(s);
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Adds a number that is not in it. */
  add(s: number): void {
    const isFull =
      this.#bits === undefined ? this.#length === this.#list.length : s >= this.#bits.size;
    if (isFull) this.#grow(s);
    if (this.#bits !== undefined) this.#bits.add(s);
    else {
      if (this.#length > 0 && this.#list[this.#length - 1]! > s) this.#isRising = false;
      this.#list[this.#length] = s;
    }
    this.#length++;
  }

  /** Takes the numbers in `removed` out. */
  remove(removed: Bitmap): void {
    if (this.#bits !== undefined) {
      this.#bits.andNot(removed);
      this.#length = this.#bits.count();
      if (this.#length * SPARSE_BITS < this.#bits.size) this.#toList(this.#bits.toArray());
      return;
    }
    let kept = 0;
    for (let i = 0; i < this.#length; i++) {
      const s = this.#list[i]!;
      if (!removed.has(s)) this.#list[kept++] = s;
    }
    this.#length = kept;
  }

  /** True when a number in `among` is in it. */
  hasAny(among: Bitmap): boolean {
    if (this.#bits !== undefined) return this.#bits.meets(among);
    for (let i = 0; i < this.#length; i++) if (among.has(this.#list[i]!)) return true;
    return false;
  }

  /** The numbers in it, as a copy. */
  toArray(): Uint32Array {
    return this.#bits?.toArray() ?? this.#list.slice(0, this.#length);
  }

  /** Hot: adds the numbers to `marks`. */
  mark(marks: Marks): void {
    if (this.#bits !== undefined) marks.addBits(this.#bits);
    else if (this.#isRising) marks.addRising(this.#list, this.#length);
    else marks.addList(this.#list, this.#length);
  }

  /** Makes room for one more, `s`. */
  #grow(s: number): void {
    // Without views of the list: one of a short list makes V8 take memory outside of its heap for it.
    const list = this.#list;
    const listed = this.#bits === undefined ? this.#length : 0;
    let greatest = s; // greater than all in a bitmap that is full
    for (let i = 0; i < listed; i++) greatest = Math.max(greatest, list[i]!);
    const capacity = Math.max(LIST_START, Math.ceil(this.#length * GROWTH));
    const size = Math.ceil((greatest + 1) * GROWTH);
    if (size / 8 < capacity * Uint32Array.BYTES_PER_ELEMENT) {
      const bits = this.#bits?.copy(size) ?? new Bitmap(size);
      for (let i = 0; i < listed; i++) bits.add(list[i]!);
      this.#bits = bits;
      this.#list = NO_NUMBERS;
    } else if (this.#bits === undefined) {
      this.#list = new Uint32Array(capacity);
      for (let i = 0; i < listed; i++) this.#list[i] = list[i]!;
    } else this.#toList(this.#bits.toArray());
  }

  /** `numbers` rise. */
  #toList(numbers: Uint32Array): void {
    this.#bits = undefined;
    this.#isRising = true;
    this.#list = new Uint32Array(Math.max(LIST_START, Math.ceil(numbers.length * GROWTH)));
    this.#list.set(numbers);
  }
}
