/**
 * Appending batches to the head and to the records for the log: what is taken, what is known already, and
 * what is refused and why. Synchronous, a part of a batch at a time. Floats of a part come before its histograms,
 * in the head and in the log, so that a replay meets them in the order in which they were taken.
 */
import { StarlingError } from '../model/errors.ts';
import type { HistogramSample } from '../model/histogram-sample.ts';
import { printLabels } from '../model/labels.ts';
import type { TimeRange } from '../model/sample.ts';
import { decodeHistogramMessage } from '../model/wire/histogram-message.ts';
import { decodeLabels } from '../model/wire/labels-codec.ts';
import type { WriteBatch } from '../model/wire/write-batch.ts';
import type { SampleColumns } from './chunk/xor-encode.ts';
import { APPENDED, CONFLICT, DUPLICATE, type Head, OUT_OF_ORDER } from './head/head.ts';
import { LogBuffer } from './head/log-buffer.ts';

const ERRORS_KEPT_MAX = 10;

export interface BatchAppenderOptions {
  /** How much older than the newest sample of the head one that comes out of order may be; 0: not at all. */
  readonly outOfOrderMs: () => number;
  /** 0: no limit. */
  readonly seriesMax: () => number;
  /** The tenant's fingerprint of canonical label bytes, four words. */
  readonly fingerprint: (labelBytes: Uint8Array, out: Uint32Array) => void;
}

export interface AppendResult {
  /** Indexes of series that are unknown here and came without labels: nothing of them was taken. */
  readonly unknown: Uint32Array;
  /** Indexes of series of which a sample was refused. */
  readonly rejected: Uint32Array;
  /** The first few reasons. */
  readonly errors: readonly StarlingError[];
  readonly samplesAppended: number;
}

/** The series `[from, to)` of a batch. */
export interface BatchPart {
  readonly from: number;
  readonly to: number;
}

/** A part takes a millisecond or two, and more when chunks are cut. */
const SERIES_PER_PART = 1024;
/** Of more than one series. */
const SAMPLES_PER_PART = 1024;

/** The next part of a batch, from a series on. */
export function batchPart({ sampleEnds, seriesCount }: WriteBatch, from: number): BatchPart {
  const limit = (from === 0 ? 0 : sampleEnds[from - 1]!) + SAMPLES_PER_PART;
  let to = Math.min(from + SERIES_PER_PART, seriesCount);
  while (to > from + 1 && sampleEnds[to - 1]! > limit) to--;
  return { from, to };
}

/** What the parts of a batch had together. */
export function joinResults(parts: readonly AppendResult[]): AppendResult {
  return {
    unknown: Uint32Array.from(parts.flatMap(({ unknown }) => [...unknown])),
    rejected: Uint32Array.from(parts.flatMap(({ rejected }) => [...rejected])),
    errors: parts.flatMap(({ errors }) => errors).slice(0, ERRORS_KEPT_MAX),
    samplesAppended: parts.reduce((sum, { samplesAppended }) => sum + samplesAppended, 0),
  };
}

function sampleCountOf({ sampleEnds }: WriteBatch, { from, to }: BatchPart): number {
  const end = to === 0 ? 0 : sampleEnds[to - 1]!;
  return end - (from === 0 ? 0 : sampleEnds[from - 1]!);
}

/** What one append collects. */
interface Outcome extends TimeRange {
  /** The series appended to last, or -1. */
  previous: number;
  /** Samples out of order are taken from here on. */
  readonly insertMinMs: number;
  readonly unknown: number[];
  readonly rejected: number[];
  readonly errors: StarlingError[];
  samplesAppended: number;
}

export class BatchAppender {
  readonly #head: Head;
  readonly #options: BatchAppenderOptions;
  readonly #logBuffer = new LogBuffer();
  readonly #scratchFingerprint = new Uint32Array(4);
  /** The time of the last batch that had one for all samples, as often as it is needed. */
  #oneTime = new Float64Array(0);
  /** The number of the next new series in the log. */
  nextRef = 1;
  /** Samples that were taken out of order. */
  outOfOrderCount = 0;

  constructor(head: Head, options: BatchAppenderOptions) {
    this.#head = head;
    this.#options = options;
  }

