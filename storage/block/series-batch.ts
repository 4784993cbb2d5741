/**
 * Series of a block that are read together: their entries are decoded once, and both what must be fetched and the answer
 * come from them. A batch ends when it has enough chunks, so a block of any length fits.
 *
 *   refs  ├──── SERIES_MAX, whose entries are fetched at once ────┤
 *         ├─ batch ─┤├─ batch ─┤…   decode ─► fetch the chunks ─► write frames
 */
import type { TimeRange } from '../../model/sample.ts';
import type { Pacer } from '../pacer.ts';
import type { BlockReader } from './block-reader.ts';
import { type SeriesEntry, createSeriesEntry } from './series-reader.ts';

export const BATCH_SERIES_MAX = 1024;
const BATCH_CHUNKS_MAX = 8192;
/** What decoding an entry costs, in units of the pacer. */
const ENTRY_UNITS = 6;

export interface BatchOptions {
  readonly reader: BlockReader;
  readonly pacer: Pacer;
  /** Chunks outside it are left out. */
  readonly range: TimeRange;
  /** May leave chunks out; false: nothing of the series is wanted. */
  readonly takes: (entry: SeriesEntry) => boolean;
}

export class SeriesBatch {
  readonly #options: BatchOptions;
  /** As many as any batch needed: entries are used again. */
  readonly #pool: SeriesEntry[] = [];

  constructor(options: BatchOptions) {
    this.#options = options;
  }

  /**
   * Reads series from number `from` of `refs` on; how many it looked at, one at least. Those that are wanted are in
   * `into`, valid until the next call. Throws `block.corrupt`.
   */
  async read(refs: Uint32Array, from: number, into: SeriesEntry[]): Promise<number> {
    const { pacer, range, reader, takes } = this.#options;
    const { index } = reader;
    into.length = 0;
    let chunkCount = 0;
    let at = from;
    for (; at < refs.length && chunkCount < BATCH_CHUNKS_MAX; at++) {
      const entry = (this.#pool[into.length] ??= createSeriesEntry());
      const ref = refs[at]!;
      if (!index.tryReadSeries(ref, entry, range)) await index.readSeries(ref, entry, range);
      if (pacer.spend(ENTRY_UNITS)) await pacer.pause();
      if (!takes(entry)) continue;
      chunkCount += entry.chunkRefs.length;
      into.push(entry);
    }
    return at - from;
  }
}
