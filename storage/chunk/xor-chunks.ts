/** Whole XOR chunks of samples that are columns already, for readers that want chunks. */
import { assert } from '../../model/assert.ts';
import {
  type SampleColumns,
  XOR_SAMPLE_BYTES_MAX,
  appendXor,
  createXorColumns,
  putXorCount,
} from './xor-encode.ts';

/** As many samples as a chunk of Prometheus' has. */
const SAMPLES_PER_CHUNK = 120;
/** Whatever the samples are, the bits of so many can be counted in 16 bits. */
const XOR_CHUNK_SAMPLES_MAX = 420;

interface XorChunk {
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  readonly bytes: Uint8Array;
}

/** The samples `[from, to)` as chunks in order; values are told bit for bit. */
export function xorChunksOf(
  timestamps: Float64Array,
  values: Float64Array,
  from: number,
  to: number,
): readonly XorChunk[] {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
  const samples = { timestamps, values: words };
  const chunks: XorChunk[] = [];
  for (let at = from; at < to;) {
    const end = Math.min(to, at + SAMPLES_PER_CHUNK);
    const bytes = xorChunk(samples, at, end);
    chunks.push({ minTimeMs: timestamps[at]!, maxTimeMs: timestamps[end - 1]!, bytes });
    at = end;
  }
  return chunks;
}

/** The samples `[from, to)` as one chunk; at most `XOR_CHUNK_SAMPLES_MAX`. */
export function xorChunk(samples: SampleColumns, from: number, to: number): Uint8Array {
  assert(to - from <= XOR_CHUNK_SAMPLES_MAX, 'chunk: more samples than its length can count');
  const capacity = (to - from + 2) * XOR_SAMPLE_BYTES_MAX;
  const room = { bytes: new Uint8Array(capacity), base: 0, capacity };
  const state = createXorColumns(1);
  appendXor(state, 0, room, samples, from, to);
  putXorCount(room.bytes, 0, to - from);
  return room.bytes.slice(0, Math.ceil(state.bitLength[0]! / 8));
}
