/** What the loop does while ten clients ask heavy queries and 100,000 samples a second come in. */
import snappyjs from 'snappyjs';
import { createAgents, getJson } from '../cluster/client.ts';
import { requestWriters } from '../cluster/load.ts';
import { quantile, readSlices } from '../cluster/meter.ts';
import { type Target, startStarling } from '../cluster/servers.ts';
import type { Figure } from '../storage/row.ts';
import { fill, mustPost, urlOf } from './feed.ts';

const SERIES = 100_000;
const METRICS = 50;
const INTERVAL_MS = 15_000;
/** One round of all series a second. */
const SECONDS = 30;
const FILLED_ROUNDS = 240;
const CLIENTS = 10;

export async function besideWrites(): Promise<readonly Figure[]> {
  const target = await startStarling(1);
  try {
    const rounds = FILLED_ROUNDS + SECONDS;
    const startMs = Math.floor(Date.now() / INTERVAL_MS - rounds) * INTERVAL_MS;
    const load = { seriesCount: SERIES, metrics: METRICS, intervalMs: INTERVAL_MS, startMs };
    await fill([target], { ...load, rounds: FILLED_ROUNDS });
    const bodies = bodiesOf(requestWriters(load));
    await readSlices(target.metricsUrls);
    let isOver = false;
    const asking = Array.from({ length: CLIENTS }, (_, client) =>
      askOn(target, client, startMs + (FILLED_ROUNDS - 1) * INTERVAL_MS, () => isOver),
    );
    const latencies = await write(target, bodies);
    isOver = true;
    const queryTimes = (await Promise.all(asking)).flat().sort((a, b) => a - b);
    const slices = await readSlices(target.metricsUrls);
    return [
      { name: 'slice CPU p99', unit: 'ms', ours: slices.p99Ms, goalMax: { value: 5, of: 'ours' } },
      { name: 'slice CPU max', unit: 'ms', ours: slices.maxMs, goalMax: { value: 20, of: 'ours' } },
      { name: 'write p50', unit: 'ms', ours: quantile(latencies, 0.5) },
      { name: 'write p99', unit: 'ms', ours: quantile(latencies, 0.99) },
      { name: 'heavy queries', unit: 'per s', ours: queryTimes.length / SECONDS },
      { name: 'heavy query p50', unit: 'ms', ours: quantile(queryTimes, 0.5) },
    ];
  } finally {
    await target.stop();
  }
}

/** By second: the requests of one round. */
function bodiesOf(writers: ReturnType<typeof requestWriters>): readonly (readonly Buffer[])[] {
  return Array.from({ length: SECONDS }, (_, second) =>
    writers.map(({ bytes, write }) => {
      write(FILLED_ROUNDS + second);
      return Buffer.from(snappyjs.compress(bytes));
    }),
  );
}

/** The requests of each second spread over it; their latencies, sorted. Throws when one is refused. */
async function write(
  { pushUrls }: Target,
  bodies: readonly (readonly Buffer[])[],
): Promise<readonly number[]> {
  const agents = createAgents();
  const latencies: number[] = [];
  const begun = performance.now();
  const open: Promise<void>[] = [];
  for (const [second, requests] of bodies.entries()) {
    for (const [i, body] of requests.entries()) {
      const dueMs = begun + (second + i / requests.length) * 1000;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())));
      const sentMs = performance.now();
      const agent = agents[i % agents.length]!; // a series stays with its connection
      open.push(
        mustPost(pushUrls[0]!, body, agent).then(() => {
          latencies.push(performance.now() - sentMs);
        }),
      );
    }
  }
  await Promise.all(open);
  for (const agent of agents) agent.destroy();
  return latencies.sort((a, b) => a - b);
}

/** Asks one after the other: ranges of rates of one metric, and now and then a count of all series. */
async function askOn(
  target: Target,
  client: number,
  endMs: number,
  isOver: () => boolean,
): Promise<readonly number[]> {
  const times: number[] = [];
  for (let n = client; !isOver(); n++) {
    const range = { startMs: endMs - 3_600_000, endMs, stepMs: INTERVAL_MS };
    const query =
      n % 10 === 0
        ? 'count by (job)({__name__=~"bench_.+"})'
        : `sum by (namespace)(rate(bench_counter_${n % 24}_total[5m]))`;
    const begun = performance.now();
    await getJson(urlOf(target, { ...range, query, ...(n % 10 === 0 && { stepMs: 600_000 }) }));
    times.push(performance.now() - begun);
  }
  return times;
}
