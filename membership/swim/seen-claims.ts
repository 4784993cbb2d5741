/**
 * Which claims were merged lately, by a digest of their bytes: each is told by many, and hearing it
 * again changes nothing. Nothing is read or made of such a one.
 *
 * Only what is settled may be kept: a claim that `mergeClaim` said would leave everything as it is,
 * whatever else is heard until the member is forgotten; then all is forgotten here. A digest is in
 * one of eight neighbouring places, the newest first; what is pushed out is read once more, no harm.
 * Digests have 53 bits and depend on the node, so that no two nodes mistake the same claim.
 */
import { LOW_BITS } from './digest-set.ts';

const PLACES_MIN = 64;
/** Places for each member: its claims of now and of before. */
const PLACES_PER_MEMBER = 2;
/** A line of the cache. */
const SET_PLACES = 8;

export class SeenClaims {
  readonly #seed: number;
  #digests = new Float64Array(PLACES_MIN);

  /** `seed` is of this node and of nobody else. */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** The digest of bytes[from..to), never 0. */
  digest(bytes: Uint8Array, from: number, to: number): number {
    return digestOf(bytes, from, to, this.#seed);
  }

  has(digest: number): boolean {
    const from = this.#setOf(digest);
    for (let i = from; i < from + SET_PLACES; i++) if (this.#digests[i] === digest) return true;
    return false;
  }

  add(digest: number): void {
    const digests = this.#digests;
    const from = this.#setOf(digest);
    if (digests[from] === digest) return;
    for (let i = from + SET_PLACES - 1; i > from; i--) digests[i] = digests[i - 1]!;
    digests[from] = digest;
  }

  /** Makes place for the claims of so many members. */
  reserve(memberCount: number): void {
    let { length } = this.#digests;
    while (length < memberCount * PLACES_PER_MEMBER) length *= 2;
    if (length === this.#digests.length) return;
    const old = this.#digests;
    this.#digests = new Float64Array(length);
    for (const digest of old) if (digest !== 0) this.add(digest);
  }

  clear(): void {
    this.#digests.fill(0);
  }

  #setOf(digest: number): number {
    return (digest / LOW_BITS) & (this.#digests.length - SET_PLACES);
  }
}

/** Two lanes over four bytes a step, 53 bits of them; never 0. */
function digestOf(bytes: Uint8Array, from: number, to: number, seed: number): number {
  let high = seed | 0;
  let low = ~seed ^ (to - from);
  let i = from;
  for (; i + 4 <= to; i += 4) {
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    high = Math.imul(high ^ word, 0x85eb_ca6b);
    high ^= high >>> 15;
    low = Math.imul(((low << 5) | (low >>> 27)) ^ word, 0xc2b2_ae35);
  }
  let rest = 0;
  for (; i < to; i++) rest = (rest << 8) | bytes[i]!;
  high = Math.imul(high ^ rest, 0x85eb_ca6b);
  low = Math.imul(((low << 5) | (low >>> 27)) ^ rest, 0xc2b2_ae35);
  high = Math.imul(high ^ (high >>> 16) ^ low, 0xc2b2_ae35);
  low = Math.imul(low ^ (low >>> 15) ^ high, 0x85eb_ca6b);
  high ^= high >>> 13;
  low ^= low >>> 16;
  return (high >>> 0) * LOW_BITS + ((low >>> 11) | 1);
}
