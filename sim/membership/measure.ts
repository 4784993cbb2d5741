/**
 * Membership in numbers: how fast a crash, a leave, a change and a healed partition are seen, how much
 * is sent, and how often the living are taken for dead, with the shipping core at its default settings.
 * Each measurement starts a cluster of its own from the seed, so that none depends on another.
 *
 *   measure(seed, count) ─ lines of (what, value)      the speed of each in times of real time
 */
import { assert } from '../../model/assert.ts';
import type { SwimConfig } from '../../membership/swim/types.ts';
import { type ClusterOptions, VirtualCluster, type VirtualNode, seededRandom } from './cluster.ts';

export interface Measured {
  readonly what: string;
  readonly value: string;
  readonly virtualMs: number;
  readonly eventCount: number;
}

/** One measurement by name. */
export interface Measurement {
  readonly what: string;
  readonly countMax?: number;
  run(seed: number, count: number): { readonly value: string; readonly cluster: VirtualCluster };
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const SETTLE_MS = 60 * SECOND_MS;
const TIMEOUT_MS = 5 * MINUTE_MS;
/** All of Lifeguard off: neither health nor shrinking suspicions. */
const NO_LIFEGUARD: Partial<SwimConfig> = { healthScoreMax: 0, suspicionMaxMult: 1 };

/** Deaths that were told of nodes that were up and reachable. */
class FalseDeaths {
  count = 0;
  readonly #excused = new Set<string>();

  /** A node that is really gone, or out of reach. */
  excuse(id: string): void {
    this.#excused.add(id);
  }

