/**
 * WAL records, in Prometheus' encoding (docs/format/wal.md). A record is a type byte and entries:
 *
 *   series    1  (ref u64be, uvarint pair count, canonical label bytes)*
 *   samples   2  ref u64be, time i64be, (varint ref - first, varint time - first, value u64be)*
 *   tombstones 3 (ref u64be, varint first time, varint last time)*
 *   exemplars 4  as samples, each followed by uvarint pair count and label bytes
 *   metadata  6  (uvarint ref, u8 metric type, uvarint field count, (string name, string value)*)*
 *
 * Histograms (7 to 10) are in histogram-record.ts; other types are told to `onSkipped`. Refs and times are exact within ±2^53. Label bytes are
 * canonical (model/labels.ts): Prometheus sorts its labels by bytes too, so they need no change.
 */
import { assert } from '../../model/assert.ts';
import type { Labels } from '../../model/labels.ts';
import type { TimeRange } from '../../model/sample.ts';
import {
  VARINT_BYTES_MAX,
  byteReader,
  putInt64,
  putUvarint,
  putVarint,
  uvarintLength,
} from '../../model/wire/varint.ts';
import type { WalHistogram } from './histogram-record.ts';
import { canonicalBytes, countPairs } from './label-bytes.ts';

export const RECORD_SERIES = 1;
export const RECORD_SAMPLES = 2;
export const RECORD_TOMBSTONES = 3;
export const RECORD_EXEMPLARS = 4;
export const RECORD_METADATA = 6;

/** What is read from a log. Arrays and views belong to the reader and hold only during the call. */
export interface RecordHandler {
  /** A series and its canonical label bytes (`labelsFromBytes` gives strings). */
  onSeries(ref: number, labelBytes: Uint8Array): void;
  /** The first `count` entries of the columns; `values` has two words a sample, low first. */
  onSamples(count: number, refs: Float64Array, timestamps: Float64Array, values: Uint32Array): void;
  onExemplar?(exemplar: WalExemplar): void;
  onMetadata?(metadata: WalMetadata): void;
  onHistogram?(histogram: WalHistogram): void;
  /** A closed range of a series was deleted. */
  onTombstone?(ref: number, range: TimeRange): void;
  /** A whole record that this version does not read (unknown types, and tombstones where nobody asks for them). */
  onSkipped?(type: number): void;
}

export interface WalExemplar {
  readonly ref: number;
  readonly timestampMs: number;
  /** The bits of the value. */
  readonly valueLow: number;
  readonly valueHigh: number;
  readonly labels: Labels;
}

/** `metricType`: 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info, 7 stateset. */
export interface WalMetadata {
  readonly ref: number;
  readonly metricType: number;
  readonly unit: string;
  readonly help: string;
}

export interface SeriesEntry {
  readonly ref: number;
  readonly labels: Labels;
}

const REF_BYTES = 8;
const SAMPLE_BYTES_MAX = VARINT_BYTES_MAX * 2 + 8;
const SAMPLES_HEADER_BYTES = 17;

/** Encodes a series record from strings. For few series; many go through `putSeriesEntry`. */
export function encodeSeriesRecord(entries: readonly SeriesEntry[]): Uint8Array {
  const encoded = entries.map(({ labels }) => canonicalBytes(labels));
  const size = encoded.reduce((sum, bytes) => sum + seriesEntryBytesMax(bytes.length), 1);
  const target = new Uint8Array(size);
  target[0] = RECORD_SERIES;
  let at = 1;
  entries.forEach((entry, i) => {
    at = putSeriesEntry(target, at, entry.ref, encoded[i]!);
  });
  return target.subarray(0, at);
}

/** The most bytes `putSeriesEntry` writes for this many label bytes. */
export function seriesEntryBytesMax(labelByteCount: number): number {
  return REF_BYTES + VARINT_BYTES_MAX + labelByteCount;
}

/**
 * Appends one entry of a series record (whose first byte, `RECORD_SERIES`, the caller wrote) from
 * canonical label bytes. Returns the offset after it.
 */
export function putSeriesEntry(
  target: Uint8Array,
  offset: number,
  ref: number,
  labelBytes: Uint8Array,
): number {
  const pairCount = countPairs(byteReader(labelBytes));
  assert(pairCount >= 0, 'wal: label bytes are not canonical');
  const at = putUvarint(target, putInt64(target, offset, ref), pairCount);
  target.set(labelBytes, at);
  return at + labelBytes.length;
}

