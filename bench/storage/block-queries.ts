/**
 * Row `queries`: the six queries of bench/cluster where everything is in blocks: a node with an empty disk and the bucket
 * that another one filled, and a Prometheus on the same blocks.
 */
import { cpSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { queries, timeQueries } from '../cluster/queries.ts';
import { type Server, startPrometheusOn, startStarlingOn } from './nodes.ts';
import type { Figure, RowOptions } from './row.ts';

/** Cortex' store-gateway and Prometheus, ms, in the order of the queries: what was measured of the two on 26 M samples. */
const CORTEX_MS = [15, 83, 84, 18, 780, 3.4];
const PROMETHEUS_MS = [3.6, 62, 61, 5, 184, 0.6];
const GOAL_OF_CORTEX = 0.5;

export async function blockQueries({
  bin,
  data,
  directory,
}: RowOptions): Promise<readonly Figure[]> {
  const { endMs } = await data.fed();
  const { blocks, bucket } = await data.shipped();
  const node = await startStarlingOn(join(directory, 'querying'), [`--bucket=file://${bucket}`]);
  const ours = await timed(node, endMs);
  await node.end();
  const theirs =
    bin === undefined ? undefined : await timePrometheus(bin, directory, blocks, endMs);
  return queries.map(({ name }, q) => ({
    name: `blocks: ${name}`,
    ...{ unit: 'ms', ours: ours[q]!.medianMs, peer: theirs?.[q]?.medianMs },
    goalMax: { value: (GOAL_OF_CORTEX * CORTEX_MS[q]!) / PROMETHEUS_MS[q]!, of: 'ratio' },
    note: [
      `at first ${ours[q]!.firstMs.toFixed(1)} ms, CPU ${ours[q]!.cpuMs.toFixed(0)} ms`,
      ...(theirs === undefined || theirs[q]!.answer === ours[q]!.answer ? [] : ['ANSWERS DIFFER']),
    ].join(', '),
  }));
}

async function timePrometheus(
  bin: string,
  directory: string,
  blocks: readonly string[],
  endMs: number,
): ReturnType<typeof timeQueries> {
  const home = join(directory, 'querying-prometheus');
  mkdirSync(join(home, 'data'), { recursive: true });
  for (const block of blocks)
    cpSync(block, join(home, 'data', basename(block)), { recursive: true });
  const prometheus = await startPrometheusOn(bin, home);
  const theirs = await timed(prometheus, endMs);
  await prometheus.end();
  return theirs;
}

function timed({ pid, queryUrl }: Server, endMs: number): ReturnType<typeof timeQueries> {
  return timeQueries({ pids: [pid], queryUrl }, endMs);
}
