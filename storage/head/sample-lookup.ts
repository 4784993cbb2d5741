/**
 * Looks up what a series holds at a time that is not its newest: the cold side of an append, taken when
 * a body is sent again. The chunk that covers the time is decoded into scratch columns and kept there,
 * so that the samples of a retry, which come in order, decode each chunk once, and read it once if it is in a file.
 *
 * Invariant: the scratch holds the chunk that `#ref`, `#minTimeMs` and `#count` name. Chunks grow at their
 * end and refs are never used again, so what the three name cannot change; who puts a sample into a chunk
 * calls `forget`.
 */
import type { Arena } from '../chunk/arena.ts';
import { decodeXor, xorSampleCount } from '../chunk/xor-decode.ts';
import { type ChunkTable, IN_ARENA } from './chunk-table.ts';
import { NO_CHUNK, type SeriesTable } from './series-table.ts';

/** Of a head. */
export interface LookupTables {
  readonly series: SeriesTable;
  readonly chunks: ChunkTable;
  readonly arena: Arena;
}

interface ChunkToDecode {
  readonly ref: number;
  readonly minTimeMs: number;
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly byteLength: number;
}

export class SampleLookup {
  readonly #series: SeriesTable;
  readonly #chunks: ChunkTable;
  readonly #arena: Arena;
  readonly #readFiled: (chunk: number) => Uint8Array | undefined;
  #timestamps = new Float64Array(0);
  #values = new Uint32Array(0);
  #ref = -1;
  #minTimeMs = 0;
  #count = 0;

  /** `readFiled` gives the bytes of a chunk that is in a file; undefined: they cannot be read. */
  constructor(
    { arena, chunks, series }: LookupTables,
    readFiled: (chunk: number) => Uint8Array | undefined,
  ) {
    this.#series = series;
    this.#chunks = chunks;
    this.#arena = arena;
    this.#readFiled = readFiled;
  }

  /** The series must be settled. True or false: a sample at this time has these bits, or others. Undefined: there is none. */
  compare(s: number, timeMs: number, low: number, high: number): boolean | undefined {
    if (!this.#loadChunkAt(s, timeMs)) return undefined;
    const at = this.#indexOf(timeMs);
    if (at < 0) return undefined;
    return this.#values[at * 2] === low && this.#values[at * 2 + 1] === high;
  }

  /** A chunk was changed. */
  forget(): void {
    this.#ref = -1;
  }

  /** Loads the only chunk that can hold the time. False: none does. */
  #loadChunkAt(s: number, timeMs: number): boolean {
    const { xor, openCapacity, openHandle, openMinTime } = this.#series;
    if (openCapacity[s]! > 0 && timeMs >= openMinTime[s]!) {
      return this.#load(s, openMinTime[s]!, openHandle[s]!, (xor.bitLength[s]! + 7) >>> 3);
    }
    const { byteLength, handle, maxTime, minTime, older } = this.#chunks;
    let c = this.#series.newestChunk[s]!;
    while (c !== NO_CHUNK && minTime[c]! > timeMs) c = older[c]!;
    if (c === NO_CHUNK || maxTime[c]! < timeMs) return false;
    if (this.#chunks.file[c] !== IN_ARENA) return this.#loadFiled(s, c);
    return this.#load(s, minTime[c]!, handle[c]!, byteLength[c]!);
  }

  #load(s: number, minTimeMs: number, handle: number, byteLength: number): boolean {
    const bytes = this.#arena.slab(handle);
    const offset = this.#arena.offset(handle);
    const count = xorSampleCount(bytes, offset);
    const ref = this.#series.refs[s]!;
    if (ref === this.#ref && minTimeMs === this.#minTimeMs && count === this.#count) return true;
    return this.#decode({ ref, minTimeMs, bytes, offset, byteLength });
  }

  /** It does not change, so its time tells it. */
  #loadFiled(s: number, c: number): boolean {
    const ref = this.#series.refs[s]!;
    const minTimeMs = this.#chunks.minTime[c]!;
    if (ref === this.#ref && minTimeMs === this.#minTimeMs) return true;
    const bytes = this.#readFiled(c);
    if (bytes === undefined) return false;
    const byteLength = this.#chunks.byteLength[c]!;
    return this.#decode({ ref, minTimeMs, bytes, offset: 0, byteLength });
  }

  #decode({ byteLength, bytes, minTimeMs, offset, ref }: ChunkToDecode): boolean {
    const count = xorSampleCount(bytes, offset);
    if (this.#timestamps.length < count) {
      this.#timestamps = new Float64Array(count);
      this.#values = new Uint32Array(count * 2);
    }
    this.#ref = ref;
    this.#minTimeMs = minTimeMs;
    const end = decodeXor(bytes, offset, byteLength, this.#timestamps, this.#values, 0);
    this.#count = Math.max(end, 0);
    return end > 0;
  }

  /** Binary search; -1 when the chunk has no sample at the time. */
  #indexOf(timeMs: number): number {
    let from = 0;
    let to = this.#count;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#timestamps[middle]! < timeMs) from = middle + 1;
      else to = middle;
    }
    return from < this.#count && this.#timestamps[from] === timeMs ? from : -1;
  }
}
