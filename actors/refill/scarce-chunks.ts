/**
 * Which chunks of a series hold a sample that fewer holders than a write quorum have, or that one of them
 * lacks. Pure.
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

/** Decodes the times of chunks, in columns of its own. */
export class TimesReader {
  readonly #samples = new SeriesSamples();

  /** Undefined for bytes that do not hold. */
  timesOf(chunk: ChunkBytes): Float64Array | undefined {
    const samples = this.#samples;
    samples.clear();
    if (!samples.addChunk(chunk)) return undefined;
    return Float64Array.from({ length: samples.length }, (_, i) => samples.timeAt(i));
  }
}

/** The scarce ones; of those that cannot be read nobody has a sample, so they are not among them. */
export function scarceChunks(
  chunks: readonly HeldChunk[],
  quorum: number,
  reader: TimesReader,
): HeldChunk[] {
  if (chunks.every(({ holders }) => holders.size >= quorum)) return [];
  const timesOf = new Map(chunks.map((chunk) => [chunk, reader.timesOf(chunk) ?? []]));
  const counts = new Map<number, number>();
  for (const holder of new Set(chunks.flatMap((chunk) => [...chunk.holders]))) {
    const seen = new Set<number>();
    for (const [chunk, times] of timesOf) {
      if (chunk.holders.has(holder)) for (const time of times) seen.add(time);
    }
    for (const time of seen) counts.set(time, (counts.get(time) ?? 0) + 1);
  }
  const isScarce = (time: number): boolean => (counts.get(time) ?? 0) < quorum;
  return chunks.filter((chunk) => timesOf.get(chunk)?.some(isScarce));
}

/** Those with a sample that `self` has in none of its own; of what cannot be read nobody lacks anything. */
export function lackedChunks(
  chunks: readonly HeldChunk[],
  self: string,
  reader: TimesReader,
): HeldChunk[] {
  const others = chunks.filter(({ holders }) => !holders.has(self));
  if (others.length === 0) return [];
  const own = new Set<number>();
  for (const chunk of chunks) {
    if (!chunk.holders.has(self)) continue;
    for (const time of reader.timesOf(chunk) ?? []) own.add(time);
  }
  return others.filter((chunk) => reader.timesOf(chunk)?.some((time) => !own.has(time)));
}
