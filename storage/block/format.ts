/**
 * The numbers of Prometheus' block format (docs/format/block.md), and nothing else.
 *
 *   chunk reference  = file number from 0 * 2^32 + offset of the chunk in its file
 *   series reference = offset in the index / 16
 */
import { splitAggregates } from '../chunk/aggregate-chunk.ts';

export const CHUNKS_MAGIC = 0x85bd40dd;
export const CHUNKS_VERSION = 1;
export const CHUNKS_HEADER_BYTES = 8;
export const CHUNK_SEGMENT_BYTES_MAX = 512 * 1024 * 1024;
/** Nothing that is read may claim more; the largest we write is 64 KiB. */
export const CHUNK_BYTES_MAX = 16 * 1024 * 1024;

export const INDEX_MAGIC = 0xbaaad700;
export const INDEX_VERSION = 2;
export const INDEX_HEADER_BYTES = 5;
export const INDEX_TOC_BYTES = 6 * 8 + 4;
export const SERIES_ALIGN_BYTES = 16;
export const POSTINGS_ALIGN_BYTES = 4;
/** Of symbols and table entries every so many is kept in memory. */
export const SPARSE_STEP = 32;

export const TOMBSTONES_MAGIC = 0x0130ba30;
export const TOMBSTONES_VERSION = 1;
export const TOMBSTONES_HEADER_BYTES = 5;

export const CRC_BYTES = 4;

/** How the samples of a chunk are encoded; other numbers exist and are left alone. */
export const CHUNK_XOR = 1;
export const CHUNK_HISTOGRAM = 2;
export const CHUNK_FLOAT_HISTOGRAM = 3;
/** Thanos' chunks of a downsampled block: five chunks in one (storage/chunk/aggregate-chunk.ts). */
export const CHUNK_AGGREGATES = 0xff;

/** Whether chunks of this encoding can be decoded here. */
export function isDecodable(encoding: number): boolean {
  return encoding >= CHUNK_XOR && encoding <= CHUNK_FLOAT_HISTOGRAM;
}

const TWO_32 = 0x1_0000_0000;

/** The reference of a chunk at `offset` of the file with this number (from 0). */
export function chunkRef(fileNumber: number, offset: number): number {
  return fileNumber * TWO_32 + offset;
}

/** The number of the file (from 0) that a chunk reference points into. */
export function chunkRefFile(ref: number): number {
  return Math.floor(ref / TWO_32);
}

/** The offset in its file that a chunk reference points to. */
export function chunkRefOffset(ref: number): number {
  return ref % TWO_32;
}

/** A chunk with its bytes at `bytes[from..to)`. Times are of its first and last sample. */
export interface ChunkBytes {
  readonly encoding: number;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** How many samples a chunk says it has: the encodings of samples begin with that; of aggregates, its windows. */
export function chunkSampleCount({ bytes, encoding, from, to }: ChunkBytes): number {
  if (encoding === CHUNK_AGGREGATES) return windowCount(bytes.subarray(from, to));
  return to - from < 2 ? 0 : (bytes[from]! << 8) | bytes[from + 1]!;
}

/** Of a chunk of aggregates: how many samples its first part has. */
function windowCount(bytes: Uint8Array): number {
  const places = splitAggregates(bytes, 0, bytes.length);
  const from = places?.[0] ?? 0;
  return (places?.[1] ?? 0) - from < 2 ? 0 : (bytes[from]! << 8) | bytes[from + 1]!;
}
