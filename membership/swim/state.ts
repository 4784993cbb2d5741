/**
 * The state of the membership core, and the small operations that every part of it shares: sending
 * with piggyback, changing a member's state, choosing random members.
 *
 * One owner (the shell) holds it; it is changed in place, only inside `apply`. Invariants:
 * - `livingCount` = this node + members alive or suspect;
 * - `roster` holds exactly the members of the map, in no meaning-carrying order, and `addressCounts` counts them;
 * - a member has a suspicion exactly while it is suspect.
 */
import { assert } from '../../model/assert.ts';
import type { InstanceId } from '../../model/ids.ts';
import { type KnownAddress, knownAddress } from './address.ts';
import { encodeMessage, type FindKnown, type Message } from './codec.ts';
import { takeUpdates, transmitsMax, UpdateQueue } from './gossip-queue.ts';
import type { Exchange, HealPing, Probe, Relay } from './pending.ts';
import type { ProbeRound } from './round.ts';
import type { Suspicion } from './suspicion.ts';
import {
  DROP_REASONS,
  GOSSIP_PROTOCOL,
  type Claim,
  type CoreOutput,
  type DropReason,
  type MemberEvent,
  type MemberState,
  type MemberView,
  type SwimConfig,
} from './types.ts';

/** A member as the core keeps it. */
export interface Member {
  readonly id: InstanceId;
  boot: number;
  incarnation: number;
  state: MemberState;
  address: string;
  controlAddress: string;
  /** The same two, as readers of claims know them. */
  knownAddress: KnownAddress;
  knownControlAddress: KnownAddress;
  protocol: number;
  sinceMs: number;
  rttMs: number | undefined;
  suspicion: Suspicion | undefined;
  /** Last conflict told about this member, so that a stubborn twin does not flood the log. */
  conflictToldMs: number;
  /** Place in the roster. */
  rosterIndex: number;
}

/** This node itself. */
export interface Self {
  readonly id: InstanceId;
  /** Rises when others remember a later boot than the data directory of this node. */
  boot: number;
  readonly address: string;
  readonly controlAddress: string;
  incarnation: number;
  hasLeft: boolean;
  /** Earliest next change of incarnation: refuting is rate-limited. */
  refuteNotBeforeMs: number;
  /** The highest accused incarnation that still waits to be refuted. */
  pendingRefute: number | undefined;
}

/** Randomness as the core needs it. */
export interface CoreRandom {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform in [0, 2^32). */
  uint32(): number;
}

/** Events counted by the core, for metrics. */
export const CORE_COUNTERS = [
  'acks_late',
  'fallback_only_acks',
  'heal_contacts',
  'packets_received',
  'packets_sent',
  'probes_failed',
  'probes_sent',
  'probes_stalled',
  'push_pulls_failed',
  'push_pulls_received',
  'push_pulls_sent',
  'refutations',
  'suspicions_started',
] as const;
export type CoreCounter = (typeof CORE_COUNTERS)[number];

/** When each periodic work is due next, in monotonic milliseconds. */
export interface CoreTimers {
  probeMs: number;
  gossipMs: number;
  pushPullMs: number;
  /** Earliest next exchange out of turn, for a ping by a stranger. */
  pushPullHurryMs: number;
  /** When the last dead member returned: others may be back too. */
  returnedMs: number;
  healMs: number;
  seedMs: number;
  reapMs: number;
}

