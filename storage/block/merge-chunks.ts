/**
 * The chunks of one series from several places (replicas, an out-of-order part) become chunks that
 * rise and do not overlap, and deleted ranges go:
 *
 *   equal chunks          ->  one of them, its bytes untouched
 *   alone in its time     ->  its bytes untouched
 *   overlapping, or cut   ->  decoded, merged by time, encoded anew in pieces of about 120 samples
 *   aggregates, cut       ->  without the windows that were deleted from
 *
 * Where samples of one time differ the pick is deterministic: not stale before stale, then the larger
 * bit pattern (chunk/merge-runs.ts), so that every node makes the same block. Memory: the samples of one cluster of
 * overlapping chunks.
 */
import type { TimeRange } from '../../model/sample.ts';
import { cutAggregates, reachOf } from './cut-aggregates.ts';
import { CHUNK_AGGREGATES, type ChunkBytes, isDecodable } from './format.ts';
import { SeriesSamples } from './series-samples.ts';

interface Cut {
  readonly deleted: readonly TimeRange[];
  readonly resolutionMs: number | undefined;
}

/** Merges the chunks of a series. `deleted` is sorted and apart. Throws `UndecodableChunk`. */
export class ChunkMerger {
  readonly #samples = new SeriesSamples();
  #recodedCount = 0;

  /** How many chunks were encoded anew so far. */
  get recodedCount(): number {
    return this.#recodedCount;
  }

  /** The result holds until the next call. Chunks may come in any order. `resolutionMs`: of their aggregates. */
  merge(
    chunks: readonly ChunkBytes[],
    deleted: readonly TimeRange[],
    resolutionMs?: number,
  ): readonly ChunkBytes[] {
    if (isPlain(chunks, deleted, resolutionMs)) return chunks; // fast path: nothing overlaps, nothing is deleted
    const sorted = [...chunks].sort(compareChunks);
    const distinct = sorted.filter((chunk, i) => i === 0 || !isEqual(sorted[i - 1]!, chunk));
    const merged: ChunkBytes[] = [];
    for (let from = 0; from < distinct.length;) {
      let maxTimeMs = distinct[from]!.maxTimeMs;
      let to = from + 1;
      while (to < distinct.length && distinct[to]!.minTimeMs <= maxTimeMs) {
        maxTimeMs = Math.max(maxTimeMs, distinct[to++]!.maxTimeMs);
      }
      this.#mergeCluster(distinct.slice(from, to), { deleted, resolutionMs }, merged);
      from = to;
    }
    return merged;
  }

  /** `cluster` is chunks that overlap, one after another. */
  #mergeCluster(
    cluster: readonly ChunkBytes[],
    { deleted, resolutionMs }: Cut,
    into: ChunkBytes[],
  ): void {
    const minTimeMs = cluster[0]!.minTimeMs;
    const maxTimeMs = cluster.reduce((max, chunk) => Math.max(max, chunk.maxTimeMs), minTimeMs);
    const reachMs = reachOf(cluster[0]!, resolutionMs);
    const touching = deleted.filter((range) => isTouching(range, reachMs, maxTimeMs));
    if (touching.some((range) => range.minTimeMs <= minTimeMs && range.maxTimeMs >= maxTimeMs)) {
      return;
    }
    if (cluster.length === 1 && touching.length === 0) {
      into.push(cluster[0]!);
      return;
    }
    if (cluster.length === 1 && cluster[0]!.encoding === CHUNK_AGGREGATES) {
      const left = cutAggregates(cluster[0]!, touching, resolutionMs);
      if (left === null) throw new UndecodableChunk('its aggregates do not decode');
      if (left !== undefined) into.push(left);
      this.#recodedCount++;
      return;
    }
    const samples = this.#samples;
    samples.clear();
    for (const chunk of cluster) {
      if (!isDecodable(chunk.encoding)) {
        throw new UndecodableChunk(`encoding ${chunk.encoding} cannot be merged`);
      }
      if (!samples.addChunk(chunk)) {
        throw new UndecodableChunk('its samples do not decode');
      }
    }
    for (const range of touching) samples.remove(range);
    this.#recodedCount += cluster.length;
    samples.encode(into);
  }
}

/** A chunk that has a right checksum and wrong content: its block's reader makes it `block.corrupt`. */
export class UndecodableChunk extends Error {
  override readonly name = 'UndecodableChunk';
}

/** True when the chunks can stay as they are. */
function isPlain(
  chunks: readonly ChunkBytes[],
  deleted: readonly TimeRange[],
  resolutionMs: number | undefined,
): boolean {
  for (let i = 0; i < chunks.length; i++) {
    const { maxTimeMs, minTimeMs } = chunks[i]!;
    if (i > 0 && minTimeMs <= chunks[i - 1]!.maxTimeMs) return false;
    const reachMs = reachOf(chunks[i]!, resolutionMs);
    for (const range of deleted) if (isTouching(range, reachMs, maxTimeMs)) return false;
  }
  return true;
}

function isTouching(range: TimeRange, minTimeMs: number, maxTimeMs: number): boolean {
  return range.minTimeMs <= maxTimeMs && range.maxTimeMs >= minTimeMs;
}

function compareChunks(a: ChunkBytes, b: ChunkBytes): number {
  return (
    a.minTimeMs - b.minTimeMs ||
    a.maxTimeMs - b.maxTimeMs ||
    a.encoding - b.encoding ||
    Buffer.compare(bytesOf(a), bytesOf(b))
  );
}

function isEqual(a: ChunkBytes, b: ChunkBytes): boolean {
  return compareChunks(a, b) === 0;
}

function bytesOf({ bytes, from, to }: ChunkBytes): Uint8Array {
  return bytes.subarray(from, to);
}
