/** Rows `bytes` and `compacted`: bytes a sample of a block, as it was cut and as it was compacted, beside Prometheus'. */
import { cpSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { blocksIn } from './data-sets.ts';
import { alignedStartMs, feed } from './feed.ts';
import { startPrometheusOn, startStarlingOn } from './nodes.ts';
import type { Figure, RowOptions } from './row.ts';

const COMPACTED_SERIES = 5000;
/** So much that Prometheus makes three of its blocks one: six hours, aligned, then a block and its head. */
const COMPACTED_ROUNDS = (18 * 3600) / 15;
const COMPACTED_RANGE_MS = 6 * 3_600_000;
const WAIT_MS = 240_000;

interface BlockSize {
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly sampleCount: number;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  readonly level: number;
}

/** Index and chunks of one block. */
function sizeOf(block: string): BlockSize {
  const meta = JSON.parse(readFileSync(join(block, 'meta.json'), 'utf8')) as {
    readonly minTime: number;
    readonly maxTime: number;
    readonly stats: { readonly numSamples: number };
    readonly compaction: { readonly level: number };
  };
  const chunks = join(block, 'chunks');
  const chunkBytes = readdirSync(chunks).reduce(
    (sum, name) => sum + statSync(join(chunks, name)).size,
    0,
  );
  return {
    bytes: chunkBytes + statSync(join(block, 'index')).size,
    chunkBytes,
    sampleCount: meta.stats.numSamples,
    minTimeMs: meta.minTime,
    maxTimeMs: meta.maxTime,
    level: meta.compaction.level,
  };
}

function sum(sizes: readonly BlockSize[], of: 'bytes' | 'chunkBytes' | 'sampleCount'): number {
  return sizes.reduce((total, size) => total + size[of], 0);
}

function figuresOf(
  name: string,
  ours: readonly BlockSize[],
  theirs: readonly BlockSize[] | undefined,
): readonly Figure[] {
  const perSample = (of: readonly BlockSize[], part: 'bytes' | 'chunkBytes'): number =>
    sum(of, part) / sum(of, 'sampleCount');
  const isSame =
    theirs === undefined || sum(ours, 'sampleCount') === sum(theirs, 'sampleCount')
      ? ''
      : `SAMPLES DIFFER: ${sum(ours, 'sampleCount')}, ${sum(theirs, 'sampleCount')}`;
  return [
    {
      ...{ name, unit: 'B/sample', ours: perSample(ours, 'bytes'), note: isSame },
      peer: theirs && perSample(theirs, 'bytes'),
      goalMax: { value: 1, of: 'ratio' },
    },
    {
      ...{ name: `${name}, chunks alone`, unit: 'B/sample', ours: perSample(ours, 'chunkBytes') },
      peer: theirs && perSample(theirs, 'chunkBytes'),
    },
  ];
}

/** The head as blocks: ours cut and shipped, Prometheus' a snapshot of the same log. */
export async function blockBytes({ bin, data, directory }: RowOptions): Promise<readonly Figure[]> {
  const { walDirectory } = await data.fed();
  const { blocks } = await data.shipped();
  const ours = blocks.map(sizeOf);
  if (bin === undefined) return figuresOf('block of a head', ours, undefined);
  const home = join(directory, 'snapshot');
  mkdirSync(join(home, 'data'), { recursive: true });
  cpSync(walDirectory, join(home, 'data/wal'), { recursive: true });
  const prometheus = await startPrometheusOn(bin, home);
  const answer = await fetch(`${prometheus.baseUrl}/api/v1/admin/tsdb/snapshot`, {
    method: 'POST',
  });
  const { data: made } = (await answer.json()) as { readonly data: { readonly name: string } };
  await prometheus.end();
  const theirs = blocksIn(join(home, 'data/snapshots', made.name)).map(sizeOf);
  return figuresOf('block of a head', ours, theirs);
}

/** Three blocks of two hours made one, by each of the two from what it took itself. */
export async function compactedBytes(options: RowOptions): Promise<readonly Figure[]> {
  const { bin, directory } = options;
  const seriesCount = options.seriesCount ?? COMPACTED_SERIES;
  const roundsMin = COMPACTED_RANGE_MS / 2 / 15_000; // fewer fill no block that is waited for
  if ((options.rounds ?? COMPACTED_ROUNDS) <= roundsMin)
    throw new Error(`compacted: more than ${roundsMin} rounds, or no block is long enough`);
  const load = {
    ...{ seriesCount, rounds: options.rounds ?? COMPACTED_ROUNDS },
    startMs:
      Math.floor(alignedStartMs(COMPACTED_ROUNDS * 15_000) / COMPACTED_RANGE_MS) *
      COMPACTED_RANGE_MS,
  };
  const home = join(directory, 'compacted');
  const node = await startStarlingOn(home, [
    '--compactor.block-ranges=2h',
    '--compactor.block-ranges=6h',
    '--compactor.compaction-interval=5s',
    '--compactor.first-level-compaction-wait-period=1s',
  ]);
  await feed({ ...load, pushUrl: node.pushUrl });
  await fetch(`${node.baseUrl}/ingester/flush?wait=true`, { method: 'POST' });
  const isOurs = (size: BlockSize): boolean =>
    size.minTimeMs === load.startMs && size.maxTimeMs - size.minTimeMs > COMPACTED_RANGE_MS / 2;
  const ours = await waitForBlock(join(home, 'bucket/anonymous'), isOurs);
  await node.end();
  if (bin === undefined) return figuresOf('compacted block', [ours], undefined);
  const theirHome = join(directory, 'compacted-prometheus');
  const prometheus = await startPrometheusOn(bin, theirHome);
  await feed({ ...load, pushUrl: prometheus.pushUrl });
  const theirs = await waitForBlock(join(theirHome, 'data'), isOurs);
  await prometheus.end();
  return figuresOf('compacted block', [ours], [theirs]);
}

async function waitForBlock(
  directory: string,
  isWanted: (size: BlockSize) => boolean,
): Promise<BlockSize> {
  const deadline = performance.now() + WAIT_MS;
  while (performance.now() < deadline) {
    try {
      const found = blocksIn(directory).map(sizeOf).find(isWanted);
      if (found !== undefined) return found;
    } catch {
      // being written
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`${directory}: no compacted block came`);
}
