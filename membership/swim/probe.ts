/**
 * Finding out who answers. One probe a period:
 *
 *   0 ms            ping (64-bit nonce, target's id) straight to the target
 *   500 ms          no ack: k helpers are asked to ping it (each must at least nack), and the
 *                   control lane is asked at the same time, up to three times
 *   1 period        still nothing: the target is suspected
 *
 * The control lane is what keeps a lossy network from killing the living: a datagram is lost, a
 * stream is not. A ping carries its target's id, so a newcomer at a reused address cannot answer
 * for the dead, and an ack must carry the nonce of an open probe, so nobody else can at all.
 */
import type { InstanceId } from '../../model/ids.ts';
import { adjustHealth, failedProbeDelta, stretchByHealth } from './awareness.ts';
import type { Message } from './codec.ts';
import { accuseMember, reapMembers } from './merge.ts';
import type { Probe } from './pending.ts';
import {
  claimOf,
  countDrop,
  hurryExchange,
  isLiving,
  randomNonce,
  sampleMembers,
  sendMessages,
  shufflePrefix,
  type CoreState,
  type Member,
} from './state.ts';

/** Asks over the control lane in one probe, and the pause between them. */
const RELIABLE_PINGS_MAX = 3;
const RELIABLE_RETRY_MS = 100;
/** An accused is asked for its last word when so many periods are left. */
const LAST_WORD_PERIODS = 2;
/** Pings for others that may be open at once. */
const RELAYS_MAX = 1_024;
/** A helper nacks before the asker stops listening: this share of its probe timeout. */
const NACK_SHARE = 0.8;

/** Starts due probes and moves open ones on. */
export function tickProbes(core: CoreState, nowMs: number): void {
  for (const probe of core.probes.values()) advanceProbe(core, probe, nowMs);
  tickRelays(core, nowMs);
  if (nowMs < core.timers.probeMs) return;
  const periodMs = stretchByHealth(core.config.probeIntervalMs, core.healthScore);
  core.timers.probeMs = nowMs + periodMs;
  askLastWord(core, nowMs);
  const member = nextTarget(core, nowMs);
  if (member !== undefined) startProbe(core, member, nowMs, periodMs);
}

/**
 * Who will be taken for dead soon hears it from here too: the word of its refutation may be what was lost.
 * One datagram a period, so that hearsay makes this node send next to nothing.
 */
function askLastWord(core: CoreState, nowMs: number): void {
  const fromMs = LAST_WORD_PERIODS * core.config.probeIntervalMs;
  for (const member of core.suspects) {
    const { suspicion } = member;
    if (suspicion === undefined || suspicion.isLastWordAsked) continue;
    if (nowMs < suspicion.deadlineMs - fromMs) continue;
    suspicion.isLastWordAsked = true;
    const claim = claimOf(core, member);
    sendMessages(core, member.address, [{ type: 'claim', claim }], false);
    return;
  }
}

/** When the probes next need a tick. */
export function probeWakeMs(core: CoreState): number {
  let wakeMs = core.timers.probeMs;
  for (const probe of core.probes.values()) {
    const nextMs = probe.isDirect
      ? probe.directUntilMs
      : Math.min(probe.deadlineMs, probe.reliableRetryMs);
    if (nextMs < wakeMs) wakeMs = nextMs;
  }
  for (const relay of core.relays.values()) {
    const nextMs = Math.min(relay.nackAtMs, relay.expiresMs);
    if (nextMs < wakeMs) wakeMs = nextMs;
  }
  return wakeMs;
}

/** The loop was asleep: open probes get the lost time back, for their acks wait in the socket. */
export function postponeProbes(core: CoreState, byMs: number): void {
  for (const probe of core.probes.values()) {
    core.counters.probes_stalled++;
    probe.directUntilMs += byMs;
    probe.deadlineMs += byMs;
  }
}

/** What a ping and a request for one carry. */
interface PingFacts {
  readonly nonce: bigint;
  readonly target: InstanceId;
  readonly source: InstanceId;
}

