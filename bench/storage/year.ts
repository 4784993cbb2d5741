/**
 * Row `year`: a year of 10,000 series in a bucket, a block of samples (one each five minutes) and one of aggregates of an
 * hour for each day, asked by a node that holds nothing else: what a query over all of it takes, in time and in memory.
 *
 * Series of one pattern have equal samples, so that chunks are encoded once for many of them.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ANONYMOUS_TENANT } from '../../model/ids.ts';
import { compareLabels, labelsFromPairs } from '../../model/labels.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { createNodeRandom } from '../../platform/node/random.ts';
import type { BlockMeta } from '../../storage/block/meta.ts';
import { CHUNK_XOR } from '../../storage/block/format.ts';
import { encodeBucketMeta } from '../../storage/bucket/bucket-meta.ts';
import { xorChunksOf } from '../../storage/chunk/xor-chunks.ts';
import { SeriesDownsampler } from '../../storage/downsample/series-downsampler.ts';
import { type ChunkBytes, Pacer, cutBlock, newBlockId } from '../../storage/index.ts';
import { startStarlingOn } from './nodes.ts';
import type { Figure, RowOptions } from './row.ts';

const SERIES = 10_000;
const DAYS = 365;
const METRICS = 10;
const PATTERNS = 50;
const DAY_MS = 24 * 3_600_000;
const INTERVAL_MS = 300_000;
const RESOLUTION_MS = 3_600_000;
const RESIDENT_GIB_MAX = 2;
const WAIT_MS = 120_000;

export async function year(options: RowOptions): Promise<readonly Figure[]> {
  const { days = DAYS, directory, seriesCount = SERIES } = options;
  const home = join(directory, 'year');
  const bucket = join(home, 'bucket');
  const endMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS;
  await writeBlocks(join(bucket, ANONYMOUS_TENANT), seriesCount, endMs - days * DAY_MS, days);
  // Blocks are found, and nothing is done with them.
  const flags = ['--compactor.compaction-interval=1s', '--compactor.max-job-bytes=1'];
  const node = await startStarlingOn(join(home, 'node'), [`--bucket=file://${bucket}`, ...flags]);
  await waitForIndex(bucket);
  const before = residentBytes(node.pid, 'VmRSS');
  const ask = async (query: string, resolution: string): Promise<{ text: string; ms: number }> => {
    const parameters = new URLSearchParams({
      query,
      step: '1d',
      max_source_resolution: resolution,
    });
    parameters.set('start', String((endMs - (days - 1) * DAY_MS) / 1000));
    parameters.set('end', String(endMs / 1000));
    const begun = performance.now();
    const answer = await fetch(`${node.queryUrl}/api/v1/query_range?${parameters.toString()}`);
    return { text: await answer.text(), ms: performance.now() - begun };
  };
  const name = `${days} days of ${seriesCount} series`;
  const figures: Figure[] = [];
  for (const [query, resolution] of [
    ['sum(rate(year_3_total[1h]))', 'auto'],
    ['sum(max_over_time(year_3_total[1d]))', 'auto'],
    ['sum(rate(year_3_total[1h]))', 'raw'],
    ['sum by (job)(max_over_time({__name__=~"year_.+"}[1d]))', 'auto'],
  ] as const) {
    const { ms, text } = await ask(query, resolution);
    const { data, errorType, error } = JSON.parse(text) as {
      readonly data?: { readonly result: readonly { readonly values: readonly unknown[] }[] };
      readonly errorType?: string;
      readonly error?: string;
    };
    const points = data?.result.reduce((sum, { values }) => sum + values.length, 0);
    const outcome = points === undefined ? `${errorType}: ${error}` : `${points} points`;
    figures.push({ name: `${name}, ${resolution}: ${query}`, unit: 'ms', ours: ms, note: outcome });
  }
  const [after, peak] = [residentBytes(node.pid, 'VmRSS'), residentBytes(node.pid, 'VmHWM')];
  await node.end();
  const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
  return [
    ...figures,
    {
      ...{ name: `${name}: RSS at its peak`, unit: 'GiB', ours: peak / 1024 ** 3 },
      goalMax: { value: RESIDENT_GIB_MAX, of: 'ours' },
      note: `before ${mib(before)}, after ${mib(after)}`,
    },
  ];
}

function residentBytes(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) * 1024;
}

async function waitForIndex(bucket: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  const path = join(bucket, ANONYMOUS_TENANT, 'bucket-index.json.gz');
  while (performance.now() < deadline) {
    try {
      readFileSync(path);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  throw new Error(`${path} was not written`);
}

async function writeBlocks(
  directory: string,
  seriesCount: number,
  startMs: number,
  days: number,
): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const series = Array.from({ length: seriesCount }, (_, i) => ({
    pattern: i % PATTERNS,
    labels: labelsFromPairs([
      ['__name__', `year_${i % METRICS}_total`],
      ['instance', `10.0.${i >> 8}.${i & 255}:9100`],
      ['job', `job-${i % 20}`],
    ]),
  })).sort((a, b) => compareLabels(a.labels, b.labels));
  const [clock, random] = [createNodeClock(), createNodeRandom()];
  const put = async (
    dayMs: number,
    patterns: readonly (readonly ChunkBytes[])[],
    resolutionMs: number,
    sources: BlockMeta['sources'] | undefined,
  ): Promise<BlockMeta> => {
    const id = newBlockId({ clock, random });
    const made = await cutBlock(
      { disk: createNodeDisk(), directory, id, pacer: new Pacer(clock) },
      {
        symbols: () => series.flatMap(({ labels }) => labels),
        series: () =>
          series.map(({ labels, pattern }) => ({ labels, chunks: patterns[pattern] ?? [] })),
      },
      { minTimeMs: dayMs, maxTimeMs: dayMs + DAY_MS - 1 },
    );
    if (made === undefined) throw new Error('a block of nothing');
    const meta = { ...made, level: 3, sources: sources ?? [id] };
    const facts = { origin: 'compactor', files: [], stores: [], resolutionMs } as const;
    writeFileSync(
      join(directory, id, 'meta.json'),
      encodeBucketMeta(meta, ANONYMOUS_TENANT, facts),
    );
    return meta;
  };
  for (let dayMs = startMs; dayMs < startMs + days * DAY_MS; dayMs += DAY_MS) {
    const samples = Array.from({ length: PATTERNS }, (_, p) => samplesOf(p, startMs, dayMs));
    const { sources } = await put(dayMs, samples, 0, undefined);
    const coarse = samples.map((chunks) => downsampled(chunks, dayMs + DAY_MS - 1));
    await put(dayMs, coarse, RESOLUTION_MS, sources);
  }
}

/** A counter that grows unevenly. */
function samplesOf(pattern: number, startMs: number, dayMs: number): readonly ChunkBytes[] {
  const count = DAY_MS / INTERVAL_MS;
  const times = Float64Array.from({ length: count }, (_, i) => dayMs + i * INTERVAL_MS);
  const values = times.map((timeMs, i) => ((timeMs - startMs) / 1000) * (pattern + 1) + (i % 7));
  return xorChunksOf(times, values, 0, count).map((chunk) => ({
    ...chunk,
    ...{ encoding: CHUNK_XOR, from: 0, to: chunk.bytes.length },
  }));
}

function downsampled(chunks: readonly ChunkBytes[], lastMs: number): readonly ChunkBytes[] {
  let made = chunks;
  for (const resolutionMs of [INTERVAL_MS, RESOLUTION_MS]) {
    const downsampler = new SeriesDownsampler({ resolutionMs, lastMs });
    downsampler.begin();
    for (const chunk of made) downsampler.add(chunk);
    downsampler.finish();
    made = [...downsampler.ready];
  }
  return made;
}
