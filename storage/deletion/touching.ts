/**
 * Which deletions may have something of what a read asks for: those that no label's value rules out. No series is
 * looked at, and what matching costs is bounded for each read: who is left then counts as touching, unmatched.
 *
 *   value that one side demands ─► does the other accept it? ─► remembered (verdicts.ts) | matched | too much: yes
 *
 * Invariant: a deletion is left out only when no series matches a selector of it and one of the read.
 */
import {
  type CompiledMatcher,
  type Matcher,
  type Selectors,
  compileMatcher,
} from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import { type MatchWork, chargedMatch } from './compiled.ts';
import { type Deletion, NO_DELETIONS } from './deletion.ts';
import type { MatchMemory } from './verdicts.ts';

/** For each read; some ten milliseconds. What one read finds out, the next ones know. */
const TOUCHING_WORK_MAX = 250_000;

/** Deletions, and what their node remembers of matching them. */
export interface RememberedDeletions {
  readonly deletions: readonly Deletion[];
  readonly memory: MatchMemory;
}

/** What is matched on behalf of one read. */
interface Matching {
  readonly memory: MatchMemory;
  readonly work: MatchWork;
}

/** Those that may have something of what a read asks for. No series is looked at; at most TOUCHING_WORK_MAX of matching. */
export function deletionsTouching(
  { deletions, memory }: RememberedDeletions,
  selectors: Selectors,
  { maxTimeMs, minTimeMs }: TimeRange,
): readonly Deletion[] {
  if (deletions.length === 0) return NO_DELETIONS; // fast path: nearly always
  const read = selectors.map((matchers) => matchers.map(compileMatcher));
  const matching: Matching = { memory, work: { left: TOUCHING_WORK_MAX } };
  const found = deletions.filter(
    ({ range, selectors: deleted }) =>
      range.minTimeMs <= maxTimeMs &&
      range.maxTimeMs >= minTimeMs &&
      (read.length === 0 ||
        deleted.some((one) => read.some((other) => couldMatch(one, other, matching)))),
  );
  return found.length === 0 ? NO_DELETIONS : found;
}

/** False only when no series matches both. */
function couldMatch(
  deleted: readonly Matcher[],
  read: readonly CompiledMatcher[],
  matching: Matching,
): boolean {
  for (const { matcher: one } of read) {
    if (one.type !== '=') continue;
    for (let i = 0; i < deleted.length; i++) {
      if (deleted[i]!.name === one.name && !deletedAccepts(deleted, i, one.value, matching))
        return false;
    }
  }
  for (const one of deleted) {
    if (one.type !== '=') continue;
    for (const other of read) {
      if (other.matcher.name === one.name && !readAccepts(other, one.value, matching.work))
        return false;
    }
  }
  return true;
}

/** Whether the matcher `i` of a deletion's selector accepts the value; true when it is too much to find out. */
function deletedAccepts(
  selector: readonly Matcher[],
  i: number,
  value: string,
  { memory, work }: Matching,
): boolean {
  const matcher = selector[i]!;
  const { type } = matcher;
  if (type === '=' || type === '!=') return (value === matcher.value) === (type === '=');
  const known = memory.verdicts.recall(matcher, value);
  if (known !== undefined) return known;
  if (work.left <= 0) return true;
  const verdict = chargedMatch(memory.compiled.get(selector, work)[i]!, value, work);
  memory.verdicts.remember(matcher, value, verdict);
  return verdict;
}

/** As above, of the read: its own matchers know the values of this read. */
function readAccepts(one: CompiledMatcher, value: string, work: MatchWork): boolean {
  return (one.matchCost > 0 && work.left <= 0) || chargedMatch(one, value, work);
}
