/**
 * The membership core: SWIM with Lifeguard, push/pull and healing, as a state machine without I/O,
 * timers or randomness of its own.
 *
 *   const step = apply(core, input, nowMs)   -> outputs for the shell, in order
 *   nextWakeMs(core)                         -> when `apply(core, { type: 'tick' }, now)` is due
 *
 * Duties of the shell: apply every input with a monotonic time that never goes back; carry out the
 * outputs in order; tick at or soon after `nextWakeMs`; answer each `reliable_ping` and `push_pull`
 * exactly once, by its deadline. A late tick is noticed: the lost time is given back to open probes
 * and suspicions, for it was this node that slept.
 *
 * The state is changed in place and belongs to the caller; nothing here outlives it.
 */
import type { InstanceId } from '../../model/ids.ts';
import { assert } from '../../model/assert.ts';
import { AddressSet } from './address-set.ts';
import { adjustHealth } from './awareness.ts';
import { ByteWriter } from './bytes.ts';
import { ClaimTable, SELF_SLOT } from './claim-table.ts';
import { decodePayload, encodeMessage, type Message } from './codec.ts';
import { onExchangeReceived, onExchangeResult } from './exchange.ts';
import { UpdateQueue } from './gossip-queue.ts';
import {
  afterExchange,
  EARLY_EXCHANGES,
  healWakeMs,
  joinSeeds,
  onHealAck,
  tickHeal,
} from './heal.ts';
import {
  expireSuspicions,
  isMisjudged,
  mergeClaim,
  postponeSuspicions,
  reapMembers,
  refutePending,
} from './merge.ts';
import {
  onAck,
  onNack,
  onPing,
  onPingRequest,
  onReliablePing,
  postponeProbes,
  probeWakeMs,
  tickProbes,
  type PacketOrigin,
} from './probe.ts';
import { SeenClaims } from './seen-claims.ts';
import {
  CORE_COUNTERS,
  countDrop,
  isLiving,
  sampleMembers,
  selfClaim,
  sendMessages,
  sendUpdates,
  tellClaim,
  zeroDrops,
  type CoreCounter,
  type CoreRandom,
  type CoreState,
  Members,
  type Member,
  type Self,
} from './state.ts';
import {
  RECORD_BYTES_MAX,
  defaultSwimConfig,
  type CoreInput,
  type CoreOutput,
  type SwimConfig,
} from './types.ts';

/** A tick this late means the loop was blocked or the process stopped. */
const STALL_MS = 250;
/** User records waiting to be told. */
const RECORDS_MAX = 4_096;
/** A leaver tells this many members itself; gossip does the rest. */
const LEAVE_FANOUT_MAX = 64;
const REAP_INTERVAL_MS = 60_000;
/** Packets are views of buffers of this size. */
const PACKET_SLAB_BYTES = 8_192;

export interface CoreOptions {
  readonly id: InstanceId;
  readonly boot: number;
  /** Canonical literal where this node takes datagrams. */
  readonly address: string;
  readonly controlAddress: string;
  readonly random: CoreRandom;
  /** Header and tag that the shell adds to each payload. */
  readonly overheadBytes: number;
  readonly config?: Partial<SwimConfig>;
  /** Records to put into each push/pull. */
  readonly localRecords?: () => readonly Uint8Array[];
}

export interface CoreStep {
  readonly state: CoreState;
  readonly outputs: readonly CoreOutput[];
}

