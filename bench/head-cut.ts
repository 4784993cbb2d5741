/**
 * Cutting a head of many series: CPU, time, and how long a slice of the loop is meanwhile. Real files in a
 * temporary directory, which is removed. `node dist/bench/head-cut.js [SERIES] [INTERVAL SECONDS]`
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ANONYMOUS_TENANT } from '../model/ids.ts';
import { labelsFromPairs } from '../model/labels.ts';
import { fingerprint, tenantFingerprintKey, viewOf } from '../model/wire/fingerprint.ts';
import { encodeLabels } from '../model/wire/labels-codec.ts';
import { type WriteBatch, allocateWriteBatch } from '../model/wire/write-batch.ts';
import { createNodeClock } from '../platform/node/clock.ts';
import { createNodeDisk } from '../platform/node/disk.ts';
import { LoopMeter } from '../platform/node/loop-meter.ts';
import { createNodeRandom } from '../platform/node/random.ts';
import { Committer, type Tsdb, TsdbManager } from '../storage/index.ts';

const SERIES_PER_BATCH = 2000;
const HOURS = 3.1;
const START_MS = Math.floor(Date.now() / 7_200_000) * 7_200_000 - 8 * 3_600_000;
const [seriesCount = 100_000, intervalSeconds = 60] = process.argv.slice(2).map(Number);
const key = tenantFingerprintKey(Buffer.alloc(16, 1), ANONYMOUS_TENANT, 'series');
const quiet = { debug: noop, info: noop, warn: console.warn, error: console.error };
const log = { ...quiet, child: () => log };

function noop(): void {
  // nothing to tell
}

/** One batch of new series; later rounds send the same one without labels. */
function batchOf(from: number): WriteBatch {
  const sets = Array.from({ length: SERIES_PER_BATCH }, (_, i) =>
    encodeLabels(
      labelsFromPairs([
        ['__name__', `bench_metric_${(from + i) % 100}_total`],
        ['job', `job-${(from + i) % 30}`],
        ['namespace', `namespace-${(from + i) % 50}`],
        ['pod', `deployment-${Math.floor((from + i) / 100)}-abcdef`],
        ['container', `container-${(from + i) % 7}`],
        ['instance', `10.0.${((from + i) >> 8) & 255}.${(from + i) & 255}:9100`],
      ]),
    ),
  );
  const { batch } = allocateWriteBatch({
    tenant: ANONYMOUS_TENANT,
    seriesCount: sets.length,
    sampleCount: sets.length,
    labelLength: sets.reduce((sum, bytes) => sum + bytes.length, 0),
  });
  let at = 0;
  sets.forEach((bytes, i) => {
    fingerprint(key, viewOf(bytes), 0, bytes.length, batch.fingerprints, i * 4);
    batch.labelBytes.set(bytes, at);
    batch.labelEnds[i] = at += bytes.length;
    batch.sampleEnds[i] = i + 1;
  });
  return batch;
}

async function fill(tsdb: Tsdb): Promise<void> {
  const batches: WriteBatch[] = [];
  for (let from = 0; from < seriesCount; from += SERIES_PER_BATCH) batches.push(batchOf(from));
  const rounds = Math.floor((HOURS * 3600) / intervalSeconds);
  for (let round = 0; round < rounds; round++) {
    const timeMs = START_MS + round * intervalSeconds * 1000;
    for (const batch of batches) {
      const values = new Float64Array(
        batch.values.buffer,
        batch.values.byteOffset,
        batch.sampleCount,
      );
      for (let i = 0; i < values.length; i++) values[i] = round * 15 + ((i * 7 + round * 3) % 11);
      batch.timestamps.fill(timeMs);
      tsdb.append(batch, timeMs);
      if (round === 0) batch.labelEnds.fill(0);
    }
    await tsdb.durable();
  }
}

async function main(directory: string): Promise<void> {
  const clock = createNodeClock();
  const disk = createNodeDisk();
  const committer = new Committer({ clock, log, mode: 'os', intervalMs: 1000, onFatal: noop });
  const tenants = new TsdbManager({
    ...{ clock, disk, directory, openMax: 1 },
    optionsOf: () => ({
      ...{ log, committer, random: createNodeRandom(), cutJitterMs: 0 },
      ...{
        retentionMs: 1e12,
        retentionBytesMax: 0,
        futureMaxMs: 1e9,
        outOfOrderMs: () => 0,
        mayRemove: () => true,
        isIndexed: () => true,
        seriesMax: () => 0,
      },
      fingerprint: (bytes, out) => fingerprint(key, viewOf(bytes), 0, bytes.length, out, 0),
    }),
  });
  const tsdb = await tenants.open(ANONYMOUS_TENANT);
  await fill(tsdb);
  const meter = new LoopMeter();
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  await tsdb.maintain(Date.now());
  const { system, user } = process.cpuUsage(cpu);
  const { delayMs, sliceCpuMs } = meter.read();
  const [block] = tsdb.blocks();
  console.log(
    [
      `${seriesCount} series, ${block?.meta.stats.sampleCount ?? 0} samples in the block`,
      `${((performance.now() - startedMs) / 1000).toFixed(1)} s, CPU ${((user + system) / 1e6).toFixed(2)} s`,
      `${((block?.sizeBytes ?? 0) / (block?.meta.stats.sampleCount ?? 1)).toFixed(2)} bytes a sample`,
      `slices: CPU p99 ${sliceCpuMs?.p99.toFixed(2) ?? '?'} ms, max ${sliceCpuMs?.max.toFixed(2) ?? '?'} ms`,
      `loop delay p99 ${delayMs.p99.toFixed(1)} ms, max ${delayMs.max.toFixed(1)} ms`,
    ].join('\n'),
  );
  meter.close();
  await tenants.close();
  await committer.close();
}

const directory = await mkdtemp(join(tmpdir(), 'starling-head-cut-'));
try {
  await main(directory);
} finally {
  await rm(directory, { recursive: true });
}
