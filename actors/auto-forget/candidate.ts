/**
 * Which instance may be forgotten without an operator. Pure: from the registry and what was seen to one name.
 *
 *   down here for long enough ─► others can hold it: as many living ones as copies, a majority of all
 *                             ─► others do hold it: a read of all that is promised is whole without the down
 *
 * Who votes on it, and what is done about its history, is elsewhere: a majority must have seen the same
 * (actor.ts), a majority must acknowledge the tombstone (membership/lifecycle-ballots.ts), and reads mind what it
 * held until the others hold it as often as they should (actors/refill/cover.ts).
 */
import {
  type InstanceRecord,
  type Registry,
  effectiveRf,
  instancesById,
  isVoter,
  readPlan,
} from '../../membership/index.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { TimeRange } from '../../model/sample.ts';

export interface CandidateOptions {
  readonly self: InstanceId;
  /** How long this node has seen an instance down; 0: it is not. */
  readonly downMs: (id: InstanceId) => number;
  readonly afterMs: number;
  /** What nodes promise to hold. */
  readonly promised: TimeRange;
}

/** The one that is down for longest; undefined: none may be forgotten now. */
export function forgetCandidate(
  registry: Registry,
  { afterMs, downMs, promised, self }: CandidateOptions,
): InstanceRecord | undefined {
  const voters = instancesById(registry).filter(isVoter);
  // One after another. A proposal on one that is down itself was not decided: nobody else can take it back.
  const isBusy = voters.some(({ id, proposal }) => proposal !== 'none' && downMs(id) < afterMs);
  if (isBusy) return undefined;
  const living = voters.filter(({ id }) => id === self || downMs(id) === 0);
  const isEnough = living.length >= effectiveRf(registry) && living.length * 2 > voters.length;
  if (!isEnough) return undefined;
  const plan = readPlan(registry, promised);
  if (!plan.isComplete(new Set(living.map(({ id }) => id))).ok) return undefined;
  return voters
    .filter(({ id }) => id !== self && downMs(id) >= afterMs)
    .sort((a, b) => isProposed(b) - isProposed(a) || downMs(b.id) - downMs(a.id))[0];
}

/** What was begun is ended first. */
function isProposed({ proposal }: InstanceRecord): number {
  return proposal === 'none' ? 0 : 1;
}
