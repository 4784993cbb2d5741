/**
 * What an instance does by itself in each phase of its life (lifecycle.ts has the machine around it): begin
 * a cluster or ask to join one, come back from its disk, and once active see to what the registry lacks: a
 * higher replication factor, tombstones that all have heard of. Whatever changes replica sets waits for a ballot.
 */
import { assertNever } from '../model/assert.ts';
import { openBallot } from './lifecycle-ballots.ts';
import { amendOwn, becomeReady, write, writeOwn } from './lifecycle-draft.ts';
import { firstRecord, isUnsealed, joiningRecord } from './lifecycle-records.ts';
import {
  BEGIN_WAIT_MS,
  BOOTSTRAP_WAIT_MS,
  type BallotPurpose,
  CANDIDATE_WINDOW_MS,
  type Draft,
  RESUME_WAIT_MS,
  STAGGER_MS,
} from './lifecycle-types.ts';
import { type Registry, effectiveRf, recordStamp, votersOf } from './registry/index.ts';

/** The first instance of a cluster: it needs nobody's consent. */
export function beginCluster(draft: Draft): void {
  const { clusterId, fingerprintSecret } = draft.config.draws;
  write(draft, [
    { kind: 'cluster', clusterId, fingerprintSecret, membersMax: 1 },
    { kind: 'rf-step', rf: 1, atMs: draft.now.wallMs, isCommitted: true },
  ]);
  writeOwn(draft, firstRecord(draft));
  // Those it met are about to join: better than to acknowledge samples with a quorum of one.
  if (draft.config.hasSeeds) draft.readyAtMs = draft.now.monotonicMs + BEGIN_WAIT_MS;
  becomeActive(draft);
}

/** What the phase lets this instance do by itself, as time passes and records come in. */
export function advance(draft: Draft): void {
  switch (draft.phase) {
    case 'active': {
      advanceActive(draft);
      return;
    }
    case 'pending': {
      advancePending(draft);
      return;
    }
    case 'resuming': {
      advanceResuming(draft);
      return;
    }
    case 'joining': {
      ensureBallot(draft, 'join');
      return;
    }
    case 'retiring': {
      ensureBallot(draft, 'leave');
      return;
    }
    case 'returning': {
      ensureBallot(draft, 'return');
      return;
    }
    case 'ended':
    case 'idle':
    case 'leaving':
      return;
    default:
      return assertNever(draft.phase);
  }
}

/** Keeps a ballot on the own record open until it is won, also after the record had to change. */
function ensureBallot(draft: Draft, purpose: BallotPurpose): void {
  const { own } = draft;
  if (own === undefined || draft.ballots.has(recordStamp(own))) return;
  openBallot(draft, purpose, { record: own });
}

function advancePending(draft: Draft): void {
  const { metAtMs, now, registry } = draft;
  if (metAtMs === undefined && draft.config.hasSeeds) return;
  if (registry.cluster !== undefined) {
    if (metAtMs === undefined && votersOf(registry).length > 0) return;
    writeOwn(draft, joiningRecord(draft));
    draft.phase = 'joining';
    return;
  }
  if (metAtMs === undefined || now.monotonicMs - metAtMs < BOOTSTRAP_WAIT_MS) return;
  if (knowsNoCluster(registry) && isLowestCandidate(draft)) beginCluster(draft);
}

/** Nobody that was heard of lately, and that knows no cluster either, has a lower id. */
function isLowestCandidate(draft: Draft): boolean {
  for (const { id } of draft.registry.instances.values()) {
    const seenAtMs = draft.seenAtMs.get(id) ?? draft.now.monotonicMs;
    const isRecent = draft.now.monotonicMs - seenAtMs < CANDIDATE_WINDOW_MS;
    if (id < draft.config.instanceId && isRecent) return false;
  }
  return true;
}

/** Nothing says that a cluster exists: only others that wait, if any. */
export function knowsNoCluster(registry: Registry): boolean {
  if (registry.cluster !== undefined || registry.rfSteps.size > 0) return false;
  return [...registry.instances.values()].every(({ state }) => state === 'PENDING');
}

/** Ready on its own and one other's account: a dead peer keeps nobody from coming back. */
function advanceResuming(draft: Draft): void {
  const isAlone = votersOf(draft.registry).length === 1;
  const waitedMs = draft.now.monotonicMs - draft.startedAtMs;
  if (isAlone || draft.metAtMs !== undefined || waitedMs >= RESUME_WAIT_MS) becomeActive(draft);
}

function advanceActive(draft: Draft): void {
  const rf = effectiveRf(draft.registry);
  // An instance that never had a sample has nothing that only a smaller quorum protects.
  const { own } = draft;
  const isEmpty = !draft.holdsData && own?.missingBeforeMs === 0;
  if (isEmpty && own.settledRf < rf) amendOwn(draft, { settledRf: rf });
  const wished = draft.config.replicationFactor;
  const mayWait = rf < Math.min(wished, countCandidates(draft));
  if (!mayWait || draft.now.monotonicMs >= draft.readyAtMs) becomeReady(draft);
  raiseFactor(draft, rf);
  sealTombstones(draft);
}

/** Proposes the next step of the replication factor when there are instances enough. */
function raiseFactor(draft: Draft, rf: number): void {
  const target = Math.min(draft.config.replicationFactor, votersOf(draft.registry).length);
  draft.rfWantedSinceMs =
    target <= rf ? undefined : (draft.rfWantedSinceMs ?? draft.now.monotonicMs);
  if (!isMyTurn(draft, draft.rfWantedSinceMs) || draft.ballots.has(`rf/${target}`)) return;
  const record = {
    kind: 'rf-step',
    rf: target,
    atMs: draft.now.wallMs,
    isCommitted: false,
  } as const;
  write(draft, [record]);
  openBallot(draft, 'rf', { record });
}

/** Asks everybody whether they have heard of a tombstone. */
function sealTombstones(draft: Draft): void {
  const unsealed = [...draft.registry.instances.values()].filter(isUnsealed);
  draft.sealWantedSinceMs =
    unsealed.length === 0 ? undefined : (draft.sealWantedSinceMs ?? draft.now.monotonicMs);
  if (!isMyTurn(draft, draft.sealWantedSinceMs)) return;
  for (const record of unsealed) {
    if (!draft.ballots.has(recordStamp(record))) openBallot(draft, 'seal', { record });
  }
}

/** The first of the voters acts at once, the others one after the other if it did not. */
function isMyTurn(draft: Draft, sinceMs: number | undefined): boolean {
  if (sinceMs === undefined) return false;
  const rank = votersOf(draft.registry).findIndex(({ id }) => id === draft.config.instanceId);
  return draft.now.monotonicMs - sinceMs >= rank * STAGGER_MS;
}

/** Instances that are registered or about to be. */
function countCandidates({ registry }: Draft): number {
  const states = [...registry.instances.values()].map(({ state }) => state);
  return states.filter((state) => state !== 'LEFT' && state !== 'FORGOTTEN').length;
}

/** From now on this process acts as its instance. */
export function becomeActive(draft: Draft): void {
  draft.phase = 'active';
  if (draft.now.monotonicMs >= draft.readyAtMs) becomeReady(draft);
}
