/**
 * What a claim changes. Order of claims about one instance: boot, then incarnation, then state
 * (alive < suspect < dead < left); a claim that is not later than what is known changes nothing,
 * save that another accuser confirms a running suspicion. So merging is idempotent, and the result
 * does not depend on the order of arrival, except for `suspect`, which time turns into `dead`.
 *
 *            accused / confirmed
 *   alive ────────────────▶ suspect ──timeout──▶ dead ──24 h──▶ forgotten
 *     ▲  ◀── refuted (higher incarnation) ──┘      │
 *     └──────── returned / restarted ──────────────┘        leave() ▶ left ──1 h──▶ forgotten
 *
 * A remote `dead` heard in a push/pull counts as `suspect`: the accused gets its chance to refute
 * before it is dropped. That is also how two halves of a healed partition meet: each side makes the
 * accused reincarnate first, instead of trading verdicts.
 */
import { assert } from '../../model/assert.ts';
import type { InstanceId } from '../../model/ids.ts';
import { adjustHealth } from './awareness.ts';
import { SELF_SLOT } from './claim-table.ts';
import { insertIntoRound } from './round.ts';
import {
  admitMember,
  claimOf,
  countDrop,
  emit,
  endSuspicion,
  hurryExchange,
  isLiving,
  keepAddress,
  removeMember,
  selfClaim,
  sendMessages,
  slotOf,
  setMemberState,
  tellClaim,
  viewOf,
  type CoreState,
  type Member,
} from './state.ts';
import { confirmSuspicion, startSuspicion, suspicionLimits } from './suspicion.ts';
import { INCARNATION_JUMP_MAX, INCARNATION_MAX, MEMBER_STATES, type Claim } from './types.ts';

/** Shortest time between two refutations. */
const REFUTE_INTERVAL_MS = 100;
/** Shortest time between two conflict events about one member. */
const CONFLICT_INTERVAL_MS = 10_000;

/** How a claim came: whether it is news worth passing on. */
export type ClaimSource = 'gossip' | 'join_answer';

/**
 * Merges one claim heard by gossip or a push/pull. True when it is settled: to hear it again changes
 * nothing while the member is known.
 */
export function mergeClaim(
  core: CoreState,
  claim: Claim,
  nowMs: number,
  source: ClaimSource = 'gossip',
): boolean {
  if (claim.id === core.self.id) {
    mergeClaimAboutSelf(core, claim, nowMs);
    return false;
  }
  const member = core.members.get(claim.id);
  if (member === undefined) return admitClaim(core, claim, nowMs, source);
  if (claim.boot < member.boot) return true;
  if (claim.boot > member.boot) {
    replaceBoot(core, member, claim, nowMs);
    return true;
  }
  if (claim.address !== member.address || claim.controlAddress !== member.controlAddress) {
    tellConflict(core, member, claim, 'identity', nowMs);
    return false;
  }
  if (claim.incarnation > member.incarnation + INCARNATION_JUMP_MAX) {
    countDrop(core, 'claim_incarnation_jump');
    return false;
  }
  return mergeSameBoot(core, member, claim, nowMs);
}

function mergeSameBoot(core: CoreState, member: Member, claim: Claim, nowMs: number): boolean {
  if (claim.incarnation < member.incarnation) return true;
  if (claim.incarnation > member.incarnation || rank(claim) > rank(member)) {
    adoptClaim(core, member, claim, nowMs);
    return true;
  }
  if (claim.state !== 'suspect' || member.suspicion === undefined) return true;
  if (!isKnownAccuser(core, claim.accuser)) return false;
  if (!confirmSuspicion(member.suspicion, claim.accuser)) return true;
  core.suspicionWakeMs = Math.min(core.suspicionWakeMs, member.suspicion.deadlineMs);
  tellClaim(core, claim, member);
  return true;
}

/** A push/pull brings a remote verdict: treat a death as this node's own accusation. */
export function softenVerdict(core: CoreState, claim: Claim): Claim {
  if (claim.state !== 'dead' || claim.id === core.self.id) return claim;
  const member = core.members.get(claim.id);
  if (member === undefined || !isLiving(member.state)) return claim;
  return { ...claim, state: 'suspect', accuser: core.self.id };
}

/** True when a claim takes this node for worse than it is: its author deserves an answer. */
export function isMisjudged(core: CoreState, claim: Claim): boolean {
  const { self } = core;
  if (claim.id !== self.id || claim.boot > self.boot) return false;
  return claim.boot < self.boot || claim.state !== (self.hasLeft ? 'left' : 'alive');
}

/** This node's own probe of the member failed. */
export function accuseMember(core: CoreState, member: Member, nowMs: number): void {
  if (!isLiving(member.state)) return;
  const { id: accuser } = core.self;
  mergeClaim(core, { ...claimOf(core, member), state: 'suspect', accuser }, nowMs);
}

