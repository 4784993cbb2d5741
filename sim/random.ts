/**
 * The tree of pseudo-random generators. Each user of chance (a node's disk, a link, the workload) has
 * a child of its own, made by hashing its name into the parent's seed: one more draw in one place
 * shifts nothing anywhere else, so a seed keeps its story while code changes.
 *
 *   root(seed) ─ network ─ 10.0.0.1>10.0.0.2
 *             ├ disk ─ 10.0.0.1
 *             └ workload …
 *
 * The generator is sfc32 (Doty-Humphrey, PractRand): 128 bits of state, only 32-bit operations.
 */
import type { Random } from '../platform/platform.ts';

const WARM_UP_ROUNDS = 15;

export class SimRandom implements Random {
  readonly #seed: number;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#seed = mix32(seed);
    this.#a = mix32(this.#seed + 1);
    this.#b = mix32(this.#seed + 2);
    this.#c = mix32(this.#seed + 3);
    for (let i = 0; i < WARM_UP_ROUNDS; i++) this.uint32();
  }

  /** A generator that depends on this one's seed and `name` only, never on what was drawn. */
  child(name: string): SimRandom {
    return new SimRandom(hashText(name, this.#seed));
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  float(): number {
    return (this.uint32() * 0x20_0000 + (this.uint32() >>> 11)) / 2 ** 53;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i++) bytes[i] = this.uint32();
    return bytes;
  }

  /** Uniform in [0, below). */
  below(below: number): number {
    return Math.floor(this.float() * below);
  }

  /** Uniform in [from, to). */
  between(from: number, to: number): number {
    return from + this.float() * (to - from);
  }

  /** True with this probability; draws also when it is 0, so that rates can change alone. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One of the items; undefined when there is none. */
  pick<Item>(items: readonly Item[]): Item | undefined {
    return items[this.below(items.length)];
  }
}

/** Spreads 32 bits over 32 bits, one to one (the finaliser of MurmurHash3). */
export function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** FNV-1a over UTF-16 units, started from `seed` and mixed. */
export function hashText(text: string, seed = 0): number {
  let h = (0x811c_9dc5 ^ seed) | 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x0100_0193);
  return mix32(h);
}
