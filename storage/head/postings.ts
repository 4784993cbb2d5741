/**
 * The inverted index of a head: label name -> value -> the numbers of series that have the pair, which
 * rise until a number is reused. Matching works on bitmaps of series numbers, so negative matchers and
 * reused numbers cost nothing special. An absent label equals an empty one, as in Prometheus.
 */
import type { Labels } from '../../model/labels.ts';
import type { CompiledMatcher } from '../../model/matchers.ts';
import type { Bitmap } from './bitmap.ts';
import { Marks, type Slice } from './marks.ts';
import { Posting } from './posting.ts';

/** Steps between two pauses: a fraction of a millisecond. */
const SLICE_STEPS = 100_000;
/** How often a matcher goes over a bitmap, about. */
const PASSES = 6;
/** What it costs to ask a value, beside the parts of a regular expression. */
const VALUE_STEPS = 32;

export class Postings {
  readonly #index = new Map<string, Map<string, Posting>>();

  add(s: number, labels: Labels): void {
    for (let i = 0; i < labels.length; i += 2) {
      let values = this.#index.get(labels[i]!);
      if (values === undefined) this.#index.set(labels[i]!, (values = new Map<string, Posting>()));
      const value = labels[i + 1]!;
      const posting = values.get(value);
      if (posting === undefined) values.set(value, new Posting(s));
      else posting.add(s);
    }
  }

  /** Removes the series marked in `removed` from the pairs they had: values by name. */
  remove(removed: Bitmap, pairs: ReadonlyMap<string, ReadonlySet<string>>): void {
    for (const [name, gone] of pairs) {
      const values = this.#index.get(name);
      if (values === undefined) continue;
      for (const value of gone) {
        const posting = values.get(value);
        if (posting === undefined) continue;
        posting.remove(removed);
        if (posting.isEmpty) values.delete(value);
      }
      if (values.size === 0) this.#index.delete(name);
    }
  }

  names(): readonly string[] {
    return [...this.#index.keys()];
  }

  values(name: string): readonly string[] {
    return [...(this.#index.get(name)?.keys() ?? [])];
  }

  /** As `values`, without making a list; values that come meanwhile may or may not be among them. */
  *eachValue(name: string): Generator<string, void> {
    yield* this.#index.get(name)?.keys() ?? [];
  }

  /** The numbers of series that have the pair, as a copy. */
  numbersOf(name: string, value: string): Uint32Array {
    return this.#index.get(name)?.get(value)?.toArray() ?? NO_NUMBERS;
  }

  /** True when a series marked in `among` has the pair. */
  hasAny(name: string, value: string, among: Bitmap): boolean {
    return this.#index.get(name)?.get(value)?.hasAny(among) ?? false;
  }

  /**
   * Marks in `result` (all of whose marks must be existing series) those that match every matcher; the
   * others are cleared. Yields now and then, so that a large index does not hold the loop.
   */
  *match(matchers: readonly CompiledMatcher[], result: Bitmap): Generator<undefined, void> {
    const cheapFirst = [...matchers].sort((a, b) => this.#cost(a) - this.#cost(b));
    const slice: Slice = { steps: 0 };
    for (const matcher of cheapFirst) {
      if (result.isEmpty) return;
      yield* this.#matchOne(matcher, result, slice);
      slice.steps += PASSES * (result.size >>> 5);
      if (slice.steps < SLICE_STEPS) continue;
      yield;
      slice.steps = 0;
    }
  }

  /** Literals first, which leave little for the others; then what has few values to ask. */
  #cost({ literals, matcher }: CompiledMatcher): number {
    return literals === undefined ? 1 + (this.#index.get(matcher.name)?.size ?? 0) : 0;
  }

  *#matchOne(matcher: CompiledMatcher, result: Bitmap, slice: Slice): Generator<undefined, void> {
    const values = this.#index.get(matcher.matcher.name);
    const marks = new Marks(result, slice);
    const { marked } = marks;
    if (!matcher.matchesEmpty && matcher.literals !== undefined) {
      for (const literal of matcher.literals) values?.get(literal)?.mark(marks);
      result.and(marked);
      return;
    }
    // With the empty value matching, what must go is the pairs that do not match.
    const entries = (values ?? NO_VALUES).entries();
    while (!markSome(entries, matcher, marks, slice)) {
      yield;
      slice.steps = 0;
    }
    if (matcher.matchesEmpty) result.andNot(marked);
    else result.and(marked);
  }
}

const NO_NUMBERS = new Uint32Array(0);
const NO_VALUES: ReadonlyMap<string, Posting> = new Map();

/**
 * Hot: marks what values of the next slice tell; true when there are no more. Apart from the generator around it, because
 * only in a plain loop V8 makes no pair for each entry.
 */
function markSome(
  entries: IterableIterator<[string, Posting]>,
  matcher: CompiledMatcher,
  marks: Marks,
  slice: Slice,
): boolean {
  for (const [value, posting] of entries) {
    if (matcher.matches(value) !== matcher.matchesEmpty) posting.mark(marks);
    slice.steps += VALUE_STEPS + matcher.matchCost * value.length;
    if (slice.steps >= SLICE_STEPS) return false;
  }
  return true;
}