export interface CoreState {
  readonly config: SwimConfig;
  readonly random: CoreRandom;
  /** The registry's records, asked for at each push/pull. */
  readonly localRecords: () => readonly Uint8Array[];
  readonly payloadBytesMax: number;
  readonly self: Self;
  readonly members: Map<InstanceId, Member>;
  /** Of the members. */
  readonly findKnown: FindKnown;
  readonly roster: Member[];
  /** How many members say that they are at an address. */
  readonly addressCounts: Map<string, number>;
  livingCount: number;
  healthScore: number;
  /** No running suspicion ends before this; Infinity without any. */
  suspicionWakeMs: number;
  readonly claimQueue: UpdateQueue;
  readonly recordQueue: UpdateQueue;
  readonly round: ProbeRound;
  readonly probes: Map<bigint, Probe>;
  /** Pings made for others, by our nonce; in order of expiry. */
  readonly relays: Map<bigint, Relay>;
  /** Pings to the dead, by nonce; in order of expiry. */
  readonly healPings: Map<bigint, HealPing>;
  readonly exchanges: Map<number, Exchange>;
  nextExchange: number;
  readonly seeds: string[];
  /** Early exchanges after a join that are still to come. */
  earlyExchanges: number;
  seedRetryMs: number;
  readonly timers: CoreTimers;
  selfConflictToldMs: number;
  readonly counters: Record<CoreCounter, number>;
  readonly drops: Record<DropReason, number>;
  /** When the next tick is due, as of the last input. */
  wakeMs: number;
  outputs: CoreOutput[];
}

export function zeroDrops(): Record<DropReason, number> {
  return Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as Record<
    DropReason,
    number
  >; // every key is present by construction
}

export function countDrop(core: CoreState, reason: DropReason): void {
  core.drops[reason]++;
}

export function emit(core: CoreState, event: MemberEvent): void {
  core.outputs.push({ type: 'event', event });
}

export function isLiving(state: MemberState): boolean {
  return state === 'alive' || state === 'suspect';
}

export function viewOf(member: Member): MemberView {
  return {
    id: member.id,
    boot: member.boot,
    incarnation: member.incarnation,
    state: member.state,
    address: member.address,
    controlAddress: member.controlAddress,
    protocol: member.protocol,
    sinceMs: member.sinceMs,
    rttMs: member.rttMs,
  };
}

/** What this node says about itself. */
export function selfClaim(core: CoreState): Claim {
  const { self } = core;
  return {
    state: self.hasLeft ? 'left' : 'alive',
    id: self.id,
    boot: self.boot,
    incarnation: self.incarnation,
    address: self.address,
    controlAddress: self.controlAddress,
    protocol: GOSSIP_PROTOCOL,
    accuser: self.id,
  };
}

/** What this node believes about a member, said in its own name where an accuser is needed. */
export function claimOf(core: CoreState, member: Member): Claim {
  const isOwnStatement = member.state === 'alive' || member.state === 'left';
  return {
    state: member.state,
    id: member.id,
    boot: member.boot,
    incarnation: member.incarnation,
    address: member.address,
    controlAddress: member.controlAddress,
    protocol: member.protocol,
    accuser: isOwnStatement ? member.id : core.self.id,
  };
}

/** Queues a claim for gossip; it replaces an older one about the same instance. */
export function queueClaim(core: CoreState, claim: Claim): void {
  core.claimQueue.put(claim.id, encodeMessage({ type: 'claim', claim }));
}

/** Sends messages in one datagram; with `hasPiggyback` the rest is filled with waiting updates. */
export function sendMessages(
  core: CoreState,
  address: string,
  messages: readonly Message[],
  hasPiggyback: boolean,
): void {
  const parts = messages.map(encodeMessage);
  let length = 0;
  for (const part of parts) length += part.length;
  if (hasPiggyback) {
    const limit = transmitsMax(core.config.retransmitMult, core.livingCount);
    const free = core.payloadBytesMax - length;
    parts.push(...takeUpdates(core.claimQueue, core.recordQueue, free, limit));
  }
  sendParts(core, address, parts);
}

/** Glues encoded messages into one datagram; nothing to say sends nothing. */
export function sendParts(core: CoreState, address: string, parts: readonly Uint8Array[]): void {
  let length = 0;
  for (const part of parts) length += part.length;
  if (length === 0) return;
  assert(length <= core.payloadBytesMax, 'gossip: a datagram over its bound');
  const payload = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    payload.set(part, offset);
    offset += part.length;
  }
  core.counters.packets_sent++;
  core.outputs.push({ type: 'send', address, payload });
}

/** Adds a member to the map and the roster. */
export function admitMember(core: CoreState, member: Member): void {
  member.rosterIndex = core.roster.length;
  core.roster.push(member);
  core.members.set(member.id, member);
  countAddress(core, member.address, 1);
  if (isLiving(member.state)) core.livingCount++;
}

