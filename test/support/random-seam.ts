/** The Random seam over a seeded source, and keys nobody can guess. */
import { randomBytes } from 'node:crypto';
import type { Random } from '../../platform/platform.ts';

/** Random over a seeded source, as the seam wants it. */
export function randomSeam(source: { float(): number; uint32(): number }): Random {
  return {
    float: () => source.float(),
    uint32: () => source.uint32(),
    bytes: (count) => Uint8Array.from({ length: count }, () => source.uint32() & 255),
  };
}

/** Unpredictable bytes, for keys. */
export function randomSecret(): Uint8Array {
  return new Uint8Array(randomBytes(32));
}
