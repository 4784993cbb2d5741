/** A hash of bytes for tables in memory: not for what strangers could fill on purpose, and never stored. */

/** FNV-1a, 32 bits, mixed once more because tables take the low bits. */
export function hashOfBytes(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}