/** A node that knows only itself. */
export function createCore(options: CoreOptions, nowMs: number): CoreState {
  const config: SwimConfig = { ...defaultSwimConfig, ...options.config };
  assert(config.packetBytesMax >= 576, 'gossip: packetBytesMax is below 576');
  const { random } = options;
  const self = selfOf(options, nowMs);
  const roster: Member[] = [];
  const claims = new ClaimTable();
  const seen = new SeenClaims(digestSeed(options));
  const core: CoreState = {
    config,
    random,
    localRecords: options.localRecords ?? (() => []),
    payloadBytesMax: config.packetBytesMax - options.overheadBytes,
    self,
    members: new Members(claims, roster),
    roster,
    addresses: new AddressSet(),
    livingCount: 1,
    deadCount: 0,
    healthScore: 0,
    suspects: new Set(),
    suspicionWakeMs: Infinity,
    claims,
    seen,
    known: {
      seen,
      claims,
      instanceAt: (slot) => (slot === SELF_SLOT ? self : roster[slot - 1]!),
    },
    recordQueue: new UpdateQueue(RECORDS_MAX),
    scratchPacket: new ByteWriter(PACKET_SLAB_BYTES),
    round: { order: [], next: 0 },
    probes: new Map(),
    relays: new Map(),
    healPings: new Map(),
    exchanges: new Map(),
    nextExchange: 1,
    seeds: [],
    earlyExchanges: EARLY_EXCHANGES,
    seedRetryMs: 0,
    timers: {
      probeMs: nowMs + random.float() * config.probeIntervalMs,
      gossipMs: nowMs,
      pushPullMs: nowMs + random.float() * config.pushPullIntervalMs,
      pushPullHurryMs: nowMs,
      returnedMs: -Infinity,
      healMs: nowMs + random.float() * config.healIntervalMs,
      seedMs: Infinity,
      reapMs: nowMs + REAP_INTERVAL_MS,
    },
    selfConflictToldMs: -Infinity,
    counters: Object.fromEntries(CORE_COUNTERS.map((name) => [name, 0])) as Record<
      CoreCounter,
      number
    >, // every key is present by construction
    drops: zeroDrops(),
    wakeMs: nowMs,
    outputs: [],
  };
  core.claims.put(SELF_SLOT, selfClaim(core));
  core.wakeMs = findWakeMs(core);
  return core;
}

function selfOf({ address, boot, controlAddress, id }: CoreOptions, nowMs: number): Self {
  return {
    ...{ id, boot, address, controlAddress },
    incarnation: 0,
    hasLeft: false,
    refuteNotBeforeMs: nowMs,
    pendingRefute: undefined,
  };
}

/** Differs between nodes, and between the boots of one. */
function digestSeed({ boot, id }: CoreOptions): number {
  let seed = boot;
  for (let i = 0; i < id.length; i++) seed = Math.imul(seed ^ id.charCodeAt(i), 0x0100_0193);
  return seed;
}

/** Changes the state by one input, in place, and returns what the shell must do. */
export function apply(core: CoreState, input: CoreInput, nowMs: number): CoreStep {
  handleInput(core, input, nowMs);
  core.wakeMs = Math.max(nowMs, findWakeMs(core));
  const { outputs } = core;
  core.outputs = [];
  return { state: core, outputs };
}

/** When the next tick is due. */
export function nextWakeMs(core: CoreState): number {
  return core.wakeMs;
}

function findWakeMs(core: CoreState): number {
  let wakeMs = Math.min(probeWakeMs(core), healWakeMs(core), core.suspicionWakeMs);
  wakeMs = Math.min(wakeMs, core.timers.reapMs);
  if (hasGossip(core)) wakeMs = Math.min(wakeMs, core.timers.gossipMs);
  if (core.self.pendingRefute === undefined) return wakeMs;
  return Math.min(wakeMs, core.self.refuteNotBeforeMs);
}

function handleInput(core: CoreState, input: CoreInput, nowMs: number): void {
  switch (input.type) {
    case 'broadcast':
      putRecord(core, input.key, input.bytes);
      return;
    case 'join':
      joinSeeds(core, input.seeds, nowMs);
      tickHeal(core, nowMs);
      return;
    case 'leave':
      leave(core);
      return;
    case 'packet':
      onPacket(core, input.payload, input.from, nowMs);
      return;
    case 'push_pull_received':
      onExchangeReceived(core, input.bytes, nowMs);
      return;
    case 'push_pull_result':
      afterExchange(core, onExchangeResult(core, input.exchange, input.bytes, nowMs), nowMs);
      return;
    case 'raise_boot':
      raiseBoot(core, input.boot);
      return;
    case 'reliable_ping_result':
      onReliablePing(core, input.nonce, input.isAlive, nowMs);
      return;
    case 'tick':
      tick(core, nowMs);
  }
}

function tick(core: CoreState, nowMs: number): void {
  const lateMs = nowMs - core.wakeMs;
  if (lateMs >= STALL_MS) recoverFromStall(core, lateMs);
  refutePending(core, nowMs);
  expireSuspicions(core, nowMs);
  tickProbes(core, nowMs);
  tickHeal(core, nowMs);
  if (nowMs >= core.timers.reapMs) {
    core.timers.reapMs = nowMs + REAP_INTERVAL_MS;
    reapMembers(core, nowMs);
  }
  if (hasGossip(core) && nowMs >= core.timers.gossipMs) gossip(core, nowMs);
}

