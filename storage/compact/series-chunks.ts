/**
 * The chunks of one series from several blocks, as they go into the merged one. They are added by first time
 * and come out rising and apart:
 *
 *   equal chunks (replicas)   one of them, its bytes untouched
 *   alone in its time         its bytes untouched
 *   overlapping               decoded, merged by time, encoded in pieces of at most 120 samples
 *   small neighbours          joined while they have at most 120 samples together
 *
 * Samples of one time that differ: not stale before stale, then the larger bit pattern, as the querier picks
 * (SeriesSamples). Memory: what overlaps at one moment, because all before the next chunk's first time is final.
 */
import { SeriesSamples, SAMPLES_PER_CHUNK_TARGET } from '../block/series-samples.ts';
import { CHUNK_XOR, type ChunkBytes, chunkSampleCount, isDecodable } from '../block/format.ts';

/** A chunk and which of the blocks it is of. */
export interface SourceChunk extends ChunkBytes {
  readonly source: number;
}

/** What is wrong with a chunk whose checksum is right. */
export class BadChunk extends Error {
  override readonly name = 'BadChunk';
  readonly source: number;
  /** It may be right, and this version cannot do it. */
  readonly isUnsupported: boolean;

  constructor(source: number, why: string, isUnsupported = false) {
    super(why);
    this.source = source;
    this.isUnsupported = isUnsupported;
  }
}

/** So many final samples are encoded at once, so that the last piece of many is not a small one. */
const FINAL_SAMPLES_MIN = 4 * SAMPLES_PER_CHUNK_TARGET;

export class SeriesChunks {
  /** What is done, oldest first; whoever writes it empties it. */
  readonly ready: ChunkBytes[] = [];
  /** Samples of what overlaps; empty while `#held` is there. */
  readonly #open = new SeriesSamples();
  readonly #joined = new SeriesSamples();
  /** The last chunk, while nothing overlaps it. */
  #held: SourceChunk | undefined;
  /** The last chunks with the same times, distinct. */
  readonly #same: SourceChunk[] = [];
  #openMaxMs = Number.NEGATIVE_INFINITY;
  /** May still grow by its small neighbours. */
  #last: SourceChunk | undefined;
  #decodedCount = 0;

  /** Begins a series. */
  begin(): void {
    this.ready.length = 0;
    this.#open.clear();
    this.#held = undefined;
    this.#same.length = 0;
    this.#openMaxMs = Number.NEGATIVE_INFINITY;
    this.#last = undefined;
  }

  /** Adds the next chunk by first time, then last time. Throws `BadChunk`. */
  add(chunk: SourceChunk): void {
    if (chunk.minTimeMs > this.#openMaxMs) {
      this.#closeOpen();
      this.#held = chunk;
      this.#noteSame(chunk);
      this.#openMaxMs = chunk.maxTimeMs;
      return;
    }
    if (this.#same.some((other) => isEqual(other, chunk))) return;
    this.#noteSame(chunk);
    if (this.#held !== undefined) {
      this.#decode(this.#held, this.#open);
      this.#held = undefined;
    }
    const final = this.#open.countBefore(chunk.minTimeMs);
    if (final >= FINAL_SAMPLES_MIN) this.#take(final - (final % SAMPLES_PER_CHUNK_TARGET));
    this.#decode(chunk, this.#open);
    this.#openMaxMs = Math.max(this.#openMaxMs, chunk.maxTimeMs);
  }

  /** Ends the series: all of it is in `ready` then. */
  finish(): void {
    this.#closeOpen();
    if (this.#last !== undefined) this.ready.push(this.#last);
    this.#last = undefined;
  }

  /** How many samples were decoded since the last call. */
  takeDecoded(): number {
    const count = this.#decodedCount;
    this.#decodedCount = 0;
    return count;
  }

  #closeOpen(): void {
    if (this.#held !== undefined) this.#put(this.#held);
    this.#held = undefined;
    this.#take(this.#open.length);
  }

  #take(count: number): void {
    const pieces: ChunkBytes[] = [];
    this.#open.takeFirst(count, pieces);
    for (const piece of pieces) this.#put({ ...piece, source: -1 });
  }

  /** Puts a chunk after the last one, or into it when both are small. */
  #put(chunk: SourceChunk): void {
    const last = this.#last;
    if (last === undefined) this.#last = chunk;
    else if (countOf(last) + countOf(chunk) > SAMPLES_PER_CHUNK_TARGET) {
      this.ready.push(last);
      this.#last = chunk;
    } else this.#last = this.#join(last, chunk);
  }

  #join(a: SourceChunk, b: SourceChunk): SourceChunk {
    const joined = this.#joined;
    joined.clear();
    this.#decode(a, joined);
    this.#decode(b, joined);
    const pieces: ChunkBytes[] = [];
    joined.takeFirst(joined.length, pieces);
    return { ...pieces[0]!, source: -1 };
  }

  #decode(chunk: SourceChunk, into: SeriesSamples): void {
    const { encoding, maxTimeMs, minTimeMs, source } = chunk;
    if (!isDecodable(encoding)) {
      const why = `chunks of encoding ${encoding} that overlap others and differ from them`;
      throw new BadChunk(source, why, true);
    }
    const count = chunkSampleCount(chunk);
    if (!into.addChunk(chunk)) throw new BadChunk(source, 'its samples do not decode');
    if (into.addedMinMs !== minTimeMs || into.addedMaxMs !== maxTimeMs) {
      throw new BadChunk(source, 'a chunk with other times than the index says');
    }
    this.#decodedCount += count;
  }

  #noteSame(chunk: SourceChunk): void {
    const same = this.#same;
    const first = same[0];
    if (first?.minTimeMs !== chunk.minTimeMs || first.maxTimeMs !== chunk.maxTimeMs) {
      same.length = 0;
    }
    same.push(chunk);
  }
}

/** How many samples a chunk of floats has; others are never joined. */
function countOf(chunk: ChunkBytes): number {
  return chunk.encoding === CHUNK_XOR ? chunkSampleCount(chunk) : Infinity;
}

function isEqual(a: ChunkBytes, b: ChunkBytes): boolean {
  return (
    a.minTimeMs === b.minTimeMs &&
    a.maxTimeMs === b.maxTimeMs &&
    a.encoding === b.encoding &&
    Buffer.compare(a.bytes.subarray(a.from, a.to), b.bytes.subarray(b.from, b.to)) === 0
  );
}
