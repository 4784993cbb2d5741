/**
 * The replay check of one sender boot: its counters rise, so a counter is accepted once, and only
 * while it is not further than the window behind the highest one (datagrams overtake each other).
 *
 *   highest = 2000, window of 1024:   977..1999 = one bit each,   976 and below = too old
 */
const WINDOW = 1_024;

export class ReplayWindow {
  #highest = -1;
  /** One bit a counter, at counter mod WINDOW. */
  readonly #seen = new Uint32Array(WINDOW / 32);

  /** True when the counter was not accepted before and is not too old. Changes nothing. */
  isFresh(counter: number): boolean {
    if (counter > this.#highest) return true;
    if (counter <= this.#highest - WINDOW) return false;
    const bit = counter % WINDOW;
    return (this.#seen[bit >>> 5]! & (1 << (bit & 31))) === 0;
  }

  /** Marks a counter as used. Only after its packet proved to be genuine. */
  accept(counter: number): void {
    if (counter > this.#highest) {
      const gap = Math.min(counter - this.#highest, WINDOW);
      for (let i = 0; i < gap; i++) this.#set((counter - i) % WINDOW, false);
      this.#highest = counter;
    }
    this.#set(counter % WINDOW, true);
  }

  #set(bit: number, isSeen: boolean): void {
    const mask = 1 << (bit & 31);
    const word = this.#seen[bit >>> 5]!;
    this.#seen[bit >>> 5] = isSeen ? word | mask : word & ~mask;
  }
}