/** This node slept: what looks like the silence of others is its own. */
function recoverFromStall(core: CoreState, lateMs: number): void {
  core.healthScore = adjustHealth(core.healthScore, 1, core.config.healthScoreMax);
  postponeProbes(core, lateMs);
  postponeSuspicions(core, lateMs);
}

function onPacket(core: CoreState, payload: Uint8Array, from: string, nowMs: number): void {
  const decoded = decodePayload(payload, core.known);
  core.counters.packets_received++;
  core.drops.message_unknown_type += decoded.unknownTypes;
  if (decoded.dropped !== undefined) {
    countDrop(core, decoded.dropped);
    return;
  }
  // Claims first: an ack must already carry the refutation that a claim beside the ping caused.
  let hasPing = false;
  let isAccused = false;
  let claimCount = 0;
  for (const message of decoded.messages) {
    hasPing ||= message.type === 'ping';
    if (message.type !== 'claim') continue;
    const digest = decoded.digests[claimCount++]!;
    if (mergeClaim(core, message.claim, nowMs)) core.seen.add(digest);
    isAccused ||= isMisjudged(core, message.claim);
  }
  // The answer to an accusation goes to its sender at once; it is no longer than what it answers.
  const defence: Message[] = isAccused ? [{ type: 'claim', claim: selfClaim(core) }] : [];
  if (isAccused && !hasPing) sendMessages(core, from, defence, false);
  for (const message of decoded.messages) onMessage(core, message, { from, defence }, nowMs);
}

function onMessage(core: CoreState, message: Message, origin: PacketOrigin, nowMs: number): void {
  switch (message.type) {
    case 'ack':
      if (!onHealAck(core, message.nonce, message.responder, nowMs)) onAck(core, message, nowMs);
      return;
    case 'claim':
      return;
    case 'nack':
      onNack(core, message.nonce);
      return;
    case 'ping':
      onPing(core, message, origin, nowMs);
      return;
    case 'ping_req':
      onPingRequest(core, message, origin.from, nowMs);
      return;
    case 'record':
      core.outputs.push({ type: 'record', bytes: message.bytes });
  }
}

function hasGossip(core: CoreState): boolean {
  if (core.claims.waitingCount === 0 && core.recordQueue.count === 0) return false;
  return core.roster.length > 0;
}

/** One turn of gossip: a full packet of the least told to a few random members. */
function gossip(core: CoreState, nowMs: number): void {
  core.timers.gossipMs = nowMs + core.config.gossipIntervalMs;
  const isWanted = (member: Member): boolean => wantsGossip(core, member, nowMs);
  const members = sampleMembers(core, core.config.gossipNodes, isWanted);
  // Nobody to tell: look again in a while, the updates keep.
  if (members.length === 0) core.timers.gossipMs = nowMs + core.config.probeIntervalMs;
  for (const member of members) sendUpdates(core, member.address);
}

function wantsGossip(core: CoreState, member: Member, nowMs: number): boolean {
  if (isLiving(member.state)) return true;
  return member.state === 'dead' && nowMs - member.sinceMs < core.config.gossipToTheDeadMs;
}

function putRecord(core: CoreState, key: string, bytes: Uint8Array): void {
  assert(
    bytes.length > 0 && bytes.length <= RECORD_BYTES_MAX,
    'gossip: a record must have 1 to 512 bytes',
  );
  core.recordQueue.put(key, encodeMessage({ type: 'record', bytes }));
}

/** A disk was replaced: what others know of the boots before would silence this one for ever. */
function raiseBoot(core: CoreState, boot: number): void {
  if (boot <= core.self.boot) return;
  core.self.boot = boot;
  core.self.incarnation = 0;
  core.self.pendingRefute = undefined;
  tellClaim(core, selfClaim(core));
}

/** Says goodbye: to many at once, and by gossip to the rest. */
function leave(core: CoreState): void {
  if (core.self.hasLeft) return;
  core.self.hasLeft = true;
  core.self.incarnation++;
  const claim = selfClaim(core);
  tellClaim(core, claim);
  const told = sampleMembers(core, LEAVE_FANOUT_MAX, (member) => isLiving(member.state));
  for (const member of told) sendMessages(core, member.address, [{ type: 'claim', claim }], false);
}
