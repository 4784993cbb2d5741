/**
 * A series frame: what an ingester (later: a store-gateway) answers to a select. Series with their
 * chunks as stored, never re-encoded; a long answer is many frames of at most about 256 KiB.
 *
 *   frame   := u32 magic 'SSF1', u32 seriesCount, series*
 *   series  := fingerprint (16 bytes), uvarint label byte length, canonical label bytes,
 *              uvarint chunkCount, chunk*
 *   chunk   := varint minTimeMs, uvarint maxTimeMs - minTimeMs, u8 encoding (1 = XOR),
 *              uvarint byte length, chunk bytes (Prometheus' chunk data, without its CRC)
 *
 * Chunks of one series are ordered by time and do not overlap. Readers get whole chunks and trim
 * to the range themselves. Replicas cut chunks at equal times, so equal chunks are equal bytes.
 */
export const SERIES_FRAME_MAGIC = 0x31465353;
export const SERIES_FRAME_BYTES_TARGET = 256 * 1024;
export const CHUNK_ENCODING_XOR = 1;
