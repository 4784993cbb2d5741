/**
 * Which addresses members may have, so that a newcomer's is compared with theirs only when it is worth
 * it: one that is not here, no member has. One that is here was had by somebody, now or before.
 */
import { DigestSet, LOW_BITS } from './digest-set.ts';

export class AddressSet {
  readonly #digests = new DigestSet();

  /** How many addresses were added. */
  get count(): number {
    return this.#digests.count;
  }

  has(address: string): boolean {
    return this.#digests.has(digestOf(address));
  }

  add(address: string): void {
    this.#digests.add(digestOf(address));
  }

  clear(): void {
    this.#digests.clear();
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
