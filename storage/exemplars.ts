/**
 * A tenant's exemplars on one node: a ring in memory in which new ones overwrite the oldest, of all series
 * together. They are in the write-ahead log too, as long as the samples of their time; there are none in
 * blocks. The rules are Prometheus': of a series each exemplar comes after the one before, by time, then
 * value, then labels; a repetition is nothing new, and what is older is dropped.
 *
 *   number n of an exemplar -> slot n % capacity:  time, value, labels, series, number of the series' next one
 *   series (canonical label bytes) -> numbers of its oldest and its newest
 *
 * Invariant: the exemplars `[first, end)` are held, each in the chain of its series; a series has one at least.
 * Label bytes are strings of a character a byte here: small, and equal and ordered as the bytes are.
 */
import type { TimeRange } from '../model/sample.ts';

const CAPACITY_START = 64;
/** What exemplars and their series may take together: so many bytes for each that the limit allows. */
const BYTES_PER_EXEMPLAR = 320;
/** What an exemplar and a series cost beside their labels, about. */
const EXEMPLAR_BYTES = 64;
const SERIES_BYTES = 160;
const NONE = -1;

export interface StoredExemplar {
  readonly timestampMs: number;
  readonly value: number;
  /** Canonical label bytes, a character each. */
  readonly labels: string;
}

/** One series' exemplars, oldest first, as columns. */
export interface SeriesExemplars {
  /** Canonical label bytes, a character each. */
  readonly series: string;
  readonly timestamps: readonly number[];
  readonly values: readonly number[];
  readonly labels: readonly string[];
}

interface SeriesChain {
  readonly series: string;
  oldest: number;
  newest: number;
}

export interface ExemplarStats {
  readonly exemplarCount: number;
  readonly seriesCount: number;
  readonly appendedCount: number;
  readonly outOfOrderCount: number;
}

export class ExemplarRing {
  readonly #countMax: () => number;
  readonly #chains = new Map<string, SeriesChain>();
  #timestamps = new Float64Array(0);
  #values = new Float64Array(0);
  #nexts = new Float64Array(0);
  #labels: string[] = [];
  #owners: (SeriesChain | undefined)[] = [];
  #first = 0;
  #end = 0;
  #bytes = 0;
  #appendedCount = 0;
  #outOfOrderCount = 0;

  /** `countMax` is asked for each exemplar; 0: none are taken. */
  constructor(countMax: () => number) {
    this.#countMax = countMax;
  }

