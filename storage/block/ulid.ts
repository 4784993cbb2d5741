/**
 * Names of blocks: ULIDs, 48 bits of Unix milliseconds and 80 random bits, written as 26 characters
 * of Crockford's base 32, so that names sort by the time they were made.
 */
import type { Clock, Random } from '../../platform/platform.ts';

/** A valid ULID in upper case. */
export type BlockId = string & { readonly __brand: 'BlockId' };

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_CHARACTERS = 10;
const RANDOM_BYTES = 10;

/** A new name. */
export function newBlockId({ clock, random }: { clock: Clock; random: Random }): BlockId {
  let time = '';
  let rest = Math.max(0, Math.floor(clock.wallMs()));
  for (let i = 0; i < TIME_CHARACTERS; i++) {
    time = ALPHABET[rest % 32]! + time;
    rest = Math.floor(rest / 32);
  }
  const bits = BigInt(`0x${Buffer.from(random.bytes(RANDOM_BYTES)).toString('hex')}`);
  let tail = '';
  for (let shift = 75n; shift >= 0n; shift -= 5n) tail += ALPHABET[Number((bits >> shift) & 31n)]!;
  return (time + tail) as BlockId; // made of the alphabet only
}

/** `text` as a block's name, or undefined when it is not exactly one. */
export function parseBlockId(text: string): BlockId | undefined {
  if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text)) return undefined;
  return text as BlockId; // just checked
}

/** The Unix milliseconds in a name. */
export function blockIdTimeMs(id: BlockId): number {
  let time = 0;
  for (let i = 0; i < TIME_CHARACTERS; i++) time = time * 32 + ALPHABET.indexOf(id[i]!);
  return time;
}
