/**
 * WAL records of histograms, in Prometheus' encoding (docs/format/wal.md):
 *
 *   7 integer   8 float   9 integer, custom buckets   10 float, custom buckets
 *
 *   ref u64be, time i64be of the first, then (varint ref - first, varint time - first, histogram)*
 *
 *   histogram   u8 hint | varint schema | zero threshold | zero count | count | sum
 *               positive spans | negative spans   uvarint count, (varint offset, uvarint length)*
 *               positive buckets | negative       uvarint count, each
 *               custom bounds (9 and 10)          uvarint count, each
 *
 * Doubles are big-endian. Integer counts are uvarints, integer buckets varint differences; in float
 * histograms both are doubles. A record has one type, in the order of its samples.
 */
import {
  type Buckets,
  CUSTOM_SCHEMA,
  type Histogram,
  NO_BOUNDS,
  NO_BUCKETS,
  SCHEMA_MAX,
  SCHEMA_MIN,
  spansOf,
} from '../../model/histogram.ts';
import {
  BUCKETS_MAX,
  type HistogramSample,
  RESET_HINTS,
  putSumWords,
  staleHistogramSample,
} from '../../model/histogram-sample.ts';
import { isStaleWords } from '../../model/sample.ts';
import {
  type ByteReader,
  VARINT_BYTES_MAX,
  isOverrun,
  overrun,
  putInt64,
  putUint32,
  putUvarint,
  putVarint,
  readUint32,
  readUvarint,
  readVarint,
} from '../../model/wire/varint.ts';

export const RECORD_HISTOGRAMS = 7;
export const RECORD_FLOAT_HISTOGRAMS = 8;
export const RECORD_CUSTOM_HISTOGRAMS = 9;
export const RECORD_CUSTOM_FLOAT_HISTOGRAMS = 10;

export interface WalHistogram {
  readonly ref: number;
  readonly timestampMs: number;
  readonly sample: HistogramSample;
}

/** Ref, time, and what of a histogram has one size. */
const ENTRY_BYTES_MAX = VARINT_BYTES_MAX * 11 + 4 * 8 + 1;

/** The type of record that a sample goes into. */
function recordTypeOf({ histogram, isFloat }: HistogramSample): number {
  const type = isFloat ? RECORD_FLOAT_HISTOGRAMS : RECORD_HISTOGRAMS;
  return histogram.schema === CUSTOM_SCHEMA ? type + 2 : type;
}

/** Encodes histograms as records, a new one where the type changes: their order is kept. */
export function encodeHistogramRecords(entries: readonly WalHistogram[]): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let from = 0; from < entries.length;) {
    const type = recordTypeOf(entries[from]!.sample);
    let to = from + 1;
    while (to < entries.length && recordTypeOf(entries[to]!.sample) === type) to++;
    records.push(encodeRecord(type, entries, from, to));
    from = to;
  }
  return records;
}

function encodeRecord(
  type: number,
  entries: readonly WalHistogram[],
  from: number,
  to: number,
): Uint8Array {
  let size = 17;
  for (let i = from; i < to; i++) size += entryBytesMax(entries[i]!.sample.histogram);
  const target = new Uint8Array(size);
  const first = entries[from]!;
  target[0] = type;
  let at = putInt64(target, putInt64(target, 1, first.ref), first.timestampMs);
  for (let i = from; i < to; i++) {
    const { ref, sample, timestampMs } = entries[i]!;
    at = putVarint(target, at, ref - first.ref);
    at = putVarint(target, at, timestampMs - first.timestampMs);
    at = putHistogram(target, at, sample);
  }
  return target.subarray(0, at);
}

/** A bucket takes a span of its own at most. */
function entryBytesMax({ customBounds, negative, positive }: Histogram): number {
  const buckets = positive.counts.length + negative.counts.length + customBounds.length;
  return ENTRY_BYTES_MAX + buckets * VARINT_BYTES_MAX * 3;
}

function putHistogram(target: Uint8Array, offset: number, sample: HistogramSample): number {
  const { histogram, isFloat } = sample;
  const { customBounds, negative, positive, schema } = histogram;
  target[offset] = RESET_HINTS.indexOf(histogram.hint);
  let at = putVarint(target, offset + 1, schema);
  at = putDouble(target, at, histogram.zeroThreshold);
  if (isFloat) at = putDouble(target, putDouble(target, at, histogram.zeroCount), histogram.count);
  else at = putUvarint(target, putUvarint(target, at, histogram.zeroCount), histogram.count);
  const sum = new Uint32Array(2);
  putSumWords(sample, sum, 0);
  at = putUint32(target, putUint32(target, at, sum[1]!), sum[0]!);
  at = putSpans(target, putSpans(target, at, positive), negative);
  at = putBuckets(target, at, positive, isFloat);
  at = putBuckets(target, at, negative, isFloat);
  if (schema !== CUSTOM_SCHEMA) return at;
  at = putUvarint(target, at, customBounds.length);
  for (const bound of customBounds) at = putDouble(target, at, bound);
  return at;
}