/** Turns suspicions that nobody refuted into deaths, and finds the next deadline. */
export function expireSuspicions(core: CoreState, nowMs: number): void {
  if (nowMs < core.suspicionWakeMs) return;
  core.suspicionWakeMs = Infinity;
  for (const member of core.suspects) {
    if (member.suspicion === undefined) continue; // never: those with one are here
    if (nowMs < member.suspicion.deadlineMs) {
      core.suspicionWakeMs = Math.min(core.suspicionWakeMs, member.suspicion.deadlineMs);
      continue;
    }
    const { id: accuser } = core.self;
    adoptClaim(core, member, { ...claimOf(core, member), state: 'dead', accuser }, nowMs);
  }
}

/** Gives every running suspicion more time: this node, not the accused, was asleep. */
export function postponeSuspicions(core: CoreState, byMs: number): void {
  for (const { suspicion } of core.suspects) {
    if (suspicion !== undefined) suspicion.deadlineMs += byMs;
  }
  core.suspicionWakeMs += byMs;
}

/** Forgets tombstones that are older than their time. */
export function reapMembers(core: CoreState, nowMs: number): void {
  const { deadRetainMs, leftRetainMs } = core.config;
  for (let i = core.roster.length - 1; i >= 0; i--) {
    const member = core.roster[i]!;
    if (isLiving(member.state)) continue;
    const retainMs = member.state === 'dead' ? deadRetainMs : leftRetainMs;
    if (nowMs - member.sinceMs >= retainMs) removeMember(core, member);
  }
}

/** Sends again what accuses this node too early to be answered at once. */
export function refutePending(core: CoreState, nowMs: number): void {
  const accused = core.self.pendingRefute;
  if (accused !== undefined && nowMs >= core.self.refuteNotBeforeMs) refute(core, accused, nowMs);
}

/** Raises this node's incarnation above an accusation and says so. */
function refute(core: CoreState, accusedIncarnation: number, nowMs: number): void {
  const { self } = core;
  if (nowMs < self.refuteNotBeforeMs) {
    self.pendingRefute = Math.max(self.pendingRefute ?? -1, accusedIncarnation);
    return;
  }
  self.pendingRefute = undefined;
  self.refuteNotBeforeMs = nowMs + REFUTE_INTERVAL_MS;
  if (accusedIncarnation >= self.incarnation) {
    self.incarnation = Math.min(INCARNATION_MAX, accusedIncarnation + 1);
    core.counters.refutations++;
  }
  tellClaim(core, selfClaim(core));
}

function mergeClaimAboutSelf(core: CoreState, claim: Claim, nowMs: number): void {
  const { self } = core;
  if (claim.boot > self.boot) {
    tellSelfConflict(core, claim, nowMs);
    return;
  }
  const isTwin =
    claim.boot === self.boot &&
    (claim.address !== self.address || claim.controlAddress !== self.controlAddress);
  if (isTwin) {
    tellSelfConflict(core, claim, nowMs);
    return;
  }
  if (claim.boot < self.boot) {
    // Somebody still believes in the last boot: tell the news again, if it is not under way.
    if (!core.claims.isWaiting(SELF_SLOT)) refute(core, -1, nowMs);
    return;
  }
  if (claim.incarnation > self.incarnation + INCARNATION_JUMP_MAX) {
    countDrop(core, 'claim_incarnation_jump');
    return;
  }
  const isTrue = claim.state === (self.hasLeft ? 'left' : 'alive');
  if (isTrue && claim.incarnation <= self.incarnation) return;
  if (claim.incarnation < self.incarnation) {
    if (!core.claims.isWaiting(SELF_SLOT)) refute(core, claim.incarnation, nowMs);
    return;
  }
  if (!self.hasLeft && !isTrue)
    core.healthScore = adjustHealth(core.healthScore, 1, core.config.healthScoreMax);
  refute(core, claim.incarnation, nowMs);
}

function tellSelfConflict(core: CoreState, claim: Claim, nowMs: number): void {
  if (nowMs - core.selfConflictToldMs < CONFLICT_INTERVAL_MS) return;
  core.selfConflictToldMs = nowMs;
  const { accuser: _self, ...view } = selfClaim(core);
  const member = { ...view, sinceMs: nowMs, rttMs: undefined };
  emit(core, { type: 'conflict', why: 'identity', member, claim });
}

function tellConflict(
  core: CoreState,
  member: Member,
  claim: Claim,
  why: 'address' | 'identity',
  nowMs: number,
): void {
  if (nowMs - member.conflictToldMs < CONFLICT_INTERVAL_MS) return;
  member.conflictToldMs = nowMs;
  emit(core, { type: 'conflict', why, member: viewOf(member), claim });
}

