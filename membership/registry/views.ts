/**
 * What the registry says, as pure functions: who is registered, who votes, what a majority is, the
 * effective replication factor and its history. Nothing here knows who is alive.
 *
 *   voters      ACTIVE, READONLY, LEAVING: they may hold acknowledged data and they count in N
 *   readable    voters and JOINING: JOINING already answers reads, so that no instance takes its
 *               first write before a majority knows that it must be asked
 *   majority    more than half of the voters, and more than half of those who would be left if all
 *               pending removals took effect: two removals can never be decided by disjoint sides
 */
import type { InstanceId } from '../../model/ids.ts';
import { fingerprint, fingerprintKey, viewOf } from '../../model/wire/fingerprint.ts';
import { type InstanceRecord, type Registry, instancesById } from './records.ts';

/** One replication factor's reign. */
export interface RfStep {
  readonly rf: number;
  /** The next step's time; Infinity for the last one, or while that time is not known here. */
  readonly endsAtMs: number;
  /** Instances still in the registry (tombstones too) that took writes during it, sorted by id. */
  readonly instances: readonly InstanceRecord[];
  /** True when all that was written in it is also held elsewhere: reads need not mind it. */
  readonly isSettled: boolean;
}

/** True for a registered instance: one that counts in N and may hold data. */
export function isVoter(record: InstanceRecord | undefined): boolean {
  const state = record?.state;
  return state === 'ACTIVE' || state === 'READONLY' || state === 'LEAVING';
}

/**
 * Whether an ingester may take writes that `writer` distributes. One that was forgotten while it was
 * cut off still writes by its old ring; what it gets acknowledged others might not look for.
 */
export function acceptsWritesFrom(registry: Registry, writer: InstanceId): boolean {
  return isVoter(registry.instances.get(writer));
}

/** The registered instances, sorted by id. */
export function votersOf(registry: Registry): InstanceRecord[] {
  return instancesById(registry).filter(isVoter);
}

/** W: how many replicas must acknowledge a write. */
export function writeQuorum(rf: number): number {
  return Math.floor(rf / 2) + 1;
}

/**
 * True when `acked` holds a majority of the voters, and one of those left after every pending
 * removal. `excluding` does not vote: an instance that lost its disk has lost what it promised.
 */
export function hasMajority(
  registry: Registry,
  acked: ReadonlySet<InstanceId>,
  excluding?: InstanceId,
): boolean {
  const voters = votersOf(registry).filter((voter) => voter.id !== excluding);
  const staying = voters.filter((voter) => voter.proposal === 'none');
  return isMajorityOf(voters, acked) && isMajorityOf(staying, acked);
}

function isMajorityOf(voters: readonly InstanceRecord[], acked: ReadonlySet<InstanceId>): boolean {
  if (voters.length === 0) return true;
  const count = voters.filter((voter) => acked.has(voter.id)).length;
  return count > Math.floor(voters.length / 2);
}

/** Names the voters and pending removals: acknowledgements count only among those who agree on it. */
export function electorateDigest(registry: Registry): string {
  return hashText(votersOf(registry).map(({ id, proposal }) => `${id} ${proposal}`));
}

/** The replication factor that writes use: never falls, because everything it is made of only rises. */
export function effectiveRf(registry: Registry): number {
  let rf = 1;
  for (const step of registry.rfSteps.values()) {
    if (step.isCommitted) rf = Math.max(rf, step.rf);
  }
  for (const record of registry.instances.values()) {
    if (isVoter(record)) rf = Math.max(rf, record.joinedRf);
  }
  return rf;
}

/**
 * The steps of the replication factor that may still matter, oldest first. The last is the current
 * one, or the one that a JOINING instance will bring (it may have brought it already, unheard).
 */
export function rfHistory(registry: Registry): RfStep[] {
  const factors = new Set([effectiveRf(registry)]);
  for (const step of registry.rfSteps.values()) if (step.isCommitted) factors.add(step.rf);
  for (const record of registry.instances.values()) {
    if (mayHoldData(record)) factors.add(record.joinedRf);
  }
  const sorted = [...factors].filter((rf) => rf >= 1).sort((a, b) => a - b);
  return sorted.map((rf, i) => {
    const next = sorted[i + 1];
    const instances = instancesById(registry).filter(
      (record) => mayHoldData(record) && record.joinedRf <= rf,
    );
    return {
      rf,
      // A step known only through an instance's record has no time yet: assume the old one lasts.
      endsAtMs: next === undefined ? Infinity : (committedAtMs(registry, next) ?? Infinity),
      instances,
      isSettled: next !== undefined && instances.every((record) => record.settledRf > rf),
    };
  });
}

/** Registered, about to be, or removed while its history was not known to be elsewhere. */
function mayHoldData(record: InstanceRecord): boolean {
  if (record.state === 'FORGOTTEN') return record.missingBeforeMs > 0 && record.joinedRf > 0;
  return isVoter(record) || record.state === 'JOINING';
}

function committedAtMs(registry: Registry, rf: number): number | undefined {
  const step = registry.rfSteps.get(rf);
  return step?.isCommitted === true ? step.atMs : undefined;
}

/**
 * A short name of all that matters for reads and writes, whatever order it arrived in: cluster,
 * replication factor with its steps, and who holds what where. Boots and addresses are left out, so
 * a restart does not make readers pull. Every read answer carries it. 16 hex digits.
 */
export function registryDigest(registry: Registry): string {
  const lines = [registry.cluster?.clusterId ?? '', registry.cluster?.fingerprintSecret ?? ''];
  for (const step of rfHistory(registry)) lines.push(`rf ${step.rf} ${step.endsAtMs}`);
  for (const record of instancesById(registry)) {
    const { generation, id, joinedRf, missingBeforeMs, settledRf, state, storeId } = record;
    if (state === 'PENDING' || state === 'LEFT') continue;
    const { activeSinceMs, tokenSeed, zone, zoneChangedAtMs } = record;
    const history = `${joinedRf} ${settledRf} ${missingBeforeMs}`;
    const place = `${tokenSeed} ${zone} ${activeSinceMs} ${zoneChangedAtMs}`;
    lines.push(`${id} ${generation} ${state} ${storeId} ${history} ${place}`);
  }
  return hashText(lines);
}

/** 64 bits of the house's fingerprint under a zero key: short, stable, not a secret. */
export function hashText(lines: readonly string[]): string {
  const bytes = Buffer.from(lines.join('\n'));
  const words = new Uint32Array(4);
  fingerprint(fingerprintKey(new Uint8Array(16)), viewOf(bytes), 0, bytes.length, words, 0);
  return words[0]!.toString(16).padStart(8, '0') + words[1]!.toString(16).padStart(8, '0');
}
