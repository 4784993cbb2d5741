/**
 * What one append has for the log: a record of new series, one of samples, then those of histograms. Its columns are reused
 * from append to append, and so is the room of the records.
 */
import type { SampleColumns } from '../chunk/xor-encode.ts';
import { type WalHistogram, encodeHistogramRecords } from '../wal/histogram-record.ts';
import {
  RECORD_SERIES,
  encodeSamplesRecord,
  putSeriesEntry,
  samplesRecordBytesMax,
  seriesEntryBytesMax,
} from '../wal/record.ts';

export class LogBuffer {
  #refs = new Float64Array(0);
  #timestamps = new Float64Array(0);
  #values = new Uint32Array(0);
  #samples = 0;
  #histograms: WalHistogram[] = [];
  #seriesBytes = new Uint8Array(4096);
  #seriesLength = 0;
  #record = new Uint8Array(0);

  /** Clears it and makes room for `samplesMax` samples. */
  begin(samplesMax: number): void {
    this.#samples = 0;
    this.#histograms = [];
    this.#seriesLength = 0;
    if (this.#refs.length >= samplesMax) return;
    this.#refs = new Float64Array(samplesMax);
    this.#timestamps = new Float64Array(samplesMax);
    this.#values = new Uint32Array(samplesMax * 2);
    this.#record = new Uint8Array(samplesRecordBytesMax(samplesMax));
  }

  addSeries(ref: number, labelBytes: Uint8Array): void {
    const needed = this.#seriesLength + 1 + seriesEntryBytesMax(labelBytes.length);
    if (needed > this.#seriesBytes.length) {
      const larger = new Uint8Array(needed * 2);
      larger.set(this.#seriesBytes.subarray(0, this.#seriesLength));
      this.#seriesBytes = larger;
    }
    if (this.#seriesLength === 0) this.#seriesBytes[this.#seriesLength++] = RECORD_SERIES;
    this.#seriesLength = putSeriesEntry(this.#seriesBytes, this.#seriesLength, ref, labelBytes);
  }

  /** Hot: sample `at` of the columns, of the series whose ref is `refs[s]`. */
  addSample(refs: Float64Array, s: number, samples: SampleColumns, at: number): void {
    const i = this.#samples++;
    this.#refs[i] = refs[s]!;
    this.#timestamps[i] = samples.timestamps[at]!;
    this.#values[i * 2] = samples.values[at * 2]!;
    this.#values[i * 2 + 1] = samples.values[at * 2 + 1]!;
  }

  addHistogram(histogram: WalHistogram): void {
    this.#histograms.push(histogram);
  }

  /** The records, in the order they must be logged; they hold until `begin`. */
  finish(): readonly Uint8Array[] {
    const records: Uint8Array[] = [];
    if (this.#seriesLength > 0) records.push(this.#seriesBytes.subarray(0, this.#seriesLength));
    if (this.#samples > 0) {
      const length = encodeSamplesRecord(
        this.#refs,
        this.#timestamps,
        this.#values,
        0,
        this.#samples,
        this.#record,
      );
      records.push(this.#record.subarray(0, length));
    }
    if (this.#histograms.length > 0) records.push(...encodeHistogramRecords(this.#histograms));
    return records;
  }
}
