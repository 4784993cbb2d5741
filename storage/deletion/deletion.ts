/**
 * What is deleted of a tenant's series: all samples of the series that any of the selectors matches, in a
 * closed range of times. Where it comes from (a request, a retention) does not matter to who reads.
 *
 *   deletions of a tenant ──(can it touch this read?)──► few, mostly none ──(postings)──► ranges of each series
 *
 * Invariant: `couldMatch` is never false for two selectors that one series can match.
 */
import { type CompiledMatcher, type Matcher, compileMatcher } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';
import { compiledSelector } from './compiled.ts';

/** Each inner list is one selector; a series counts when any of them matches. None: every series. */
type Selectors = readonly (readonly Matcher[])[];

export interface Deletion {
  /** Of the request; the same name is the same deletion for ever. */
  readonly id: string;
  /** At least one, and each has a matcher that a series without labels does not match. */
  readonly selectors: Selectors;
  readonly range: TimeRange;
  /** Its end moves on with time: only what ends before it can be made without it. */
  readonly isMoving?: boolean;
}

export const NO_DELETIONS: readonly Deletion[] = [];

/** False while there will be more to delete of a block that ends then. */
export function isFinalFor(
  { isMoving = false, range }: Deletion,
  { maxTimeMs }: { readonly maxTimeMs: number },
): boolean {
  return !isMoving || maxTimeMs - 1 <= range.maxTimeMs;
}

/** Those that may have something of what a read asks for. Cheap: no series is looked at. */
export function deletionsTouching(
  deletions: readonly Deletion[],
  selectors: Selectors,
  { maxTimeMs, minTimeMs }: TimeRange,
): readonly Deletion[] {
  if (deletions.length === 0) return NO_DELETIONS; // fast path: nearly always
  const read = selectors.map((matchers) => matchers.map(compileMatcher));
  const found = deletions.filter(
    ({ range, selectors: deleted }) =>
      range.minTimeMs <= maxTimeMs &&
      range.maxTimeMs >= minTimeMs &&
      (read.length === 0 ||
        deleted.some((matchers) => {
          const one = compiledSelector(matchers);
          return read.some((other) => couldMatch(one, other));
        })),
  );
  return found.length === 0 ? NO_DELETIONS : found;
}

/** False only when no series matches both. */
export function couldMatch(a: readonly CompiledMatcher[], b: readonly CompiledMatcher[]): boolean {
  return !isExcluded(a, b) && !isExcluded(b, a);
}

/** True when a value that `a` demands of a label is refused by `b`. */
function isExcluded(a: readonly CompiledMatcher[], b: readonly CompiledMatcher[]): boolean {
  for (const { matcher: one } of a) {
    if (one.type !== '=') continue;
    for (const other of b) {
      if (other.matcher.name === one.name && !other.matches(one.value)) return true;
    }
  }
  return false;
}

/** Whether every series would match. */
export function matchesAll(selector: readonly CompiledMatcher[]): boolean {
  return selector.every((matcher) => matcher.matchesEmpty);
}

/** What of a series is deleted: sorted references per deletion, asked with rising references. */
export class DeletedRefs {
  readonly #parts: readonly { readonly refs: Uint32Array; readonly range: TimeRange }[];

  /** `refs` of each part rise. */
  constructor(parts: readonly { readonly refs: Uint32Array; readonly range: TimeRange }[]) {
    this.#parts = parts.filter(({ refs }) => refs.length > 0);
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0;
  }

  /** The references of all parts, each part's in turn. */
  *all(): Generator<number, void> {
    for (const { refs } of this.#parts) yield* refs;
  }

  /** The deleted ranges of a series, in no order; undefined: nothing. */
  of(ref: number): readonly TimeRange[] | undefined {
    let ranges: TimeRange[] | undefined;
    for (const part of this.#parts) {
      if (hasSorted(part.refs, ref)) (ranges ??= []).push(part.range);
    }
    return ranges;
  }
}

function hasSorted(refs: Uint32Array, ref: number): boolean {
  let from = 0;
  let to = refs.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (refs[middle]! < ref) from = middle + 1;
    else to = middle;
  }
  return refs[from] === ref;
}
