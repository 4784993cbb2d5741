/** A PromQL query over the blocks of the bucket alone, planned, read and evaluated as a querier and a store-gateway do. */
import { aggregatesEndMs } from '../../actors/querier/choose-blocks.ts';
import { runEvaluateJob } from '../../actors/querier/evaluate-job.ts';
import { planBlocks } from '../../actors/querier/plan-blocks.ts';
import { type PlanInput, plannedQuery } from '../../actors/querier/planned-query.ts';
import { resolutionNotes, resolutionUsedMs } from '../../actors/querier/resolution-notes.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock } from '../../platform/platform.ts';
import { selectBlockFrames } from '../../storage/block/select-block.ts';
import { openRemoteBlock } from '../../storage/compact/remote-block.ts';
import type { Deletion } from '../../storage/deletion/deletion.ts';
import { type BucketIndex, Pacer } from '../../storage/index.ts';
import { hashText } from '../random.ts';
import { groupBySeries, readSamples } from '../texts.ts';
import { COARSE_MS } from './ages.ts';

export interface BlockQuery {
  readonly text: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
}

export interface BlockAnswer {
  /** By series: time to value. */
  readonly points: ReadonlyMap<number, ReadonlyMap<number, number>>;
  readonly warnings: readonly string[];
  /** The coarsest that was read. */
  readonly resolutionMs: number;
}

export interface QueriedBucket {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly tenant: TenantId;
  readonly index: BucketIndex;
  readonly hidden: readonly Deletion[];
}

const SAMPLES_MAX = 1_000_000;
const LOOKBACK_MS = 300_000;

/** Reads aggregates where the answer is the same. Throws what the storage throws. */
export async function queryBlocks(
  from: QueriedBucket,
  { endMs, startMs, stepMs, text }: BlockQuery,
): Promise<BlockAnswer> {
  const { index } = from;
  const downsampling =
    index.downsampled === undefined
      ? undefined
      : { maxResolutionMs: COARSE_MS, isApproximate: false, untilMs: aggregatesEndMs(index) };
  const times = { startMs, endMs, stepMs, lookbackMs: LOOKBACK_MS };
  const run: PlanInput = { query: text, ...times, downsampling };
  const planned = plannedQuery(run);
  const { selections } = planned.plan;
  const gathered = await Promise.all(selections.map((one) => gatherSelection(from, one)));
  const output = runEvaluateJob(
    {
      ...run,
      ...{ samplesMax: SAMPLES_MAX, limit: 0 },
      selections: selections.map(({ maxTimeMs, minTimeMs, projection, value }, i) => ({
        frames: gathered[i]!.frames,
        value: value ?? 'kept',
        range: { minTimeMs, maxTimeMs },
        isProjected: projection !== undefined,
      })),
    },
    () => 0,
    planned,
  );
  const uses = gathered.map(({ use }) => use);
  const notes = resolutionNotes(uses, selections, 'auto');
  const bySeries = groupBySeries(readSamples(new TextDecoder().decode(output.data)));
  return {
    points: new Map(
      [...bySeries].map(([series, samples]) => [
        series,
        new Map(samples.map(({ timestampMs, value }) => [timestampMs, value])),
      ]),
    ),
    warnings: [...output.warnings, ...notes.warnings],
    resolutionMs: uses.reduce((max, use) => Math.max(max, resolutionUsedMs(use)), 0),
  };
}

type Selection = ReturnType<typeof plannedQuery>['plan']['selections'][number];

async function gatherSelection(
  { bucket, clock, hidden, index, tenant }: QueriedBucket,
  { matchers, maxTimeMs, minTimeMs, newestOnly, projection, resolutionMs = 0, value }: Selection,
): Promise<{
  readonly frames: readonly Uint8Array[];
  readonly use: ReturnType<typeof planBlocks>['use'];
}> {
  const range = { minTimeMs, maxTimeMs };
  const bounds = { heldFromMs: Infinity, oldestTimeMs: Number.MAX_SAFE_INTEGER };
  const wish = { mode: 'auto', range, resolutionMs, ...bounds, stores: new Set<string>() } as const;
  const { needed, use } = planBlocks(index, wish);
  const frames: Uint8Array[] = [];
  for (const { id } of needed) {
    const reader = await openRemoteBlock(bucket, tenant, id);
    try {
      const given = { reader, selectors: [matchers], range, fingerprint, deletions: hidden };
      const selection = { ...given, pacer: new Pacer(clock) };
      const hints = { newestOnly, projection, value };
      for await (const frame of selectBlockFrames(selection, hints)) {
        if (frame !== undefined) frames.push(frame);
      }
    } finally {
      await reader.close();
    }
  }
  return { frames, use };
}

/** One series, one name: what these are made of does not matter here. */
function fingerprint(labelBytes: Uint8Array, out: Uint32Array): void {
  const text = Buffer.from(labelBytes).toString('latin1');
  for (let i = 0; i < out.length; i++) out[i] = hashText(`${i} ${text}`);
}
