/**
 * The native histograms of a head, beside its floats: only series that have some are known here, each with
 * its closed chunks, oldest first, and an encoder for the open one.
 *
 *   series s   floats      ▐██▌▐███▌            ▐██░
 *              histograms            ▐███▌▐██▌        chunks of both kinds never overlap
 *              late             ·     ·   ·           what came out of order (late-samples.ts)
 *
 * Invariant: chunks of a series, those of late samples aside, rise and are apart. The head closes its float chunk before a histogram
 * comes, and tells the time of a newer float, so that the open chunk here ends before it. Bytes of closed
 * chunks never change; those of the open one are copied for whoever reads them.
 */
import { type HistogramSample, equalSamples } from '../../model/histogram-sample.ts';
import { CHUNK_FLOAT_HISTOGRAM, CHUNK_HISTOGRAM, type ChunkBytes } from '../block/format.ts';
import { decodeHistogramChunk } from '../chunk/histogram-decode.ts';
import { HistogramChunkWriter } from '../chunk/histogram-encode.ts';
import { SeriesSamples } from '../block/series-samples.ts';
import { type LateSample, LateSamples } from './late-samples.ts';

/** A chunk is cut before it is larger, if it has as many samples as `SAMPLES_PER_CHUNK_MIN`. */
const CHUNK_BYTES_TARGET = 4096;
const SAMPLES_PER_CHUNK_MIN = 10;

interface Chain {
  readonly closed: ChunkBytes[];
  open: HistogramChunkWriter | undefined;
  late: LateSamples | undefined;
  /** The open chunk takes no sample from this time on. */
  cutTimeMs: number;
  /** Never of the open chunk, which goes on. */
  decoded: Decoded | undefined;
}

/** The chunk of `closed` that was decoded last, and its samples by time. */
interface Decoded {
  readonly chunk: ChunkBytes;
  readonly samples: ReadonlyMap<number, HistogramSample>;
}

export class HistogramChains {
  readonly #chains = new Map<number, Chain>();
  readonly #scratch = new SeriesSamples();

  /** How many series have histograms. */
  get size(): number {
    return this.#chains.size;
  }

  has(s: number): boolean {
    return this.#chains.size > 0 && this.#chains.has(s);
  }

  /** Whether some samples of the series wait out of order. */
  hasLate(s: number): boolean {
    return this.#chains.size > 0 && this.#chains.get(s)?.late !== undefined;
  }

  /** How many chunks are closed. */
  get chunkCount(): number {
    let count = 0;
    for (const { closed, late } of this.#chains.values()) {
      count += closed.length + (late?.chunkCount ?? 0);
    }
    return count;
  }

  oldestTime(s: number): number {
    const chain = this.#chains.get(s);
    const inOrderMs = chain?.closed[0]?.minTimeMs ?? chain?.open?.minTimeMs;
    const lateMs = chain?.late?.oldestTimeMs ?? Number.POSITIVE_INFINITY;
    return Math.min(inOrderMs ?? Number.POSITIVE_INFINITY, lateMs);
  }

  /**
   * Appends a sample that is newer than all of the series. `newestMs` is the time of the one before it, of
   * whatever kind; `cutTime` gives the end of a chunk that begins with the sample.
   */
  append(
    s: number,
    timeMs: number,
    sample: HistogramSample,
    newestMs: number,
    cutTime: () => number,
  ): void {
    const chain = this.#chainOf(s);
    const { open } = chain;
    const isFull =
      open !== undefined &&
      open.byteLength > CHUNK_BYTES_TARGET &&
      open.count >= SAMPLES_PER_CHUNK_MIN;
    const refusal = open?.refuses(sample);
    const isCut = isFull || timeMs >= chain.cutTimeMs || newestMs > (open?.lastTimeMs ?? newestMs);
    if (open !== undefined && refusal === undefined && !isCut) {
      open.append(timeMs, sample);
      return;
    }
    if (open !== undefined) chain.closed.push(chunkOf(open));
    const isGauge = sample.histogram.hint === 'gauge';
    const hint = isGauge ? 'gauge' : (refusal ?? (open === undefined ? 'unknown' : 'not_reset'));
    chain.open = new HistogramChunkWriter(timeMs, sample, hint);
    chain.cutTimeMs = cutTime();
  }

