/**
 * A set of small numbers, one bit each: series that match, series that exist. Whole sets are combined a
 * word at a time, so a matcher over a hundred thousand series costs microseconds.
 */

/** The least and the greatest number of a set; of an empty one `first` is above `last`. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

/** A set of small numbers. */
export class Bitmap {
  readonly size: number;
  readonly #words: Uint32Array;

  constructor(size: number) {
    this.size = size;
    this.#words = new Uint32Array(Math.ceil(size / 32));
  }

  /** A copy with room for `size` numbers; greater ones are not in this one. */
  copy(size = this.size): Bitmap {
    const copy = new Bitmap(size);
    copy.#words.set(this.#words.subarray(0, copy.#words.length));
    return copy;
  }

  add(n: number): void {
    if (n < this.size) this.#words[n >>> 5]! |= 1 << (n & 31);
  }

  /** Hot: adds the numbers in `list[from..to)`, which it has room for. */
  addAll(list: Uint32Array, from: number, to: number): void {
    const words = this.#words;
    for (let i = from; i < to; i++) {
      const n = list[i]!;
      words[n >>> 5]! |= 1 << (n & 31);
    }
  }

  delete(n: number): void {
    if (n < this.size) this.#words[n >>> 5]! &= ~(1 << (n & 31));
  }

  has(n: number): boolean {
    return n < this.size && (this.#words[n >>> 5]! & (1 << (n & 31))) !== 0;
  }

  /** Keeps what is in the other one too, which is as large. */
  and(other: Bitmap): void {
    for (let i = 0; i < this.#words.length; i++) this.#words[i]! &= other.#words[i]!;
  }

  /** Takes out what is in the other one, of any size. */
  andNot(other: Bitmap): void {
    const count = Math.min(this.#words.length, other.#words.length);
    for (let i = 0; i < count; i++) this.#words[i]! &= ~other.#words[i]!;
  }

  /** Adds what is in the other one, of any size: numbers that this one has room for. */
  or(other: Bitmap): void {
    const count = Math.min(this.#words.length, other.#words.length);
    for (let i = 0; i < count; i++) this.#words[i]! |= other.#words[i]!;
  }

  /** True when a number is in both. */
  meets(other: Bitmap): boolean {
    const count = Math.min(this.#words.length, other.#words.length);
    for (let i = 0; i < count; i++) {
      if ((this.#words[i]! & other.#words[i]!) !== 0) return true;
    }
    return false;
  }

  get isEmpty(): boolean {
    for (let i = 0; i < this.#words.length; i++) if (this.#words[i] !== 0) return false;
    return true;
  }

  span(): Span {
    const words = this.#words;
    let from = 0;
    let to = words.length - 1;
    while (from <= to && words[from] === 0) from++;
    while (to > from && words[to] === 0) to--;
    if (from > to) return { first: 0, last: -1 };
    const low = words[from]!;
    return {
      first: from * 32 + 31 - Math.clz32(low & -low),
      last: to * 32 + 31 - Math.clz32(words[to]!),
    };
  }

  /** How many numbers are in it. */
  count(): number {
    let count = 0;
    for (let i = 0; i < this.#words.length; i++) count += popCount(this.#words[i]!);
    return count;
  }

  /** The numbers in it, rising. */
  toArray(): Uint32Array {
    const numbers = new Uint32Array(this.count());
    let at = 0;
    for (let i = 0; i < this.#words.length; i++) {
      for (let word = this.#words[i]!; word !== 0; word &= word - 1) {
        numbers[at++] = i * 32 + 31 - Math.clz32(word & -word);
      }
    }
    return numbers;
  }
}

function popCount(word: number): number {
  let x = word - ((word >>> 1) & 0x5555_5555);
  x = (x & 0x3333_3333) + ((x >>> 2) & 0x3333_3333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
