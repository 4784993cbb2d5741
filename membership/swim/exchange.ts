/**
 * Push/pull: two nodes give each other everything they know. The receiver merges first and answers
 * with the result, so a node that was taken for dead learns it from the answer (or refutes before
 * it answers), and both leave with the same view. What the asker has just said word for word is not
 * said again in the answer: where two views hardly differ, one way is nearly empty.
 */
import type { InstanceId } from '../../model/ids.ts';
import { mergeClaim, softenVerdict, type ClaimSource } from './merge.ts';
import { DigestSet } from './digest-set.ts';
import { CLAIM_BYTES_MIN, decodePushPull, encodePushPull, type PushPull } from './push-pull.ts';
import { countDrop, selfClaim, type CoreState } from './state.ts';
import type { PushPullReason } from './types.ts';

/** Exchanges that this node may have open at once. */
const EXCHANGES_MAX = 4;

/** Asks the shell for an exchange; false when too many are open or one with it already is. */
export function startExchange(
  core: CoreState,
  address: string,
  reason: PushPullReason,
  nowMs: number,
  target?: InstanceId,
): boolean {
  if (core.exchanges.size >= EXCHANGES_MAX) return false;
  for (const open of core.exchanges.values()) if (open.address === address) return false;
  const exchange = core.nextExchange++;
  core.exchanges.set(exchange, { address, reason, target });
  core.counters.push_pulls_sent++;
  core.outputs.push({
    type: 'push_pull',
    exchange,
    address,
    bytes: encodeState(core),
    reason,
    deadlineMs: nowMs + core.config.pushPullTimeoutMs,
  });
  return true;
}

/** The answer of an exchange that this node started. True when it could be merged. */
export function onExchangeResult(
  core: CoreState,
  exchange: number,
  bytes: Uint8Array | undefined,
  nowMs: number,
): boolean {
  const open = core.exchanges.get(exchange);
  if (open === undefined) return false;
  core.exchanges.delete(exchange);
  const answer = bytes === undefined ? undefined : decodePushPull(bytes, core.known);
  if (answer === undefined) {
    core.counters.push_pulls_failed++;
    if (bytes !== undefined) countDrop(core, 'push_pull_malformed');
    return false;
  }
  // What a first answer tells a newcomer is news only to the newcomer.
  const isNewcomer = open.reason === 'join' && core.members.size === 0;
  mergeExchange(core, answer, nowMs, isNewcomer ? 'join_answer' : 'gossip');
  return true;
}

/** Somebody else's exchange: merge, then answer. A malformed one gets no answer. */
export function onExchangeReceived(core: CoreState, bytes: Uint8Array, nowMs: number): void {
  const told = new DigestSet(core.roster.length);
  const exchange = decodePushPull(bytes, core.known, told);
  if (exchange === undefined) {
    countDrop(core, 'push_pull_malformed');
    return;
  }
  core.counters.push_pulls_received++;
  mergeExchange(core, exchange, nowMs, 'gossip');
  core.outputs.push({ type: 'push_pull_answer', bytes: encodeState(core, told) });
}

function mergeExchange(
  core: CoreState,
  exchange: PushPull,
  nowMs: number,
  source: ClaimSource,
): void {
  // The sender speaks for itself first: after that it may be believed about others.
  mergeClaim(core, exchange.sender, nowMs, source);
  exchange.claims.forEach((claim, i) => {
    const softened = softenVerdict(core, claim);
    const isSettled = mergeClaim(core, softened, nowMs, source);
    // A verdict that was softened is news when gossip brings it.
    if (isSettled && softened === claim) core.seen.add(exchange.digests[i]!);
  });
  if (exchange.records.length > 0) {
    core.outputs.push({ type: 'records', records: exchange.records });
  }
}

/** Everything this node knows, but for what it was `told`. */
function encodeState(core: CoreState, told?: DigestSet): Uint8Array {
  const { claims, seen } = core;
  const isTold = (bytes: Uint8Array, from: number, to: number): boolean =>
    told?.has(seen.digest(bytes, from, to)) === true;
  return encodePushPull({
    sender: selfClaim(core),
    claimBytes: Math.max(0, claims.byteCount - (told?.count ?? 0) * CLAIM_BYTES_MIN),
    writeClaims: (writer) =>
      claims.writeMembers(writer, core.self.id, told === undefined ? undefined : isTold),
    records: core.localRecords(),
  });
}
