/**
 * How long an accused member has to refute. The time starts at a maximum and shrinks towards a
 * minimum as *different* members confirm the accusation; a repeated accusation by the same one
 * changes nothing, and nothing ever restarts the clock.
 *
 *   min = mult x max(1, log10 N) x probe interval         k = round(mult) - 2 confirmations
 *   max = maxMult x min
 *   timeout(c) = max - ln(c + 1) / ln(k + 1) x (max - min)
 *
 * When the cluster is too small for k other accusers, k is 0 and the timeout is the minimum.
 */
import type { InstanceId } from '../../model/ids.ts';

export interface SuspicionLimits {
  readonly minMs: number;
  readonly maxMs: number;
  /** Confirmations that bring the timeout to its minimum. */
  readonly confirmationsNeeded: number;
}

/** A running suspicion about one member. Owned and changed by the core. */
export interface Suspicion {
  readonly startedMs: number;
  readonly limits: SuspicionLimits;
  /** The first accuser and those who confirmed; at most confirmationsNeeded + 1. */
  readonly accusers: Set<InstanceId>;
  deadlineMs: number;
  /** This node told the accused itself, shortly before the end. */
  isLastWordAsked: boolean;
}

export interface SuspicionSettings {
  readonly suspicionMult: number;
  readonly suspicionMaxMult: number;
  readonly probeIntervalMs: number;
}

/** The limits for a cluster with `livingCount` members (this one included). */
export function suspicionLimits(settings: SuspicionSettings, livingCount: number): SuspicionLimits {
  const minMs =
    settings.suspicionMult *
    Math.max(1, Math.log10(Math.max(1, livingCount))) *
    settings.probeIntervalMs;
  const wanted = Math.max(0, Math.round(settings.suspicionMult) - 2);
  // Accusers can be everybody but the accused and the first accuser.
  const confirmationsNeeded = livingCount - 2 < wanted ? 0 : wanted;
  return { minMs, maxMs: settings.suspicionMaxMult * minMs, confirmationsNeeded };
}

/** The whole timeout after `confirmations` other members agreed. */
export function suspicionTimeoutMs(limits: SuspicionLimits, confirmations: number): number {
  if (limits.confirmationsNeeded === 0) return limits.minMs;
  const share = Math.log(confirmations + 1) / Math.log(limits.confirmationsNeeded + 1);
  return Math.max(limits.minMs, limits.maxMs - share * (limits.maxMs - limits.minMs));
}

export function startSuspicion(
  limits: SuspicionLimits,
  accuser: InstanceId,
  nowMs: number,
): Suspicion {
  return {
    startedMs: nowMs,
    limits,
    accusers: new Set([accuser]),
    deadlineMs: nowMs + suspicionTimeoutMs(limits, 0),
    isLastWordAsked: false,
  };
}

/** Counts another accuser. True when it was new and needed: then it is worth telling others. */
export function confirmSuspicion(suspicion: Suspicion, accuser: InstanceId): boolean {
  const { accusers, limits } = suspicion;
  if (accusers.has(accuser) || accusers.size > limits.confirmationsNeeded) return false;
  accusers.add(accuser);
  // The deadline moves by the difference, so a shift for a stalled loop is kept.
  const before = suspicionTimeoutMs(limits, accusers.size - 2);
  suspicion.deadlineMs -= before - suspicionTimeoutMs(limits, accusers.size - 1);
  return true;
}
