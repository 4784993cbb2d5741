/** What a compactor shows of itself: what it does now, what it did, and what is planned for each tenant. */
import type { TenantId } from '../../model/ids.ts';
import type { CompactionJob } from './plan.ts';
import type { JobPhase } from './run-job.ts';

/** The job that runs. */
export interface RunningJob {
  readonly tenant: TenantId;
  readonly key: string;
  readonly kind: CompactionJob['kind'];
  readonly blocks: readonly string[];
  readonly startedAtMs: number;
  readonly phase: JobPhase;
  /** Series written so far. */
  readonly seriesCount: number;
}

export interface PlannedJob {
  readonly key: string;
  readonly kind: CompactionJob['kind'];
  readonly startMs: number;
  readonly endMs: number;
  readonly blocks: readonly string[];
  /** Whether this instance does it. */
  readonly isOwn: boolean;
}

export interface TenantStatus {
  readonly tenant: TenantId;
  readonly lookedAtMs: number;
  readonly blockCount: number;
  readonly markedCount: number;
  readonly noCompactCount: number;
  readonly partialCount: number;
  readonly jobs: readonly PlannedJob[];
  /** Ranges that are not compacted now, and why. */
  readonly held: readonly { readonly key: string; readonly why: string }[];
  /** Blocks that cannot be read, and why. */
  readonly broken: readonly { readonly block: string; readonly why: string }[];
  /** Of the last round; empty: none. */
  readonly failure: string;
}

export interface CompactorStatus {
  readonly isRunning: boolean;
  /** Wall clock; undefined: never. */
  readonly lastSuccessAtMs: number | undefined;
  readonly job: RunningJob | undefined;
  readonly tenants: readonly TenantStatus[];
}

/** What was done since the start. */
export class CompactorCounts {
  runsStarted = 0;
  runsCompleted = 0;
  runsFailed = 0;
  jobsDone = 0;
  jobsFailed = 0;
  blocksDeleted = 0;
  blocksQuarantined = 0;
  blocksCompacted = 0;
  readonly blocksMarked: Record<string, number> = {};

  noteMarked(reason: string): void {
    this.blocksMarked[reason] = (this.blocksMarked[reason] ?? 0) + 1;
  }
}
