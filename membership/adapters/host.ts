/**
 * What the adapters need of the node behind them: the five parts of the package hold no state of
 * their own, they pass the package's calls on to this and its events back.
 */
import type { MemberEvent, MemberView } from '../swim/types.ts';

export interface SwimHost {
  /** Where this node takes datagrams; empty before it listens. */
  address(): string;
  listen(): Promise<void>;
  closeSocket(): void;
  startTicking(): void;
  stopTicking(): void;
  join(addresses: readonly string[]): void;
  /** This node. */
  self(): MemberView;
  /** The others, whatever their state. */
  members(): readonly MemberView[];
  /** Updates that wait to be gossiped. */
  waitingCount(): number;
  /** Returns how to stop listening. */
  onEvent(callback: (event: MemberEvent) => void): () => void;
}
