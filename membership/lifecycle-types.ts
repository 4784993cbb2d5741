/**
 * The vocabulary of the lifecycle machine (lifecycle.ts): what comes in, what goes out, what it
 * remembers. All plain data.
 *
 * Duties of the shell: run the effects of a step strictly in order, and wait for `persist` and
 * `save-boot-counter` to be durable before the next effect; give the next input only then.
 */
import type { InstanceId } from '../model/ids.ts';
import type {
  InstanceAddresses,
  InstanceRecord,
  Registry,
  RegistryRecord,
  StoreId,
} from './registry/index.ts';

/** Both clocks: intervals use the monotonic one, the wall clock only labels records. */
export interface Now {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export interface LifecycleConfig {
  readonly instanceId: InstanceId;
  readonly storeId: StoreId;
  /** Of this boot, already durable. */
  readonly bootCounter: number;
  readonly zone: string;
  readonly addresses: InstanceAddresses;
  readonly softwareVersion: string;
  /** The replication factor wished for; the effective one rises towards it. */
  readonly replicationFactor: number;
  /** False only when no other instance was ever named: then an empty registry begins a cluster. */
  readonly hasSeeds: boolean;
  /** Whether the data directory holds samples already. */
  readonly holdsData: boolean;
  /** The data directory is known to lack something of before this time; 0: nothing. */
  readonly lostBeforeMs: number;
  /** Drawn at random for this boot, used if they are needed. Hex strings have 32 digits. */
  readonly draws: {
    readonly tokenSeed: number;
    readonly clusterId: string;
    readonly fingerprintSecret: string;
  };
}

/**
 * idle -> pending -> joining -> active -> leaving (stopped)     a new instance
 * idle -> resuming ----------^       \-> retiring -> ended      a known one; one that leaves for good
 * pending -> returning -----^                                   a known one that lost its disk
 * any -> ended                                                  forgotten, or superseded by a twin
 */
export type Phase =
  | 'active'
  | 'ended'
  | 'idle'
  | 'joining'
  | 'leaving'
  | 'pending'
  | 'resuming'
  | 'retiring'
  | 'returning';

export type BallotPurpose = 'forget' | 'join' | 'leave' | 'return' | 'rf' | 'seal';

/** A change that waits for its majority. */
export interface Ballot {
  readonly purpose: BallotPurpose;
  readonly stamp: string;
  readonly record: RegistryRecord;
  /** The electorate that the acknowledgements agree on. */
  readonly electorate: string;
  readonly acked: ReadonlySet<InstanceId>;
  /** Those who hold the record but have lost what they knew before: only a 'return' minds them. */
  readonly blank: ReadonlySet<InstanceId>;
  readonly askedAtMs: number;
  readonly startedAtMs: number;
  readonly acceptsLoss: boolean;
}

export interface LifecycleState {
  readonly config: LifecycleConfig;
  readonly phase: Phase;
  readonly isReady: boolean;
  readonly registry: Registry;
  /** The record this instance stands by. */
  readonly own: InstanceRecord | undefined;
  readonly bootCounter: number;
  readonly holdsData: boolean;
  /** How often the boot counter had to be raised over another holder of this id. */
  readonly claimCount: number;
  readonly startedAtMs: number;
  /** When the first full exchange with another instance was done. */
  readonly metAtMs: number | undefined;
  /** An active instance becomes ready now at the latest. */
  readonly readyAtMs: number;
  /** When each other instance was last heard of as a candidate for beginning a cluster. */
  readonly seenAtMs: ReadonlyMap<InstanceId, number>;
  readonly rfWantedSinceMs: number | undefined;
  /** Since when there is a tombstone that somebody may not have heard of. */
  readonly sealWantedSinceMs: number | undefined;
  readonly ballots: ReadonlyMap<string, Ballot>;
}

export type LifecycleInput =
  | {
      readonly type: 'ack';
      readonly stamp: string;
      readonly from: InstanceId;
      readonly electorate: string;
      /** The sender lost its disk and is not back yet. */
      readonly isReturning: boolean;
    }
  /** A peer asks to acknowledge its record. */
  | { readonly type: 'asked'; readonly record: RegistryRecord; readonly from: InstanceId }
  /** An operator removes another instance. Without `acceptsLoss` reads count it as missing. */
  | { readonly type: 'forget-requested'; readonly id: InstanceId; readonly acceptsLoss: boolean }
  /** The instance leaves for good: its data is held elsewhere already. */
  | { readonly type: 'leave-requested' }
  /** This instance found that it lost something it had promised, of before this time. */
  | { readonly type: 'lost'; readonly beforeMs: number }
  /** An operator accepts that the history of a forgotten instance is gone. */
  | { readonly type: 'loss-accepted'; readonly id: InstanceId }
  /** A full registry exchange with that instance was done: all its records. */
  | {
      readonly type: 'met-instance';
      readonly id: InstanceId;
      readonly records: readonly RegistryRecord[];
    }
  | {
      readonly type: 'nack';
      readonly stamp: string;
      readonly from: InstanceId;
      readonly why: string;
    }
  | { readonly type: 'readonly-requested'; readonly isReadonly: boolean }
  /**
   * What was lost is here again, but for what lies before `restMs` (0: all of it); unless the loss is a
   * later one than `beforeMs`.
   */
  | { readonly type: 'refilled'; readonly beforeMs: number; readonly restMs: number }
  /** Records arrived by gossip or exchange. */
  /** Some records, as gossip tells them. */
  | { readonly type: 'registry-changed'; readonly records: readonly RegistryRecord[] }
  /** What this instance holds from steps below `rf` is also held elsewhere. */
  | { readonly type: 'settled'; readonly rf: number }
  | { readonly type: 'started'; readonly registry: Registry | undefined }
  | { readonly type: 'stop-requested' }
  | { readonly type: 'tick' }
  /** The first sample is about to be acknowledged. */
  | { readonly type: 'wrote' };

export type EndReason = 'forgotten' | 'left' | 'superseded';

export type LifecycleEffect =
  | {
      readonly type: 'ask-ack';
      readonly record: RegistryRecord;
      readonly stamp: string;
      readonly peers: readonly InstanceId[];
    }
  | { readonly type: 'become-ready' }
  | { readonly type: 'become-unready'; readonly why: string }
  | { readonly type: 'broadcast'; readonly records: readonly RegistryRecord[] }
  /** Two clusters met and the other one's id and fingerprint secret stay. */
  | { readonly type: 'cluster-replaced'; readonly clusterId: string }
  /** This process must not act as this instance any more. */
  | { readonly type: 'end'; readonly why: EndReason }
  | { readonly type: 'forget-done'; readonly id: InstanceId }
  | { readonly type: 'forget-failed'; readonly id: InstanceId; readonly why: string }
  | { readonly type: 'persist'; readonly registry: Registry }
  /** From now on the ring and the reads use this registry. */
  | { readonly type: 'publish'; readonly registry: Registry }
  | {
      readonly type: 'reply-ack';
      readonly to: InstanceId;
      readonly stamp: string;
      readonly electorate: string;
      /** The sender lost its disk and is not back yet. */
      readonly isReturning: boolean;
    }
  | {
      readonly type: 'reply-nack';
      readonly to: InstanceId;
      readonly stamp: string;
      readonly why: string;
    }
  | { readonly type: 'save-boot-counter'; readonly bootCounter: number }
  /** LEAVING is durable and told: the process may stop when its gossip went out. */
  | { readonly type: 'stopped' }
  /** A peer sees other voters: exchange registries with it. */
  | { readonly type: 'sync-with'; readonly peer: InstanceId };

export interface LifecycleStep {
  readonly state: LifecycleState;
  readonly effects: readonly LifecycleEffect[];
}

/** A step in the making; owned by one call of `step`. */
export interface Draft extends Mutable<Omit<LifecycleState, 'ballots' | 'config' | 'seenAtMs'>> {
  readonly config: LifecycleConfig;
  readonly now: Now;
  readonly seenAtMs: Map<InstanceId, number>;
  readonly ballots: Map<string, Ballot>;
  /** Records that are new in this step, by key: persisted and told before any other effect. */
  readonly changed: Map<string, RegistryRecord>;
  readonly effects: LifecycleEffect[];
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** How long a node waits, after it met another one, before it may begin a new cluster. */
export const BOOTSTRAP_WAIT_MS = 1000;
/** How long the first instance of a cluster lets those it met join before it takes traffic. */
export const BEGIN_WAIT_MS = 5000;
/** A pending node that was not heard of for so long does not keep others from beginning. */
export const CANDIDATE_WINDOW_MS = 10_000;
/** A restarted instance becomes ready after so long even if it met nobody. */
export const RESUME_WAIT_MS = 10_000;
export const ASK_INTERVAL_MS = 1000;
/** After so long whoever asked to forget is told that it has not worked yet. */
export const FORGET_TIMEOUT_MS = 30_000;
/** What any instance may do they do one after the other, so that usually one of them does it. */
export const STAGGER_MS = 500;
