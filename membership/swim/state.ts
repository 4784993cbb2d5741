/**
 * The state of the membership core, and the small operations that every part of it shares: sending
 * with piggyback, changing a member's state, choosing random members.
 *
 * One owner (the shell) holds it; it is changed in place, only inside `apply`. Invariants:
 * - `livingCount` = this node + members alive or suspect; `deadCount` = members that are dead;
 * - `roster` holds exactly the members of the map, in no meaning-carrying order, and `addresses` has theirs;
 * - a member has a suspicion exactly while it is suspect.
 */
import { assert } from '../../model/assert.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { AddressSet } from './address-set.ts';
import type { ByteWriter } from './bytes.ts';
import { type ClaimTable, SELF_SLOT, takeUpdates } from './claim-table.ts';
import { type KnownInstances, type Message, writeMessage } from './codec.ts';
import { transmitsMax, type UpdateQueue } from './gossip-queue.ts';
import type { Exchange, HealPing, Probe, Relay } from './pending.ts';
import type { ProbeRound } from './round.ts';
import type { SeenClaims } from './seen-claims.ts';
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
  readonly members: Members;
  readonly roster: Member[];
  /** Where members are, or were. */
  readonly addresses: AddressSet;
  livingCount: number;
  deadCount: number;
  healthScore: number;
  /** The members with a suspicion. */
  readonly suspects: Set<Member>;
  /** No running suspicion ends before this; Infinity without any. */
  suspicionWakeMs: number;
  /** What this node says of itself and each member, and what of that waits to be told. */
  readonly claims: ClaimTable;
  readonly seen: SeenClaims;
  /** Both, as readers of claims see them. */
  readonly known: KnownInstances;
  readonly recordQueue: UpdateQueue;
  /** Where packets are written, one behind the other; what is sent is a view. */
  readonly scratchPacket: ByteWriter;
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

/** The members by their ids. */
export class Members {
  readonly #claims: ClaimTable;
  readonly #roster: readonly Member[];

  /** Looks into both, which change. */
  constructor(claims: ClaimTable, roster: readonly Member[]) {
    this.#claims = claims;
    this.#roster = roster;
  }

  get size(): number {
    return this.#roster.length;
  }

  get(id: InstanceId): Member | undefined {
    const slot = this.#claims.findText(id);
    return slot <= SELF_SLOT ? undefined : this.#roster[slot - 1];
  }
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

/** Keeps what is said of this node, or of a member, and has it told; it replaces what was said before. */
export function tellClaim(core: CoreState, claim: Claim, member?: Member): void {
  const slot = member === undefined ? SELF_SLOT : slotOf(member);
  core.claims.put(slot, claim);
  core.claims.tell(slot);
}

/** Where the claims of a member are kept. */
export function slotOf(member: Member): number {
  return member.rosterIndex + 1;
}

/** Sends messages in one datagram; with `hasPiggyback` the rest is filled with waiting updates. */
export function sendMessages(
  core: CoreState,
  address: string,
  messages: readonly Message[],
  hasPiggyback: boolean,
): void {
  for (const message of messages) writeMessage(core.scratchPacket, message);
  if (hasPiggyback) fillPacket(core);
  sendPacket(core, address);
}

/** One datagram of nothing but waiting updates. */
export function sendUpdates(core: CoreState, address: string): void {
  fillPacket(core);
  sendPacket(core, address);
}

function fillPacket(core: CoreState): void {
  const { claims, recordQueue, scratchPacket: writer } = core;
  takeUpdates(claims, recordQueue, {
    bytesFree: core.payloadBytesMax - writer.length,
    transmitsMax: transmitsMax(core.config.retransmitMult, core.livingCount),
    writer,
  });
}

/** Sends what was written into the packet; nothing to say sends nothing. */
function sendPacket(core: CoreState, address: string): void {
  const { scratchPacket: writer } = core;
  if (writer.length === 0) return;
  assert(writer.length <= core.payloadBytesMax, 'gossip: a datagram over its bound');
  core.counters.packets_sent++;
  core.outputs.push({ type: 'send', address, payload: writer.cut() });
}

/** Addresses of before that are kept beside as many as members have. */
const ADDRESSES_SPARE = 64;

/** Adds a member of whom a first claim was heard. */
export function admitMember(core: CoreState, member: Member, claim: Claim): void {
  member.rosterIndex = core.roster.length;
  core.roster.push(member);
  core.claims.put(slotOf(member), claim);
  core.seen.reserve(core.roster.length);
  keepAddress(core, member.address);
  countState(core, member.state, 1);
}

/** A member is at an address. Those of before are forgotten when they are more than those of now. */
export function keepAddress(core: CoreState, address: string): void {
  core.addresses.add(address);
  if (core.addresses.count <= 2 * core.roster.length + ADDRESSES_SPARE) return;
  core.addresses.clear();
  for (const member of core.roster) core.addresses.add(member.address);
}

/** Forgets a member. */
export function removeMember(core: CoreState, member: Member): void {
  core.claims.remove(slotOf(member));
  core.seen.clear(); // what changed nothing would be news again
  const last = core.roster[core.roster.length - 1]!;
  core.roster[member.rosterIndex] = last;
  last.rosterIndex = member.rosterIndex;
  core.roster.pop();
  countState(core, member.state, -1);
  endSuspicion(core, member);
}

/** Moves a member to a state, keeping the count of the living. */
export function setMemberState(
  core: CoreState,
  member: Member,
  state: MemberState,
  nowMs: number,
): void {
  if (state === member.state) return;
  countState(core, member.state, -1);
  countState(core, state, 1);
  member.state = state;
  member.sinceMs = nowMs;
}

function countState(core: CoreState, state: MemberState, change: number): void {
  if (isLiving(state)) core.livingCount += change;
  if (state === 'dead') core.deadCount += change;
}

export function endSuspicion(core: CoreState, member: Member): void {
  if (member.suspicion === undefined) return;
  member.suspicion = undefined;
  core.suspects.delete(member);
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
