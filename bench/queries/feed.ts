/** Fills targets of the query benchmark with remote write, and times what is asked of them. */
import snappyjs from 'snappyjs';
import { createAgents, getJson, post } from '../cluster/client.ts';
import { requestWriters } from '../cluster/load.ts';
import type { Target } from '../cluster/servers.ts';

export interface Filling {
  readonly seriesCount: number;
  readonly metrics: number;
  readonly rounds: number;
  readonly intervalMs: number;
  readonly startMs: number;
}

/** Writes all rounds to all targets, each body encoded once. Throws when one refuses. */
export async function fill(targets: readonly Target[], filling: Filling): Promise<void> {
  const writers = requestWriters(filling);
  const agents = createAgents(); // one is used, so that series stay in order
  try {
    for (let round = 0; round < filling.rounds; round++) {
      for (const { bytes, write } of writers) {
        write(round);
        const body = Buffer.from(snappyjs.compress(bytes));
        await Promise.all(targets.map(({ pushUrls }) => mustPost(pushUrls[0]!, body, agents[0]!)));
      }
    }
  } finally {
    for (const agent of agents) agent.destroy();
  }
}

export async function mustPost(
  url: string,
  body: Buffer,
  agent: Parameters<typeof post>[2],
): Promise<void> {
  const status = await post(url, body, agent);
  if (status >= 300) throw new Error(`${url} answered ${status}`);
}

export interface RangeQuery {
  readonly query: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
}

export function urlOf({ queryUrl }: Target, { endMs, query, startMs, stepMs }: RangeQuery): string {
  const parameters = new URLSearchParams({
    ...{ query, nocache: '1', step: String(stepMs / 1000) },
    ...{ start: String(startMs / 1000), end: String(endMs / 1000) },
  });
  return `${queryUrl}/api/v1/query_range?${parameters.toString()}`;
}

const RUNS = 5;

/** The median of five after one warm-up, in milliseconds. */
export async function timeRange(target: Target, query: RangeQuery): Promise<number> {
  const url = urlOf(target, query);
  const body = await getJson(url);
  const { data } = body as { readonly data: { readonly result: readonly unknown[] } };
  if (data.result.length === 0) throw new Error(`${query.query} finds nothing`);
  const times: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const begun = performance.now();
    await getJson(url);
    times.push(performance.now() - begun);
  }
  return times.sort((a, b) => a - b)[RUNS >> 1]!;
}
