/**
 * Series fingerprints: 128-bit keyed hashes of label bytes, scoped by tenant. Keyed, because who
 * knows the hash could craft series that collide; 128 bits, because a fingerprint stands for its
 * label set on the wire and in tables. The function is Chaskey (Mouha et al., SAC 2014;
 * ISO/IEC 29192-6), a MAC made for 32-bit words: eight rounds of add, rotate, xor a 16-byte block.
 *
 * The cluster's secret comes from the registry and never changes with gossip key rotation.
 */

/** A 128-bit key or fingerprint: four unsigned words. */
export const FINGERPRINT_WORDS = 4;

/** The key of one tenant and purpose, with the two subkeys that Chaskey derives from it. */
export interface FingerprintKey {
  readonly key: Uint32Array;
  readonly lastFull: Uint32Array;
  readonly lastPartial: Uint32Array;
  /** Even. */
  readonly rounds: number;
}

const ROUNDS = 8;
/**
 * Raw fingerprints never leave the process: nobody sees one, so nobody can learn the key from them or
 * tell a collision, and half the rounds mix well enough for a table.
 */
const RAW_ROUNDS = 4;

/** Makes a key from 16 secret bytes. */
export function fingerprintKey(secret: Uint8Array, rounds = ROUNDS): FingerprintKey {
  const key = new Uint32Array(FINGERPRINT_WORDS);
  const view = new DataView(secret.buffer, secret.byteOffset, 16);
  for (let i = 0; i < FINGERPRINT_WORDS; i++) key[i] = view.getUint32(i * 4, true);
  const lastFull = timesTwo(key);
  return { key, lastFull, lastPartial: timesTwo(lastFull), rounds };
}

/** Derives the key of a tenant and a purpose ('raw', 'series') from the cluster's secret. */
export function tenantFingerprintKey(
  secret: Uint8Array,
  tenant: string,
  purpose: 'raw' | 'series',
): FingerprintKey {
  const name = Buffer.from(`${purpose}\0${tenant}`);
  const derived = new Uint32Array(FINGERPRINT_WORDS);
  fingerprint(fingerprintKey(secret), viewOf(name), 0, name.length, derived, 0);
  return fingerprintKey(new Uint8Array(derived.buffer), purpose === 'raw' ? RAW_ROUNDS : ROUNDS);
}

/** A view for `fingerprint` over a whole byte array. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Multiplication by x in GF(2^128), as Chaskey's subkeys want it. */
function timesTwo(words: Uint32Array): Uint32Array {
  const carry = words[3]! >>> 31 === 1 ? 0x87 : 0;
  return Uint32Array.of(
    (words[0]! << 1) ^ carry,
    (words[1]! << 1) | (words[0]! >>> 31),
    (words[2]! << 1) | (words[1]! >>> 31),
    (words[3]! << 1) | (words[2]! >>> 31),
  );
}

/**
 * Hot: fingerprints `bytes[from..to)` into four words of `out` at `outOffset`. Allocates nothing.
 * A `DataView`, because V8 makes its word reads single loads whatever the alignment.
 */
export function fingerprint(
  key: FingerprintKey,
  bytes: DataView,
  from: number,
  to: number,
  out: Uint32Array,
  outOffset: number,
): void {
  const { key: k, rounds } = key;
  let a = k[0]! | 0;
  let b = k[1]! | 0;
  let c = k[2]! | 0;
  let d = k[3]! | 0;
  let at = from;
  let last = key.lastFull;
  for (let isLast = false; !isLast;) {
    if (to - at > 16) {
      a ^= bytes.getInt32(at, true);
      b ^= bytes.getInt32(at + 4, true);
      c ^= bytes.getInt32(at + 8, true);
      d ^= bytes.getInt32(at + 12, true);
      at += 16;
    } else {
      isLast = true;
      const left = to - at;
      if (left === 16) {
        a ^= bytes.getInt32(at, true);
        b ^= bytes.getInt32(at + 4, true);
        c ^= bytes.getInt32(at + 8, true);
        d ^= bytes.getInt32(at + 12, true);
      } else {
        last = key.lastPartial; // the tail is padded with a 1 byte and zeros
        a ^= tailWord(bytes, at, left);
        b ^= tailWord(bytes, at + 4, left - 4);
        c ^= tailWord(bytes, at + 8, left - 8);
        d ^= tailWord(bytes, at + 12, left - 12);
      }
      a ^= last[0]!;
      b ^= last[1]!;
      c ^= last[2]!;
      d ^= last[3]!;
    }
    for (let round = 0; round < rounds; round += 2) {
      // two rounds a turn: V8 does not unroll by itself
      a = (a + b) | 0;
      c = (c + d) | 0;
      b = ((b << 5) | (b >>> 27)) ^ a;
      d = ((d << 8) | (d >>> 24)) ^ c;
      a = (a << 16) | (a >>> 16);
      c = (c + b) | 0;
      a = (a + d) | 0;
      b = ((b << 7) | (b >>> 25)) ^ c;
      d = ((d << 13) | (d >>> 19)) ^ a;
      c = (c << 16) | (c >>> 16);
      a = (a + b) | 0;
      c = (c + d) | 0;
      b = ((b << 5) | (b >>> 27)) ^ a;
      d = ((d << 8) | (d >>> 24)) ^ c;
      a = (a << 16) | (a >>> 16);
      c = (c + b) | 0;
      a = (a + d) | 0;
      b = ((b << 7) | (b >>> 25)) ^ c;
      d = ((d << 13) | (d >>> 19)) ^ a;
      c = (c << 16) | (c >>> 16);
    }
  }
  out[outOffset] = a ^ last[0]!;
  out[outOffset + 1] = b ^ last[1]!;
  out[outOffset + 2] = c ^ last[2]!;
  out[outOffset + 3] = d ^ last[3]!;
}

/** The word at `at` of a tail with `left` bytes from there: missing bytes are 0x01, then zeros. */
function tailWord(bytes: DataView, at: number, left: number): number {
  if (left >= 4) return bytes.getInt32(at, true);
  if (left < 0) return 0;
  let word = 1 << (8 * left);
  for (let i = 0; i < left; i++) word |= bytes.getUint8(at + i) << (8 * i);
  return word;
}
