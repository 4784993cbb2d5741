/**
 * A head as the source of a block: its series in label order, with their chunks that touch a range, without what its
 * tombstones list.
 *
 * The head is appended to meanwhile. What may be read anyway: nothing before the end of the range is
 * appended any more (the TSDB sees to that) and nothing is dropped while a cut runs, so closed chunks
 * stay where they are; what moves is copied: an open chunk, when it grows or closes, and a chunk that goes
 * on after the range, when a sample out of order is put into it.
 */
import { assert } from '../../model/assert.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { LoadingSource, SourceSeries } from '../block/cut.ts';
import { CHUNK_XOR, type ChunkBytes } from '../block/format.ts';
import { ChunkMerger } from '../block/merge-chunks.ts';
import { SeriesSamples } from '../block/series-samples.ts';
import { type Pacer, sortPaced } from '../pacer.ts';
import type { Head } from './head.ts';
import { compareLabelBytes } from './label-order.ts';
import { ChunkLoader } from './chunk-loader.ts';
import { IN_ARENA } from './chunk-table.ts';
import { NO_CHUNK } from './series-table.ts';

/** The series of `head` with data in the closed range, as a source for `cutBlock`. */
export async function openHeadSource(
  head: Head,
  range: TimeRange,
  pacer: Pacer,
): Promise<LoadingSource> {
  const numbers = new Uint32Array(head.series.count);
  let count = 0;
  for (let s = 0; s < head.series.length && count < numbers.length; s++) {
    if (head.series.alive.has(s) && head.overlaps(s, range.minTimeMs, range.maxTimeMs)) {
      numbers[count++] = s;
    }
    if (pacer.spend(1)) await pacer.pause();
  }
  const inOrder = await sortPaced(
    numbers.subarray(0, count),
    (a, b) => compareSeries(head, a, b),
    pacer,
  );
  return {
    symbols: () => symbolsOf(head),
    series: () => seriesOf(head, inOrder, range),
  };
}

function compareSeries(head: Head, a: number, b: number): number {
  const { arena, series } = head;
  const aHandle = series.labelHandle[a]!;
  const bHandle = series.labelHandle[b]!;
  const aFrom = arena.offset(aHandle);
  const bFrom = arena.offset(bHandle);
  return compareLabelBytes(
    arena.slab(aHandle),
    aFrom,
    aFrom + series.labelLength[a]!,
    arena.slab(bHandle),
    bFrom,
    bFrom + series.labelLength[b]!,
  );
}

/** Of every series, also those without data in the range: symbols that nobody uses do no harm. */
function* symbolsOf(head: Head): Generator<string, void> {
  for (const name of head.postings.names()) {
    yield name;
    yield* head.postings.eachValue(name);
  }
}

function* seriesOf(
  head: Head,
  inOrder: Uint32Array,
  range: TimeRange,
): Generator<Promise<void> | SourceSeries, void> {
  const deleter = new ChunkMerger();
  const loader = new ChunkLoader(head, range);
  for (let i = 0; i < inOrder.length; i++) {
    const s = inOrder[i]!;
    while (!loader.has(s)) {
      loader.load(inOrder, i);
      if (loader.loading !== undefined) yield loader.loading;
    }
    const deleted = head.tombstones.of(s);
    const chunks = chunksOf(head, s, range, loader);
    yield {
      labels: head.labelsOf(s),
      chunks: deleted === undefined ? chunks : deleter.merge(chunks, deleted),
    };
  }
}

/** The chunks that touch the range, oldest first and apart, late samples merged in. What is in files the loader has. */
export function chunksOf(
  head: Head,
  s: number,
  { maxTimeMs, minTimeMs }: TimeRange,
  loader: ChunkLoader,
): ChunkBytes[] {
  const { arena, chunks, series } = head;
  const found: ChunkBytes[] = [];
  const isOpen = head.completeOpenChunk(s);
  const lastMs = series.recent.newestTime(s);
  if (isOpen && series.openMinTime[s]! <= maxTimeMs && lastMs >= minTimeMs) {
    const handle = series.openHandle[s]!;
    const from = arena.offset(handle);
    const to = (series.xor.bitLength[s]! + 7) >>> 3;
    const bytes = arena.slab(handle).slice(from, from + to);
    const openMinMs = series.openMinTime[s]!;
    found.push(xorChunk(openMinMs, lastMs, bytes, 0, to));
  }
  for (let c = series.newestChunk[s]!; c !== NO_CHUNK; c = chunks.older[c]!) {
    const lastOfChunk = chunks.maxTime[c]!;
    const firstOfChunk = chunks.minTime[c]!;
    if (lastOfChunk < minTimeMs) break;
    if (firstOfChunk > maxTimeMs) continue;
    const handle = chunks.handle[c]!;
    const length = chunks.byteLength[c]!;
    if (chunks.file[c] !== IN_ARENA) {
      const loaded = loader.find(c);
      assert(loaded !== undefined, 'head: a chunk that was not loaded');
      const { bytes, from } = loaded;
      found.push(xorChunk(firstOfChunk, lastOfChunk, bytes, from, from + length));
      continue;
    }
    const bytes = arena.slab(handle);
    const from = arena.offset(handle);
    const moves = lastOfChunk > maxTimeMs;
    found.push(
      moves
        ? xorChunk(firstOfChunk, lastOfChunk, bytes.slice(from, from + length), 0, length)
        : xorChunk(firstOfChunk, lastOfChunk, bytes, from, from + length),
    );
  }
  found.reverse();
  if (!head.histograms.has(s)) return found;
  found.push(...head.histograms.chunks(s, minTimeMs, maxTimeMs));
  const late = head.histograms.lateChunks(s, minTimeMs, maxTimeMs);
  if (late.length === 0) return found.sort((a, b) => a.minTimeMs - b.minTimeMs);
  return encodedAnew([...found, ...late]).filter(
    (chunk) => chunk.minTimeMs <= maxTimeMs && chunk.maxTimeMs >= minTimeMs,
  );
}

/**
 * Not only what overlaps: what a chunk says of counter resets before it goes by the sample before it. Where the
 * new chunks begin and end has nothing to do with the old ones.
 */
function encodedAnew(chunks: readonly ChunkBytes[]): ChunkBytes[] {
  const samples = new SeriesSamples();
  for (const chunk of chunks) {
    const isWhole = samples.addChunk(chunk);
    assert(isWhole, 'head: a chunk that does not decode');
  }
  const merged: ChunkBytes[] = [];
  samples.encode(merged);
  return merged;
}

function xorChunk(
  minTimeMs: number,
  maxTimeMs: number,
  bytes: Uint8Array,
  from: number,
  to: number,
): ChunkBytes {
  return { encoding: CHUNK_XOR, minTimeMs, maxTimeMs, bytes, from, to };
}