  /**
   * Appends those series of a part that are within the closed bounds to the head; its records, which hold until
   * the next call, go to the end of `records`, also when this throws.
   */
  append(
    batch: WriteBatch,
    part: BatchPart,
    bounds: TimeRange,
    records: Uint8Array[],
  ): AppendResult {
    const outcome: Outcome = {
      minTimeMs: bounds.minTimeMs,
      maxTimeMs: bounds.maxTimeMs,
      previous: -1,
      insertMinMs: this.#head.maxTimeMs - this.#outOfOrderMs(),
      unknown: [],
      rejected: [],
      errors: [],
      samplesAppended: 0,
    };
    this.#logBuffer.begin(sampleCountOf(batch, part));
    const samples = this.#samplesOf(batch);
    try {
      for (let i = part.from; i < part.to; i++) this.#appendSeries(batch, i, samples, outcome);
      if (batch.histogramBytes.length > 0) this.#appendHistograms(batch, part, outcome);
    } finally {
      records.push(...this.#logBuffer.finish());
    }
    return {
      unknown: Uint32Array.from(outcome.unknown),
      rejected: Uint32Array.from(outcome.rejected),
      errors: outcome.errors,
      samplesAppended: outcome.samplesAppended,
    };
  }

  /** Takes a series of the log as known; returns its number. */
  replaySeries(ref: number, labelBytes: Uint8Array): number {
    this.noteRef(ref);
    this.#options.fingerprint(labelBytes, this.#scratchFingerprint);
    const known = this.#head.series.find(this.#scratchFingerprint, 0);
    if (known >= 0) return known;
    return this.#head.addSeries(this.#scratchFingerprint, 0, labelBytes, ref);
  }

  /** The log has used this ref. */
  noteRef(ref: number): void {
    if (ref >= this.nextRef) this.nextRef = ref + 1;
  }

  /** The window for samples out of order; nothing, not even Infinity - 0, is in a window of 0. */
  #outOfOrderMs(): number {
    const windowMs = this.#options.outOfOrderMs();
    return windowMs > 0 ? windowMs : Number.NEGATIVE_INFINITY;
  }

  /** The samples of a batch with a time for each. */
  #samplesOf({ sampleCount, timestamps, values }: WriteBatch): SampleColumns {
    if (timestamps.length === sampleCount) return { timestamps, values };
    if (this.#oneTime.length < sampleCount) this.#oneTime = new Float64Array(sampleCount);
    this.#oneTime.fill(timestamps[0]!, 0, sampleCount);
    return { timestamps: this.#oneTime, values };
  }

  /** Hot: one series of a batch. */
  #appendSeries(batch: WriteBatch, i: number, samples: SampleColumns, outcome: Outcome): void {
    const head = this.#head;
    const { maxTimeMs, minTimeMs } = outcome;
    const labelStart = i === 0 ? 0 : batch.labelEnds[i - 1]!;
    const labelEnd = batch.labelEnds[i]!;
    let s = head.series.find(batch.fingerprints, i * 4, outcome.previous);
    if (labelEnd > labelStart) {
      const verdict = this.#learn(batch, i, s, batch.labelBytes.subarray(labelStart, labelEnd));
      if (verdict instanceof StarlingError) {
        outcome.rejected.push(i);
        keep(outcome, verdict);
        return;
      }
      s = verdict;
    } else if (s < 0) {
      outcome.unknown.push(i);
      return;
    }
    outcome.previous = s;
    const { timestamps } = samples;
    let isRejected = false;
    for (let at = i === 0 ? 0 : batch.sampleEnds[i - 1]!; at < batch.sampleEnds[i]!; at++) {
      const timeMs = timestamps[at]!;
      const isInBounds = timeMs >= minTimeMs && timeMs <= maxTimeMs;
      let what = isInBounds ? head.append(s, samples, at) : -1;
      if (what === OUT_OF_ORDER && timeMs >= outcome.insertMinMs) {
        head.insert(s, samples, at);
        what = APPENDED;
        this.outOfOrderCount++;
      }
      if (what === APPENDED) {
        this.#logBuffer.addSample(head.series.refs, s, samples, at);
        outcome.samplesAppended++;
      } else if (what !== DUPLICATE) {
        isRejected = true;
        if (outcome.errors.length < ERRORS_KEPT_MAX)
          keep(outcome, this.#refusal(s, what, timeMs, outcome));
      }
    }
    if (isRejected) outcome.rejected.push(i);
  }

  /** The histograms of a batch, after its floats: series it does not know were told already. */
  #appendHistograms(batch: WriteBatch, { from, to }: BatchPart, outcome: Outcome): void {
    const head = this.#head;
    const { histogramBytes, histogramEnds } = batch;
    const refused = new Set(outcome.rejected);
    for (let i = from; i < to; i++) {
      const start = i === 0 ? 0 : histogramEnds[i - 1]!;
      if (histogramEnds[i] === start) continue;
      const s = head.series.find(batch.fingerprints, i * 4);
      if (s < 0 || refused.has(i)) continue;
      const { sample, timestampMs } = decodeHistogramMessage(
        histogramBytes,
        start,
        histogramEnds[i]!,
      );
      const isInBounds = timestampMs >= outcome.minTimeMs && timestampMs <= outcome.maxTimeMs;
      const insertsLate = timestampMs >= outcome.insertMinMs;
      const what = isInBounds ? this.#takeHistogram(s, timestampMs, sample, insertsLate) : -1;
      if (what === APPENDED) {
        this.#logBuffer.addHistogram({ ref: head.series.refs[s]!, timestampMs, sample });
        outcome.samplesAppended++;
      } else if (what !== DUPLICATE) {
        refused.add(i);
        keep(outcome, this.#refusal(s, what, timestampMs, outcome));
      }
    }
    outcome.rejected.length = 0;
    outcome.rejected.push(...[...refused].sort((a, b) => a - b));
  }

  /** What became of a histogram, in order or late. */
  #takeHistogram(
    s: number,
    timestampMs: number,
    sample: HistogramSample,
    insertsLate: boolean,
  ): number {
    const what = this.#head.appendHistogram(s, timestampMs, sample);
    if (what !== OUT_OF_ORDER || !insertsLate) return what;
    this.#head.insertHistogram(s, timestampMs, sample);
    this.outOfOrderCount++;
    return APPENDED;
  }

