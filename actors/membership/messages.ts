/**
 * The membership actor's whole protocol. Between nodes, over the control lane:
 *
 *   ping        is this instance really there? (the failure detector's fallback probe)
 *   push-pull   gossip's full exchange, opaque bytes both ways
 *   exchange    all registry records both ways
 *   ballot      'please acknowledge this record', and its ack or nack, each a message of its own
 *
 * From this node: lifecycle inputs, gossip records, and `pull` when a reader met a stranger.
 */
import type { InstanceId } from '../../model/ids.ts';
import type { LifecycleInput } from '../../membership/index.ts';
import type { Reply } from '../runtime/index.ts';

export const MEMBERSHIP_PATH = '/membership';

/** One of an ask, an ack and a nack; `record` only in an ask. */
export interface BallotMessage {
  readonly kind: 'ack' | 'ask' | 'nack';
  readonly from: InstanceId;
  readonly stamp: string;
  readonly record: Uint8Array | null;
  readonly electorate: string;
  readonly isReturning: boolean;
  readonly why: string;
}

export interface ExchangeMessage {
  readonly from: InstanceId;
  readonly records: readonly Uint8Array[];
}

export type MembershipMessage =
  | {
      readonly type: 'ballot';
      readonly ballot: BallotMessage;
      readonly from: InstanceId;
      readonly reply: Reply<null>;
    }
  | {
      readonly type: 'exchange';
      readonly exchange: ExchangeMessage;
      readonly from: InstanceId;
      readonly reply: Reply<ExchangeMessage>;
    }
  | {
      readonly type: 'exchanged';
      readonly with: InstanceId;
      readonly answer: ExchangeMessage;
      /** The ask that this exchange was made for. */
      readonly pull?: Reply<null>;
    }
  | { readonly type: 'forget'; readonly instance: InstanceId; readonly reply: Reply<null> }
  | { readonly type: 'input'; readonly input: LifecycleInput }
  /** Reads need not mind what a forgotten instance held: answered once its tombstone says so, durably. */
  | { readonly type: 'loss-accepted'; readonly instance: InstanceId; readonly reply: Reply<null> }
  /** This instance lost data of before that time: answered once its record says so, durably. */
  | { readonly type: 'lost'; readonly beforeMs: number; readonly reply: Reply<null> }
  | { readonly type: 'ping'; readonly target: string; readonly reply: Reply<boolean> }
  /** Answered when the registry of that peer was merged, made durable and published. */
  | { readonly type: 'pull'; readonly peer: InstanceId; readonly reply: Reply<null> }
  | { readonly type: 'push-pull'; readonly bytes: Uint8Array; readonly reply: Reply<Uint8Array> }
  /** What was lost of before that time is here again: answered once its record says so, durably. */
  | {
      readonly type: 'refilled';
      readonly beforeMs: number;
      readonly restMs: number;
      readonly reply: Reply<null>;
    }
  | { readonly type: 'records'; readonly records: readonly Uint8Array[] }
  | { readonly type: 'tick' }
  /** The first sample is about to be acknowledged: answered once that is durable in the registry. */
  | { readonly type: 'wrote'; readonly reply: Reply<null> };
