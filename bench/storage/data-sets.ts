/**
 * What several rows need, made once in a run: the directory of a node that took a load and was killed, and the
 * bucket of one that cut and shipped it.
 */
import { cpSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type SliceFigures, cpuSeconds, readSlices } from '../cluster/meter.ts';
import { alignedStartMs, endMsOf, feed } from './feed.ts';
import { atRest, startStarlingOn } from './nodes.ts';

const SERIES = 100_000;
/** 26 M samples, 65 minutes. */
const ROUNDS = 260;
const INTERVAL_MS = 15_000;

export interface FedData {
  /** Of a node that was killed: its log has everything. */
  readonly directory: string;
  readonly walDirectory: string;
  readonly sampleCount: number;
  readonly seriesCount: number;
  readonly endMs: number;
}

export interface ShippedData {
  /** Holds directories of tenants. */
  readonly bucket: string;
  readonly blocks: readonly string[];
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly slices: SliceFigures;
}

export class DataSets {
  readonly #directory: string;
  readonly #seriesCount: number;
  readonly #rounds: number;
  #fed: Promise<FedData> | undefined;
  #shipped: Promise<ShippedData> | undefined;

  constructor(directory: string, seriesCount = SERIES, rounds = ROUNDS) {
    this.#directory = directory;
    this.#seriesCount = seriesCount;
    this.#rounds = rounds;
  }

  fed(): Promise<FedData> {
    return (this.#fed ??= this.#feed());
  }

  shipped(): Promise<ShippedData> {
    return (this.#shipped ??= this.#ship());
  }

  async #feed(): Promise<FedData> {
    const directory = join(this.#directory, 'fed');
    const [seriesCount, rounds] = [this.#seriesCount, this.#rounds];
    console.log(`feeding ${rounds} rounds of ${seriesCount} series …`);
    const node = await startStarlingOn(directory);
    const load = {
      ...{ pushUrl: node.pushUrl, seriesCount, rounds },
      startMs: alignedStartMs(rounds * INTERVAL_MS),
    };
    await feed(load);
    await node.end('SIGKILL');
    return {
      directory,
      walDirectory: join(directory, 'tenants/anonymous/wal'),
      sampleCount: seriesCount * rounds,
      seriesCount,
      endMs: endMsOf(load),
    };
  }

  async #ship(): Promise<ShippedData> {
    const { directory } = await this.fed();
    const shipping = join(this.#directory, 'shipping');
    const isFile = (path: string): boolean => !basename(path).startsWith('LOCK'); // which is a socket
    cpSync(directory, shipping, { recursive: true, filter: isFile });
    const node = await startStarlingOn(shipping);
    await atRest(node.pid); // what the start takes, and the warm-up behind it, is not counted
    await readSlices([node.metricsUrl]);
    const cpuBefore = cpuSeconds(node.pid);
    const begun = performance.now();
    const answer = await fetch(`${node.baseUrl}/ingester/flush?wait=true`, { method: 'POST' });
    if (!answer.ok) throw new Error(`flush: ${answer.status} ${await answer.text()}`);
    const wallSeconds = (performance.now() - begun) / 1000;
    const cpu = cpuSeconds(node.pid) - cpuBefore;
    const slices = await readSlices([node.metricsUrl]);
    await node.end();
    const bucket = join(shipping, 'bucket');
    const blocks = blocksIn(join(bucket, 'anonymous'));
    return { bucket, blocks, cpuSeconds: cpu, wallSeconds, slices };
  }
}

/** The blocks of a directory, by their names. */
export function blocksIn(directory: string): readonly string[] {
  return readdirSync(directory)
    .filter((name) => /^[0-9A-Z]{26}$/.test(name))
    .map((name) => join(directory, name));
}
