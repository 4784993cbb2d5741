/**
 * Row `memory`: resident memory of a node that holds three hours of samples at 15 s, by active series. A real node,
 * written to over HTTP, its log on disk, everything counted that the process has resident.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSlices } from '../cluster/meter.ts';
import { alignedStartMs, feed } from './feed.ts';
import { type StarlingServer, startStarlingOn } from './nodes.ts';
import type { Figure, RowOptions } from './row.ts';

const SERIES = 100_000;
/** Three hours. */
const ROUNDS = 720;
/** The first rounds create the series. */
const CREATION_ROUNDS = 2;
const INTERVAL_MS = 15_000;
const BYTES_PER_SERIES_MAX = 2.5 * 1024;
const RESIDENT_GIB_MAX = 4;
const SLICE_P99_MAX_MS = 5;
const GIB = 1024 ** 3;

export async function memory(options: RowOptions): Promise<readonly Figure[]> {
  const { directory, rounds = ROUNDS, seriesCount = SERIES } = options;
  const node = await startStarlingOn(join(directory, 'memory'));
  const before = residentOf(node);
  const load = {
    ...{ pushUrl: node.pushUrl, seriesCount },
    startMs: alignedStartMs(rounds * INTERVAL_MS),
  };
  await feed({ ...load, rounds: CREATION_ROUNDS });
  const created = residentOf(node);
  await readSlices([node.metricsUrl]);
  const { wallSeconds } = await feed({ ...load, fromRound: CREATION_ROUNDS, rounds });
  const slices = await readSlices([node.metricsUrl]);
  const after = residentOf(node);
  const v8 = await node.memory();
  const arena = await readMetric(node, 'starling_head_arena_bytes');
  const slabs = await readMetric(node, 'starling_head_arena_reserved_bytes');
  const filed = await readMetric(node, 'starling_head_chunk_file_bytes');
  await node.end('SIGKILL');
  const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
  const name = `${seriesCount} series, ${((rounds * INTERVAL_MS) / 3_600_000).toFixed(2)} h`;
  return [
    {
      ...{ name: `${name}: RSS`, unit: 'B/series', ours: after.resident / seriesCount },
      goalMax: { value: BYTES_PER_SERIES_MAX, of: 'ours' },
      note: [
        `started ${mib(before.resident)}, series made ${mib(created.resident)}, then ${mib(after.resident)}`,
        `private ${mib(after.anonymous)}, files ${mib(after.file)}, shared ${mib(after.shared)}`,
        `arena ${mib(arena)} of ${mib(slabs)}, chunks in files ${mib(filed)}`,
        `V8 heap ${mib(v8.heapUsedBytes)} of ${mib(v8.heapReservedBytes)}, external ${mib(v8.externalBytes)}`,
      ].join('; '),
    },
    {
      ...{ name: `${name}: RSS at its peak`, unit: 'GiB', ours: after.peak / GIB },
      goalMax: { value: RESIDENT_GIB_MAX, of: 'ours' },
    },
    {
      ...{ name: `${name}: slices p99`, unit: 'ms', ours: slices.p99Ms },
      goalMax: { value: SLICE_P99_MAX_MS, of: 'ours' },
      note: `max ${slices.maxMs.toFixed(1)} ms at ${((seriesCount * (rounds - CREATION_ROUNDS)) / wallSeconds / 1000).toFixed(0)} k samples/s`,
    },
  ];
}

interface Resident {
  readonly resident: number;
  readonly peak: number;
  readonly anonymous: number;
  readonly file: number;
  readonly shared: number;
}

/** Bytes. */
function residentOf({ pid }: StarlingServer): Resident {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024;
  return {
    ...{ resident: of('VmRSS'), peak: of('VmHWM') },
    ...{ anonymous: of('RssAnon'), file: of('RssFile'), shared: of('RssShmem') },
  };
}

async function readMetric({ metricsUrl }: StarlingServer, name: string): Promise<number> {
  const page = await (await fetch(metricsUrl)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(page)?.[1] ?? Number.NaN);
}