function putSpans(target: Uint8Array, offset: number, buckets: Buckets): number {
  const spans = spansOf(buckets);
  let at = putUvarint(target, offset, spans.length);
  for (const span of spans) {
    at = putUvarint(target, putVarint(target, at, span.offset), span.length);
  }
  return at;
}

function putBuckets(
  target: Uint8Array,
  offset: number,
  { counts }: Buckets,
  isFloat: boolean,
): number {
  let at = putUvarint(target, offset, counts.length);
  for (let i = 0; i < counts.length; i++) {
    if (isFloat) at = putDouble(target, at, counts[i]!);
    else at = putVarint(target, at, counts[i]! - (i > 0 ? counts[i - 1]! : 0));
  }
  return at;
}

function putDouble(target: Uint8Array, offset: number, value: number): number {
  const words = new Uint32Array(Float64Array.of(value).buffer);
  return putUint32(target, putUint32(target, offset, words[1]!), words[0]!);
}

/** Reads one histogram of a record of `type`. What does not hold overruns the reader; then ignore the result. */
export function readHistogram(reader: ByteReader, type: number): HistogramSample {
  const isFloat = type === RECORD_FLOAT_HISTOGRAMS || type === RECORD_CUSTOM_FLOAT_HISTOGRAMS;
  const hint = RESET_HINTS[reader.bytes[reader.offset++] ?? 0] ?? 'unknown';
  const schema = readVarint(reader);
  const zeroThreshold = readDouble(reader);
  const zeroCount = isFloat ? readDouble(reader) : readUvarint(reader);
  const count = isFloat ? readDouble(reader) : readUvarint(reader);
  const sumHigh = readUint32(reader);
  const sumLow = readUint32(reader);
  const sum = doubleOf(sumLow, sumHigh);
  const positiveIndexes = readSpans(reader);
  const negativeIndexes = readSpans(reader);
  const positive = readBuckets(reader, positiveIndexes, isFloat);
  const negative = readBuckets(reader, negativeIndexes, isFloat);
  const isCustom = type >= RECORD_CUSTOM_HISTOGRAMS;
  const customBounds = isCustom ? readBounds(reader) : NO_BOUNDS;
  const isKnown = isCustom
    ? schema === CUSTOM_SCHEMA
    : schema >= SCHEMA_MIN && schema <= SCHEMA_MAX;
  if (!isKnown) overrun(reader);
  if (isStaleWords(sumLow, sumHigh)) return staleHistogramSample(isFloat);
  const counts = { zeroThreshold, zeroCount, count, sum };
  const histogram = { hint, schema, ...counts, positive, negative, customBounds };
  return { histogram, isFloat, isStale: false };
}

function readSpans(reader: ByteReader): Int32Array {
  const spanCount = readUvarint(reader);
  const indexes: number[] = [];
  let index = 0;
  for (let i = 0; i < spanCount && !isOverrun(reader); i++) {
    index += readVarint(reader);
    const length = readUvarint(reader);
    const isHeld = indexes.length + length <= BUCKETS_MAX && Math.abs(index) + length < 2 ** 31;
    if (!isHeld) overrun(reader);
    else for (let n = 0; n < length; n++) indexes.push(index++);
  }
  return Int32Array.from(indexes);
}

function readBuckets(reader: ByteReader, indexes: Int32Array, isFloat: boolean): Buckets {
  const count = readUvarint(reader);
  if (count !== indexes.length) overrun(reader);
  if (isOverrun(reader) || count === 0) return NO_BUCKETS;
  const counts = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    if (isFloat) counts[i] = readDouble(reader);
    else counts[i] = readVarint(reader) + (i > 0 ? counts[i - 1]! : 0);
  }
  return { indexes, counts };
}

function readBounds(reader: ByteReader): Float64Array {
  const count = readUvarint(reader);
  if (count > BUCKETS_MAX) overrun(reader);
  const bounds: number[] = [];
  for (let i = 0; i < count && !isOverrun(reader); i++) bounds.push(readDouble(reader));
  return Float64Array.from(bounds);
}

function readDouble(reader: ByteReader): number {
  const high = readUint32(reader);
  return doubleOf(readUint32(reader), high);
}

function doubleOf(low: number, high: number): number {
  return new Float64Array(Uint32Array.of(low, high).buffer)[0]!;
}
