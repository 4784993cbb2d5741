/** Registry records for tests: a valid one of each kind, arbitrary ones, and whole clusters. */
import fc from 'fast-check';
import {
  type InstanceRecord,
  type InstanceState,
  type Proposal,
  type Registry,
  type RegistryRecord,
  type StoreId,
  emptyRegistry,
  mergeRecords,
} from '../../membership/registry/index.ts';
import { parseInstanceId } from '../../model/ids.ts';

export const WALL_MS = 1_700_000_000_000;

/** A store id of one repeated digit. */
export function storeId(digit: string): StoreId {
  return digit.repeat(32) as StoreId; // tests give one hex digit
}

/** An ACTIVE instance, in its own zone, that took writes from the factor 1 on. */
export function instance(id: string, change: Partial<InstanceRecord> = {}): InstanceRecord {
  return {
    kind: 'instance',
    id: parseInstanceId(id),
    generation: 0,
    state: 'ACTIVE',
    bootCounter: 1,
    version: 1,
    proposal: 'none',
    zone: `zone-${id}`,
    addresses: { http: `${id}:8080`, grpc: `${id}:9095`, gossip: `${id}:7946` },
    tokenSeed: 7,
    storeId: storeId('1'),
    softwareVersion: '0.1.0',
    joinedRf: 1,
    settledRf: 1,
    missingBeforeMs: 0,
    activeSinceMs: WALL_MS,
    zoneChangedAtMs: 0,
    registeredAtMs: WALL_MS,
    ...change,
  };
}

/** A committed step at `WALL_MS` plus `afterMs`. */
export function rfStep(rf: number, afterMs = 0, isCommitted = true): RegistryRecord {
  return { kind: 'rf-step', rf, atMs: WALL_MS + afterMs, isCommitted };
}

export function registryOf(...records: readonly RegistryRecord[]): Registry {
  return mergeRecords(emptyRegistry(), records).registry;
}

/** `count` ACTIVE instances n-00, n-01, … under one replication factor, in `zoneCount` zones. */
export function clusterOf(count: number, rf: number, zoneCount = count): Registry {
  const instances = Array.from({ length: count }, (_, i) =>
    instance(`n-${String(i).padStart(2, '0')}`, {
      joinedRf: rf,
      settledRf: rf,
      tokenSeed: 1000 + i,
      zone: `zone-${i % zoneCount}`,
    }),
  );
  return registryOf(rfStep(rf), ...instances);
}

const small = fc.integer({ min: 0, max: 2 });
const states: InstanceState[] = [
  'PENDING',
  'JOINING',
  'ACTIVE',
  'READONLY',
  'LEAVING',
  'LEFT',
  'FORGOTTEN',
];

/** Few ids and few values, so that ties and conflicts are common. */
export const arbitraryRecord: fc.Arbitrary<RegistryRecord> = fc
  .oneof(
    { weight: 6, arbitrary: arbitraryInstance() },
    fc.record({
      kind: fc.constant('rf-step' as const),
      rf: fc.integer({ min: 1, max: 3 }),
      atMs: small,
      isCommitted: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant('cluster' as const),
      clusterId: fc.constantFrom('a'.repeat(32), 'b'.repeat(32)),
      fingerprintSecret: fc.constantFrom('c'.repeat(32), 'd'.repeat(32)),
      membersMax: small,
    }),
  )
  .map((record) => ({ ...record }));

function arbitraryInstance(): fc.Arbitrary<InstanceRecord> {
  return fc
    .record({
      id: fc.constantFrom('a', 'b', 'c'),
      state: fc.constantFrom(...states),
      proposal: fc.constantFrom<Proposal>('none', 'leave', 'forget'),
      generation: small,
      bootCounter: small,
      version: small,
      joinedRf: fc.integer({ min: 1, max: 3 }),
      settledRf: fc.integer({ min: 1, max: 3 }),
      missingBeforeMs: small,
      zone: fc.constantFrom('x', 'y'),
      storeId: fc.constantFrom(storeId('1'), storeId('2')),
    })
    .map(({ id, ...change }) => instance(id, change));
}
