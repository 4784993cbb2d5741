/**
 * Which addresses members may have, so that a newcomer's is compared with theirs only when it is worth
 * it: one that is not here, no member has. One that is here was had by somebody, now or before.
 */
const PLACES_MIN = 32;
const LOW_BITS = 0x20_0000;

export class AddressSet {
  /** Digests in open addressing, at most half full; 0 is nobody's. */
  #digests = new Float64Array(PLACES_MIN);
  #count = 0;

  /** How many addresses were added. */
  get count(): number {
    return this.#count;
  }

  has(address: string): boolean {
    return this.#digests[this.#placeOf(digestOf(address))] !== 0;
  }

  add(address: string): void {
    if (this.#count * 2 >= this.#digests.length) this.#grow();
    this.#put(digestOf(address));
  }

  clear(): void {
    this.#digests = new Float64Array(PLACES_MIN);
    this.#count = 0;
  }

  #put(digest: number): void {
    const place = this.#placeOf(digest);
    if (this.#digests[place] === digest) return;
    this.#digests[place] = digest;
    this.#count++;
  }

  #grow(): void {
    const old = this.#digests;
    this.#digests = new Float64Array(old.length * 2);
    this.#count = 0;
    for (const digest of old) if (digest !== 0) this.#put(digest);
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

/** 53 bits of the text, never 0. */
function digestOf(text: string): number {
  let high = 0x811c_9dc5;
  let low = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    high = Math.imul(high ^ code, 0x0100_0193);
    low = Math.imul(((low << 5) | (low >>> 27)) ^ code, 0x85eb_ca6b);
  }
  high = Math.imul(high ^ (high >>> 15) ^ low, 0xc2b2_ae35);
  return ((high ^ (high >>> 16)) >>> 0) * LOW_BITS + ((low >>> 11) | 1);
}
