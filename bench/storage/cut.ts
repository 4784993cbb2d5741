/** Row `cut`: what it costs a node to cut and ship what its head holds, and how long its loop's slices are meanwhile. */
import type { Figure, RowOptions } from './row.ts';

/** 1.5 x what Cortex took for 26 M samples, in CPU seconds per million of them. */
const GOAL_SECONDS_PER_MILLION = (1.5 * 2.4) / 26;
const SLICE_P99_MAX_MS = 5;
const SLICE_MAX_MS = 20;

export async function cutAndShip({ data }: RowOptions): Promise<readonly Figure[]> {
  const { sampleCount } = await data.fed();
  const { blocks, cpuSeconds, slices, wallSeconds } = await data.shipped();
  const millions = sampleCount / 1e6;
  return [
    {
      name: `cut and ship of ${millions} M samples, CPU`,
      ...{ unit: 's', ours: cpuSeconds, note: `${blocks.length} blocks` },
      goalMax: { value: GOAL_SECONDS_PER_MILLION * millions, of: 'ours' },
    },
    { name: 'cut and ship, wall', unit: 's', ours: wallSeconds },
    {
      ...{ name: 'cut and ship, slices p99', unit: 'ms', ours: slices.p99Ms },
      goalMax: { value: SLICE_P99_MAX_MS, of: 'ours' },
    },
    {
      ...{ name: 'cut and ship, slices max', unit: 'ms', ours: slices.maxMs },
      goalMax: { value: SLICE_MAX_MS, of: 'ours' },
    },
  ];
}