/** Where a packet came from, and what this node must say to its accusations. */
export interface PacketOrigin {
  readonly from: string;
  /** This node's own claim, when the packet took it for suspect or dead. */
  readonly defence: readonly Message[];
}

/** A ping by `source`: ack it, if it is for us. */
export function onPing(
  core: CoreState,
  ping: PingFacts,
  origin: PacketOrigin,
  nowMs: number,
): void {
  const { from, defence } = origin;
  if (ping.target !== core.self.id) {
    countDrop(core, 'ping_for_another');
    return;
  }
  const ack: Message = { type: 'ack', nonce: ping.nonce, responder: core.self.id };
  const source = core.members.get(ping.source);
  if (source?.address !== from) {
    // Answer with less than was asked, whoever it is: this node cannot be made to amplify.
    if (source === undefined) hurryExchange(core, nowMs);
    sendMessages(core, from, [ack, ...defence], false);
    return;
  }
  // The member is taken for suspect or dead, and yet it speaks: let it know, so it can refute.
  const isDoubted = source.state === 'suspect' || source.state === 'dead';
  const claims: Message[] = isDoubted ? [{ type: 'claim', claim: claimOf(core, source) }] : [];
  sendMessages(core, from, [ack, ...defence, ...claims], true);
}

/** Somebody asks this node to ping a third one. Only members may, and only for members. */
export function onPingRequest(
  core: CoreState,
  request: PingFacts,
  from: string,
  nowMs: number,
): void {
  if (core.members.get(request.source)?.address !== from) {
    countDrop(core, 'source_unproven');
    return;
  }
  const target = core.members.get(request.target);
  if (target === undefined || core.relays.size >= RELAYS_MAX) {
    if (target !== undefined) countDrop(core, 'relay_full');
    sendMessages(core, from, [{ type: 'nack', nonce: request.nonce }], true);
    return;
  }
  const nonce = randomNonce(core.random);
  const timeoutMs = core.config.probeTimeoutMs;
  core.relays.set(nonce, {
    nonce: request.nonce,
    asker: from,
    target: target.id,
    nackAtMs: nowMs + timeoutMs * NACK_SHARE,
    expiresMs: nowMs + timeoutMs * 2,
  });
  const ping: Message = { type: 'ping', nonce, target: target.id, source: core.self.id };
  sendMessages(core, target.address, [ping], true);
}

/** An ack: for a probe of ours, or for a ping made for somebody else. */
export function onAck(
  core: CoreState,
  ack: { readonly nonce: bigint; readonly responder: InstanceId },
  nowMs: number,
): void {
  const probe = core.probes.get(ack.nonce);
  if (probe?.target === ack.responder) {
    const member = core.members.get(probe.target);
    if (member !== undefined && probe.isDirect) member.rttMs = nowMs - probe.startedMs;
    core.probes.delete(ack.nonce);
    core.healthScore = adjustHealth(core.healthScore, -1, core.config.healthScoreMax);
    return;
  }
  const relay = core.relays.get(ack.nonce);
  if (relay?.target !== ack.responder) {
    core.counters.acks_late++;
    return;
  }
  core.relays.delete(ack.nonce);
  const answer: Message = { type: 'ack', nonce: relay.nonce, responder: relay.target };
  sendMessages(core, relay.asker, [answer], true);
}

/** A helper heard nothing from the target: at least the helper hears us. */
export function onNack(core: CoreState, nonce: bigint): void {
  const probe = core.probes.get(nonce);
  if (probe === undefined) countDrop(core, 'nonce_unknown');
  else if (probe.nacks < probe.expectedNacks) probe.nacks++;
}

/** The control lane's answer. */
export function onReliablePing(
  core: CoreState,
  nonce: bigint,
  isAlive: boolean,
  nowMs: number,
): void {
  const probe = core.probes.get(nonce);
  if (probe === undefined) return;
  if (isAlive) {
    core.counters.fallback_only_acks++;
    core.probes.delete(nonce);
    return;
  }
  const retryMs = nowMs + RELIABLE_RETRY_MS;
  const hasRetry = probe.reliablePings < RELIABLE_PINGS_MAX && retryMs < probe.deadlineMs;
  probe.reliableRetryMs = hasRetry ? retryMs : Infinity;
}

