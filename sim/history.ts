/**
 * What the clients know: each sample they ever sent, and whether it was acknowledged. Values are
 * injective: a value names its series and its number in it, so a sample that was altered or shown
 * under another name is recognised from the value alone.
 *
 *   unknown ──2xx──> acked        what got no answer, or an error, may or may not be stored
 */
export interface SentSample {
  readonly series: number;
  readonly timestampMs: number;
  readonly value: number;
  /** True time of the first acknowledgement; undefined: unknown. */
  ackedAtMs: number | undefined;
}

/** A sample as a query returned it. */
export interface ReadSample {
  readonly series: number;
  readonly timestampMs: number;
  readonly value: number;
}

const SAMPLES_PER_SERIES_MAX = 1_000_000;

export class History {
  readonly #bySeries = new Map<number, Map<number, SentSample>>();
  readonly #acked: SentSample[] = [];
  #sentCount = 0;

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
    let samples = this.#bySeries.get(series);
    if (samples === undefined) {
      samples = new Map();
      this.#bySeries.set(series, samples);
    }
    const value = series * SAMPLES_PER_SERIES_MAX + samples.size;
    const sample: SentSample = { series, timestampMs, value, ackedAtMs: undefined };
    samples.set(timestampMs, sample);
    this.#sentCount++;
    return sample;
  }

  acknowledge(samples: readonly SentSample[], nowMs: number): void {
    for (const sample of samples) {
      if (sample.ackedAtMs !== undefined) continue;
      sample.ackedAtMs = nowMs;
      this.#acked.push(sample);
    }
  }

  find(series: number, timestampMs: number): SentSample | undefined {
    return this.#bySeries.get(series)?.get(timestampMs);
  }

  /** All samples sent to a series, in the order of sending. */
  samplesOf(series: number): readonly SentSample[] {
    return [...(this.#bySeries.get(series)?.values() ?? [])];
  }
}
