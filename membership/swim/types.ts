/**
 * The vocabulary of the membership core: claims (what one instance says about another), member
 * views, the core's inputs and outputs, and its settings with the formula of each.
 *
 * A claim is ordered by (boot, incarnation, state): a higher boot replaces everything known of the
 * instance, within a boot a higher incarnation wins, and at equal incarnation the worse state wins.
 * Only the instance itself raises its incarnation, so only it can take back a worse state.
 */
import type { InstanceId } from '../../model/ids.ts';

/** Liveness states, from best to worst; the index is the code on the wire and the rank in a merge. */
export const MEMBER_STATES = ['alive', 'suspect', 'dead', 'left'] as const;
export type MemberState = (typeof MEMBER_STATES)[number];

/** The version of the gossip messages that this code speaks. */
export const GOSSIP_PROTOCOL = 1;
export const INCARNATION_MAX = 0xffffffff;
/** A claim that jumps further than this ahead of what is known is refused (it would exhaust u32). */
export const INCARNATION_JUMP_MAX = 1 << 20;
/** Longest user record, in bytes. */
export const RECORD_BYTES_MAX = 512;

/** What somebody says about an instance. `accuser` is the instance itself for alive and left. */
export interface Claim {
  readonly state: MemberState;
  readonly id: InstanceId;
  readonly boot: number;
  readonly incarnation: number;
  /** Where it takes datagrams: a canonical 'ip:port' or '[v6]:port'. */
  readonly address: string;
  /** Where it takes streams; often equal to `address`. */
  readonly controlAddress: string;
  /** The highest gossip protocol it speaks; shown, and the base of later negotiation. */
  readonly protocol: number;
  readonly accuser: InstanceId;
}

/** A member as seen from here. */
export interface MemberView {
  readonly id: InstanceId;
  readonly boot: number;
  readonly incarnation: number;
  readonly state: MemberState;
  readonly address: string;
  readonly controlAddress: string;
  readonly protocol: number;
  /** Monotonic time of the last change of state. */
  readonly sinceMs: number;
  /** Round trip of the last answered direct ping. */
  readonly rttMs: number | undefined;
}

/**
 * What happened to a member. `alive` also covers a restart (`restarted`) and a return.
 * `conflict`: `identity` = the same id and boot at two addresses (the newer is refused) or this
 * node's own id with a higher boot elsewhere; `address` = two ids at one address (accepted, loud).
 */
export type MemberEvent =
  | { readonly type: 'alive'; readonly member: MemberView; readonly restarted: boolean }
  | {
      readonly type: 'conflict';
      readonly why: 'address' | 'identity';
      readonly member: MemberView;
      readonly claim: Claim;
    }
  | { readonly type: 'dead'; readonly member: MemberView }
  | { readonly type: 'left'; readonly member: MemberView }
  | { readonly type: 'suspect'; readonly member: MemberView };

export type PushPullReason = 'heal' | 'join' | 'periodic';

/** What the shell tells the core. Every input is stamped with the monotonic time of its arrival. */
export type CoreInput =
  | { readonly type: 'broadcast'; readonly key: string; readonly bytes: Uint8Array }
  | { readonly type: 'join'; readonly seeds: readonly string[] }
  | { readonly type: 'leave' }
  /** A datagram after the cipher has opened it. `from` is the source address of the socket. */
  | { readonly type: 'packet'; readonly payload: Uint8Array; readonly from: string }
  | { readonly type: 'push_pull_received'; readonly bytes: Uint8Array }
  | {
      readonly type: 'push_pull_result';
      readonly exchange: number;
      /** The answer; undefined when the exchange failed. */
      readonly bytes: Uint8Array | undefined;
    }
  /** Others remember a later boot of this instance: it is at this one. */
  | { readonly type: 'raise_boot'; readonly boot: number }
  | { readonly type: 'reliable_ping_result'; readonly nonce: bigint; readonly isAlive: boolean }
  | { readonly type: 'tick' };

