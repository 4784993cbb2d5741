/**
 * The registry's vocabulary: who may hold data. Three kinds of record, each at most 512 bytes on
 * the wire, each owned by its key and merged by a fixed rule (merge.ts), never by wall clock:
 *
 *   instance  i/<id>    one per instance, written by the instance itself; others may only add a
 *                       'forget' proposal or, once a majority acknowledged it, a tombstone
 *   rf-step   rf/<rf>   the cluster began to write with this replication factor
 *   cluster   cluster   cluster id and the secret that keys series fingerprints
 *
 *   life of an instance (rank in parentheses: inside a generation it only rises):
 *   PENDING(0) -> JOINING(1) -> ACTIVE | READONLY | LEAVING(2) -> LEFT(3) -> FORGOTTEN(4)
 *   Coming back after LEFT or FORGOTTEN is a JOINING record of the next generation.
 */
import type { InstanceId } from '../../model/ids.ts';

export type InstanceState =
  'ACTIVE' | 'FORGOTTEN' | 'JOINING' | 'LEAVING' | 'LEFT' | 'PENDING' | 'READONLY';

/** A removal that waits for its majority: 'leave' by the instance itself, 'forget' by another one. */
export type Proposal = 'forget' | 'leave' | 'none';

/** 128 random bits as 32 hex digits, drawn when a data directory is formatted. */
export type StoreId = string & { readonly __brand: 'StoreId' };

/** Where an instance can be reached, 'host:port' each. Only data: never identity. */
export interface InstanceAddresses {
  readonly http: string;
  readonly grpc: string;
  readonly gossip: string;
}

export interface InstanceRecord {
  readonly kind: 'instance';
  readonly id: InstanceId;
  /** Counts memberships: raised only by joining again after LEFT or FORGOTTEN. */
  readonly generation: number;
  readonly state: InstanceState;
  readonly bootCounter: number;
  /** Counts the owner's records within one boot. */
  readonly version: number;
  readonly proposal: Proposal;
  readonly zone: string;
  readonly addresses: InstanceAddresses;
  readonly tokenSeed: number;
  readonly storeId: StoreId;
  readonly softwareVersion: string;
  /** The replication factor from which on this instance took writes; 0 until known. */
  readonly joinedRf: number;
  /** What it stores from steps below this factor is also held elsewhere (or there is nothing). */
  readonly settledRf: number;
  /** History before this time is not there (wiped, forgotten); 0 = whole, MISSING_ALWAYS_MS = all. */
  readonly missingBeforeMs: number;
  /** When it began to take writes; 0 before. Sample time, compared with query ranges only. */
  readonly activeSinceMs: number;
  /** When it last changed its zone; 0 for never. */
  readonly zoneChangedAtMs: number;
  /** For people only. */
  readonly registeredAtMs: number;
}

export interface RfStepRecord {
  readonly kind: 'rf-step';
  readonly rf: number;
  /** When the step began: sample time, compared with query ranges only. */
  readonly atMs: number;
  /** False while a majority has still to acknowledge it: then it has no effect yet. */
  readonly isCommitted: boolean;
}

export interface ClusterRecord {
  readonly kind: 'cluster';
  /** 32 hex digits. */
  readonly clusterId: string;
  /** 32 hex digits: the key of series fingerprints. */
  readonly fingerprintSecret: string;
  /** The most instances this cluster ever had: when two clusters merge, the larger one's values stay. */
  readonly membersMax: number;
}

export type RegistryRecord = ClusterRecord | InstanceRecord | RfStepRecord;

/** Immutable: every change makes a new registry. */
export interface Registry {
  readonly instances: ReadonlyMap<InstanceId, InstanceRecord>;
  readonly rfSteps: ReadonlyMap<number, RfStepRecord>;
  readonly cluster: ClusterRecord | undefined;
}

export const RECORD_BYTES_MAX = 512;
/** More instances than this, tombstones included, are refused: a bound against hostile floods. */
export const INSTANCES_MAX = 4096;
export const RF_MAX = 15;
export const ZONE_BYTES_MAX = 63;
export const ADDRESS_BYTES_MAX = 90;
export const SOFTWARE_VERSION_BYTES_MAX = 32;
/** Counters leave room above, so that no accepted value can keep its owner from counting on. */
export const COUNTER_MAX = 0x7fff_ffff;

/** Times must be below: the year 6429, so anything later is not a clock but an attack. */
export const TIME_MS_MAX = 2 ** 47;
/** `missingBeforeMs` of a tombstone until every registered instance is known to have heard of it. */
export const MISSING_ALWAYS_MS = TIME_MS_MAX - 1;

/** Makes a registry that knows nobody. */
export function emptyRegistry(): Registry {
  return { instances: new Map(), rfSteps: new Map(), cluster: undefined };
}

/** The key under which gossip carries a record: a newer record of a key replaces the older one. */
export function recordKey(record: RegistryRecord): string {
  switch (record.kind) {
    case 'cluster':
      return 'cluster';
    case 'instance':
      return `i/${record.id}`;
    case 'rf-step':
      return `rf/${record.rf}`;
  }
}

/** Names one exact change, for acknowledgements: key and causal version. */
export function recordStamp(record: RegistryRecord): string {
  if (record.kind === 'cluster') return `cluster/${record.clusterId}`;
  if (record.kind === 'rf-step') return `rf/${record.rf}`;
  const { bootCounter, generation, id, proposal, state, version } = record;
  return `i/${id}/${generation}.${state}.${bootCounter}.${version}.${proposal}`;
}

/** Every record of a registry, in a fixed order: cluster, RF steps, instances by id. */
export function recordsOf(registry: Registry): RegistryRecord[] {
  const steps = [...registry.rfSteps.values()].sort((a, b) => a.rf - b.rf);
  const cluster = registry.cluster === undefined ? [] : [registry.cluster];
  return [...cluster, ...steps, ...instancesById(registry)];
}

/** The instance records sorted by id, in code unit order. */
export function instancesById(registry: Registry): InstanceRecord[] {
  return [...registry.instances.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
