/** What the gossip shell is given, and what it tells about itself. */
import type { InstanceId } from '../model/ids.ts';
import type { Ciphers, Clock, Datagrams, Log, Random } from '../platform/platform.ts';
import type { CORE_COUNTERS } from './swim/state.ts';
import type { DropReason, PushPullReason, SwimConfig } from './swim/types.ts';

/** Calls over the control lane. A rejection and a missed deadline both count as no answer. */
export interface ReliableChannel {
  /** Whether `target` itself (not just anybody at that address) answered by the deadline. */
  ping(call: {
    readonly address: string;
    readonly target: InstanceId;
    readonly nonce: bigint;
    readonly deadlineMs: number;
  }): Promise<boolean>;
  /** The other side's answer. `address` may be a seed as the user wrote it. */
  pushPull(call: {
    readonly address: string;
    readonly bytes: Uint8Array;
    readonly reason: PushPullReason;
    readonly deadlineMs: number;
  }): Promise<Uint8Array>;
}

export interface GossipSeams {
  readonly clock: Clock;
  readonly random: Random;
  readonly ciphers: Ciphers;
  readonly log: Log;
  readonly datagrams: Datagrams;
  readonly channel: ReliableChannel;
}

export interface GossipOptions {
  readonly id: InstanceId;
  /** Rises with every start of the instance; kept in its data directory. */
  readonly boot: number;
  /** Name of the cluster; nodes with another one are not heard. */
  readonly label: string;
  /** Cluster keys, the primary first; empty = no encryption. */
  readonly secrets: readonly Uint8Array[];
  readonly config?: Partial<SwimConfig>;
  /** The registry's records, for each push/pull. */
  readonly localRecords?: () => readonly Uint8Array[];
}

export interface ListenOptions {
  /** Where to bind datagrams, 'ip:port'; port 0 = any. */
  readonly listenAddress: string;
  /** Where others reach it; needed when it binds an unspecified address. Port 0 = the bound one. */
  readonly advertiseAddress?: string;
  /** Where others open streams; defaults to the advertised address. */
  readonly controlAddress?: string;
}

/** Everything worth a metric. Counters only rise. */
export interface GossipStats {
  readonly counters: Readonly<Record<(typeof CORE_COUNTERS)[number], number>>;
  readonly drops: Readonly<Record<DropReason, number>>;
  readonly healthScore: number;
  readonly queuedClaims: number;
  readonly queuedRecords: number;
}
