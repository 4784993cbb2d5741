/**
 * Reads and decodes the chunks of a block one after another, and says what is wrong with each. Memory: the
 * samples of one chunk.
 */
import type { TimeRange } from '../../model/sample.ts';
import { uvarintLength } from '../../model/wire/varint.ts';
import type { ChunkSegmentReader, RawChunk } from '../block/chunk-segment-reader.ts';
import {
  CHUNKS_HEADER_BYTES,
  CHUNK_AGGREGATES,
  CHUNK_XOR,
  CRC_BYTES,
  chunkRefFile,
  chunkRefOffset,
  chunkSampleCount,
  isDecodable,
} from '../block/format.ts';
import { SeriesSamples } from '../block/series-samples.ts';
import { spanOfAggregates } from '../merge/decode-aggregates.ts';
import { blockChunksName } from '../filenames.ts';
import type { Pacer } from '../pacer.ts';
import { type FindingId, damageOf } from './findings.ts';

/** What is wrong with one chunk. */
export interface ChunkFault {
  readonly id: FindingId;
  readonly what: string;
}

/** A chunk as the index has it. */
export interface IndexedChunk extends TimeRange {
  readonly ref: number;
}

const READ_UNITS = 8;
/** Of one sample that is decoded. */
const SAMPLE_UNITS = 0.2;
/** A window has some eight numbers. */
const AGGREGATE_UNITS = 8;

export class ChunkChecker {
  /** The samples of the chunk that was checked last, if it decoded. */
  readonly samples = new SeriesSamples();
  floatSampleCount = 0;
  histogramSampleCount = 0;
  /** Windows of chunks of aggregates. */
  windowCount = 0;
  /** Bytes of the chunks that were found, their frames included. */
  byteCount = 0;
  readonly #chunks: ChunkSegmentReader;
  readonly #pacer: Pacer;
  readonly #isShallow: boolean;
  /** Of the chunk of aggregates that was read last, if it was one. */
  #span: TimeRange | undefined;

  /** `isShallow`: checksums only, samples are counted and not decoded. */
  constructor(chunks: ChunkSegmentReader, pacer: Pacer, isShallow = false) {
    this.#chunks = chunks;
    this.#pacer = pacer;
    this.#isShallow = isShallow;
  }

  /** Bytes of the chunk files that no chunk took. */
  get unreferencedBytes(): number {
    const { fileCount, sizeBytes } = this.#chunks;
    return sizeBytes - fileCount * CHUNKS_HEADER_BYTES - this.byteCount;
  }

  /** The chunk, or what keeps it from being used. */
  async read(chunk: IndexedChunk): Promise<ChunkFault | RawChunk> {
    if (this.#pacer.spend(READ_UNITS)) await this.#pacer.pause();
    let raw: RawChunk;
    try {
      raw = this.#chunks.peek(chunk.ref) ?? (await this.#chunks.read(chunk.ref));
    } catch (thrown) {
      return { id: 'chunk.unreadable', what: damageOf(thrown).what };
    }
    const { data, encoding } = raw;
    this.byteCount += uvarintLength(data.length) + 1 + data.length + CRC_BYTES;
    this.#span = undefined;
    if (encoding === CHUNK_AGGREGATES) return this.#checkAggregates(raw);
    if (!isDecodable(encoding)) {
      return { id: 'chunk.encoding', what: `the chunk has encoding ${encoding}` };
    }
    const { samples } = this;
    samples.clear();
    const count = data.length < 2 ? 0 : (data[0]! << 8) | data[1]!;
    if (!this.#isShallow) {
      const isWhole = samples.addChunk({ bytes: data, encoding, from: 0, to: data.length });
      if (!isWhole || samples.length !== count) {
        return { id: 'chunk.samples', what: `the ${count} samples of a chunk do not decode` };
      }
    }
    if (count === 0) return { id: 'chunk.samples', what: 'the chunk has no sample' };
    if (encoding === CHUNK_XOR) this.floatSampleCount += count;
    else this.histogramSampleCount += count;
    if (this.#pacer.spend(count * SAMPLE_UNITS)) await this.#pacer.pause();
    return raw;
  }

  async #checkAggregates(raw: RawChunk): Promise<ChunkFault | RawChunk> {
    const { data, encoding } = raw;
    this.#span = spanOfAggregates(data);
    if (this.#span === undefined) {
      return { id: 'chunk.samples', what: 'the aggregates of a chunk do not decode' };
    }
    const count = chunkSampleCount({
      ...this.#span,
      encoding,
      bytes: data,
      from: 0,
      to: data.length,
    });
    this.windowCount += count;
    if (this.#pacer.spend(count * SAMPLE_UNITS * AGGREGATE_UNITS)) await this.#pacer.pause();
    return raw;
  }

  /** What is wrong with the times of the chunk that `read` gave. `range` is the block's, closed. */
  timeFaults({ maxTimeMs, minTimeMs }: IndexedChunk, range: TimeRange | undefined): ChunkFault[] {
    const { maxTimeMs: addedMaxMs, minTimeMs: addedMinMs } = this.#span ?? {
      maxTimeMs: this.samples.addedMaxMs,
      minTimeMs: this.samples.addedMinMs,
    };
    const faults: ChunkFault[] = [];
    if (this.#isShallow) return faults;
    if (addedMinMs !== minTimeMs || addedMaxMs !== maxTimeMs) {
      const said = `${minTimeMs} to ${maxTimeMs}`;
      const what = `the index says ${said}, its samples are ${addedMinMs} to ${addedMaxMs}`;
      faults.push({ id: 'chunk.times', what });
    }
    if (range !== undefined && (addedMinMs < range.minTimeMs || addedMaxMs > range.maxTimeMs)) {
      const block = `${range.minTimeMs} to ${range.maxTimeMs}`;
      const what = `its samples are ${addedMinMs} to ${addedMaxMs}, the block is ${block}`;
      faults.push({ id: 'chunk.outside', what });
    }
    return faults;
  }
}

export function isFaultOfChunk(found: ChunkFault | RawChunk): found is ChunkFault {
  return 'id' in found;
}

/** Where a chunk reference points: the file below the block, and the offset. */
export function placeOfChunk(ref: number): { readonly file: string; readonly offset: number } {
  return { file: blockChunksName(chunkRefFile(ref) + 1), offset: chunkRefOffset(ref) };
}