/** What the core asks of the shell. */
export type CoreOutput =
  | { readonly type: 'event'; readonly event: MemberEvent }
  /** Start an exchange; exactly one `push_pull_result` must follow, by `deadlineMs`. */
  | {
      readonly type: 'push_pull';
      readonly exchange: number;
      readonly address: string;
      readonly bytes: Uint8Array;
      readonly reason: PushPullReason;
      readonly deadlineMs: number;
    }
  /** The answer to `push_pull_received`, to be returned on the same stream. */
  | { readonly type: 'push_pull_answer'; readonly bytes: Uint8Array }
  /** A record heard by gossip. */
  | { readonly type: 'record'; readonly bytes: Uint8Array }
  /** Records of a push/pull. */
  | { readonly type: 'records'; readonly records: readonly Uint8Array[] }
  /** Ask `target` over the control lane whether it lives; `reliable_ping_result` must follow. */
  | {
      readonly type: 'reliable_ping';
      readonly nonce: bigint;
      readonly target: InstanceId;
      readonly address: string;
      readonly deadlineMs: number;
    }
  | { readonly type: 'send'; readonly address: string; readonly payload: Uint8Array };

/** Settings. The defaults are a LAN's; `suspicionMinMs` in suspicion.ts has the main formula. */
export interface SwimConfig {
  /** One probe per interval, times (health score + 1). Longer = slower verdicts, less traffic. */
  readonly probeIntervalMs: number;
  /** Time for a direct ack before helpers and the control lane are asked. */
  readonly probeTimeoutMs: number;
  /** Helpers of an indirect probe. */
  readonly indirectChecks: number;
  /** suspicion min = mult x max(1, log10 N) x probe interval; confirmations needed = round(mult) - 2. */
  readonly suspicionMult: number;
  /** suspicion max = this x min: the time an accusation that nobody confirms takes. */
  readonly suspicionMaxMult: number;
  /** Bound of the local health score, which slows the probing of a sick node; 0 = no such thing. */
  readonly healthScoreMax: number;
  readonly gossipIntervalMs: number;
  readonly gossipNodes: number;
  /** The recently dead keep hearing gossip this long, so that they can refute. */
  readonly gossipToTheDeadMs: number;
  /** Transmits of one update = mult x max(3, ceil(log10(N + 1))). */
  readonly retransmitMult: number;
  /** Full exchange with one random member; stretched above 32 members. */
  readonly pushPullIntervalMs: number;
  readonly pushPullTimeoutMs: number;
  /** How often the dead are tried again, so that partitions heal. */
  readonly healIntervalMs: number;
  /** How often seeds are tried while this node knows others alive; alone, it tries each second. */
  readonly seedIntervalMs: number;
  /** The dead are retried, and tombstones kept, this long. */
  readonly deadRetainMs: number;
  readonly leftRetainMs: number;
  /** Bound of the member table, the dead and left included. */
  readonly membersMax: number;
  /** Bound of a datagram with header and tag: 1,400 fits an Ethernet path, 576 any path. */
  readonly packetBytesMax: number;
}

export const defaultSwimConfig: SwimConfig = {
  probeIntervalMs: 1_000,
  probeTimeoutMs: 500,
  indirectChecks: 3,
  suspicionMult: 3.8,
  suspicionMaxMult: 6,
  healthScoreMax: 8,
  gossipIntervalMs: 200,
  gossipNodes: 3,
  gossipToTheDeadMs: 30_000,
  retransmitMult: 4,
  pushPullIntervalMs: 30_000,
  pushPullTimeoutMs: 5_000,
  healIntervalMs: 2_000,
  seedIntervalMs: 60_000,
  deadRetainMs: 86_400_000,
  leftRetainMs: 3_600_000,
  membersMax: 10_000,
  packetBytesMax: 1_400,
};

/** Why a datagram or an exchange was refused; the keys of the drop counters. */
export const DROP_REASONS = [
  'cipher_counter_replayed',
  'cipher_key_unknown',
  'cipher_label',
  'cipher_length',
  'cipher_mode',
  'cipher_salt_rate',
  'cipher_tag',
  'cipher_version',
  'claim_incarnation_jump',
  'claim_table_full',
  'message_malformed',
  'message_truncated',
  'message_unknown_type',
  'nonce_unknown',
  'ping_for_another',
  'push_pull_malformed',
  'relay_full',
  'source_unproven',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];
