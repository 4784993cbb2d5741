/**
 * Series of a block into frames: what deletions left of their chunks, the labels that were asked for.
 */
import type { TimeRange } from '../../model/sample.ts';
import { StarlingError } from '../../model/errors.ts';
import { LabelProjector, encodeLabels } from '../../model/wire/labels-codec.ts';
import { SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { AGGREGATES_OF, pickAggregates } from '../chunk/aggregate-chunk.ts';
import type { DeletedRefs } from '../deletion/deletion.ts';
import { type SelectHints, isInPart } from '../head/select.ts';
import { type ChunkPlace, createChunkPlace } from './chunk-segment-reader.ts';
import { CHUNK_AGGREGATES, type ChunkBytes, isDecodable } from './format.ts';
import { ChunkMerger, UndecodableChunk } from './merge-chunks.ts';
import type { BlockSelection } from './block-selection.ts';
import type { SeriesEntry } from './series-reader.ts';
import { joinRanges } from './tombstones.ts';

/** Whether each of these chunks lies in one deleted range. */
function isCovered(
  { chunkMaxTimes, chunkMinTimes }: SeriesEntry,
  deleted: readonly TimeRange[],
): boolean {
  if (deleted.length === 0) return false;
  for (let i = 0; i < chunkMinTimes.length; i++) {
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

export class BlockSeriesPutter {
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

  /** Leaves in an entry the chunks that are to be read. False: there is nothing of it to write. */
  takes(entry: SeriesEntry): boolean {
    const { chunkMaxTimes, chunkMinTimes, chunkRefs } = entry;
    if (chunkRefs.length === 0) return false;
    const deleted = this.#deletedOf(entry.ref);
    const isNewestOnly = this.#hints?.newestOnly === true && deleted.length === 0;
    if (isNewestOnly && chunkRefs.length > 1) {
      for (const column of [chunkMaxTimes, chunkMinTimes, chunkRefs])
        column.splice(0, column.length - 1);
    }
    return !isCovered(entry, deleted);
  }

  /** Hot: as `put` where all bytes are at hand; false: nothing was written, ask `put`. */
  tryPut(entry: SeriesEntry): boolean {
    const { reader } = this.#selection;
    const length = reader.fields.tryEncode(entry.symbols);
    if (length < 0) return false;
    const labels = reader.fields.scratch.subarray(0, length);
    if (!this.#isInPart(labels)) return true;
    const chunks = this.#scratchChunks;
    chunks.length = 0;
    if (this.#hints !== undefined) {
      for (let i = 0; i < entry.chunkRefs.length; i++) {
        const place = (this.#places[i] ??= emptyPlace());
        if (!reader.tryPlaceChunk(entry.chunkRefs[i]!, place)) return false;
        place.minTimeMs = entry.chunkMinTimes[i]!;
        place.maxTimeMs = entry.chunkMaxTimes[i]!;
        chunks.push(place);
      }
    }
    this.#write(labels, chunks, this.#deletedOf(entry.ref));
    return true;
  }

  /** Writes a series that `takes` left something of. */
  async put(entry: SeriesEntry): Promise<void> {
    const { reader } = this.#selection;
    const length = reader.fields.tryEncode(entry.symbols);
    const labels =
      length < 0
        ? encodeLabels(await reader.labels(entry))
        : reader.fields.scratch.slice(0, length); // others write to it meanwhile
    const chunks: PlacedChunk[] = [];
    if (this.#hints !== undefined && this.#isInPart(labels)) {
      for (let i = 0; i < entry.chunkRefs.length; i++) {
        const ref = entry.chunkRefs[i]!;
        const { data, encoding } = reader.peekChunk(ref) ?? (await reader.readChunk(ref));
        const [minTimeMs, maxTimeMs] = [entry.chunkMinTimes[i]!, entry.chunkMaxTimes[i]!];
        chunks.push({ encoding, minTimeMs, maxTimeMs, bytes: data, from: 0, to: data.length });
      }
    }
    if (this.#isInPart(labels)) this.#write(labels, chunks, this.#deletedOf(entry.ref));
  }

  /** Whether the series is in the part that was asked for. Leaves its fingerprint behind. */
  #isInPart(labels: Uint8Array): boolean {
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
