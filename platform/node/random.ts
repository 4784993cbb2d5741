/** Real randomness, all of it from the system's generator through a small buffer. */
import { randomFillSync } from 'node:crypto';
import type { Random } from '../platform.ts';

const BUFFERED_WORDS = 1024;

export function createNodeRandom(): Random {
  const words = new Uint32Array(BUFFERED_WORDS);
  let next = BUFFERED_WORDS;
  const uint32 = (): number => {
    if (next === BUFFERED_WORDS) {
      randomFillSync(words);
      next = 0;
    }
    return words[next++]!;
  };
  return {
    uint32,
    float: () => (uint32() * 0x20_0000 + (uint32() >>> 11)) / 2 ** 53,
    bytes: (count) => randomFillSync(new Uint8Array(count)),
  };
}
