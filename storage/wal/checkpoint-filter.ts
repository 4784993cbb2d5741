/**
 * What of a record goes into a checkpoint: series and metadata of wanted refs, samples, exemplars,
 * histograms and tombstones that reach `minTimeMs`. Types this version does not know are counted and
 * dropped, as Prometheus does with types it does not know.
 */
import { byteReader, isOverrun, readInt64, readVarint } from '../../model/wire/varint.ts';
import { type WalHistogram, encodeHistogramRecords } from './histogram-record.ts';
import { RecordDecoder, SAMPLES_PER_SLICE_MAX, areSamplesBefore } from './record-decoder.ts';
import {
  RECORD_SERIES,
  RECORD_TOMBSTONES,
  type RecordHandler,
  type WalExemplar,
  type WalMetadata,
  encodeExemplarsRecord,
  encodeMetadataRecord,
  encodeSamplesRecord,
  putSeriesEntry,
  samplesRecordBytesMax,
  seriesEntryBytesMax,
} from './record.ts';

export interface CheckpointFilterOptions {
  readonly minTimeMs: number;
  readonly keepSeries: (ref: number) => boolean;
  /** Gets the records to write. They hold during the call. */
  readonly append: (record: Uint8Array) => void;
}

const METADATA_PER_RECORD = 256;
const SERIES_BYTES_MIN = 4096;

export class CheckpointFilter implements RecordHandler {
  readonly droppedByType = new Map<number, number>();
  readonly #options: CheckpointFilterOptions;
  readonly #decoder = new RecordDecoder(this);
  readonly #scratchSamples = new Uint8Array(samplesRecordBytesMax(SAMPLES_PER_SLICE_MAX));
  /** The newest metadata of each wanted series: bounded by the series of the head. */
  readonly #metadata = new Map<number, WalMetadata>();
  #record: Uint8Array = new Uint8Array(0);
  #series: Uint8Array = new Uint8Array(SERIES_BYTES_MIN);
  #seriesBytes = 1;
  #exemplars: WalExemplar[] = [];
  /** Of one record. */
  #histograms: WalHistogram[] = [];

  constructor(options: CheckpointFilterOptions) {
    this.#options = options;
    this.#series[0] = RECORD_SERIES;
  }

  /** Filters one record. Returns why it does not decode, if so. */
  take(record: Uint8Array): string | undefined {
    if (areSamplesBefore(record, this.#options.minTimeMs)) return undefined; // fast path: most of them
    this.#record = record;
    const why = this.#decoder.decode(record);
    const { append } = this.#options;
    if (this.#seriesBytes > 1) append(this.#series.subarray(0, this.#seriesBytes));
    this.#seriesBytes = 1;
    if (this.#exemplars.length > 0) append(encodeExemplarsRecord(this.#exemplars));
    this.#exemplars = [];
    for (const histograms of encodeHistogramRecords(this.#histograms)) append(histograms);
    this.#histograms = [];
    return why;
  }

  /** Appends what was gathered until the end. */
  finish(): void {
    const entries = [...this.#metadata.values()];
    for (let i = 0; i < entries.length; i += METADATA_PER_RECORD) {
      this.#options.append(encodeMetadataRecord(entries.slice(i, i + METADATA_PER_RECORD)));
    }
    this.#metadata.clear();
  }

  onSeries(ref: number, labelBytes: Uint8Array): void {
    if (!this.#options.keepSeries(ref)) return;
    const size = this.#seriesBytes + seriesEntryBytesMax(labelBytes.length);
    if (size > this.#series.length) {
      const grown = new Uint8Array(size * 2);
      grown.set(this.#series);
      this.#series = grown;
    }
    this.#seriesBytes = putSeriesEntry(this.#series, this.#seriesBytes, ref, labelBytes);
  }

  onSamples(
    count: number,
    refs: Float64Array,
    timestamps: Float64Array,
    values: Uint32Array,
  ): void {
    const kept = compactSamples(count, refs, timestamps, values, this.#options.minTimeMs);
    if (kept === 0) return;
    const target = this.#scratchSamples;
    const length = encodeSamplesRecord(refs, timestamps, values, 0, kept, target);
    this.#options.append(target.subarray(0, length));
  }

  onExemplar(exemplar: WalExemplar): void {
    if (exemplar.timestampMs >= this.#options.minTimeMs) this.#exemplars.push(exemplar);
  }

  onHistogram(histogram: WalHistogram): void {
    if (histogram.timestampMs >= this.#options.minTimeMs) this.#histograms.push(histogram);
  }

  onMetadata(metadata: WalMetadata): void {
    if (this.#options.keepSeries(metadata.ref)) this.#metadata.set(metadata.ref, metadata);
  }

  onSkipped(type: number): void {
    if (this.#isWanted(type)) this.#options.append(this.#record);
    else this.droppedByType.set(type, (this.droppedByType.get(type) ?? 0) + 1);
  }

  #isWanted(type: number): boolean {
    const { minTimeMs } = this.#options;
    return type === RECORD_TOMBSTONES && tombstonesReach(this.#record, minTimeMs);
  }
}

/** Hot: moves the samples at or after `minTimeMs` to the front of the columns; returns how many. */
function compactSamples(
  count: number,
  refs: Float64Array,
  timestamps: Float64Array,
  values: Uint32Array,
  minTimeMs: number,
): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    if (timestamps[i]! < minTimeMs) continue;
    refs[kept] = refs[i]!;
    timestamps[kept] = timestamps[i]!;
    values[2 * kept] = values[2 * i]!;
    values[2 * kept + 1] = values[2 * i + 1]!;
    kept++;
  }
  return kept;
}

/** True when any deleted range of the record ends at or after `minTimeMs`. */
function tombstonesReach(record: Uint8Array, minTimeMs: number): boolean {
  const reader = byteReader(record, 1);
  while (reader.offset < reader.end) {
    readInt64(reader);
    readVarint(reader);
    if (readVarint(reader) >= minTimeMs && !isOverrun(reader)) return true;
  }
  return false;
}
