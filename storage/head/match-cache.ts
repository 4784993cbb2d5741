/**
 * The series that selectors matched lately, for dashboards and rules ask the same again and again. Labels of a series
 * never change, so that what matched once matches until its number is reused; series that came since are asked one by
 * one, and those that went are left out before anything else runs: a number that an open read saw is not given out
 * again, one that went before might be. Lists rise.
 *
 *   key of the selectors -> numbers that matched of the series there were then       (latest use last)
 */
import { type Labels, labelValue } from '../../model/labels.ts';
import { type CompiledMatcher, type Selectors, compileMatcher } from '../../model/matchers.ts';
import type { SeriesTable } from './series-table.ts';

/** Of one head. */
const ENTRIES_MAX = 64;
const NUMBERS_MAX = 64 * 1024;
/** Of larger matches, reading the series costs much more than finding them. */
const NUMBERS_PER_ENTRY_MAX = 16 * 1024;
const KEY_CHARS_MAX = 2048;
/** When more series came than this, the postings are faster. */
const NEW_SERIES_MAX = 256;

/** How far a table of series is: what was matched at one moment holds at another. */
export interface TableState {
  readonly length: number;
  readonly reuses: number;
}

interface Entry extends TableState {
  readonly numbers: Uint32Array;
}

/** The matches of one head. */
export class MatchCache {
  readonly #series: SeriesTable;
  readonly #labelsOf: (s: number) => Labels;
  readonly #entries = new Map<string, Entry>();
  #numbersHeld = 0;

  constructor(series: SeriesTable, labelsOf: (s: number) => Labels) {
    this.#series = series;
    this.#labelsOf = labelsOf;
  }

  /** What matches now and is alive; undefined: not known. Not to be written to. */
  find(key: string, selectors: Selectors): Uint32Array | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#forget(key, entry);
    const { length, reuses } = this.#series;
    if (entry.reuses !== reuses) this.#clear(); // no other is newer
    if (entry.reuses !== reuses || length - entry.length > NEW_SERIES_MAX) return undefined;
    const added = entry.length === length ? [] : this.#matchFrom(entry.length, selectors);
    const numbers = this.#living(entry.numbers);
    const all = added.length === 0 ? numbers : Uint32Array.from([...numbers, ...added]);
    this.#keep(key, { numbers: all, length, reuses });
    return all;
  }

  /** Notes all that matched, unless the table is not as it was when the match began. */
  note(key: string, numbers: Uint32Array, began: TableState): void {
    const { length, reuses } = this.#series;
    const isSame = began.length === length && began.reuses === reuses;
    if (isSame && numbers.length <= NUMBERS_PER_ENTRY_MAX && key.length <= KEY_CHARS_MAX)
      this.#keep(key, { numbers, length, reuses });
  }

  /** The list itself where all are alive. */
  #living(numbers: Uint32Array): Uint32Array {
    const { alive } = this.#series;
    return numbers.every((s) => alive.has(s)) ? numbers : numbers.filter((s) => alive.has(s));
  }

  #clear(): void {
    this.#entries.clear();
    this.#numbersHeld = 0;
  }

  #keep(key: string, kept: Entry): void {
    const before = this.#entries.get(key);
    if (before !== undefined) this.#forget(key, before);
    this.#entries.set(key, kept);
    this.#numbersHeld += kept.numbers.length;
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= ENTRIES_MAX && this.#numbersHeld <= NUMBERS_MAX) break;
      this.#forget(oldest, entry);
    }
  }

  #forget(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#numbersHeld -= entry.numbers.length;
  }

  /** Those that match of the series from number `from` on. */
  #matchFrom(from: number, selectors: Selectors): readonly number[] {
    const compiled = selectors.map((matchers) => matchers.map(compileMatcher));
    const { alive, length } = this.#series;
    const found: number[] = [];
    for (let s = from; s < length; s++) {
      if (!alive.has(s)) continue;
      const labels = this.#labelsOf(s);
      if (compiled.some((matchers) => matchesAll(matchers, labels))) found.push(s);
    }
    return found;
  }
}

/** Equal for equal selectors only. */
export function matchKey(selectors: Selectors): string {
  return JSON.stringify(
    selectors.map((matchers) => matchers.map(({ name, type, value }) => [name, type, value])),
  );
}

/** An absent label equals an empty one. */
function matchesAll(matchers: readonly CompiledMatcher[], labels: Labels): boolean {
  return matchers.every((matcher) => matcher.matches(labelValue(labels, matcher.matcher.name)));
}
