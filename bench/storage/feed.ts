/** Writes the load of bench/cluster to a server as it is made: a long one does not fit into memory. */
import type { Agent } from 'node:http';
import { type PushOutcome, createAgents, post } from '../cluster/client.ts';
import { SAMPLE_BYTES, SCRAPE_INTERVAL_MS, requestWriters } from '../cluster/load.ts';
import { PatchedSnappy } from './patched-snappy.ts';

/** So that Prometheus' chunks take 2.2 bytes a sample, as on the data that the goals were set with. */
const GAUGE_PARTS = 1024;
const RETRIES_MAX = 100;
/** Instead of a status. */
const CONNECTION_LOST = 599;
const RETRY_MS = 250;
const BLOCK_RANGE_MS = 2 * 3_600_000;

export interface FeedOptions {
  readonly pushUrl: string;
  readonly seriesCount: number;
  readonly startMs: number;
  readonly fromRound?: number;
  readonly rounds: number;
  readonly intervalMs?: number;
}

/** The newest border of two hours after which `spanMs` have passed by now. */
export function alignedStartMs(spanMs: number): number {
  return Math.floor((Date.now() - spanMs) / BLOCK_RANGE_MS) * BLOCK_RANGE_MS;
}

/** When the last of `rounds` was. */
export function endMsOf({ intervalMs = SCRAPE_INTERVAL_MS, rounds, startMs }: FeedOptions): number {
  return startMs + (rounds - 1) * intervalMs;
}

/** Writes the rounds in order, each request on its own connection. Throws when one is refused for good. */
export async function feed(options: FeedOptions): Promise<PushOutcome> {
  const { fromRound = 0, intervalMs = SCRAPE_INTERVAL_MS, pushUrl, rounds } = options;
  const writers = requestWriters({ ...options, intervalMs, gaugeParts: GAUGE_PARTS }).map(
    ({ bytes, sampleOffsets, write }) => {
      const body = new PatchedSnappy(bytes, sampleOffsets, SAMPLE_BYTES);
      return (round: number): Buffer => {
        write(round);
        return body.compressed();
      };
    },
  );
  const agents = createAgents();
  const latenciesMs: number[] = [];
  let failures = 0;
  const started = performance.now();
  await Promise.all(
    agents.map(async (agent, connection) => {
      for (let round = fromRound; round < rounds; round++) {
        for (let r = connection; r < writers.length; r += agents.length) {
          const body = writers[r]!(round);
          const begun = performance.now();
          failures += await postUntilTaken(pushUrl, body, agent);
          latenciesMs.push(performance.now() - begun);
        }
      }
    }),
  );
  for (const agent of agents) agent.destroy();
  return { latenciesMs, failures, wallSeconds: (performance.now() - started) / 1000 };
}

/** Comes again as senders do; how often it had to. */
async function postUntilTaken(url: string, body: Buffer, agent: Agent): Promise<number> {
  for (let failures = 0; ; failures++) {
    const status = await post(url, body, agent).catch(() => CONNECTION_LOST);
    if (status < 300) return failures;
    const isForNow = [CONNECTION_LOST, 429, 503].includes(status);
    if (!isForNow || failures === RETRIES_MAX) throw new Error(`${url}: ${status}`);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
