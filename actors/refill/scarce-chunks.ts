/**
 * Which chunks of a series hold a sample that fewer holders than a write quorum have. Pure.
 *
 *   holder 1   ├──── a ────┤├──── b ────┤
 *   holder 2   ├──── a ────┤├── c ──┤           quorum 2: b is scarce, from where c ends on; a and c are not
 *
 * Whoever lost its disk may have been one of the quorum of such a sample, and a read that takes it for
 * whole may meet nobody else who has it. Chunks that replicas cut alike are not decoded.
 */
import { type ChunkBytes, SeriesSamples } from '../../storage/index.ts';

/** A chunk and who has it, byte by byte. */
export interface HeldChunk extends ChunkBytes {
  readonly holders: Set<string>;
}

/** The samples of chunks that cannot be read count as held by nobody: such chunks are kept. */
export function scarceChunks(chunks: readonly HeldChunk[], quorum: number): HeldChunk[] {
  if (chunks.every(({ holders }) => holders.size >= quorum)) return [];
  const timesOf = new Map<HeldChunk, Float64Array>();
  const counts = new Map<number, number>();
  for (const holder of new Set(chunks.flatMap((chunk) => [...chunk.holders]))) {
    const seen = new Set<number>();
    for (const chunk of chunks) {
      if (!chunk.holders.has(holder)) continue;
      const times = timesOf.get(chunk) ?? decodeTimes(chunk);
      timesOf.set(chunk, times);
      for (const time of times) seen.add(time);
    }
    for (const time of seen) counts.set(time, (counts.get(time) ?? 0) + 1);
  }
  return chunks.filter((chunk) => {
    const times = timesOf.get(chunk) ?? [];
    return times.length === 0 || times.some((time) => (counts.get(time) ?? 0) < quorum);
  });
}

/** Empty for bytes that do not hold. */
function decodeTimes(chunk: ChunkBytes): Float64Array {
  const samples = new SeriesSamples();
  if (!samples.addChunk(chunk)) return new Float64Array();
  return Float64Array.from({ length: samples.length }, (_, i) => samples.timeAt(i));
}
