/**
 * What a block is made of, from its meta.json and index: which labels have how many values and take how much,
 * how full chunks are. Samples are not read. Memory: one figure a label name and a bounded list of pairs.
 */
import { BlockReader } from '../block/block-reader.ts';
import type { BlockFiles } from '../block/byte-source.ts';
import type { BlockMeta } from '../block/meta.ts';
import type { Pacer } from '../pacer.ts';

export interface LabelFigures {
  readonly name: string;
  readonly valueCount: number;
  /** UTF-8 bytes of its values, each once. */
  readonly valueBytes: number;
  /** Series that have the label. */
  readonly seriesCount: number;
}

export interface PairFigures {
  readonly name: string;
  readonly value: string;
  readonly seriesCount: number;
}

export interface BlockStatistics {
  readonly meta: BlockMeta;
  readonly seriesCount: number;
  readonly symbolCount: number;
  /** Index and chunk files together. */
  readonly sizeBytes: number;
  /** By how many values they have, most first. */
  readonly labels: readonly LabelFigures[];
  /** The label pairs that most series have. */
  readonly topPairs: readonly PairFigures[];
}

const TOP_PAIRS = 20;
const PAIR_UNITS = 4;

/** Throws `block.*` for a block whose index does not hold: `verifyBlock` says more. */
export async function blockStatistics(files: BlockFiles, pacer: Pacer): Promise<BlockStatistics> {
  const reader = await BlockReader.open(files);
  try {
    const { postings, symbols } = reader.index;
    const labels: LabelFigures[] = [];
    let topPairs: PairFigures[] = [];
    for (const name of postings.names()) {
      const lists: (readonly [value: string, offset: number])[] = [];
      await postings.forEachValue(name, (value, offset) => {
        lists.push([value, offset]);
      });
      let [valueBytes, seriesCount] = [0, 0];
      for (const [value, offset] of lists) {
        const count = (await postings.list(offset, undefined)).length;
        valueBytes += Buffer.byteLength(value);
        seriesCount += count;
        topPairs.push({ name, value, seriesCount: count });
        if (topPairs.length > TOP_PAIRS * 50) topPairs = largest(topPairs);
        if (pacer.spend(PAIR_UNITS)) await pacer.pause();
      }
      labels.push({ name, valueCount: lists.length, valueBytes, seriesCount });
    }
    labels.sort((a, b) => b.valueCount - a.valueCount || (a.name < b.name ? -1 : 1));
    return {
      meta: reader.meta,
      seriesCount: (await postings.all()).length,
      symbolCount: symbols.count,
      sizeBytes: reader.sizeBytes,
      labels,
      topPairs: largest(topPairs),
    };
  } finally {
    await reader.close();
  }
}

function largest(pairs: readonly PairFigures[]): PairFigures[] {
  return [...pairs].sort((a, b) => b.seriesCount - a.seriesCount).slice(0, TOP_PAIRS);
}