/** Both addresses of an instance, for a member of it. */
export function addressesOf({
  address,
  controlAddress,
}: Pick<Claim, 'address' | 'controlAddress'>): Pick<
  Member,
  'address' | 'controlAddress' | 'knownAddress' | 'knownControlAddress'
> {
  const known = knownAddress(address);
  const isSame = controlAddress === address;
  const knownControlAddress = isSame ? known : knownAddress(controlAddress);
  return { address, controlAddress, knownAddress: known, knownControlAddress };
}

/** One member more or less is at an address. */
export function countAddress(core: CoreState, address: string, change: number): void {
  const count = (core.addressCounts.get(address) ?? 0) + change;
  if (count > 0) core.addressCounts.set(address, count);
  else core.addressCounts.delete(address);
}

/** Forgets a member. */
export function removeMember(core: CoreState, member: Member): void {
  const last = core.roster[core.roster.length - 1]!;
  core.roster[member.rosterIndex] = last;
  last.rosterIndex = member.rosterIndex;
  core.roster.pop();
  core.members.delete(member.id);
  countAddress(core, member.address, -1);
  if (isLiving(member.state)) core.livingCount--;
}

/** Moves a member to a state, keeping the count of the living. */
export function setMemberState(
  core: CoreState,
  member: Member,
  state: MemberState,
  nowMs: number,
): void {
  if (state === member.state) return;
  const change = Number(isLiving(state)) - Number(isLiving(member.state));
  core.livingCount += change;
  member.state = state;
  member.sinceMs = nowMs;
}

/** Shortest time between two exchanges out of turn, the wait for gossip, and the random spread. */
const HURRY_INTERVAL_MS = 5_000;
const HURRY_DELAY_MS = 1_000;
const HURRY_SPREAD_MS = 2_000;

/** This node's view is seen to lag (a stranger pings, the dead return): compare notes soon. */
export function hurryExchange(core: CoreState, nowMs: number): void {
  const { timers } = core;
  if (nowMs < timers.pushPullHurryMs) return;
  timers.pushPullHurryMs = nowMs + HURRY_INTERVAL_MS;
  const soonMs = nowMs + HURRY_DELAY_MS + core.random.float() * HURRY_SPREAD_MS;
  timers.pushPullMs = Math.min(timers.pushPullMs, soonMs);
}

/** Rosters up to this length are sampled exactly; longer ones by random tries. */
const EXACT_SAMPLE_MAX = 64;
const SAMPLE_TRIES_PER_MEMBER = 16;

/** Up to `count` different random members that satisfy `isWanted`. */
export function sampleMembers(
  core: CoreState,
  count: number,
  isWanted: (member: Member) => boolean,
): Member[] {
  if (core.roster.length > EXACT_SAMPLE_MAX) return sampleByTries(core, count, isWanted);
  const candidates = core.roster.filter(isWanted);
  shufflePrefix(core.random, candidates, count);
  return candidates.slice(0, count);
}

function sampleByTries(
  core: CoreState,
  count: number,
  isWanted: (member: Member) => boolean,
): Member[] {
  const chosen: Member[] = [];
  const triesMax = count * SAMPLE_TRIES_PER_MEMBER;
  for (let i = 0; i < triesMax && chosen.length < count; i++) {
    const member = core.roster[Math.floor(core.random.float() * core.roster.length)]!;
    if (isWanted(member) && !chosen.includes(member)) chosen.push(member);
  }
  return chosen;
}

/** Puts a uniform random choice into the first `count` places. */
export function shufflePrefix(random: CoreRandom, items: unknown[], count: number): void {
  const end = Math.min(count, items.length - 1);
  for (let i = 0; i < end; i++) {
    const j = i + Math.floor(random.float() * (items.length - i));
    const swapped = items[i];
    items[i] = items[j];
    items[j] = swapped;
  }
}

/** A random 64-bit nonce. */
export function randomNonce(random: CoreRandom): bigint {
  return (BigInt(random.uint32()) << 32n) | BigInt(random.uint32());
}
