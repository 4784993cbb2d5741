/**
 * How views grow together again, for ever and without an operator:
 *
 * - every ~30 s (stretched above 32 members) a push/pull with a random living member;
 * - every ~2 s a datagram to a random *dead* member, telling it that it is taken for dead; if it
 *   lives it refutes and acks, and a push/pull follows at once. Every few turns the push/pull is
 *   tried straight away, for paths where datagrams are blocked. The more are dead, the more likely
 *   a node tries: one dead of a thousand is asked about five times a second by all together;
 * - seeds: at once on join, each second while this node is alone, each minute otherwise, so that
 *   islands find each other even when neither remembers the other.
 */
import type { InstanceId } from '../../model/ids.ts';
import { startExchange } from './exchange.ts';
import {
  claimOf,
  randomNonce,
  sampleMembers,
  sendMessages,
  type CoreState,
  type Member,
} from './state.ts';

/** While alone, seeds are retried after this, growing to the maximum. */
const SEED_RETRY_MIN_MS = 1_000;
const SEED_RETRY_MAX_MS = 5_000;
/** Push/pulls soon after a join, at 1, 2 and 4 seconds: gossip has tails, they cut them. */
export const EARLY_EXCHANGES = 3;
const EARLY_EXCHANGE_MS = 1_000;
/** Above this many members push/pulls are stretched. */
const PUSH_PULL_STRETCH_FROM = 32;
const HEAL_PING_TIMEOUT_MS = 5_000;
const HEAL_PINGS_MAX = 64;
/** All nodes together try each dead member about this often per heal interval. */
const HEAL_TRIES_PER_DEAD = 10;
/** The same while a partition seems to be healing, and how long after a return that is. */
const HEAL_TRIES_PER_DEAD_HOT = 100;
const HEAL_HOT_MS = 30_000;
/** Share of heal turns that go straight to a push/pull. */
const HEAL_DIRECT_SHARE = 0.2;
/** Random spread of periodic work, as a share of its interval, so that nodes do not march in step. */
const JITTER_SHARE = 0.2;

/** Starts whatever is due. */
export function tickHeal(core: CoreState, nowMs: number): void {
  for (const [nonce, ping] of core.healPings) {
    if (nowMs >= ping.expiresMs) core.healPings.delete(nonce);
  }
  if (nowMs >= core.timers.pushPullMs) pushPullSomebody(core, nowMs);
  if (nowMs >= core.timers.healMs) tryTheDead(core, nowMs);
  if (nowMs >= core.timers.seedMs) trySeed(core, nowMs);
}

export function healWakeMs(core: CoreState): number {
  const { pushPullMs, healMs, seedMs } = core.timers;
  return Math.min(pushPullMs, healMs, seedMs);
}

/** Takes new seeds and tries all of them now. */
export function joinSeeds(core: CoreState, seeds: readonly string[], nowMs: number): void {
  for (const seed of seeds) {
    if (seed === core.self.address || seed === core.self.controlAddress) continue;
    if (!core.seeds.includes(seed)) core.seeds.push(seed);
  }
  if (core.seeds.length > SEEDS_MAX) core.seeds.splice(0, core.seeds.length - SEEDS_MAX);
  core.seedRetryMs = SEED_RETRY_MIN_MS;
  core.timers.seedMs = nowMs;
}
const SEEDS_MAX = 1_024;

/** After an exchange: the first one that worked is followed by a few early ones. */
export function afterExchange(core: CoreState, isMerged: boolean, nowMs: number): void {
  if (!isMerged || core.earlyExchanges === 0) return;
  const step = EARLY_EXCHANGES - core.earlyExchanges;
  core.earlyExchanges--;
  core.timers.pushPullMs = Math.min(
    core.timers.pushPullMs,
    nowMs + jittered(core, EARLY_EXCHANGE_MS * 2 ** step),
  );
}

