/**
 * Decodes WAL records into columns. One decoder serves a whole log: its scratch columns are reused,
 * so a record of any length is handed over in slices of bounded size.
 *
 * A record that passed its checksum and still does not decode is told as a reason, never thrown;
 * the slices before the bad place have then been handed over.
 */
import {
  type ByteReader,
  byteReader,
  isOverrun,
  overrun,
  readInt64,
  readUint32,
  readUint64,
  readUvarint,
  readVarint,
} from '../../model/wire/varint.ts';
import {
  RECORD_CUSTOM_FLOAT_HISTOGRAMS,
  RECORD_CUSTOM_HISTOGRAMS,
  RECORD_FLOAT_HISTOGRAMS,
  RECORD_HISTOGRAMS,
  readHistogram,
} from './histogram-record.ts';
import { labelsFromBytes, skipBytes, skipLabels, textBefore } from './label-bytes.ts';
import {
  RECORD_EXEMPLARS,
  RECORD_METADATA,
  RECORD_SAMPLES,
  RECORD_SERIES,
  RECORD_TOMBSTONES,
  type RecordHandler,
} from './record.ts';

/** How many samples `onSamples` gets at most. */
export const SAMPLES_PER_SLICE_MAX = 4096;

/** Why a record did not decode. */
export type DecodeFailure = string;

export class RecordDecoder {
  readonly #handler: RecordHandler;
  readonly #scratchRefs = new Float64Array(SAMPLES_PER_SLICE_MAX);
  readonly #scratchTimestamps = new Float64Array(SAMPLES_PER_SLICE_MAX);
  readonly #scratchValues = new Uint32Array(SAMPLES_PER_SLICE_MAX * 2);
  readonly #reader: ByteReader = byteReader(new Uint8Array(0));

  constructor(handler: RecordHandler) {
    this.#handler = handler;
  }

  /** Hands the contents of one record to the handler. Returns what is wrong with it, if anything. */
  decode(record: Uint8Array): DecodeFailure | undefined {
    const type = record[0];
    if (type === undefined) return 'an empty record';
    const reader = this.#reader;
    reader.bytes = record;
    reader.offset = 1;
    reader.end = record.length;
    switch (type) {
      case RECORD_CUSTOM_FLOAT_HISTOGRAMS:
      case RECORD_CUSTOM_HISTOGRAMS:
      case RECORD_FLOAT_HISTOGRAMS:
      case RECORD_HISTOGRAMS:
        this.#decodeHistograms(reader, type);
        break;
      case RECORD_EXEMPLARS:
        this.#decodeExemplars(reader);
        break;
      case RECORD_METADATA:
        this.#decodeMetadata(reader);
        break;
      case RECORD_SAMPLES:
        this.#decodeSamples(reader);
        break;
      case RECORD_SERIES:
        this.#decodeSeries(reader);
        break;
      case RECORD_TOMBSTONES:
        if (this.#handler.onTombstone === undefined) this.#handler.onSkipped?.(type);
        else this.#decodeTombstones(reader);
        break;
      default:
        this.#handler.onSkipped?.(type);
        return undefined;
    }
    return isOverrun(reader) ? `a record of type ${type} does not decode` : undefined;
  }

  #decodeSeries(reader: ByteReader): void {
    while (reader.offset < reader.end) {
      const ref = readUint64(reader);
      const pairCount = readUvarint(reader);
      const start = reader.offset;
      skipLabels(reader, pairCount);
      if (!Number.isSafeInteger(ref)) overrun(reader);
      if (isOverrun(reader)) return;
      this.#handler.onSeries(ref, reader.bytes.subarray(start, reader.offset));
    }
  }

  #decodeSamples(reader: ByteReader): void {
    if (reader.offset === reader.end) return; // Prometheus may write a record of no samples
    const firstRef = readUint64(reader);
    const firstTime = readInt64(reader);
    const refs = this.#scratchRefs;
    const timestamps = this.#scratchTimestamps;
    while (reader.offset < reader.end) {
      const count = readSamples(reader, firstRef, firstTime, refs, timestamps, this.#scratchValues);
      if (count > 0) this.#handler.onSamples(count, refs, timestamps, this.#scratchValues);
    }
  }

