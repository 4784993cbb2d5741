/**
 * Tokens: where an instance sits on the ring. They are derived from its id and token seed, so they
 * are not gossiped and never chosen by a peer: a hostile record can neither claim another's token
 * nor bring more than its share. 128 of them keep the shares within a few tens of per cent.
 */
import { fingerprint, fingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';

export const TOKENS_PER_INSTANCE = 128;

/**
 * The instance's tokens: distinct 32-bit numbers, unsorted. The same id and seed give the same ones
 * for ever: changing this function would move every series.
 */
export function tokensOf(id: string, tokenSeed: number): Uint32Array {
  const bytes = Buffer.from(`${tokenSeed} ${id}`);
  const state = new Uint32Array(4);
  fingerprint(fingerprintKey(new Uint8Array(16)), viewOf(bytes), 0, bytes.length, state, 0);
  const tokens = new Set<number>();
  while (tokens.size < TOKENS_PER_INSTANCE) tokens.add(nextWord(state));
  return Uint32Array.from(tokens);
}

/** sfc32 (Doty-Humphrey's small fast counting generator): four words of state, changed in place. */
function nextWord(state: Uint32Array): number {
  const sum = (state[0]! + state[1]! + state[3]!) >>> 0;
  state[3] = state[3]! + 1;
  state[0] = state[1]! ^ (state[1]! >>> 9);
  state[1] = state[2]! + (state[2]! << 3);
  state[2] = ((state[2]! << 21) | (state[2]! >>> 11)) + sum;
  return sum;
}