/** An ack of a member that was taken for dead: compare views with it now. True when it was one. */
export function onHealAck(
  core: CoreState,
  nonce: bigint,
  responder: InstanceId,
  nowMs: number,
): boolean {
  const ping = core.healPings.get(nonce);
  if (ping?.target !== responder) return false;
  core.healPings.delete(nonce);
  const member = core.members.get(responder);
  if (member === undefined) return true;
  core.counters.heal_contacts++;
  startExchange(core, member.controlAddress, 'heal', nowMs, responder);
  return true;
}

function pushPullSomebody(core: CoreState, nowMs: number): void {
  const doublings = Math.max(0, Math.log2(core.livingCount) - Math.log2(PUSH_PULL_STRETCH_FROM));
  const intervalMs = core.config.pushPullIntervalMs * (Math.ceil(doublings) + 1);
  core.timers.pushPullMs = nowMs + jittered(core, intervalMs);
  const peer = sampleMembers(core, 1, (member) => member.state === 'alive')[0];
  if (peer === undefined) return;
  startExchange(core, peer.controlAddress, 'periodic', nowMs, peer.id);
}

function tryTheDead(core: CoreState, nowMs: number): void {
  core.timers.healMs = nowMs + jittered(core, core.config.healIntervalMs);
  const { deadCount } = core;
  if (deadCount === 0 || core.self.hasLeft) return;
  const isHot = nowMs - core.timers.returnedMs < HEAL_HOT_MS;
  const tries = isHot ? HEAL_TRIES_PER_DEAD_HOT : HEAL_TRIES_PER_DEAD;
  if (core.random.float() > (tries * deadCount) / core.livingCount) return;
  const member = sampleMembers(core, 1, (candidate) => candidate.state === 'dead')[0];
  if (member === undefined) return;
  if (core.random.float() < HEAL_DIRECT_SHARE) {
    startExchange(core, member.controlAddress, 'heal', nowMs, member.id);
    return;
  }
  pingTheDead(core, member, nowMs);
}

function pingTheDead(core: CoreState, member: Member, nowMs: number): void {
  if (core.healPings.size >= HEAL_PINGS_MAX) return;
  const nonce = randomNonce(core.random);
  core.healPings.set(nonce, { target: member.id, expiresMs: nowMs + HEAL_PING_TIMEOUT_MS });
  sendMessages(
    core,
    member.address,
    [
      { type: 'ping', nonce, target: member.id, source: core.self.id },
      { type: 'claim', claim: claimOf(core, member) },
    ],
    false,
  );
}

/** Alone: every seed in turn. In company: one random seed that is not a living member's address. */
function trySeed(core: CoreState, nowMs: number): void {
  if (core.seeds.length === 0 || core.self.hasLeft) {
    core.timers.seedMs = Infinity;
    return;
  }
  const isAlone = core.livingCount === 1;
  if (isAlone) {
    core.timers.seedMs = nowMs + jittered(core, core.seedRetryMs);
    core.seedRetryMs = Math.min(SEED_RETRY_MAX_MS, core.seedRetryMs * 1.5);
  } else {
    core.timers.seedMs = nowMs + jittered(core, core.config.seedIntervalMs);
    core.seedRetryMs = SEED_RETRY_MIN_MS;
  }
  // The one tried goes to the back, so that no unreachable seed hides the others.
  for (let i = 0; i < (isAlone ? SEEDS_AT_ONCE : 1); i++) {
    const seed = core.seeds.shift();
    if (seed === undefined) return;
    core.seeds.push(seed);
    if (isAlone || !isLivingAddress(core, seed)) startExchange(core, seed, 'join', nowMs);
  }
}
const SEEDS_AT_ONCE = 3;

function isLivingAddress(core: CoreState, address: string): boolean {
  return core.roster.some(
    (member) => member.controlAddress === address && member.state === 'alive',
  );
}

function jittered(core: CoreState, durationMs: number): number {
  return durationMs * (1 + (core.random.float() - 0.5) * JITTER_SHARE);
}