  saw(id: string, observer: string): void {
    if (!this.#excused.has(id) && !this.#excused.has(observer)) this.count++;
  }
}

interface Grown {
  readonly cluster: VirtualCluster;
  readonly deaths: FalseDeaths;
  readonly joinMs: number;
}

/** A cluster in which everybody knows everybody, some time after. */
function grow(count: number, options: ClusterOptions, settleMs = SETTLE_MS): Grown {
  const deaths = new FalseDeaths();
  const cluster = new VirtualCluster({
    ...options,
    onEvent: (_, node, event) => {
      if (event.type === 'dead') deaths.saw(event.member.id, node.id);
    },
  });
  const joinMs = cluster.startAll(count, TIMEOUT_MS);
  cluster.run(settleMs);
  return { cluster, deaths, joinMs };
}

function seconds(durationMs: number): string {
  return durationMs === Infinity ? 'never' : `${(durationMs / SECOND_MS).toFixed(1)} s`;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Infinity;
}

interface CrashTimes {
  /** When the first noticed, and when all had, a crash. */
  readonly firsts: number[];
  readonly alls: number[];
}

/** Clusters of which nodes are killed: a few crashes say little of small ones. */
function crashClusters(count: number): number {
  if (count > 200) return 1;
  return count > 50 ? 4 : 40;
}

/** Kills nodes one after the other, in some clusters: the first and the last that notice. */
function crashes(count: number, options: ClusterOptions): ReturnType<Measurement['run']> {
  const times: CrashTimes = { firsts: [], alls: [] };
  let cluster = crashesOf(count, options, times);
  for (let i = 1; i < crashClusters(count); i++) {
    cluster = crashesOf(count, { ...options, seed: options.seed + i }, times);
  }
  const { alls, firsts } = times;
  const late = alls.toSorted((a, b) => a - b)[Math.floor(alls.length * 0.95)] ?? Infinity;
  const value = `first ${seconds(median(firsts))}, all ${seconds(median(alls))}, 95 % ${seconds(late)}, worst ${seconds(Math.max(...alls))} of ${alls.length}`;
  return { value, cluster };
}

function crashesOf(
  count: number,
  options: ClusterOptions,
  { alls, firsts }: CrashTimes,
): VirtualCluster {
  const { cluster } = grow(count, options);
  for (let kill = 0; kill < (count > 200 ? 3 : 5); kill++) {
    const victim = cluster.nodes[1 + kill]!;
    cluster.crash(victim);
    const startMs = cluster.nowMs;
    let firstMs = Infinity;
    alls.push(
      cluster.until(TIMEOUT_MS, () => {
        const seen = cluster.countSeeing(victim.id, 'dead');
        if (seen > 0) firstMs = Math.min(firstMs, cluster.nowMs - startMs);
        return seen === upCount(cluster);
      }),
    );
    firsts.push(firstMs);
    cluster.run(10 * SECOND_MS);
  }
  return cluster;
}

function upCount(cluster: VirtualCluster): number {
  return cluster.nodes.filter(({ isUp }) => isUp).length;
}

function leaves(seed: number, count: number): ReturnType<Measurement['run']> {
  const { cluster } = grow(count, { seed });
  const leaver = cluster.nodes[2]!;
  cluster.input(leaver, { type: 'leave' });
  const tookMs = cluster.until(
    TIMEOUT_MS,
    () => cluster.countSeeing(leaver.id, 'left') >= count - 1,
  );
  return { value: seconds(tookMs), cluster };
}

/** One record told by one node, as a change of the registry is. */
function changes(count: number, options: ClusterOptions): ReturnType<Measurement['run']> {
  const { cluster } = grow(count, options);
  for (const node of cluster.nodes) node.records = 0;
  const author = cluster.nodes[count >> 1]!;
  const record = new Uint8Array(200).fill(7);
  // Who hears a new record changes by it, and tells it on.
  cluster.onRecord = (node: VirtualNode) => {
    if (node.records > 1 || node === author) return;
    cluster.input(node, { type: 'broadcast', key: 'change', bytes: record });
  };
  cluster.input(author, { type: 'broadcast', key: 'change', bytes: record });
  let mostMs = Infinity;
  const startMs = cluster.nowMs;
  const allMs = cluster.until(TIMEOUT_MS, () => {
    const heard = cluster.nodes.filter((node) => node.records > 0 || node === author).length;
    if (heard >= 0.99 * count) mostMs = Math.min(mostMs, cluster.nowMs - startMs);
    return heard === count;
  });
  return { value: `99 % ${seconds(mostMs)}, all ${seconds(allMs)}`, cluster };
}

/** Two halves for five minutes. */
function partition(seed: number, count: number): ReturnType<Measurement['run']> {
  const { cluster } = grow(count, { seed });
  for (let i = 0; i < count; i += 2) cluster.nodes[i]!.side = 1;
  cluster.run(5 * MINUTE_MS);
  assert(!cluster.isConverged(), 'sim: the partition was not noticed');
  for (const node of cluster.nodes) node.side = 0;
  const tookMs = cluster.until(TIMEOUT_MS, () => cluster.isConverged());
  return { value: seconds(tookMs), cluster };
}

function traffic(count: number, options: ClusterOptions): ReturnType<Measurement['run']> {
  const { cluster } = grow(count, options);
  for (const node of cluster.nodes) {
    node.bytesSent = 0;
    node.packetsSent = 0;
  }
  const spanMs = 2 * MINUTE_MS;
  cluster.run(spanMs);
  const perNode = (read: (node: VirtualNode) => number): number =>
    cluster.nodes.reduce((sum, node) => sum + read(node), 0) / count / (spanMs / SECOND_MS);
  const bytes = perNode((node) => node.bytesSent);
  const packets = perNode((node) => node.packetsSent);
  return { value: `${bytes.toFixed(0)} B/s, ${packets.toFixed(1)} packets/s a node`, cluster };
}

/** Nobody dies: every death is false. */
function falseDeaths(
  count: number,
  nodeHours: number,
  options: ClusterOptions,
): ReturnType<Measurement['run']> {
  const { reliableLossShare = 0, ...calls } = options;
  const { cluster, deaths } = grow(count, calls, 0);
  cluster.reliableLossShare = reliableLossShare; // nobody joins without a call
  cluster.run((nodeHours * HOUR_MS) / count);
  return { value: `${deaths.count} in ${nodeHours} node-hours`, cluster };
}

/**
 * Lifeguard's test: some nodes block in bursts, and accuse others when they wake. Deaths told by a
 * blocked node count too: others believe them.
 */
function slowNodes(seed: number, count: number, config: Partial<SwimConfig>): Grown {
  const grown = grow(count, { seed, config });
  const { cluster, deaths } = grown;
  const random = seededRandom(seed + 1);
  const slow = cluster.nodes.slice(1, 1 + Math.ceil(count / 4));
  for (const node of slow) deaths.excuse(node.id);
  const block = (node: VirtualNode): void => {
    node.stalledUntilMs = cluster.nowMs + 1000 + random.float() * 30_000;
    cluster.at(node.stalledUntilMs + random.float() * 200, () => block(node));
  };
  for (const node of slow) block(node);
  cluster.run(3 * MINUTE_MS);
  return grown;
}

function lifeguard(seed: number, count: number): ReturnType<Measurement['run']> {
  const off = slowNodes(seed, count, NO_LIFEGUARD);
  const { cluster, deaths } = slowNodes(seed, count, {});
  const value = `${deaths.count} deaths of healthy members told by healthy ones; without it ${off.deaths.count}`;
  return { value, cluster };
}

/** Every node stops for up to two seconds now and then. */
function stalls(seed: number, count: number): ReturnType<Measurement['run']> {
  const { cluster, deaths } = grow(count, { seed });
  const random = seededRandom(seed + 2);
  const spanMs = 20 * MINUTE_MS;
  for (
    let atMs = cluster.nowMs;
    atMs < cluster.nowMs + spanMs;
    atMs += 500 + random.float() * 1000
  ) {
    const node = cluster.nodes[Math.floor(random.float() * count)]!;
    const forMs = random.float() * 2 * SECOND_MS;
    cluster.at(atMs, () => (node.stalledUntilMs = cluster.nowMs + forMs));
  }
  cluster.run(spanMs);
  return { value: `${deaths.count} false deaths`, cluster };
}

const LOSSY = 0.3;

/** All measurements, the quick ones first. */
export const MEASUREMENTS: readonly Measurement[] = [
  {
    what: 'join, all at once',
    run: (seed, count) => {
      const { cluster, joinMs } = grow(count, { seed }, 0);
      return { value: seconds(joinMs), cluster };
    },
  },
  { what: 'crash seen, calm', run: (seed, count) => crashes(count, { seed }) },
  {
    what: 'crash seen, 30 % loss',
    run: (seed, count) => crashes(count, { seed, lossShare: LOSSY }),
  },
  { what: 'leave seen by all', run: leaves },
  { what: 'one change seen, calm', run: (seed, count) => changes(count, { seed }) },
  {
    what: 'one change seen, 30 % loss',
    run: (seed, count) => changes(count, { seed, lossShare: LOSSY }),
  },
  { what: 'partition of 5 min heals in', run: partition },
  { what: 'sent, calm', run: (seed, count) => traffic(count, { seed }) },
  { what: 'sent, 30 % loss', run: (seed, count) => traffic(count, { seed, lossShare: LOSSY }) },
  { what: 'false deaths, calm', run: (seed, count) => falseDeaths(count, 100, { seed }) },
  {
    what: 'false deaths, 30 % loss',
    run: (seed, count) => falseDeaths(count, 100, { seed, lossShare: LOSSY }),
  },
  {
    what: 'false deaths, 30 % loss, 10 % of calls fail',
    run: (seed, count) =>
      falseDeaths(count, 25, { seed, lossShare: LOSSY, reliableLossShare: 0.1 }),
  },
  {
    what: 'false deaths, 10 % loss, no calls',
    run: (seed, count) => falseDeaths(count, 25, { seed, lossShare: 0.1, reliableLossShare: 1 }),
  },
  { what: 'one node in four blocks in bursts', countMax: 200, run: lifeguard },
  { what: 'stalls up to 2 s', countMax: 200, run: stalls },
];

/** Runs one measurement. */
export function measure(measurement: Measurement, seed: number, count: number): Measured {
  const { cluster, value } = measurement.run(seed, count);
  const { eventCount, nowMs } = cluster;
  return { what: measurement.what, value, virtualMs: nowMs, eventCount };
}
