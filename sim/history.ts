/**
 * What the clients know: each sample they ever sent, and whether it was acknowledged. Values are
 * injective: a value names its series and its number in it, so a sample that was altered or shown
 * under another name is recognised from the value alone.
 *
 *   unknown ──2xx──> acked        what got no answer, or an error, may or may not be stored
 *      ▲               │
 *      └─ asked to be ─┘          deleted: from the asking on it may be hidden, some time after the answer it
 *           deleted               must be; owed again some time after the request was cancelled
 */
export interface SentSample {
  readonly series: number;
  readonly timestampMs: number;
  readonly value: number;
  /** True time of the first acknowledgement; undefined: unknown. */
  ackedAtMs: number | undefined;
}

/** What a client asked to have deleted: samples of one series, inclusive at both ends. */
export interface Deleted {
  readonly series: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** True time of the answer that it is in force; undefined: unknown. */
  doneAtMs: number | undefined;
  /** Where it ends as the node that took it said: only what existed by its clock is deleted. */
  sureToMs: number;
}

/** A sample as a query returned it. */
export interface ReadSample {
  readonly series: number;
  readonly timestampMs: number;
  readonly value: number;
}

const SAMPLES_PER_SERIES_MAX = 1_000_000;

/** What was sent to one series. */
interface SentSeries {
  readonly byTime: Map<number, SentSample>;
  /** By time, so that a read of a short span looks at that span only. */
  readonly ordered: SentSample[];
}

export class History {
  readonly #bySeries = new Map<number, SentSeries>();
  #acked: SentSample[] = [];
  #deleted: Deleted[] = [];
  /** Acknowledged, and asked to be deleted. */
  #hidden: SentSample[] = [];
  #sentCount = 0;
  /** Since when each node can read what was asked for. */
  allHearSinceMs = 0;

  get sentCount(): number {
    return this.#sentCount;
  }

  get ackedCount(): number {
    return this.#acked.length;
  }

  /** In the order of acknowledgement. */
  get acked(): readonly SentSample[] {
    return this.#acked;
  }

  get seriesNumbers(): readonly number[] {
    return [...this.#bySeries.keys()];
  }

  /** A new sample of a series; its timestamp must be new there. */
  send(series: number, timestampMs: number): SentSample {
    let sent = this.#bySeries.get(series);
    if (sent === undefined) {
      sent = { byTime: new Map(), ordered: [] };
      this.#bySeries.set(series, sent);
    }
    const value = series * SAMPLES_PER_SERIES_MAX + sent.byTime.size;
    const sample: SentSample = { series, timestampMs, value, ackedAtMs: undefined };
    sent.byTime.set(timestampMs, sample);
    // Nearly always at the end.
    sent.ordered.splice(firstAfter(sent.ordered, timestampMs), 0, sample);
    this.#sentCount++;
    return sample;
  }

  acknowledge(samples: readonly SentSample[], nowMs: number): void {
    for (const sample of samples) {
      if (sample.ackedAtMs !== undefined) continue;
      if (this.deletionsOf(sample).length > 0) {
        this.#hidden.push(sample);
        continue;
      }
      sample.ackedAtMs = nowMs;
      this.#acked.push(sample);
    }
  }

  /** Is about to be asked to be deleted: what of it was acknowledged is owed no more. */
  delete(span: Pick<Deleted, 'fromMs' | 'series' | 'toMs'>): Deleted {
    const deleted: Deleted = { ...span, doneAtMs: undefined, sureToMs: span.toMs };
    this.#deleted.push(deleted);
    const isHit = (sample: SentSample): boolean => isIn(deleted, sample);
    const hit = this.#acked.filter(isHit);
    for (const sample of hit) sample.ackedAtMs = undefined;
    this.#hidden.push(...hit);
    this.#acked = this.#acked.filter((sample) => !isHit(sample));
    return deleted;
  }

  /** The request was cancelled: what was acknowledged is owed again from `fromMs` of true time on. */
  restore(deleted: Deleted, fromMs: number): void {
    this.#deleted = this.#deleted.filter((one) => one !== deleted);
    const hidden = this.#hidden;
    this.#hidden = [];
    this.acknowledge(hidden, fromMs);
  }

  /** Requests that hit a sample. */
  deletionsOf(sample: Pick<ReadSample, 'series' | 'timestampMs'>): readonly Deleted[] {
    return this.#deleted.filter((one) => isIn(one, sample));
  }

  get deletionCount(): number {
    return this.#deleted.length;
  }

  /** Whether no node may show the sample at a time, so long after an answer. */
  isGone(
    sample: Pick<ReadSample, 'series' | 'timestampMs'>,
    atMs: number,
    hideMs: number,
  ): boolean {
    const { allHearSinceMs } = this;
    return this.deletionsOf(sample).some(
      ({ doneAtMs, sureToMs }) =>
        doneAtMs !== undefined &&
        sample.timestampMs <= sureToMs &&
        Math.max(doneAtMs, allHearSinceMs) + hideMs < atMs,
    );
  }

  find(series: number, timestampMs: number): SentSample | undefined {
    return this.#bySeries.get(series)?.byTime.get(timestampMs);
  }

  /** All samples sent to a series, by time. */
  samplesOf(series: number): readonly SentSample[] {
    return this.#bySeries.get(series)?.ordered ?? [];
  }

  /** Those of a span, inclusive at both ends, by time. */
  samplesIn(series: number, fromMs: number, toMs: number): readonly SentSample[] {
    const all = this.samplesOf(series);
    return all.slice(firstAfter(all, fromMs - 1), firstAfter(all, toMs));
  }
}

/** The index of the first sample later than a time of whole milliseconds. */
function firstAfter(ordered: readonly SentSample[], timestampMs: number): number {
  let from = 0;
  let to = ordered.length;
  if (to === 0 || ordered[to - 1]!.timestampMs <= timestampMs) return to;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (ordered[middle]!.timestampMs <= timestampMs) from = middle + 1;
    else to = middle;
  }
  return from;
}

function isIn(
  { fromMs, series, toMs }: Deleted,
  sample: Pick<ReadSample, 'series' | 'timestampMs'>,
): boolean {
  const { timestampMs } = sample;
  return sample.series === series && timestampMs >= fromMs && timestampMs <= toMs;
}