  /** Takes a sample that is older than the newest of the series, and of whose time there is none. */
  insert(s: number, sample: LateSample): void {
    const chain = this.#chainOf(s);
    chain.late ??= new LateSamples(this.#scratch);
    chain.late.insert(sample);
  }

  /** True or false: what is here at this time is equal, or another. Undefined: nothing is. */
  compare(s: number, sample: LateSample): boolean | undefined {
    const found = this.#sampleAt(s, sample.timeMs);
    if (found === undefined) return this.#chains.get(s)?.late?.compare(sample);
    return sample.histogram !== undefined && equalSamples(found, sample.histogram);
  }

  /** Chunks of late samples that touch the closed range; they may overlap, and others too. */
  lateChunks(s: number, minTimeMs: number, maxTimeMs: number): readonly ChunkBytes[] {
    return this.#chains.get(s)?.late?.chunks(minTimeMs, maxTimeMs) ?? [];
  }

  /** Chunks that touch the closed range, oldest first, late samples aside. The bytes hold as long as they are wanted. */
  chunks(s: number, minTimeMs: number, maxTimeMs: number): ChunkBytes[] {
    const chain = this.#chains.get(s);
    if (chain === undefined) return [];
    const found: ChunkBytes[] = [];
    for (const chunk of chain.closed) {
      if (chunk.maxTimeMs >= minTimeMs && chunk.minTimeMs <= maxTimeMs) found.push(chunk);
    }
    const { open } = chain;
    if (open !== undefined && open.lastTimeMs >= minTimeMs && open.minTimeMs <= maxTimeMs) {
      found.push(chunkOf(open));
    }
    return found;
  }

  overlaps(s: number, minTimeMs: number, maxTimeMs: number): boolean {
    const chain = this.#chains.get(s);
    if (chain === undefined) return false;
    const { closed, late, open } = chain;
    if (open !== undefined && open.lastTimeMs >= minTimeMs && open.minTimeMs <= maxTimeMs) {
      return true;
    }
    if (late?.overlaps(minTimeMs, maxTimeMs) === true) return true;
    return closed.some((chunk) => chunk.maxTimeMs >= minTimeMs && chunk.minTimeMs <= maxTimeMs);
  }

  /** Lets no open chunk go on past a time. */
  cutOpenChunks(timeMs: number): void {
    for (const chain of this.#chains.values()) {
      if (chain.cutTimeMs > timeMs) chain.cutTimeMs = timeMs;
    }
  }

  /** Drops chunks that end before a time; a series without any is forgotten. */
  dropBefore(s: number, timeMs: number): void {
    const chain = this.#chains.get(s);
    if (chain === undefined) return;
    const { closed } = chain;
    let count = 0;
    while (count < closed.length && closed[count]!.maxTimeMs < timeMs) count++;
    if (count > 0) closed.splice(0, count);
    chain.decoded = undefined;
    chain.late?.dropBefore(timeMs);
    if (chain.late?.isEmpty === true) chain.late = undefined;
    if (closed.length > 0 || chain.late !== undefined) return;
    if (chain.open === undefined || chain.open.lastTimeMs < timeMs) this.#chains.delete(s);
  }

  #chainOf(s: number): Chain {
    const known = this.#chains.get(s);
    if (known !== undefined) return known;
    const chain: Chain = {
      closed: [],
      open: undefined,
      late: undefined,
      cutTimeMs: Number.POSITIVE_INFINITY,
      decoded: undefined,
    };
    this.#chains.set(s, chain);
    return chain;
  }

  #sampleAt(s: number, timeMs: number): HistogramSample | undefined {
    const chain = this.#chains.get(s);
    if (chain === undefined) return undefined;
    if (chain.open?.lastTimeMs === timeMs) return chain.open.lastSample;
    const [chunk] = this.chunks(s, timeMs, timeMs);
    if (chunk === undefined) return undefined;
    // A body that is sent again asks for the samples of a chunk one after another.
    if (chain.decoded?.chunk === chunk) return chain.decoded.samples.get(timeMs);
    const { bytes, encoding, from, to } = chunk;
    const run = decodeHistogramChunk(bytes, from, to, encoding === CHUNK_FLOAT_HISTOGRAM);
    const samples = new Map<number, HistogramSample>();
    run?.samples.forEach((sample, i) => samples.set(run.timestamps[i]!, sample));
    const isOpen = chunk.minTimeMs === chain.open?.minTimeMs;
    if (!isOpen) chain.decoded = { chunk, samples };
    return samples.get(timeMs);
  }
}

function chunkOf(writer: HistogramChunkWriter): ChunkBytes {
  const bytes = writer.copy();
  const encoding = writer.isFloat ? CHUNK_FLOAT_HISTOGRAM : CHUNK_HISTOGRAM;
  const { lastTimeMs: maxTimeMs, minTimeMs } = writer;
  return { encoding, minTimeMs, maxTimeMs, bytes, from: 0, to: bytes.length };
}
