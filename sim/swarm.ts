/**
 * What a seed tells a story: how many machines, how many copies, which load, and which faults. Each
 * seed enables a random part of the faults, so that some runs meet only two kinds, often enough for
 * what needs many of one kind in a row.
 */
import { ODDITIES, type Oddity } from '../platform/rare.ts';
import { BUCKET_FAULTS } from './faults/bucket.ts';
import { FAULTS } from './faults/index.ts';
import type { SimRandom } from './random.ts';
import type { LoadShape } from './load-target.ts';

export interface Swarm {
  readonly machineCount: number;
  readonly replicationFactor: number;
  readonly tenantCount: number;
  /** Names of faults that may strike. */
  readonly faults: readonly string[];
  readonly load: LoadShape;
  /** From one fault to the next one there is this long at most. */
  readonly restMsMax: number;
  /** Heads are cut and shipped this often, due or not; undefined: as nodes do by themselves. */
  readonly flushEveryMs?: number;
  /** Now and then all machines are off until requests to delete are final; at the end all of them must be cut. */
  readonly cutsDeletions?: boolean;
  /** All nodes have one bucket; else each has a directory of its own. */
  readonly hasBucket: boolean;
  /** Settings of the nodes beyond the story's own; values of lists are parted by spaces. */
  readonly flags: Readonly<Record<string, string>>;
  /** Places of nodes that do the unusual and still right thing now and then. */
  readonly oddities: readonly Oddity[];
}

const FAULT_KINDS_MIN = 2;
const BUCKET_SHAPE_FAULTS = ['clock-day-ahead', 'clock-day-behind', 'kill', 'restart', 'wipe'];
const ODDITY_CHANCE = 0.25;
const BUCKET_CHANCE = 0.7;
const REST_MS_MAX = 10_000;

/** Draws a swarm. Calm: the one that the tests of single parts use. */
export function drawSwarm(random: SimRandom): Swarm {
  const machineCount = 3 + random.below(3);
  const faults = new Set<string>();
  const names = Object.keys(FAULTS);
  const share = random.between(0.1, 0.9);
  for (const name of names) if (random.chance(share)) faults.add(name);
  while (faults.size < FAULT_KINDS_MIN) faults.add(random.pick(names) ?? 'kill');
  const tenantCount = random.chance(0.5) ? 1 : 3;
  const beside = random.child('beside');
  return {
    machineCount,
    replicationFactor: random.pick([1, 2, 3, 3, 3]) ?? 3,
    tenantCount,
    faults: [...faults],
    load: {
      writers: 4,
      seriesPerWriter: 5,
      everyMs: random.pick([50, 200, 500]) ?? 500,
      tenantCount,
      repeatChance: random.pick([0, 0.1]) ?? 0,
      lateChance: random.pick([0, 0.05]) ?? 0,
      futureChance: random.pick([0, 0.02]) ?? 0,
      readBackChance: random.pick([0, 0.1]) ?? 0,
      exemplarChance: beside.pick([0.05, 0.3]) ?? 0,
      tellEveryMs: beside.pick([300, 1000, 3000]) ?? 1000,
    },
    oddities: ODDITIES.filter(() => random.chance(ODDITY_CHANCE)),
    restMsMax: REST_MS_MAX,
    hasBucket: random.chance(BUCKET_CHANCE),
    flags: {},
  };
}

/** Clusters that are not left to the seed, by the name that the command knows. */
export const SHAPES: Readonly<Record<string, Partial<Swarm>>> = {
  /** What the speed of the simulator is measured with: an ordinary small cluster on a quiet day. */
  hour: {
    machineCount: 5,
    replicationFactor: 3,
    tenantCount: 1,
    faults: [],
    oddities: [],
    load: {
      writers: 4,
      seriesPerWriter: 250,
      everyMs: 15_000,
      readEveryMs: 1000,
      tenantCount: 1,
      repeatChance: 0,
      lateChance: 0,
    },
  },
  /** Series are deleted, and some requests cancelled, while blocks are shipped. */
  deletion: {
    machineCount: 3,
    replicationFactor: 3,
    flushEveryMs: 90_000,
    hasBucket: true,
    cutsDeletions: true,
    flags: {
      'compactor.block-ranges': '2m 6m',
      'compactor.compaction-interval': '1m',
      'compactor.delete-request-cancel-period': '1m',
      'compactor.first-level-compaction-wait-period': '30s',
      'blocks-storage.tsdb.retention-period': '15m',
      // Further away than any story goes, and nearer than wrong clocks do.
      'limits.compactor-blocks-retention-period': '20h',
    },
    load: {
      writers: 3,
      seriesPerWriter: 3,
      everyMs: 3000,
      readEveryMs: 300,
      tenantCount: 1,
      repeatChance: 0.1,
      lateChance: 0.05,
      readBackChance: 0.2,
      exemplarChance: 0.2,
      tellEveryMs: 1500,
      deleteEveryMs: 15_000,
    },
  },
  /** Nodes that keep little, so that most reads need the bucket: for stories of an hour and more. */
  bucket: {
    machineCount: 3,
    replicationFactor: 3,
    tenantCount: 1,
    restMsMax: 6 * 60_000,
    flushEveryMs: 6 * 60_000,
    oddities: [],
    hasBucket: true,
    faults: [...BUCKET_SHAPE_FAULTS, ...Object.keys(BUCKET_FAULTS)],
    flags: { 'blocks-storage.tsdb.retention-period': '15m' },
    load: {
      writers: 2,
      seriesPerWriter: 3,
      everyMs: 15_000,
      readEveryMs: 15_000,
      tenantCount: 1,
      repeatChance: 0,
      lateChance: 0,
      readBackChance: 0.2,
      exemplarChance: 0.2,
      tellEveryMs: 15_000,
    },
  },
};

/** One line for people. */
export function describeSwarm(swarm: Swarm): string {
  const { faults, machineCount, oddities, replicationFactor, tenantCount } = swarm;
  const shape = `nodes=${machineCount} rf=${replicationFactor} tenants=${tenantCount} bucket=${swarm.hasBucket}`;
  return `${shape} odd=${oddities.join(',')} faults=${faults.join(',')}`;
}