function startProbe(core: CoreState, member: Member, nowMs: number, periodMs: number): void {
  const nonce = randomNonce(core.random);
  core.counters.probes_sent++;
  core.probes.set(nonce, {
    nonce,
    target: member.id,
    startedMs: nowMs,
    directUntilMs: nowMs + core.config.probeTimeoutMs,
    deadlineMs: nowMs + periodMs,
    isDirect: true,
    expectedNacks: 0,
    nacks: 0,
    reliablePings: 0,
    reliableRetryMs: Infinity,
  });
  const ping: Message = { type: 'ping', nonce, target: member.id, source: core.self.id };
  const claim = claimOf(core, member);
  const claims: Message[] = member.state === 'suspect' ? [{ type: 'claim', claim }] : [];
  sendMessages(core, member.address, [ping, ...claims], true);
}

function advanceProbe(core: CoreState, probe: Probe, nowMs: number): void {
  const member = core.members.get(probe.target);
  if (member === undefined || !isLiving(member.state)) {
    core.probes.delete(probe.nonce);
    return;
  }
  if (probe.isDirect && nowMs >= probe.directUntilMs) askHelpers(core, probe, member);
  if (nowMs >= probe.reliableRetryMs) pingReliably(core, probe, member);
  if (nowMs >= probe.deadlineMs) failProbe(core, probe, member, nowMs);
}

function askHelpers(core: CoreState, probe: Probe, target: Member): void {
  probe.isDirect = false;
  const helpers = sampleMembers(
    core,
    core.config.indirectChecks,
    (member) => member.state === 'alive' && member !== target,
  );
  probe.expectedNacks = helpers.length;
  const request: Message = {
    type: 'ping_req',
    nonce: probe.nonce,
    target: target.id,
    source: core.self.id,
  };
  for (const helper of helpers) sendMessages(core, helper.address, [request], true);
  pingReliably(core, probe, target);
}

function pingReliably(core: CoreState, probe: Probe, target: Member): void {
  probe.reliablePings++;
  probe.reliableRetryMs = Infinity;
  core.outputs.push({
    type: 'reliable_ping',
    nonce: probe.nonce,
    target: target.id,
    address: target.controlAddress,
    deadlineMs: probe.deadlineMs,
  });
}

function failProbe(core: CoreState, probe: Probe, target: Member, nowMs: number): void {
  core.probes.delete(probe.nonce);
  core.counters.probes_failed++;
  const delta = failedProbeDelta(probe.expectedNacks, probe.nacks);
  core.healthScore = adjustHealth(core.healthScore, delta, core.config.healthScoreMax);
  accuseMember(core, target, nowMs);
}

function tickRelays(core: CoreState, nowMs: number): void {
  for (const [nonce, relay] of core.relays) {
    if (nowMs >= relay.nackAtMs) {
      relay.nackAtMs = Infinity;
      sendMessages(core, relay.asker, [{ type: 'nack', nonce: relay.nonce }], true);
    }
    if (nowMs >= relay.expiresMs) core.relays.delete(nonce);
  }
}

/** The next living member of the round; at its end the dead are reaped and the rest shuffled. */
function nextTarget(core: CoreState, nowMs: number): Member | undefined {
  const { round } = core;
  for (let looked = 0; looked <= core.roster.length; looked++) {
    if (round.next >= round.order.length) {
      reapMembers(core, nowMs);
      round.order.length = 0;
      for (const member of core.roster) round.order.push(member.id);
      shufflePrefix(core.random, round.order, round.order.length);
      round.next = 0;
      if (round.order.length === 0) return undefined;
    }
    const id = round.order[round.next]!;
    round.next++;
    const member = core.members.get(id);
    if (member !== undefined && isLiving(member.state)) return member;
  }
  return undefined;
}
