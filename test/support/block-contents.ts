/**
 * Blocks for tests: series with samples written through `cutBlock`, and everything a block has read back,
 * both as the same plain lines, which are also what `promtool tsdb dump` prints.
 */
import { formatGeneral } from '../../model/number-text.ts';
import { type Labels, compareLabels } from '../../model/labels.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { Disk } from '../../platform/platform.ts';
import { BlockReader } from '../../storage/block/block-reader.ts';
import { diskBlockFiles } from '../../storage/block/byte-source.ts';
import { type SourceSeries, cutBlock } from '../../storage/block/cut.ts';
import { SeriesSamples } from '../../storage/block/series-samples.ts';
import { CHUNK_XOR } from '../../storage/block/format.ts';
import { createSeriesEntry } from '../../storage/block/series-reader.ts';
import type { ChunkBytes } from '../../storage/block/format.ts';
import type { BlockMeta } from '../../storage/block/meta.ts';
import { type BlockId, parseBlockId } from '../../storage/block/ulid.ts';
import { Pacer } from '../../storage/pacer.ts';
import { FakeClock } from './fake-clock.ts';

export interface TestSample {
  readonly timeMs: number;
  readonly bits: bigint;
}

export interface TestSeries {
  readonly labels: Labels;
  readonly samples: readonly TestSample[];
}

export const bitsOf = (value: number): bigint =>
  new BigUint64Array(new Float64Array([value]).buffer)[0]!;

/** A valid block name from a small number. */
export function testBlockId(n: number): BlockId {
  const id = parseBlockId(`01HZ${String(n).padStart(22, '0')}`);
  if (id === undefined) throw new Error('not an id');
  return id;
}

/** XOR chunks of samples, cut at so many. */
export function chunksOf(samples: readonly TestSample[], perChunk = 120): ChunkBytes[] {
  const chunks: ChunkBytes[] = [];
  const columns = new SeriesSamples();
  for (let from = 0; from < samples.length; from += perChunk) {
    columns.clear();
    for (const { bits, timeMs } of samples.slice(from, from + perChunk)) {
      columns.push(timeMs, Number(bits & 0xffff_ffffn), Number(bits >> 32n));
    }
    columns.encode(chunks);
  }
  return chunks;
}

/** Writes a block of `series` (any order) into `directory`. */
export async function writeTestBlock(
  disk: Disk,
  directory: string,
  id: BlockId,
  series: readonly TestSeries[],
  range: TimeRange,
  options: { readonly perChunk?: number; readonly chunkSegmentBytesMax?: number } = {},
): Promise<BlockMeta | undefined> {
  const sorted = [...series].sort((a, b) => compareLabels(a.labels, b.labels));
  return cutBlock(
    { disk, directory, id, pacer: new Pacer(new FakeClock()), ...options },
    {
      symbols: () => sorted.flatMap(({ labels }) => labels),
      series: () =>
        sorted.map(({ labels, samples }): SourceSeries => ({
          labels,
          chunks: chunksOf(samples, options.perChunk),
        })),
    },
    range,
  );
}

/** All series of a block, in its order, each with its samples. */
export async function readTestBlock(
  disk: Disk,
  directory: string,
  id: BlockId,
): Promise<TestSeries[]> {
  const reader = await BlockReader.open(diskBlockFiles(disk, directory, id));
  try {
    return await seriesOfBlock(reader);
  } finally {
    await reader.close();
  }
}

export async function seriesOfBlock(reader: BlockReader): Promise<TestSeries[]> {
  const found: TestSeries[] = [];
  const entry = createSeriesEntry();
  for (const ref of await reader.select([])) {
    await reader.index.readSeries(ref, entry);
    const labels = await reader.labels(entry);
    const columns = new SeriesSamples();
    for (const chunkRef of entry.chunkRefs) {
      const { data, encoding } = await reader.readChunk(chunkRef);
      if (encoding !== CHUNK_XOR) throw new Error(`encoding ${encoding}`);
      const chunk = { bytes: data, encoding, from: 0, to: data.length };
      if (!columns.addChunk(chunk)) throw new Error('a chunk that does not decode');
    }
    found.push({ labels, samples: samplesOf(columns) });
  }
  return found;
}

export function samplesOf(columns: SeriesSamples): TestSample[] {
  return Array.from({ length: columns.length }, (_, i) => {
    const [low, high] = columns.wordsAt(i);
    return { timeMs: columns.timeAt(i), bits: (BigInt(high) << 32n) | BigInt(low) };
  });
}

/** One line a sample as `promtool tsdb dump` prints it, sorted. */
export function dumpLines(series: readonly TestSeries[]): string[] {
  return series
    .flatMap(({ labels, samples }) => {
      const pairs: string[] = [];
      for (let i = 0; i < labels.length; i += 2) {
        const name = labels[i]!;
        const shown = /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : JSON.stringify(name);
        pairs.push(`${shown}=${JSON.stringify(labels[i + 1]!)}`);
      }
      const set = `{${pairs.join(', ')}}`;
      return samples.map(({ bits, timeMs }) => `${set} ${formatGeneral(valueOf(bits))} ${timeMs}`);
    })
    .sort();
}

function valueOf(bits: bigint): number {
  return new Float64Array(new BigUint64Array([bits]).buffer)[0]!;
}
