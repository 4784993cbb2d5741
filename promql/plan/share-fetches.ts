/**
 * Fetch sharing: selectors that read the same series are fetched once, over all of the time that they
 * read together, where that is no more than they would have read apart.
 *
 *   rate(x[5m]) / rate(x[1h])      1h  |---------------|        one fetch of 1h,
 *                                  5m              |---|        and a part of it
 *
 * Selectors that read other aggregates of downsampled blocks are apart.
 *
 * Equal to the bit: each selector is given exactly the samples of its own range out of the common
 * fetch (`operators/part.ts`). Shared are equal matchers, in any order, with equal labels to read; of
 * selectors that read the newest sample only, equal ranges.
 */
import type { LabelProjection } from '../../model/projection.ts';
import { matcherKey } from './sort-matchers.ts';
import type { Selection } from './selections.ts';

/** What to fetch, and for each need which of them holds it. */
export interface SharedFetches {
  readonly selections: readonly Selection[];
  readonly indexOf: readonly number[];
}

/** Every need by itself: what is fetched without this pass. */
export function separateFetches(needs: readonly Selection[]): SharedFetches {
  return { selections: needs, indexOf: needs.map((_, i) => i) };
}

/** The fewest fetches that hold all needs. */
export function sharedFetches(needs: readonly Selection[]): SharedFetches {
  const selections: Selection[] = [];
  const indexOf: number[] = [];
  const byKey = new Map<string, number[]>();
  // Long ranges first, so that short ones find the one they are a part of.
  const order = needs.map((_, i) => i).sort((a, b) => lengthOf(needs[b]!) - lengthOf(needs[a]!));
  for (const i of order) {
    const need = needs[i]!;
    const key = keyOf(need);
    const candidates = byKey.get(key) ?? [];
    byKey.set(key, candidates);
    let found = candidates.find((at) => touches(selections[at]!, need));
    if (found === undefined) {
      candidates.push((found = selections.length));
      selections.push(need);
    } else {
      selections[found] = joined(selections[found]!, need);
    }
    indexOf[i] = found;
  }
  return inOrder(selections, indexOf);
}

/** The fetches numbered by the first need that they hold. */
function inOrder(selections: readonly Selection[], indexOf: readonly number[]): SharedFetches {
  const numberOf = new Map<number, number>();
  const renumbered = indexOf.map((at) => {
    const number = numberOf.get(at) ?? numberOf.size;
    numberOf.set(at, number);
    return number;
  });
  return { selections: [...numberOf.keys()].map((at) => selections[at]!), indexOf: renumbered };
}

function keyOf(selection: Selection): string {
  const { matchers, maxTimeMs, minTimeMs, newestOnly, projection } = selection;
  const { resolutionMs = 0, value = '' } = selection;
  const names = [...new Set(matchers.map(matcherKey))].sort();
  const range = newestOnly ? [minTimeMs, maxTimeMs] : [];
  return JSON.stringify([names, projectionKey(projection), newestOnly, range, value, resolutionMs]);
}

function projectionKey(projection: LabelProjection | undefined): unknown {
  return projection && [projection.kind, [...new Set(projection.names)].sort()];
}

function lengthOf({ maxTimeMs, minTimeMs }: Selection): number {
  return maxTimeMs - minTimeMs;
}

function touches(a: Selection, b: Selection): boolean {
  return a.minTimeMs <= b.maxTimeMs + 1 && b.minTimeMs <= a.maxTimeMs + 1;
}

function joined(a: Selection, b: Selection): Selection {
  return {
    ...a,
    minTimeMs: Math.min(a.minTimeMs, b.minTimeMs),
    maxTimeMs: Math.max(a.maxTimeMs, b.maxTimeMs),
  };
}
