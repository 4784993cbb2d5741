/**
 * Reading a block as a head is read: series that match, with their chunks, as series frames. `undefined`
 * is a pause: the caller lets the loop turn. What was deleted is left out.
 */
import { StarlingError } from '../../model/errors.ts';
import { type CompiledMatcher, type Selectors, compileMatcher } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import { LabelProjector, encodeLabels } from '../../model/wire/labels-codec.ts';
import { SERIES_FRAME_BYTES_TARGET, SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { type SelectHints, isInPart } from '../head/select.ts';
import type { Pacer } from '../pacer.ts';
import type { BlockReader } from './block-reader.ts';
import { type ChunkPlace, createChunkPlace } from './chunk-segment-reader.ts';
import { AGGREGATES_OF, pickAggregates } from '../chunk/aggregate-chunk.ts';
import { CHUNK_AGGREGATES, type ChunkBytes, isDecodable } from './format.ts';
import { type SeriesEntry, createSeriesEntry } from './series-reader.ts';
import { compiledSelector } from '../deletion/compiled.ts';
import { DeletedRefs, type Deletion } from '../deletion/deletion.ts';
import { ChunkMerger, UndecodableChunk } from './merge-chunks.ts';
import { joinRanges } from './tombstones.ts';

/** What one series costs, roughly, in units of the pacer. */
const SERIES_UNITS = 20;
/** And looking for one deletion, at least. */
const DELETION_UNITS = 200;
/** So many series are prefetched together. */
const PREFETCH_SERIES = 1024;

export interface BlockSelection {
  readonly reader: BlockReader;
  readonly selectors: Selectors;
  readonly range: TimeRange;
  readonly pacer: Pacer;
  /** The tenant's fingerprint of canonical label bytes, four words. */
  readonly fingerprint: (labelBytes: Uint8Array, out: Uint32Array) => void;
  /** What of the tenant was deleted and can touch this read; absent: nothing. */
  readonly deletions?: readonly Deletion[] | undefined;
  /** For blocks that are far away: gets what reading these series will need, all at once. */
  readonly prefetch?: (refs: Uint32Array, withChunks: boolean) => Promise<void>;
}

/** Frames with chunks; without `hints`, of label sets only. */
export async function* selectBlockFrames(
  selection: BlockSelection,
  hints: SelectHints | undefined,
): AsyncGenerator<Uint8Array | undefined, void> {
  const { pacer, reader } = selection;
  const entry = createSeriesEntry();
  const refs = await matchingRefs(selection);
  const deleted =
    refs.length === 0 ? NONE_DELETED : await deletedRefs(reader, selection.deletions, pacer);
  const putter = new BlockSeriesPutter(selection, hints, deleted);
  for (let i = 0; i < refs.length; i++) {
    if (i % PREFETCH_SERIES === 0) {
      await selection.prefetch?.(refs.subarray(i, i + PREFETCH_SERIES), hints !== undefined);
    }
    const ref = refs[i]!;
    if (!reader.index.tryReadSeries(ref, entry)) await reader.index.readSeries(ref, entry);
    if (!putter.tryPut(entry)) await putter.put(entry);
    if (putter.writer.length >= SERIES_FRAME_BYTES_TARGET) yield putter.writer.finish();
    else if (pacer.spend(SERIES_UNITS)) {
      await pacer.pause();
      yield undefined;
    }
  }
  if (putter.writer.seriesCount > 0) yield putter.writer.finish();
}

/** Adds the names of labels that matching series have. */
export async function collectBlockNames(
  selection: BlockSelection,
  names: Set<string>,
): Promise<void> {
  const { reader, selectors } = selection;
  if (selectors.length === 0) for (const name of reader.labelNames()) names.add(name);
  else
    await eachSymbols(selection, async (symbol, i) => {
      if (i % 2 === 0) names.add(await textOf(reader, symbol));
    });
}

/** Adds the values of one label that matching series have. */
export async function collectBlockValues(
  selection: BlockSelection,
  name: string,
  values: Set<string>,
): Promise<void> {
  const { reader, selectors } = selection;
  if (selectors.length === 0) {
    for (const value of await reader.labelValues(name)) values.add(value);
    return;
  }
  let isWanted = false;
  await eachSymbols(selection, async (symbol, i) => {
    if (i % 2 === 0) isWanted = (await textOf(reader, symbol)) === name;
    else if (isWanted) values.add(await textOf(reader, symbol));
  });
}

/** Calls back for each name and value, in turn, of each series that matches. */
async function eachSymbols(
  selection: BlockSelection,
  use: (symbol: number, index: number) => Promise<void>,
): Promise<void> {
  const { pacer, reader } = selection;
  const entry = createSeriesEntry();
  const refs = await matchingRefs(selection);
  for (let at = 0; at < refs.length; at++) {
    if (at % PREFETCH_SERIES === 0) {
      await selection.prefetch?.(refs.subarray(at, at + PREFETCH_SERIES), false);
    }
    await reader.index.readSeries(refs[at]!, entry);
    for (let i = 0; i < entry.symbols.length; i++) await use(entry.symbols[i]!, i);
    if (pacer.spend(SERIES_UNITS)) await pacer.pause();
  }
}

async function textOf(reader: BlockReader, symbol: number): Promise<string> {
  const { symbols } = reader.index;
  return symbols.peekText(symbol) ?? symbols.text(symbol);
}

/** Series that any of the selectors matches, rising. */
function matchingRefs({ reader, selectors }: BlockSelection): Promise<Uint32Array> {
  if (selectors.length === 0) return reader.select([]);
  return selectAny(
    reader,
    selectors.map((matchers) => matchers.map(compileMatcher)),
  );
}

async function selectAny(
  reader: BlockReader,
  selectors: readonly (readonly CompiledMatcher[])[],
): Promise<Uint32Array> {
  if (selectors.length === 1) return reader.selectCompiled(selectors[0]!);
  const found = new Set<number>();
  for (const matchers of selectors) {
    for (const ref of await reader.selectCompiled(matchers)) found.add(ref);
  }
  return Uint32Array.from(found).sort();
}

const NONE_DELETED = new DeletedRefs([]);

/** What deletions take of a block's series; those that the block was made without have nothing in it. */
export async function deletedRefs(
  reader: BlockReader,
  deletions: readonly Deletion[] = [],
  pacer?: Pacer,
): Promise<DeletedRefs> {
  const { deletions: applied = [], maxTimeMs, minTimeMs } = reader.meta;
  const parts: { readonly refs: Uint32Array; readonly range: TimeRange }[] = [];
  for (const { id, range, selectors } of deletions) {
    if (range.minTimeMs >= maxTimeMs || range.maxTimeMs < minTimeMs) continue;
    if (applied.includes(id) || reader.isWithout(id)) continue;
    const refs = await selectAny(
      reader,
      selectors.map((one) => compiledSelector(one)),
    );
    if (refs.length === 0) reader.noteWithout(id);
    else parts.push({ refs, range });
    if (pacer?.spend(DELETION_UNITS) === true) await pacer.pause();
  }
  return parts.length === 0 ? NONE_DELETED : new DeletedRefs(parts);
}

/** Whether each of these chunks lies in one deleted range. */
function isCovered(
  { chunkMaxTimes, chunkMinTimes }: SeriesEntry,
  from: number,
  to: number,
  deleted: readonly TimeRange[],
): boolean {
  if (deleted.length === 0) return false;
  for (let i = from; i < to; i++) {
    const [first, last] = [chunkMinTimes[i]!, chunkMaxTimes[i]!];
    if (!deleted.some((one) => one.minTimeMs <= first && one.maxTimeMs >= last)) return false;
  }
  return true;
}

const NO_RANGES: readonly TimeRange[] = [];

/** A chunk in a page, or in bytes of its own. */
interface PlacedChunk extends ChunkPlace {
  minTimeMs: number;
  maxTimeMs: number;
}

function emptyPlace(): PlacedChunk {
  return { ...createChunkPlace(), minTimeMs: 0, maxTimeMs: 0 };
}

class BlockSeriesPutter {
  readonly writer: SeriesFrameWriter;
  readonly #selection: BlockSelection;
  readonly #hints: SelectHints | undefined;
  readonly #projector: LabelProjector | undefined;
  readonly #deleted: DeletedRefs;
  readonly #merger = new ChunkMerger();
  readonly #scratchFingerprint = new Uint32Array(4);
  /** The chunks of one series; the first of `#places`, which is as long as any series needed. */
  readonly #scratchChunks: PlacedChunk[] = [];
  readonly #places: PlacedChunk[] = [];

  constructor(selection: BlockSelection, hints: SelectHints | undefined, deleted: DeletedRefs) {
    this.#selection = selection;
    this.#deleted = deleted;
    this.#hints = hints;
    const projection = hints?.projection;
    this.#projector = projection === undefined ? undefined : new LabelProjector(projection);
    this.writer = new SeriesFrameWriter(projection !== undefined);
  }

  /** Hot: as `put` where all bytes are at hand; false: nothing was written, ask `put`. */
  tryPut(entry: SeriesEntry): boolean {
    const { reader } = this.#selection;
    const deleted = this.#deletedOf(entry.ref);
    const { from, to } = this.#overlap(entry, deleted.length === 0);
    if (from === to || isCovered(entry, from, to, deleted)) return true;
    const length = reader.fields.tryEncode(entry.symbols);
    if (length < 0) return false;
    const labels = reader.fields.scratch.subarray(0, length);
    if (!this.#takes(labels)) return true;
    const chunks = this.#scratchChunks;
    chunks.length = 0;
    if (this.#hints !== undefined) {
      for (let i = from; i < to; i++) {
        const place = (this.#places[i - from] ??= emptyPlace());
        if (!reader.tryPlaceChunk(entry.chunkRefs[i]!, place)) return false;
        place.minTimeMs = entry.chunkMinTimes[i]!;
        place.maxTimeMs = entry.chunkMaxTimes[i]!;
        chunks.push(place);
      }
    }
    this.#write(labels, chunks, deleted);
    return true;
  }

  /** Writes a series if it has data in the range. */
  async put(entry: SeriesEntry): Promise<void> {
    const { reader } = this.#selection;
    const deleted = this.#deletedOf(entry.ref);
    const { from, to } = this.#overlap(entry, deleted.length === 0);
    if (from === to || isCovered(entry, from, to, deleted)) return;
    const labels = encodeLabels(await reader.labels(entry));
    const chunks: PlacedChunk[] = [];
    if (this.#hints !== undefined && this.#takes(labels)) {
      for (let i = from; i < to; i++) {
        const ref = entry.chunkRefs[i]!;
        const { data, encoding } = reader.peekChunk(ref) ?? (await reader.readChunk(ref));
        const [minTimeMs, maxTimeMs] = [entry.chunkMinTimes[i]!, entry.chunkMaxTimes[i]!];
        chunks.push({ encoding, minTimeMs, maxTimeMs, bytes: data, from: 0, to: data.length });
      }
    }
    if (this.#takes(labels)) this.#write(labels, chunks, deleted);
  }

  /** Whether the series is in the part that was asked for. Leaves its fingerprint behind. */
  #takes(labels: Uint8Array): boolean {
    this.#selection.fingerprint(labels, this.#scratchFingerprint);
    const part = this.#hints?.part;
    return part === undefined || isInPart(this.#scratchFingerprint[3]!, part);
  }

  /** Writes a series whose fingerprint is there. */
  #write(labels: Uint8Array, chunks: readonly ChunkBytes[], deleted: readonly TimeRange[]): void {
    const left = this.#hints === undefined ? chunks : this.#whatIsLeft(chunks, deleted);
    if (this.#hints !== undefined && left.length === 0) return; // deleted between its chunks' ends
    const projector = this.#projector;
    const projected =
      projector === undefined ? labels.length : projector.project(labels, 0, labels.length);
    const bytes = projector?.scratch ?? labels;
    this.writer.putSeries(this.#scratchFingerprint, 0, bytes, 0, projected, left.length);
    for (const { bytes, encoding, from, maxTimeMs, minTimeMs, to } of left)
      this.writer.putChunk(minTimeMs, maxTimeMs, bytes, from, to - from, encoding);
  }

  /** Which of the series' chunks touch the range; with `newestOnly` the last of them. */
  #overlap(
    { chunkMaxTimes, chunkMinTimes }: SeriesEntry,
    isWhole: boolean,
  ): {
    readonly from: number;
    readonly to: number;
  } {
    const { maxTimeMs, minTimeMs } = this.#selection.range;
    let from = 0;
    while (from < chunkMaxTimes.length && chunkMaxTimes[from]! < minTimeMs) from++;
    let to = from;
    while (to < chunkMinTimes.length && chunkMinTimes[to]! <= maxTimeMs) to++;
    if (this.#hints?.newestOnly === true && isWhole && to > from) from = to - 1;
    return { from, to };
  }

  /** Ranges that are deleted, by the block's own tombstones or later; sorted and apart. */
  #deletedOf(ref: number): readonly TimeRange[] {
    const own = this.#selection.reader.tombstones.get(ref);
    const later = this.#deleted.isEmpty ? undefined : this.#deleted.of(ref);
    if (later === undefined) return own ?? NO_RANGES;
    return joinRanges([...(own ?? []), ...later]);
  }

  /** The chunks without what was deleted, and of aggregates those that were asked for. */
  #whatIsLeft(chunks: readonly ChunkBytes[], deleted: readonly TimeRange[]): readonly ChunkBytes[] {
    const { reader } = this.#selection;
    let hasAggregates = false;
    for (let i = 0; i < chunks.length; i++) {
      const { encoding } = chunks[i]!;
      this.#check(encoding);
      hasAggregates ||= encoding === CHUNK_AGGREGATES;
    }
    try {
      const merged = this.#merger.merge(chunks, deleted, reader.meta.resolutionMs);
      return hasAggregates ? merged.map((chunk) => this.#picked(chunk)) : merged;
    } catch (thrown) {
      if (thrown instanceof UndecodableChunk) throw reader.corruptChunk(thrown.message);
      throw thrown;
    }
  }

  /** Throws for what nobody could read. */
  #check(encoding: number): void {
    if (isDecodable(encoding)) return;
    const canPick = encoding === CHUNK_AGGREGATES && this.#hints?.value !== undefined;
    if (!canPick) throw this.#unsupported(encoding);
  }

  /** The chunk, of aggregates only those that were asked for. */
  #picked(chunk: ChunkBytes): ChunkBytes {
    const value = this.#hints?.value;
    if (chunk.encoding !== CHUNK_AGGREGATES || value === undefined) return chunk;
    const data = chunk.bytes.subarray(chunk.from, chunk.to);
    const bytes = pickAggregates(data, AGGREGATES_OF[value]);
    if (bytes === undefined)
      throw this.#selection.reader.corruptChunk('its aggregates do not part');
    return { ...chunk, bytes, from: 0, to: bytes.length };
  }

  #unsupported(encoding: number): StarlingError {
    const why = `it has chunks of encoding ${encoding}, this version answers floats (1) and histograms (2, 3) only`;
    const block = this.#selection.reader.meta.id;
    return new StarlingError('block.unsupported', { block, file: 'chunks', why });
  }
}
