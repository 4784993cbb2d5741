/**
 * Samples of one series that came out of order, where some of the series are native histograms: those cannot be put
 * into a chunk as floats are (insert.ts) without encoding all of it, so they wait beside the chunks, as upstream has it.
 *
 *   list     ≤ LATE_LIST_MAX samples, sorted         ──full──►   chunks that may overlap each other and the head's,
 *                                                                each with the times of its samples beside it
 *
 * Invariants: one sample a time; to find that there is none decodes nothing, to find one decodes one chunk. A reader gets
 * them merged with the chunks of their time (block-source.ts), so that nobody else needs to know of them.
 */
import { type HistogramSample, equalSamples } from '../../model/histogram-sample.ts';
import type { ChunkBytes } from '../block/format.ts';
import { SeriesSamples } from '../block/series-samples.ts';

/** A list this long becomes chunks: what upstream has, too. */
export const LATE_LIST_MAX = 32;

export interface LateSample {
  readonly timeMs: number;
  /** The words of a float. */
  readonly low: number;
  readonly high: number;
  /** Undefined: it is a float. */
  readonly histogram: HistogramSample | undefined;
}

interface LateChunk {
  readonly chunk: ChunkBytes;
  /** Of its samples; they rise. */
  readonly times: Float64Array;
}

/** The chunk that was decoded last, and its samples by time. */
interface Decoded {
  readonly late: LateChunk;
  readonly samples: ReadonlyMap<number, LateSample>;
}

export class LateSamples {
  readonly #scratch: SeriesSamples;
  #list: LateSample[] = [];
  #chunks: LateChunk[] = [];
  #decoded: Decoded | undefined;

  /** `scratch` is used within each call. */
  constructor(scratch: SeriesSamples) {
    this.#scratch = scratch;
  }

  get isEmpty(): boolean {
    return this.#list.length + this.#chunks.length === 0;
  }

  get chunkCount(): number {
    return this.#chunks.length;
  }

  get oldestTimeMs(): number {
    const listed = this.#list[0]?.timeMs ?? Number.POSITIVE_INFINITY;
    return this.#chunks.reduce((min, { chunk }) => Math.min(min, chunk.minTimeMs), listed);
  }

  /** Takes a sample; there is none of its time. */
  insert(sample: LateSample): void {
    let at = this.#list.length;
    while (at > 0 && this.#list[at - 1]!.timeMs > sample.timeMs) at--;
    this.#list.splice(at, 0, sample);
    if (this.#list.length < LATE_LIST_MAX) return;
    this.#chunks.push(...this.#encodedList());
    this.#list = [];
  }

  /** Whether what is there at a time is the same; undefined: nothing is. */
  compare(sample: LateSample): boolean | undefined {
    const found = this.#find(sample.timeMs);
    if (found === undefined) return undefined;
    if (found.histogram !== undefined && sample.histogram !== undefined) {
      return equalSamples(found.histogram, sample.histogram);
    }
    const isSameKind = found.histogram === sample.histogram; // both are none
    return isSameKind && found.low === sample.low && found.high === sample.high;
  }

  overlaps(minTimeMs: number, maxTimeMs: number): boolean {
    return (
      this.#list.some(({ timeMs }) => timeMs >= minTimeMs && timeMs <= maxTimeMs) ||
      this.#chunks.some(({ chunk }) => isTouching(chunk, minTimeMs, maxTimeMs))
    );
  }

  /** Chunks of what may be in the closed range; they may overlap. The bytes hold as long as they are wanted. */
  chunks(minTimeMs: number, maxTimeMs: number): ChunkBytes[] {
    return [...this.#chunks, ...this.#encodedList()]
      .map(({ chunk }) => chunk)
      .filter((chunk) => isTouching(chunk, minTimeMs, maxTimeMs));
  }

  dropBefore(timeMs: number): void {
    this.#decoded = undefined;
    this.#list = this.#list.filter((sample) => sample.timeMs >= timeMs);
    this.#chunks = this.#chunks.flatMap((late) => {
      if (late.chunk.minTimeMs >= timeMs) return [late];
      if (late.chunk.maxTimeMs < timeMs) return [];
      this.#scratch.clear();
      this.#scratch.addChunk(late.chunk);
      this.#scratch.remove({ minTimeMs: Number.NEGATIVE_INFINITY, maxTimeMs: timeMs - 1 });
      return this.#encodedScratch();
    });
  }

  #find(timeMs: number): LateSample | undefined {
    const listed = this.#list.find((sample) => sample.timeMs === timeMs);
    if (listed !== undefined) return listed;
    const late = this.#chunks.find(
      ({ chunk, times }) => isTouching(chunk, timeMs, timeMs) && hasTime(times, timeMs),
    );
    return late === undefined ? undefined : this.#samplesOf(late).get(timeMs);
  }

  /** A body that is sent again asks for the samples of a chunk one after another. */
  #samplesOf(late: LateChunk): ReadonlyMap<number, LateSample> {
    if (this.#decoded?.late === late) return this.#decoded.samples;
    const samples = new Map<number, LateSample>();
    this.#scratch.clear();
    this.#scratch.addChunk(late.chunk);
    for (let i = 0; i < this.#scratch.length; i++) {
      const timeMs = this.#scratch.timeAt(i);
      const [low, high] = this.#scratch.wordsAt(i);
      samples.set(timeMs, { timeMs, low, high, histogram: this.#scratch.histogramAt(i) });
    }
    this.#decoded = { late, samples };
    return samples;
  }

  #encodedList(): LateChunk[] {
    if (this.#list.length === 0) return [];
    this.#scratch.clear();
    for (const { high, histogram, low, timeMs } of this.#list) {
      if (histogram === undefined) this.#scratch.push(timeMs, low, high);
      else this.#scratch.pushHistogram(timeMs, histogram);
    }
    return this.#encodedScratch();
  }

  #encodedScratch(): LateChunk[] {
    const chunks: ChunkBytes[] = [];
    this.#scratch.encode(chunks);
    const times = Float64Array.from({ length: this.#scratch.length }, (_, i) =>
      this.#scratch.timeAt(i),
    );
    return chunks.map((chunk) => {
      const from = this.#scratch.countBefore(chunk.minTimeMs);
      const to = this.#scratch.countBefore(chunk.maxTimeMs + 1);
      return { chunk, times: times.slice(from, to) };
    });
  }
}

function isTouching(chunk: ChunkBytes, minTimeMs: number, maxTimeMs: number): boolean {
  return chunk.minTimeMs <= maxTimeMs && chunk.maxTimeMs >= minTimeMs;
}

/** Whether times that rise have one. */
function hasTime(times: Float64Array, timeMs: number): boolean {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle]! < timeMs) low = middle + 1;
    else high = middle;
  }
  return times[low] === timeMs;
}