/** The most bytes a samples record of `count` samples takes. */
export function samplesRecordBytesMax(count: number): number {
  return SAMPLES_HEADER_BYTES + count * SAMPLE_BYTES_MAX;
}

/**
 * Hot: encodes samples `[from..to)` of the columns as one record at the start of `target`, which
 * has room for `samplesRecordBytesMax(to - from)`. Returns the record's length. No allocation a
 * sample. Refs are integers to 2^53, timestamps within ±2^53.
 */
export function encodeSamplesRecord(
  refs: Float64Array | Uint32Array,
  timestamps: Float64Array,
  values: Uint32Array,
  from: number,
  to: number,
  target: Uint8Array,
): number {
  assert(from < to && target.length >= samplesRecordBytesMax(to - from), 'wal: samples target');
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  const firstRef = refs[from]!;
  const firstTime = timestamps[from]!;
  target[0] = RECORD_SAMPLES;
  let at = putInt64(target, putInt64(target, 1, firstRef), firstTime);
  for (let i = from; i < to; i++) {
    const refDelta = refs[i]! - firstRef;
    if (refDelta >= 0 && refDelta < 64) target[at++] = refDelta << 1;
    else if (refDelta >= 64 && refDelta < 8192) {
      target[at] = (refDelta << 1) | 0x80; // fast paths: one and two bytes, folded
      target[at + 1] = refDelta >>> 6;
      at += 2;
    } else at = putVarint(target, at, refDelta);
    const delta = timestamps[i]! - firstTime;
    if (delta >= 0 && delta < 64) target[at++] = delta << 1;
    else if ((delta | 0) === delta) at = putVarint(target, at, delta);
    else at = putLongDelta(target, at, timestamps[i]!, firstTime);
    view.setUint32(at, values[2 * i + 1]!);
    view.setUint32(at + 4, values[2 * i]!);
    at += 8;
  }
  return at;
}

/** The difference of two times within ±2^53 can need 55 bits, more than a double holds. */
function putLongDelta(target: Uint8Array, offset: number, time: number, first: number): number {
  const delta = BigInt(time) - BigInt(first);
  let rest = delta < 0n ? -2n * delta - 1n : 2n * delta;
  let at = offset;
  for (; rest > 0x7fn; rest >>= 7n) target[at++] = Number(rest & 0x7fn) | 0x80;
  target[at] = Number(rest);
  return at + 1;
}

/** Encodes an exemplars record. Not hot. */
export function encodeExemplarsRecord(exemplars: readonly WalExemplar[]): Uint8Array {
  const first = exemplars[0];
  assert(first !== undefined, 'wal: an exemplars record needs an exemplar');
  const encoded = exemplars.map(({ labels }) => canonicalBytes(labels));
  const entryBytesMax = SAMPLE_BYTES_MAX + VARINT_BYTES_MAX;
  const size = encoded.reduce((sum, bytes) => sum + entryBytesMax + bytes.length, 17);
  const target = new Uint8Array(size);
  const view = new DataView(target.buffer);
  target[0] = RECORD_EXEMPLARS;
  let at = putInt64(target, putInt64(target, 1, first.ref), first.timestampMs);
  exemplars.forEach((exemplar, i) => {
    at = putVarint(target, at, exemplar.ref - first.ref);
    at = putLongDelta(target, at, exemplar.timestampMs, first.timestampMs);
    view.setUint32(at, exemplar.valueHigh);
    view.setUint32(at + 4, exemplar.valueLow);
    at = putUvarint(target, at + 8, exemplar.labels.length / 2);
    target.set(encoded[i]!, at);
    at += encoded[i]!.length;
  });
  return target.subarray(0, at);
}

/** Encodes a metadata record. Not hot. */
export function encodeMetadataRecord(entries: readonly WalMetadata[]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(RECORD_METADATA)];
  for (const { ref, metricType, unit, help } of entries) {
    const head = new Uint8Array(uvarintLength(ref) + 2);
    const at = putUvarint(head, 0, ref);
    head.set([metricType, 2], at); // two fields follow
    parts.push(head, canonicalBytes(['UNIT', unit, 'HELP', help]));
  }
  return Buffer.concat(parts);
}
