/**
 * `node open-tsdb.js DIRECTORY`: opens a tenant's directory as a node does, in a process of its own, and tells
 * what that took as JSON.
 */
import { ANONYMOUS_TENANT } from '../../model/ids.ts';
import { fingerprint, tenantFingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { LoopMeter } from '../../platform/node/loop-meter.ts';
import { createNodeRandom } from '../../platform/node/random.ts';
import { Committer, TsdbManager } from '../../storage/index.ts';

export interface OpenReport {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly sliceP99Ms: number;
  readonly sliceMaxMs: number;
  readonly sampleCount: number;
  readonly seriesCount: number;
}

const noop = (): void => undefined;
const quiet = { debug: noop, info: noop, warn: console.warn, error: console.error };
const log = { ...quiet, child: () => log };
const [directory = ''] = process.argv.slice(2);
const clock = createNodeClock();
const disk = createNodeDisk();
const committer = new Committer({ clock, log, mode: 'os', intervalMs: 1000, onFatal: noop });
const key = tenantFingerprintKey(Buffer.alloc(16, 1), ANONYMOUS_TENANT, 'series');
const tenants = new TsdbManager({
  ...{ clock, disk, directory, openMax: 1 },
  optionsOf: () => ({
    ...{ log, committer, random: createNodeRandom(), cutJitterMs: 0 },
    ...{ retentionMs: 1e12, retentionBytesMax: 0, futureMaxMs: 1e9 },
    outOfOrderMs: () => 0,
    mayRemove: () => true,
    isIndexed: () => true,
    seriesMax: () => 0,
    fingerprint: (bytes, out) => fingerprint(key, viewOf(bytes), 0, bytes.length, out, 0),
  }),
});
const meter = new LoopMeter();
const cpu = process.cpuUsage();
const begun = performance.now();
const tsdb = await tenants.open(ANONYMOUS_TENANT);
const wallSeconds = (performance.now() - begun) / 1000;
const { system, user } = process.cpuUsage(cpu);
const { sliceCpuMs } = meter.read();
meter.close();
const stats = tsdb.stats();
const report: OpenReport = {
  wallSeconds,
  cpuSeconds: (user + system) / 1e6,
  sliceP99Ms: sliceCpuMs?.p99 ?? Number.NaN,
  sliceMaxMs: sliceCpuMs?.max ?? Number.NaN,
  sampleCount: stats.samplesAppended,
  seriesCount: stats.seriesCount,
};
console.log(JSON.stringify(report));
await tenants.close();
await committer.close();