  /** Takes an exemplar of a series, or says why not. */
  add(
    series: string,
    exemplar: StoredExemplar,
  ): 'appended' | 'disabled' | 'duplicate' | 'out_of_order' {
    const countMax = this.#countMax();
    if (countMax <= 0) return 'disabled';
    const known = this.#chains.get(series);
    if (known !== undefined) {
      const order = compareExemplars(exemplar, this.#at(known.newest));
      if (order === 0) return 'duplicate';
      if (order < 0) {
        this.#outOfOrderCount++;
        return 'out_of_order';
      }
    }
    while (this.#end - this.#first >= countMax) this.#dropOldest();
    this.#put(series, exemplar, countMax);
    this.#appendedCount++;
    const bytesMax = countMax * BYTES_PER_EXEMPLAR;
    while (this.#bytes > bytesMax && this.#end - this.#first > 1) this.#dropOldest();
    return 'appended';
  }

  /**
   * The exemplars of the range, of series that `matches` says yes to (canonical label bytes, a character
   * each). Undefined: one was looked at and is not wanted.
   */
  *select(
    matches: (series: string) => boolean,
    { maxTimeMs, minTimeMs }: TimeRange,
  ): Generator<SeriesExemplars | undefined, void> {
    for (const chain of this.#chains.values()) {
      const { newest, oldest, series } = chain;
      const isInRange =
        this.#at(oldest).timestampMs <= maxTimeMs && this.#at(newest).timestampMs >= minTimeMs;
      yield isInRange && matches(series) ? this.#read(chain, { maxTimeMs, minTimeMs }) : undefined;
    }
  }

  stats(): ExemplarStats {
    return {
      exemplarCount: this.#end - this.#first,
      seriesCount: this.#chains.size,
      appendedCount: this.#appendedCount,
      outOfOrderCount: this.#outOfOrderCount,
    };
  }

  #read({ oldest, series }: SeriesChain, { maxTimeMs, minTimeMs }: TimeRange): SeriesExemplars {
    const columns = {
      series,
      timestamps: [] as number[],
      values: [] as number[],
      labels: [] as string[],
    };
    for (let n = oldest; n !== NONE; n = this.#nexts[n % this.#labels.length]!) {
      const { labels, timestampMs, value } = this.#at(n);
      if (timestampMs > maxTimeMs) break;
      if (timestampMs < minTimeMs) continue;
      columns.timestamps.push(timestampMs);
      columns.values.push(value);
      columns.labels.push(labels);
    }
    return columns;
  }

  #at(n: number): StoredExemplar {
    const slot = n % this.#labels.length;
    return {
      timestampMs: this.#timestamps[slot]!,
      value: this.#values[slot]!,
      labels: this.#labels[slot]!,
    };
  }

  #put(series: string, { labels, timestampMs, value }: StoredExemplar, countMax: number): void {
    if (this.#end - this.#first === this.#labels.length) this.#grow(countMax);
    const n = this.#end++;
    const slot = n % this.#labels.length;
    this.#timestamps[slot] = timestampMs;
    this.#values[slot] = value;
    this.#labels[slot] = labels;
    this.#nexts[slot] = NONE;
    let chain = this.#chains.get(series); // once more: what was dropped may have been its last
    if (chain === undefined) {
      chain = { series, oldest: n, newest: n };
      this.#chains.set(series, chain);
      this.#bytes += SERIES_BYTES + series.length;
    } else {
      this.#nexts[chain.newest % this.#labels.length] = n;
      chain.newest = n;
    }
    this.#owners[slot] = chain;
    this.#bytes += EXEMPLAR_BYTES + labels.length;
  }

  #dropOldest(): void {
    const slot = this.#first++ % this.#labels.length;
    const chain = this.#owners[slot];
    this.#owners[slot] = undefined;
    this.#bytes -= EXEMPLAR_BYTES + this.#labels[slot]!.length;
    this.#labels[slot] = '';
    if (chain === undefined) return;
    chain.oldest = this.#nexts[slot]!;
    if (chain.oldest !== NONE) return;
    this.#chains.delete(chain.series);
    this.#bytes -= SERIES_BYTES + chain.series.length;
  }

  /** To twice the slots, as far as the limit goes. Numbers stay, so that chains stay. */
  #grow(countMax: number): void {
    const before = this.#labels.length;
    const capacity = Math.max(before + 1, Math.min(Math.max(CAPACITY_START, before * 2), countMax));
    const timestamps = new Float64Array(capacity);
    const values = new Float64Array(capacity);
    const nexts = new Float64Array(capacity);
    const labels = new Array<string>(capacity).fill('');
    const owners = new Array<SeriesChain | undefined>(capacity).fill(undefined);
    for (let n = this.#first; n < this.#end; n++) {
      const [from, to] = [n % before, n % capacity];
      timestamps[to] = this.#timestamps[from]!;
      values[to] = this.#values[from]!;
      nexts[to] = this.#nexts[from]!;
      labels[to] = this.#labels[from]!;
      owners[to] = this.#owners[from];
    }
    this.#timestamps = timestamps;
    this.#values = values;
    this.#nexts = nexts;
    this.#labels = labels;
    this.#owners = owners;
  }
}

/** In the order in which a series has them; 0: the same. No number is before or after NaN. */
export function compareExemplars(a: StoredExemplar, b: StoredExemplar): number {
  if (a.timestampMs !== b.timestampMs) return a.timestampMs - b.timestampMs;
  if (a.value < b.value) return -1;
  if (a.value !== b.value && !(Number.isNaN(a.value) && Number.isNaN(b.value))) return 1;
  if (a.labels === b.labels) return 0;
  return a.labels < b.labels ? -1 : 1;
}
