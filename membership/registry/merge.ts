/**
 * The registry as a state-based CRDT. Each key holds the greatest record under a rule that is a
 * total order (instances, cluster) or a product of maxima (RF steps), so merging is idempotent,
 * commutative and associative, and no wall clock takes part.
 *
 *   instance   generation, rank of the state, boot counter, version, proposal, then bytes
 *   rf-step    committed or not, and the later time: both by maximum
 *   cluster    the larger cluster, then the lower id, then the lower secret
 *
 * The rank stands before the boot counter, so that a tombstone beats every record of its membership
 * whatever its boot, and a node that lost its disk cannot unregister itself by joining afresh.
 */
import { assertNever } from '../../model/assert.ts';
import { type DecodeFailure, decodeRecord, encodeRecord } from './codec.ts';
import {
  type ClusterRecord,
  INSTANCES_MAX,
  type InstanceRecord,
  type InstanceState,
  type Proposal,
  type Registry,
  type RegistryRecord,
  type RfStepRecord,
  recordKey,
  recordsOf,
} from './records.ts';

export interface MergeResult {
  readonly registry: Registry;
  /** The records that are new or newer here: to be persisted, then told to others. */
  readonly changed: readonly RegistryRecord[];
}

/** Where a state stands in the life of an instance; it only rises within a generation. */
export function stateRank(state: InstanceState): number {
  switch (state) {
    case 'ACTIVE':
    case 'LEAVING':
    case 'READONLY':
      return 2;
    case 'FORGOTTEN':
      return 4;
    case 'JOINING':
      return 1;
    case 'LEFT':
      return 3;
    case 'PENDING':
      return 0;
    default:
      return assertNever(state);
  }
}

function proposalRank(proposal: Proposal): number {
  return proposal === 'none' ? 0 : proposal === 'leave' ? 1 : 2;
}

/** Negative when `a` is older than `b`, positive when newer, 0 only for equal records. */
export function compareInstances(a: InstanceRecord, b: InstanceRecord): number {
  if (a === b) return 0; // an owner guards its own record at every step
  return (
    a.generation - b.generation ||
    stateRank(a.state) - stateRank(b.state) ||
    a.bootCounter - b.bootCounter ||
    a.version - b.version ||
    proposalRank(a.proposal) - proposalRank(b.proposal) ||
    Buffer.compare(encodeRecord(a), encodeRecord(b))
  );
}

function compareClusters(a: ClusterRecord, b: ClusterRecord): number {
  return (
    a.membersMax - b.membersMax ||
    compareText(b.clusterId, a.clusterId) ||
    compareText(b.fingerprintSecret, a.fingerprintSecret)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Merges one registry into another: the result is the same whichever side is which. */
export function mergeRegistries(ours: Registry, theirs: Registry): MergeResult {
  return mergeRecords(ours, recordsOf(theirs));
}

/** Merges records, in any order and however often. Returns `registry` itself when nothing is new. */
export function mergeRecords(registry: Registry, records: readonly RegistryRecord[]): MergeResult {
  const instances = new Map(registry.instances);
  const rfSteps = new Map(registry.rfSteps);
  let cluster = registry.cluster;
  const changed = new Map<string, RegistryRecord>();
  for (const record of records) {
    switch (record.kind) {
      case 'cluster':
        if (cluster !== undefined && compareClusters(cluster, record) >= 0) break;
        cluster = record;
        changed.set(recordKey(record), record);
        break;
      case 'instance': {
        const known = instances.get(record.id);
        if (known === undefined ? instances.size >= INSTANCES_MAX : !isNewer(record, known)) break;
        instances.set(record.id, record);
        changed.set(recordKey(record), record);
        break;
      }
      case 'rf-step': {
        const merged = mergeRfSteps(rfSteps.get(record.rf), record);
        if (merged === rfSteps.get(record.rf)) break;
        rfSteps.set(record.rf, merged);
        changed.set(recordKey(merged), merged);
        break;
      }
    }
  }
  if (changed.size === 0) return { registry, changed: [] };
  return { registry: { instances, rfSteps, cluster }, changed: [...changed.values()] };
}

function isNewer(record: InstanceRecord, known: InstanceRecord): boolean {
  return compareInstances(record, known) > 0;
}

/** Returns `known` itself when `record` adds nothing. */
function mergeRfSteps(known: RfStepRecord | undefined, record: RfStepRecord): RfStepRecord {
  if (known === undefined) return record;
  const isCommitted = known.isCommitted || record.isCommitted;
  const atMs = Math.max(known.atMs, record.atMs);
  if (isCommitted === known.isCommitted && atMs === known.atMs) return known;
  return { kind: 'rf-step', rf: record.rf, isCommitted, atMs };
}

export interface DecodedRecords {
  readonly records: readonly RegistryRecord[];
  /** Frames that were not valid records: to be counted. */
  readonly rejected: readonly DecodeFailure[];
}

/** Decodes frames that gossip delivered. Bad ones are returned as failures, never thrown. */
export function decodeRecords(frames: readonly Uint8Array[]): DecodedRecords {
  const records: RegistryRecord[] = [];
  const rejected: DecodeFailure[] = [];
  for (const frame of frames) {
    const decoded = decodeRecord(frame);
    if (decoded.kind === 'failure') rejected.push(decoded);
    else records.push(decoded);
  }
  return { records, rejected };
}