  /** The series that labels name, new or known, or why they cannot be taken. */
  #learn(
    batch: WriteBatch,
    i: number,
    known: number,
    labelBytes: Uint8Array,
  ): StarlingError | number {
    const describe = (): string => printLabels(decodeLabels(labelBytes));
    if (known >= 0) {
      if (Buffer.compare(this.#head.labelBytesOf(known), labelBytes) === 0) return known;
      return new StarlingError('series.fingerprint_collision', { series: describe() });
    }
    this.#options.fingerprint(labelBytes, this.#scratchFingerprint);
    for (let w = 0; w < 4; w++) {
      if (this.#scratchFingerprint[w] !== batch.fingerprints[i * 4 + w]) {
        return new StarlingError('series.fingerprint_collision', { series: describe() });
      }
    }
    const countMax = this.#options.seriesMax();
    if (countMax > 0 && this.#head.series.count >= countMax) {
      return new StarlingError('limit.series_per_tenant', { series: describe(), countMax });
    }
    const ref = this.nextRef++;
    const s = this.#head.addSeries(batch.fingerprints, i * 4, labelBytes, ref);
    this.#logBuffer.addSeries(ref, labelBytes);
    return s;
  }

  #refusal(
    s: number,
    what: number,
    timestampMs: number,
    { maxTimeMs, minTimeMs }: TimeRange,
  ): StarlingError {
    const series = printLabels(this.#head.labelsOf(s));
    if (timestampMs > maxTimeMs)
      return new StarlingError('sample.too_far_in_future', { series, timestampMs, maxTimeMs });
    if (timestampMs < minTimeMs)
      return new StarlingError('sample.too_old', { series, timestampMs, minTimeMs });
    if (what === CONFLICT)
      return new StarlingError('sample.duplicate_timestamp', { series, timestampMs });
    const lastMs = this.#head.series.recent.newestTime(s);
    const windowMs = this.#options.outOfOrderMs();
    return new StarlingError('sample.out_of_order', { series, timestampMs, lastMs, windowMs });
  }
}

function keep(outcome: Outcome, error: StarlingError): void {
  if (outcome.errors.length < ERRORS_KEPT_MAX) outcome.errors.push(error);
}
