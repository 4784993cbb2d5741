/**
 * Ballots: changes that alter replica sets or N (joining, leaving for good, forgetting, a step of
 * the replication factor) take effect only when a majority holds the record on disk.
 *
 *   record written, persisted, told -> voters asked -> each persists, acks -> majority -> effect
 *
 * An ack counts only from a voter that sees the same electorate (voters and pending removals);
 * whoever sees another one is exchanged registries with and asked again. Acks of an electorate that
 * has changed are void. So two sides that know different members can never both have a majority.
 */
import type { InstanceId } from '../model/ids.ts';
import {
  ASK_INTERVAL_MS,
  type Ballot,
  type BallotPurpose,
  type Draft,
  FORGET_TIMEOUT_MS,
  type LifecycleInput,
} from './lifecycle-types.ts';
import {
  type Registry,
  type RegistryRecord,
  electorateDigest,
  hasMajority,
  isVoter,
  recordStamp,
  votersOf,
} from './registry/index.ts';

type Ack = Extract<LifecycleInput, { readonly type: 'ack' }>;

/** Opens a ballot on a record that is in the registry already. */
export function openBallot(
  draft: Draft,
  purpose: BallotPurpose,
  options: { readonly record: RegistryRecord; readonly acceptsLoss?: boolean },
): void {
  const stamp = recordStamp(options.record);
  draft.ballots.set(stamp, {
    purpose,
    stamp,
    record: options.record,
    electorate: electorateDigest(draft.registry),
    acked: ownVote(draft, purpose),
    blank: new Set(),
    askedAtMs: -Infinity,
    startedAtMs: draft.now.monotonicMs,
    acceptsLoss: options.acceptsLoss ?? false,
  });
}

/** This instance holds what it proposes; one that lost its disk has no vote on its own return. */
function ownVote(draft: Draft, purpose: BallotPurpose): ReadonlySet<InstanceId> {
  return new Set(purpose === 'return' ? [] : [draft.config.instanceId]);
}

/** Counts an acknowledgement; a peer with another electorate is exchanged with instead. */
export function countAck(draft: Draft, ack: Ack): void {
  const ballot = draft.ballots.get(ack.stamp);
  if (ballot === undefined) return;
  if (ack.electorate !== electorateDigest(draft.registry)) {
    draft.effects.push({ type: 'sync-with', peer: ack.from });
    return;
  }
  const counted = ack.isReturning
    ? { ...ballot, blank: new Set([...ballot.blank, ack.from]) }
    : { ...ballot, acked: new Set([...ballot.acked, ack.from]) };
  draft.ballots.set(ack.stamp, counted);
}

/**
 * An instance that lost its disk returns when a majority of the others told it what they know, or
 * when all of them did, however many of these lost theirs too: then nobody knows any more.
 */
function isWon(draft: Draft, ballot: Ballot): boolean {
  const { acked, blank, purpose } = ballot;
  if (purpose === 'seal') return votersOf(draft.registry).every(({ id }) => acked.has(id));
  if (purpose !== 'return') return hasMajority(draft.registry, acked);
  const self = draft.config.instanceId;
  if (hasMajority(draft.registry, acked, self)) return true;
  return votersOf(draft.registry).every(({ id }) => id === self || acked.has(id) || blank.has(id));
}

/** Drops overtaken ballots, voids acks of another electorate, and takes out those that are won. */
export function reviewBallots(draft: Draft): Ballot[] {
  const won: Ballot[] = [];
  if (draft.ballots.size === 0) return won;
  const electorate = electorateDigest(draft.registry);
  for (const ballot of [...draft.ballots.values()]) {
    if (!isCurrent(draft.registry, ballot)) {
      dropBallot(draft, ballot, 'the instance has answered for itself or changed meanwhile');
    } else if (ballot.electorate !== electorate) {
      const votes = { acked: ownVote(draft, ballot.purpose), blank: new Set<InstanceId>() };
      draft.ballots.set(ballot.stamp, { ...ballot, ...votes, electorate, askedAtMs: -Infinity });
    }
    const current = draft.ballots.get(ballot.stamp);
    if (current === undefined) continue;
    if (isWon(draft, current)) {
      draft.ballots.delete(ballot.stamp);
      won.push(current);
    }
  }
  return won;
}

/** Asks, or asks again, whoever has not acknowledged; tells the operator when a forget takes long. */
export function askBallots(draft: Draft): void {
  const nowMs = draft.now.monotonicMs;
  for (const ballot of [...draft.ballots.values()]) {
    if (ballot.purpose === 'forget' && nowMs - ballot.startedAtMs >= FORGET_TIMEOUT_MS) {
      dropBallot(draft, ballot, 'a majority of the registered instances has not acknowledged it');
      continue;
    }
    if (nowMs - ballot.askedAtMs < ASK_INTERVAL_MS) continue;
    draft.ballots.set(ballot.stamp, { ...ballot, askedAtMs: nowMs });
    const peers = votersOf(draft.registry)
      .map(({ id }) => id)
      .filter((id) => id !== draft.config.instanceId && !ballot.acked.has(id));
    const { record, stamp } = ballot;
    if (peers.length > 0) draft.effects.push({ type: 'ask-ack', record, stamp, peers });
  }
}

/** Whether the ballot's record is still the newest of its key and has not taken effect. */
function isCurrent(registry: Registry, { record, stamp }: Ballot): boolean {
  if (record.kind !== 'rf-step') return holdsStamp(registry, record, stamp);
  return registry.rfSteps.get(record.rf)?.isCommitted === false;
}

/** Whether the registry holds the very change of that stamp. */
function holdsStamp(registry: Registry, record: RegistryRecord, stamp: string): boolean {
  if (record.kind === 'rf-step') return registry.rfSteps.has(record.rf);
  if (record.kind === 'cluster') return false;
  const known = registry.instances.get(record.id);
  return known !== undefined && recordStamp(known) === stamp;
}

function dropBallot(draft: Draft, ballot: Ballot, why: string): void {
  draft.ballots.delete(ballot.stamp);
  if (ballot.purpose !== 'forget' || ballot.record.kind !== 'instance') return;
  const { id } = ballot.record;
  const isForgotten = draft.registry.instances.get(id)?.state === 'FORGOTTEN';
  if (isForgotten) draft.effects.push({ type: 'forget-done', id });
  else draft.effects.push({ type: 'forget-failed', id, why });
}

/** Answers a peer that asked for an acknowledgement; its record was merged before. */
export function answerAsk(draft: Draft, record: RegistryRecord, from: InstanceId): void {
  const stamp = recordStamp(record);
  const why = refusal(draft, record, stamp);
  if (why !== undefined) {
    draft.effects.push({ type: 'reply-nack', to: from, stamp, why });
    return;
  }
  const electorate = electorateDigest(draft.registry);
  const isReturning = draft.phase === 'returning';
  draft.effects.push({ type: 'reply-ack', to: from, stamp, electorate, isReturning });
}

function refusal(draft: Draft, record: RegistryRecord, stamp: string): string | undefined {
  if (!isVoter(draft.own)) return 'this instance has no vote';
  if (draft.phase === 'ended') return 'this instance has ended';
  if (!holdsStamp(draft.registry, record, stamp)) return 'a newer record is known here';
  return undefined;
}
