/**
 * What a read takes from the bucket: blocks of samples that ingesters do not hold, and blocks of aggregates instead of
 * samples or because these are gone. Pure; in two steps around the asking of ingesters:
 *
 *   settledBeforeMs ─► ingesters leave out blocks that everybody finds in the bucket ─► planBlocks
 *
 * What they hold beside those (`heldFromMs`) bounds the aggregates that may be read.
 */
import type { TimeRange } from '../../model/sample.ts';
import type { BucketIndex, IndexedBlock } from '../../storage/index.ts';
import {
  type BlockChoice,
  type SourceResolution,
  chooseBlocks,
  isTouching,
} from './choose-blocks.ts';
import { isIgnored, neededBlocks } from './needed-blocks.ts';
import type { ResolutionUse } from './resolution-notes.ts';

export interface BlocksWish {
  readonly range: TimeRange;
  readonly mode: SourceResolution;
  /** The coarsest that may be read instead of samples; 0: none. */
  readonly resolutionMs: number;
}

export interface BlocksPlan {
  readonly needed: readonly IndexedBlock[];
  readonly use: ResolutionUse;
}

export const NO_AGGREGATES: ResolutionUse = { chosen: [], forced: [], isDoubled: false };

/** Up to when ingesters shall leave out what is settled; -Infinity: nothing. */
export function settledBeforeMs(index: BucketIndex, wish: BlocksWish): number {
  const { chosen, forced } = choose(index, wish, Infinity);
  return [...chosen, ...forced].reduce(
    (max, { maxTimeMs }) => Math.max(max, maxTimeMs),
    Number.NEGATIVE_INFINITY,
  );
}

/** The blocks to read, after ingesters answered. */
export function planBlocks(
  index: BucketIndex,
  options: BlocksWish & {
    readonly heldFromMs: number;
    readonly oldestTimeMs: number;
    readonly stores: ReadonlySet<string>;
  },
): BlocksPlan {
  const { heldFromMs, mode, oldestTimeMs, range, stores } = options;
  const choice = choose(index, options, heldFromMs);
  const reads = mode === 'raw' ? { ...choice, forced: [], raw: index.blocks } : choice;
  const raw = neededBlocks({ ...index, blocks: reads.raw }, { range, oldestTimeMs, stores });
  const needed = [...raw, ...reads.chosen, ...reads.forced];
  const isDoubled = reads.forced.some(
    (one) =>
      one.maxTimeMs > heldFromMs || needed.some((other) => other !== one && isTouching(one, other)),
  );
  return { needed, use: { chosen: choice.chosen, forced: choice.forced, isDoubled } };
}

function choose(
  index: BucketIndex,
  { mode, range, resolutionMs }: BlocksWish,
  heldFromMs: number,
): BlockChoice {
  return chooseBlocks(index, {
    ...{ range, heldFromMs, maxResolutionMs: mode === 'raw' ? 0 : resolutionMs },
    isApproximate: mode !== 'auto',
    isIgnored: (block) => isIgnored(index, block),
  });
}
