/**
 * The inverted index of a head: label name -> value -> the numbers of series that have the pair, which
 * rise until a number is reused. Matching works on bitmaps of series numbers, so negative matchers and
 * reused numbers cost nothing special. An absent label equals an empty one, as in Prometheus.
 */
import type { Labels } from '../../model/labels.ts';
import type { CompiledMatcher } from '../../model/matchers.ts';
import { Bitmap, type Span } from './bitmap.ts';

/** How many values of one label a matcher is asked between two pauses. */
const VALUES_PER_SLICE = 2000;

/** A growable list of series numbers. */
interface Posting {
  numbers: Uint32Array;
  length: number;
  isRising: boolean;
}

export class Postings {
  readonly #index = new Map<string, Map<string, Posting>>();

  add(s: number, labels: Labels): void {
    for (let i = 0; i < labels.length; i += 2) {
      let values = this.#index.get(labels[i]!);
      if (values === undefined) this.#index.set(labels[i]!, (values = new Map<string, Posting>()));
      const value = labels[i + 1]!;
      const posting = values.get(value);
      if (posting === undefined) values.set(value, startPosting(s));
      else push(posting, s);
    }
  }

  /** Removes the series marked in `removed` from the pairs they had. */
  remove(removed: Bitmap, pairs: Iterable<readonly [string, string]>): void {
    for (const [name, value] of pairs) {
      const values = this.#index.get(name);
      const posting = values?.get(value);
      if (values === undefined || posting === undefined) continue;
      let kept = 0;
      for (let i = 0; i < posting.length; i++) {
        const s = posting.numbers[i]!;
        if (!removed.has(s)) posting.numbers[kept++] = s;
      }
      posting.length = kept;
      if (kept === 0) values.delete(value);
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

  /** True when a series marked in `among` has the pair. */
  hasAny(name: string, value: string, among: Bitmap): boolean {
    const posting = this.#index.get(name)?.get(value);
    if (posting === undefined) return false;
    for (let i = 0; i < posting.length; i++) if (among.has(posting.numbers[i]!)) return true;
    return false;
  }

  /**
   * Marks in `result` (all of whose marks must be existing series) those that match every matcher; the
   * others are cleared. Yields now and then, so that a large index does not hold the loop.
   */
  *match(matchers: readonly CompiledMatcher[], result: Bitmap): Generator<undefined, void> {
    const cheapFirst = [...matchers].sort((a, b) => cost(a) - cost(b));
    for (const matcher of cheapFirst) {
      if (result.isEmpty) return;
      yield* this.#matchOne(matcher, result);
    }
  }

  *#matchOne(matcher: CompiledMatcher, result: Bitmap): Generator<undefined, void> {
    const values = this.#index.get(matcher.matcher.name);
    const marks = new Marks(result);
    const { marked } = marks;
    if (!matcher.matchesEmpty && matcher.literals !== undefined) {
      for (const literal of matcher.literals) marks.addAll(values?.get(literal));
      result.and(marked);
      return;
    }
    // With the empty value matching, what must go is the pairs that do not match.
    const entries = (values ?? NO_VALUES).entries();
    while (!markSome(entries, matcher, marks)) yield;
    if (matcher.matchesEmpty) result.andNot(marked);
    else result.and(marked);
    yield;
  }
}

const NO_VALUES: ReadonlyMap<string, Posting> = new Map();

/**
 * Hot: marks what values of the next slice tell; true when there are no more. Apart from the generator around it, because
 * only in a plain loop V8 makes no pair for each entry.
 */
function markSome(
  entries: IterableIterator<[string, Posting]>,
  matcher: CompiledMatcher,
  marks: Marks,
): boolean {
  let asked = 0;
  for (const [value, posting] of entries) {
    if (matcher.matches(value) !== matcher.matchesEmpty) marks.addAll(posting);
    if (++asked === VALUES_PER_SLICE) return false;
  }
  return true;
}

/** Literals first: they leave little for the others. */
function cost(matcher: CompiledMatcher): number {
  return matcher.literals === undefined ? 1 : 0;
}

function startPosting(s: number): Posting {
  return { numbers: Uint32Array.of(s), length: 1, isRising: true };
}

function push(posting: Posting, s: number): void {
  if (posting.numbers[posting.length - 1]! > s) posting.isRising = false;
  if (posting.length === posting.numbers.length) {
    const larger = new Uint32Array(Math.max(4, Math.ceil(posting.length * 1.5)));
    larger.set(posting.numbers);
    posting.numbers = larger;
  }
  posting.numbers[posting.length++] = s;
}

/** So many candidates or more are not looked for one by one. */
const CANDIDATES_MAX = 4096;

/** Marks the series of postings, at least those that are candidates: nobody asks for the others. */
class Marks {
  readonly marked: Bitmap;
  readonly #span: Span;
  /** All candidates, where there are few. */
  readonly #candidates: Uint32Array | undefined;

  constructor(candidates: Bitmap) {
    this.marked = new Bitmap(candidates.size);
    this.#span = candidates.span();
    this.#candidates = candidates.count() < CANDIDATES_MAX ? candidates.toArray() : undefined;
  }

  /** Hot: takes the shorter way, over the posting or over the candidates. */
  addAll(posting: Posting | undefined): void {
    if (posting === undefined) return;
    const { isRising, length } = posting;
    const candidates = this.#candidates;
    const stepsEach = 32 - Math.clz32(length);
    if (candidates !== undefined && isRising && candidates.length * stepsEach < length) {
      this.#addFound(posting, candidates);
    } else if (isRising) this.#addInSpan(posting);
    else for (let i = 0; i < length; i++) this.marked.add(posting.numbers[i]!);
  }

  #addInSpan(posting: Posting): void {
    const { length, numbers } = posting;
    const { first, last } = this.#span;
    for (let i = firstFrom(posting, first, 0); i < length && numbers[i]! <= last; i++)
      this.marked.add(numbers[i]!);
  }

  #addFound(posting: Posting, candidates: Uint32Array): void {
    let at = 0;
    for (let i = 0; i < candidates.length; i++) {
      const s = candidates[i]!;
      at = firstFrom(posting, s, at);
      if (at === posting.length) return;
      if (posting.numbers[at] === s) this.marked.add(s);
    }
  }
}

/** Of a posting that rises, the place of the first number that is not below `least`, at `from` or later. */
function firstFrom({ length, numbers }: Posting, least: number, from: number): number {
  let low = from;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (numbers[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
