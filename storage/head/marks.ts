/**
 * What a matcher marks: the series of the postings it picks, at least those that are candidates still, for nobody asks
 * about others. Each posting is taken by the shortest way, and the steps it took are counted, so that a match pauses
 * after about as much work whatever it meets.
 */
import { Bitmap, type Span } from './bitmap.ts';

/** So many candidates or more are not looked for one by one. */
const CANDIDATES_MAX = 4096;
/** Numbers of lists that are marked before it pays to have the candidates as a list too. */
const MARKED_PLAINLY = 2048;

/** Steps since the last pause: of a nanosecond or two each. */
export interface Slice {
  steps: number;
}

/** The series that are marked, out of the candidates of a match. */
export class Marks {
  readonly marked: Bitmap;
  readonly #slice: Slice;
  readonly #candidates: Bitmap;
  readonly #span: Span;
  /** All candidates, where there are few: once they are looked for. */
  #few: Uint32Array | undefined;
  #isCounted = false;
  /** Numbers of lists that were marked. */
  #listed = 0;

  constructor(candidates: Bitmap, slice: Slice) {
    this.marked = new Bitmap(candidates.size);
    this.#slice = slice;
    this.#candidates = candidates;
    this.#span = candidates.span();
  }

  /** A posting that is a bitmap. */
  addBits(bits: Bitmap): void {
    this.#slice.steps += bits.size >>> 5;
    this.marked.or(bits);
  }

  /** The first `length` numbers of a list, in no order. */
  addList(list: Uint32Array, length: number): void {
    this.#slice.steps += length;
    for (let i = 0; i < length; i++) this.marked.add(list[i]!);
  }

  /**
   * The same of a list that rises: over the list or over the candidates, whichever is shorter. What was scraped
   * together has neighbouring numbers, so of the candidates few lie between the first and the last of a list.
   */
  addRising(list: Uint32Array, length: number): void {
    if (length === 0) return;
    const candidates = this.#listed > MARKED_PLAINLY ? this.#fewCandidates() : undefined;
    if (candidates !== undefined) {
      const start = firstFrom(candidates, candidates.length, list[0]!, 0);
      const end = firstFrom(candidates, candidates.length, list[length - 1]! + 1, start);
      const stepsEach = 32 - Math.clz32(length);
      if ((end - start) * stepsEach < length) {
        this.#slice.steps += (end - start) * stepsEach + stepsEach;
        this.#addFound(list, length, candidates, start, end);
        return;
      }
    }
    const { first, last } = this.#span;
    const from = firstFrom(list, length, first, 0);
    const to = firstFrom(list, length, last + 1, from);
    this.marked.addAll(list, from, to);
    this.#listed += to - from;
    this.#slice.steps += 1 + to - from;
  }

  #fewCandidates(): Uint32Array | undefined {
    if (!this.#isCounted) {
      this.#isCounted = true;
      if (this.#candidates.count() < CANDIDATES_MAX) this.#few = this.#candidates.toArray();
    }
    return this.#few;
  }

  #addFound(
    list: Uint32Array,
    length: number,
    candidates: Uint32Array,
    start: number,
    end: number,
  ): void {
    let at = 0;
    for (let i = start; i < end; i++) {
      const s = candidates[i]!;
      at = firstFrom(list, length, s, at);
      if (list[at] === s) this.marked.add(s);
    }
  }
}

/** In a list that rises, the place of the first number that is not below `least`, at `from` or later. */
function firstFrom(list: Uint32Array, length: number, least: number, from: number): number {
  let low = from;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
