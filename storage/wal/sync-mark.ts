/**
 * A mark in the log itself: when it was written, its segment was durable up to so many bytes. It is a samples
 * record without samples, which Prometheus reads as nothing:
 *
 *   type 2 · segment u32 · durable bytes u32 · 'STARSYNC'        big-endian, 17 bytes
 *
 * Each batch brings one, so a bad place with a mark of beyond it, of a later batch, was promised once: no
 * crash of an honest disk leaves one. What a mark cannot tell is the end: see synced-lengths.ts.
 */
const TYPE_SAMPLES = 2;
const MARK_BYTES = 17;
const MAGIC = 'STARSYNC';

export interface SyncMark {
  readonly segment: number;
  readonly byteCount: number;
}

export function encodeSyncMark({ byteCount, segment }: SyncMark): Uint8Array {
  const bytes = Buffer.alloc(MARK_BYTES);
  bytes[0] = TYPE_SAMPLES;
  bytes.writeUInt32BE(segment, 1);
  bytes.writeUInt32BE(byteCount, 5);
  bytes.write(MAGIC, 9, 'latin1');
  return bytes;
}

/** The mark that a record is, if it is one. */
export function readSyncMark(record: Uint8Array): SyncMark | undefined {
  if (record.length !== MARK_BYTES || record[0] !== TYPE_SAMPLES) return undefined;
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.length);
  if (bytes.toString('latin1', 9) !== MAGIC) return undefined;
  return { segment: bytes.readUInt32BE(1), byteCount: bytes.readUInt32BE(5) };
}
