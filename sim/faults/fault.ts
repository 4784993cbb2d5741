/**
 * What a fault is: a name in a table, a sentence, and how it strikes. A row harms one machine (the
 * victim), its links, or all machines at the same moment; what it damages for good, it damages on one
 * machine of the run only, so that no promise is broken by the model itself.
 *
 *   strike ──(the story waits)──> the returned end ── links heal ── dead machines boot
 */
import type { SimRandom } from '../random.ts';
import type { Machine, World } from '../world.ts';

/** What operators do to a cluster. Each resolves when it is done or was given up. */
export interface Operator<Node> {
  /** Machines that belong to the cluster. */
  members(): readonly Machine<Node>[];
  boot(machine: Machine<Node>): Promise<void>;
  /** As SIGTERM: the process drains and ends. */
  stop(machine: Machine<Node>): Promise<void>;
  /** A machine that was not there before joins; undefined: there is none. */
  addMachine(): Promise<Machine<Node> | undefined>;
  /** `helper` is asked to forget `machine`. */
  forget(helper: Machine<Node>, machine: Machine<Node>): Promise<void>;
  waitReady(): Promise<void>;
  /** All that the heads of a machine hold becomes blocks, and these are shipped; false: that failed. */
  flush(machine: Machine<Node>): Promise<boolean>;
  /** The flags of all later boots. */
  setFlag(name: string, value: string): void;
  /** A body that no client of ours sends, to one machine. */
  pushBytes(machine: Machine<Node>, bytes: Uint8Array): Promise<void>;
  query(machine: Machine<Node>, text: string): Promise<void>;
  /** Clients ask one machine for some of what was acknowledged last. */
  readNewest(machine: Machine<Node>): Promise<void>;
  /** Times as much load as usual. */
  setPace(times: number): void;
}

/** Where a fault strikes. */
export interface FaultScene<Node> {
  readonly world: World<Node>;
  readonly random: SimRandom;
  readonly victim: Machine<Node>;
  readonly others: readonly Machine<Node>[];
  readonly lengthMs: number;
  readonly operator: Operator<Node>;
}

/** Who is harmed: one machine, so that the rest must answer; or more. */
export type FaultReach = 'one' | 'all';

/** Ends a fault; a promise: it ends by itself. */
export type FaultEnd = (() => void) | Promise<void> | undefined;

export interface Fault {
  /** What happens in the world outside, in a sentence. */
  readonly sentence: string;
  readonly reach: FaultReach;
  /** What it harms is lost for good: always the same machine, where a loss is allowed at all. */
  readonly isDamage?: true;
  /** What it harms may be found out much later, when it is read: until then its machine counts as harmed. */
  readonly isHidden?: true;
  /** It changes a wall clock, and nothing else. */
  readonly isClock?: true;
  /** It only makes its victim slow: quorums hide it. */
  readonly isSlowness?: true;
  /** What is checked of the life that it met. */
  readonly lifeMust?: 'end after failed syncs' | 'go on';
  strike<Node>(scene: FaultScene<Node>): FaultEnd;
}

export type Faults = Readonly<Record<string, Fault>>;
