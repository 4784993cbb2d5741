/**
 * A set of digests of 53 bits, as numbers that are never 0, in open addressing: no object for any of them.
 */
const PLACES_MIN = 32;
/** The high bits of a digest say where it is. */
export const LOW_BITS = 0x20_0000;

export class DigestSet {
  /** At most half full; 0 is nobody's. */
  #digests: Float64Array;
  #count = 0;

  /** With room for so many. */
  constructor(count = 0) {
    let places = PLACES_MIN;
    while (places < count * 2) places *= 2;
    this.#digests = new Float64Array(places);
  }

  get count(): number {
    return this.#count;
  }

  has(digest: number): boolean {
    return this.#digests[this.#placeOf(digest)] !== 0;
  }

  add(digest: number): void {
    if (this.#count * 2 >= this.#digests.length) this.#grow();
    const place = this.#placeOf(digest);
    if (this.#digests[place] === digest) return;
    this.#digests[place] = digest;
    this.#count++;
  }

  clear(): void {
    this.#digests = new Float64Array(PLACES_MIN);
    this.#count = 0;
  }

  #grow(): void {
    const old = this.#digests;
    this.#digests = new Float64Array(old.length * 2);
    this.#count = 0;
    for (const digest of old) if (digest !== 0) this.add(digest);
  }

  /** Where the digest is, or would be. */
  #placeOf(digest: number): number {
    const mask = this.#digests.length - 1;
    let place = (digest / LOW_BITS) & mask;
    while (this.#digests[place] !== digest && this.#digests[place] !== 0)
      place = (place + 1) & mask;
    return place;
  }
}
