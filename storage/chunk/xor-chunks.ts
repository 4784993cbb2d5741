/** Whole XOR chunks of samples that are columns already, for readers that want chunks. */
import { XOR_SAMPLE_BYTES_MAX, appendXor, createXorColumns, putXorCount } from './xor-encode.ts';

/** As many samples as a chunk of Prometheus' has. */
const SAMPLES_PER_CHUNK = 120;

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
    const capacity = (SAMPLES_PER_CHUNK + 2) * XOR_SAMPLE_BYTES_MAX;
    const room = { bytes: new Uint8Array(capacity), base: 0, capacity };
    const state = createXorColumns(1);
    const taken = appendXor(state, 0, room, samples, at, end);
    putXorCount(room.bytes, 0, state.count[0]!);
    const bytes = room.bytes.slice(0, Math.ceil(state.bitLength[0]! / 8));
    chunks.push({ minTimeMs: timestamps[at]!, maxTimeMs: timestamps[taken - 1]!, bytes });
    at = taken;
  }
  return chunks;
}
