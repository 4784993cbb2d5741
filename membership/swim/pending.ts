/**
 * What the core waits for: probes without an answer, pings made for others, exchanges under way.
 * Plain data; `probe.ts`, `exchange.ts` and `heal.ts` own the rules.
 */
import type { InstanceId } from '../../model/ids.ts';
import type { PushPullReason } from './types.ts';

/** A probe that was started and not decided. */
export interface Probe {
  readonly nonce: bigint;
  readonly target: InstanceId;
  readonly startedMs: number;
  /** Direct until here, then helpers and the control lane. */
  directUntilMs: number;
  /** No answer until here is a failure. */
  deadlineMs: number;
  isDirect: boolean;
  expectedNacks: number;
  nacks: number;
  reliablePings: number;
  /** When to ask the control lane again; Infinity while an ask is open or none is left. */
  reliableRetryMs: number;
}

/** A ping sent for somebody else. */
export interface Relay {
  /** The asker's nonce, for the ack or nack. */
  readonly nonce: bigint;
  readonly asker: string;
  readonly target: InstanceId;
  /** When to tell the asker that nothing came; Infinity once told. */
  nackAtMs: number;
  readonly expiresMs: number;
}

/** A push/pull that this node started. */
export interface Exchange {
  readonly reason: PushPullReason;
  readonly address: string;
  readonly target: InstanceId | undefined;
}

/** A datagram to a dead member, to see whether it is back. */
export interface HealPing {
  readonly target: InstanceId;
  readonly expiresMs: number;
}
