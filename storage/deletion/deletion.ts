/**
 * What is deleted of a tenant's series: all samples of the series that any of the selectors matches, in a
 * closed range of times. Where it comes from (a request, a retention) does not matter to who reads.
 *
 *   deletions of a tenant ──(touching.ts)──► few, mostly none ──(postings)──► ranges of each series
 */
import type { CompiledMatcher, Selectors } from '../../model/matchers.ts';
import type { TimeRange } from '../../model/sample.ts';

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
