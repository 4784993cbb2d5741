/**
 * When is a read complete? Writes were acknowledged by W of their replicas, so a read that misses
 * fewer than W of the instances which may hold them has met every acknowledged sample. Judged for
 * every step of the replication factor that the range may touch:
 *
 *   missing <= W-1 instances of the step                                   or
 *   missing lie in <= W-1 zones, and there were at least RF zones all along
 *
 * Missing are: those who did not answer, and those whose disk does not hold the range (wiped, damaged, or
 * forgotten before their history was known to be elsewhere). Besides, half of the registered must
 * answer: then at least one knows every change that a majority acknowledged, and its registry digest
 * gives away an instance that this reader does not know.
 *
 * All times here are sample times. A sample may lie ahead of the clock that wrote it and arrive long
 * after its time, so a step is touched by everything before its end plus `slackMs`.
 */
import type { InstanceId } from '../../model/ids.ts';
import type { TimeRange } from '../../model/sample.ts';
import {
  type InstanceRecord,
  type Registry,
  type RfStep,
  isVoter,
  rfHistory,
  votersOf,
  writeQuorum,
} from '../registry/index.ts';

/** The default grace for samples in the future (10 min), the spread of a change, and skewed clocks. */
export const READ_SLACK_MS = 15 * 60_000;

export type ReadVerdict =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** Names of who is missing, for `read.incomplete`. */
      readonly missing: string;
      readonly tolerated: number;
    };

export interface ReadPlan {
  /** Sorted by id. */
  readonly instancesToAsk: readonly InstanceRecord[];
  /** They are as many as there are replicas: each holds every series, unless it missed a write. */
  readonly areReplicas: boolean;
  /** May be called after every answer; answers of instances outside the plan are ignored. */
  isComplete(answered: ReadonlySet<InstanceId>): ReadVerdict;
}

const NAMES_MAX = 5;

/** What follows from a registry alone; registries never change. */
interface Known {
  readonly history: readonly RfStep[];
  readonly voters: readonly InstanceRecord[];
}

const known = new WeakMap<Registry, Known>();

function knownOf(registry: Registry): Known {
  const before = known.get(registry);
  if (before !== undefined) return before;
  const now = { history: rfHistory(registry), voters: votersOf(registry) };
  known.set(registry, now);
  return now;
}

/** Plans a read of `range` by what `registry` says. */
export function readPlan(
  registry: Registry,
  range: TimeRange,
  slackMs: number = READ_SLACK_MS,
): ReadPlan {
  const { history, voters } = knownOf(registry);
  const current = history.at(-1)?.instances ?? [];
  const instancesToAsk = current.filter(({ state }) => state !== 'FORGOTTEN');
  const rules = history
    .filter((step) => !step.isSettled && range.minTimeMs <= step.endsAtMs + slackMs)
    .map((step) => stepRule(step, range, slackMs));
  return {
    instancesToAsk,
    areReplicas: rules.every(({ isOfReplicas }) => isOfReplicas),
    isComplete(answered) {
      for (const rule of rules) {
        const verdict = judgeStep(rule, answered);
        if (!verdict.ok) return verdict;
      }
      return judgeHalf(voters, answered);
    },
  };
}

/** What one step asks for, worked out once per query. */
interface StepRule {
  readonly members: readonly InstanceRecord[];
  /** Those whose answer cannot count, because their disk lacks part of the range. */
  readonly lacking: ReadonlySet<InstanceId>;
  readonly tolerated: number;
  readonly toleratesZones: boolean;
  /** No more than there are replicas. */
  readonly isOfReplicas: boolean;
}

function stepRule(step: RfStep, range: TimeRange, slackMs: number): StepRule {
  const lacks = (record: InstanceRecord): boolean =>
    range.minTimeMs < record.missingBeforeMs + slackMs && record.missingBeforeMs > 0;
  const members = step.instances.filter((record) => record.state !== 'FORGOTTEN' || lacks(record));
  const zonesSinceMs = distinctZonesSinceMs(members, step.rf);
  return {
    members,
    lacking: new Set(members.filter(lacks).map(({ id }) => id)),
    tolerated: writeQuorum(step.rf) - 1,
    isOfReplicas: members.length <= step.rf,
    toleratesZones: zonesSinceMs === 0 || range.minTimeMs > zonesSinceMs + slackMs,
  };
}

/**
 * From when on replicas were surely in distinct zones: when the rf-th zone got its first instance,
 * and after the last time an instance changed its zone. Infinity when there are too few zones.
 */
function distinctZonesSinceMs(members: readonly InstanceRecord[], rf: number): number {
  const firstMs = new Map<string, number>();
  let changedAtMs = 0;
  for (const record of members) {
    changedAtMs = Math.max(changedAtMs, record.zoneChangedAtMs);
    if (!isVoter(record)) continue; // JOINING holds nothing; what is forgotten no longer binds a zone
    const known = firstMs.get(record.zone) ?? Infinity;
    firstMs.set(record.zone, Math.min(known, record.activeSinceMs));
  }
  const sorted = [...firstMs.values()].sort((a, b) => a - b);
  return Math.max(sorted[rf - 1] ?? Infinity, changedAtMs);
}

function judgeStep(rule: StepRule, answered: ReadonlySet<InstanceId>): ReadVerdict {
  const missing = rule.members.filter(({ id }) => !answered.has(id) || rule.lacking.has(id));
  if (missing.length <= rule.tolerated) return { ok: true };
  const zones = new Set(missing.map(({ zone }) => zone)).size;
  if (rule.toleratesZones && zones <= rule.tolerated) return { ok: true };
  return { ok: false, missing: describe(missing, rule.lacking), tolerated: rule.tolerated };
}

function judgeHalf(
  voters: readonly InstanceRecord[],
  answered: ReadonlySet<InstanceId>,
): ReadVerdict {
  const missing = voters.filter(({ id }) => !answered.has(id));
  const tolerated = Math.floor(voters.length / 2);
  if (missing.length <= tolerated) return { ok: true };
  return { ok: false, missing: describe(missing, new Set()), tolerated };
}

function describe(missing: readonly InstanceRecord[], lacking: ReadonlySet<InstanceId>): string {
  const names = missing.slice(0, NAMES_MAX).map((record) => {
    if (record.state === 'FORGOTTEN') return `${record.id} (forgotten)`;
    return lacking.has(record.id) ? `${record.id} (its disk lost data)` : record.id;
  });
  const more = missing.length - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}