  #decodeTombstones(reader: ByteReader): void {
    while (reader.offset < reader.end) {
      const ref = readUint64(reader);
      const range = { minTimeMs: readVarint(reader), maxTimeMs: readVarint(reader) };
      if (isOverrun(reader)) return;
      this.#handler.onTombstone?.(ref, range);
    }
  }

  #decodeHistograms(reader: ByteReader, type: number): void {
    if (reader.offset === reader.end) return;
    const firstRef = readUint64(reader);
    const firstTime = readInt64(reader);
    while (reader.offset < reader.end) {
      const ref = firstRef + readVarint(reader);
      const timestampMs = readTime(reader, firstTime);
      const sample = readHistogram(reader, type);
      if (!isRef(ref) || !Number.isSafeInteger(timestampMs)) overrun(reader);
      if (isOverrun(reader)) return;
      this.#handler.onHistogram?.({ ref, timestampMs, sample });
    }
  }

  #decodeExemplars(reader: ByteReader): void {
    if (reader.offset === reader.end) return;
    const firstRef = readUint64(reader);
    const firstTime = readInt64(reader);
    while (reader.offset < reader.end) {
      const ref = firstRef + readVarint(reader);
      const timestampMs = readTime(reader, firstTime);
      const valueHigh = readUint32(reader);
      const valueLow = readUint32(reader);
      const pairCount = readUvarint(reader);
      const start = reader.offset;
      skipLabels(reader, pairCount);
      if (!isRef(ref) || !Number.isSafeInteger(timestampMs)) overrun(reader);
      if (isOverrun(reader)) return;
      const labels = labelsFromBytes(reader.bytes.subarray(start, reader.offset)) ?? [];
      this.#handler.onExemplar?.({ ref, timestampMs, valueHigh, valueLow, labels });
    }
  }

  #decodeMetadata(reader: ByteReader): void {
    while (reader.offset < reader.end) {
      const ref = readUvarint(reader);
      const metricType = reader.bytes[reader.offset] ?? 0;
      skipBytes(reader, 1);
      const fieldCount = readUvarint(reader);
      let unit = '';
      let help = '';
      for (let i = 0; i < fieldCount && !isOverrun(reader); i++) {
        const name = readText(reader);
        const value = readText(reader);
        if (name === 'UNIT') unit = value;
        if (name === 'HELP') help = value; // fields of later versions are passed over
      }
      if (!isRef(ref)) overrun(reader);
      if (isOverrun(reader)) return;
      this.#handler.onMetadata?.({ ref, metricType, unit, help });
    }
  }
}

/** Type, reference and time of the first sample. */
const SAMPLES_HEADER_BYTES = 1 + 8 + 8;
const VALUE_BYTES = 8;
/** Reference and time of a byte each. */
const SAMPLE_BYTES_MIN = 2 + VALUE_BYTES;

/**
 * Hot: whether all samples of a record of samples are older than `timeMs`, by their times alone. False too for a record
 * of which it cannot tell: one whose numbers are unusually long, or that does not decode.
 */
export function areSamplesBefore(record: Uint8Array, timeMs: number): boolean {
  if (record[0] !== RECORD_SAMPLES || record.length < SAMPLES_HEADER_BYTES) return false;
  const firstMs = readInt64(byteReader(record, 1 + 8));
  if (!Number.isSafeInteger(firstMs)) return false;
  const beforeMs = timeMs - firstMs;
  const end = record.length;
  let at = SAMPLES_HEADER_BYTES;
  while (at + SAMPLE_BYTES_MIN <= end) {
    // the reference, of up to four bytes, is passed over
    let length = 1;
    while (record[at++]! >= 0x80) if (++length > 4) return false;
    let folded = record[at++]!;
    if (folded >= 0x80) {
      const second = record[at++]!;
      const third = second < 0x80 ? 0 : record[at++]!;
      if (third >= 0x80) return false;
      folded = (folded & 0x7f) | ((second & 0x7f) << 7) | (third << 14);
    }
    if (((folded >>> 1) ^ -(folded & 1)) >= beforeMs) return false;
    at += VALUE_BYTES;
  }
  return at === end;
}

function isRef(ref: number): boolean {
  return Number.isSafeInteger(ref) && ref >= 0;
}

function readText(reader: ByteReader): string {
  const length = readUvarint(reader);
  return skipBytes(reader, length) ? '' : textBefore(reader, length);
}

/**
 * Hot: reads samples until the columns are full or the record ends; returns how many. A sample that
 * does not hold overruns the reader and is not counted.
 */
function readSamples(
  reader: ByteReader,
  firstRef: number,
  firstTime: number,
  refs: Float64Array,
  timestamps: Float64Array,
  values: Uint32Array,
): number {
  let count = 0;
  while (count < SAMPLES_PER_SLICE_MAX && reader.offset < reader.end) {
    const ref = firstRef + readVarint(reader);
    const time = readTime(reader, firstTime);
    const high = readUint32(reader);
    const low = readUint32(reader);
    if (!isRef(ref) || !Number.isSafeInteger(time)) overrun(reader);
    if (isOverrun(reader)) break;
    refs[count] = ref;
    timestamps[count] = time;
    values[2 * count] = low;
    values[2 * count + 1] = high;
    count++;
  }
  return count;
}

/** Reads a time as its distance from the record's first; NaN when it is beyond ±2^53. */
function readTime(reader: ByteReader, firstTime: number): number {
  const start = reader.offset;
  const delta = readVarint(reader);
  if (Number.isSafeInteger(delta)) return firstTime + delta;
  // Such a distance is legal but no longer exact as a double: once more, exactly.
  let folded = 0n;
  for (let at = reader.offset - 1; at >= start; at--) {
    folded = (folded << 7n) | BigInt(reader.bytes[at]! & 0x7f);
  }
  const exact = (folded >> 1n) ^ -(folded & 1n);
  return Number.isSafeInteger(firstTime) ? Number(BigInt(firstTime) + exact) : NaN;
}