/** First word about an instance. A dead or left one is kept as a tombstone, without an event. */
function admitClaim(core: CoreState, claim: Claim, nowMs: number, source: ClaimSource): boolean {
  if (core.members.size >= core.config.membersMax && !makeRoom(core)) {
    countDrop(core, 'claim_table_full');
    return false;
  }
  const member: Member = {
    id: claim.id,
    boot: claim.boot,
    incarnation: claim.incarnation,
    state: claim.state === 'suspect' ? 'alive' : claim.state,
    address: claim.address,
    controlAddress: claim.controlAddress,
    protocol: claim.protocol,
    sinceMs: nowMs,
    rttMs: undefined,
    suspicion: undefined,
    conflictToldMs: -Infinity,
    rosterIndex: -1,
  };
  tellSharedAddress(core, claim, nowMs);
  admitMember(core, member, claim);
  insertIntoRound(core.round, member.id, core.random.float());
  if (source === 'gossip') core.claims.tell(slotOf(member));
  if (!isLiving(claim.state)) return true;
  emit(core, { type: 'alive', member: viewOf(member), restarted: false });
  if (claim.state === 'suspect') adoptClaim(core, member, claim, nowMs);
  return true;
}

/** Two ids at one address: one of them will not answer its probes, so somebody must look. */
function tellSharedAddress(core: CoreState, claim: Claim, nowMs: number): void {
  if (!isLiving(claim.state) || !core.addresses.has(claim.address)) return;
  for (const other of core.roster) {
    if (other.address !== claim.address || !isLiving(other.state)) continue;
    tellConflict(core, other, claim, 'address', nowMs);
    return;
  }
}

/** Drops the oldest tombstone of a full table. */
function makeRoom(core: CoreState): boolean {
  let oldest: Member | undefined;
  for (const member of core.roster) {
    if (isLiving(member.state)) continue;
    if (oldest === undefined || member.sinceMs < oldest.sinceMs) oldest = member;
  }
  if (oldest !== undefined) removeMember(core, oldest);
  return oldest !== undefined;
}

/** The instance was started again: everything known of the older boot is history. */
function replaceBoot(core: CoreState, member: Member, claim: Claim, nowMs: number): void {
  member.boot = claim.boot;
  member.incarnation = claim.incarnation;
  member.address = claim.address;
  member.controlAddress = claim.controlAddress;
  keepAddress(core, claim.address);
  member.protocol = claim.protocol;
  endSuspicion(core, member);
  member.rttMs = undefined;
  if (!isLiving(claim.state)) {
    adoptClaim(core, member, claim, nowMs);
    return;
  }
  setMemberState(core, member, 'alive', nowMs);
  member.sinceMs = nowMs;
  tellClaim(core, claim, member);
  emit(core, { type: 'alive', member: viewOf(member), restarted: true });
  if (claim.state === 'suspect') adoptClaim(core, member, claim, nowMs);
}

/** Makes a later claim of the same boot this node's own view, and passes it on. */
function adoptClaim(core: CoreState, member: Member, claim: Claim, nowMs: number): void {
  assert(claim.boot === member.boot, 'gossip: adopting a claim of another boot');
  const before = member.state;
  member.incarnation = claim.incarnation;
  member.protocol = Math.max(member.protocol, claim.protocol);
  setMemberState(core, member, claim.state, nowMs);
  const isOlder = claim.protocol < member.protocol;
  tellClaim(core, isOlder ? { ...claim, protocol: member.protocol } : claim, member);
  if (claim.state === 'suspect') beginSuspicion(core, member, claim, nowMs);
  else endSuspicion(core, member);
  if (before === 'dead' && claim.state === 'alive') {
    // Who returns is seldom alone: after a partition gossip has a tail, which this cuts.
    core.timers.returnedMs = nowMs;
    hurryExchange(core, nowMs);
  }
  if (before === claim.state && claim.state !== 'suspect') return;
  const view = viewOf(member);
  if (claim.state === 'alive') emit(core, { type: 'alive', member: view, restarted: false });
  else emit(core, { type: claim.state, member: view });
}

function beginSuspicion(core: CoreState, member: Member, claim: Claim, nowMs: number): void {
  const limits = suspicionLimits(core.config, core.livingCount);
  member.suspicion = startSuspicion(limits, claim.accuser, nowMs);
  core.suspects.add(member);
  core.suspicionWakeMs = Math.min(core.suspicionWakeMs, member.suspicion.deadlineMs);
  core.counters.suspicions_started++;
  // Buddy rule: the accused hears of it first, and can refute before the word is out. Only for an
  // accusation of our own: hearsay must not make this node send anything anywhere.
  if (claim.accuser !== core.self.id) return;
  sendMessages(core, member.address, [{ type: 'claim', claim }], false);
}

function isKnownAccuser(core: CoreState, accuser: InstanceId): boolean {
  if (accuser === core.self.id) return true;
  const member = core.members.get(accuser);
  return member !== undefined && isLiving(member.state);
}

function rank(claim: { readonly state: Claim['state'] }): number {
  return MEMBER_STATES.indexOf(claim.state);
}
