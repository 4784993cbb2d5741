/**
 * The `Histogram` message of remote write and remote read (prometheus/prompb/types.proto), checked as
 * Prometheus checks it. What passes is a histogram that every chunk and every log can hold.
 *
 *    1 count_int (varint) | 2 count_float    3 sum    4 schema (zigzag)    5 zero_threshold
 *    6 zero_count_int     | 7 zero_count_float
 *    8 negative spans { 1 offset (zigzag), 2 length }   9 deltas (zigzag*) | 10 counts (double*)
 *   11 positive spans                                  12 deltas          | 13 counts
 *   14 reset hint   15 timestamp (int64)   16 custom bounds (double*)
 *
 * Integer buckets come as differences from the bucket before. Bytes are hostile: nothing is allocated
 * by a number that they name.
 */
import { StarlingError } from '../errors.ts';
import {
  type Buckets,
  CUSTOM_SCHEMA,
  type Histogram,
  NO_BOUNDS,
  NO_BUCKETS,
  SCHEMA_MAX,
  SCHEMA_MIN,
} from '../histogram.ts';
import { reduceResolution } from '../histogram-math.ts';
import {
  BUCKETS_MAX,
  type HistogramSample,
  INTEGER_COUNT_MAX,
  RESET_HINTS,
  staleHistogramSample,
} from '../histogram-sample.ts';
import { isStaleWords } from '../sample.ts';
import {
  type ByteReader,
  byteReader,
  isOverrun,
  readSigned64,
  readUvarint,
  readVarint,
} from './varint.ts';

export interface TimedHistogram {
  readonly timestampMs: number;
  readonly sample: HistogramSample;
}

/** Finer schemas are taken and made as coarse as `SCHEMA_MAX`. */
const SCHEMA_REDUCIBLE_MAX = 52;

interface Side {
  /** Offset and length in turn. */
  readonly spans: number[];
  readonly deltas: number[];
  readonly counts: number[];
}

/** The fields as they are in the message. */
interface Fields {
  isFloat: boolean;
  count: number;
  zeroCountInteger: number;
  zeroCountFloat: number;
  sum: number;
  isStale: boolean;
  schema: number;
  zeroThreshold: number;
  readonly negative: Side;
  readonly positive: Side;
  hint: number;
  timestampMs: number;
  readonly bounds: number[];
}

/** Reads and checks the message in `bytes[from..to)`. Throws `histogram.invalid` and `protobuf.corrupt`. */
export function decodeHistogramMessage(
  bytes: Uint8Array,
  from: number,
  to: number,
): TimedHistogram {
  const fields = readFields(byteReader(bytes, from, to));
  const { isFloat, timestampMs } = fields;
  if (!Number.isSafeInteger(timestampMs)) throw invalid(`the timestamp ${timestampMs}`);
  if (fields.isStale) return { timestampMs, sample: staleHistogramSample(isFloat) };
  return { timestampMs, sample: { histogram: checked(fields), isFloat, isStale: false } };
}

function readFields(reader: ByteReader): Fields {
  const view = new DataView(reader.bytes.buffer, reader.bytes.byteOffset, reader.bytes.length);
  const fields: Fields = {
    isFloat: false,
    count: 0,
    zeroCountInteger: 0,
    zeroCountFloat: 0,
    sum: 0,
    isStale: false,
    schema: 0,
    zeroThreshold: 0,
    negative: { spans: [], deltas: [], counts: [] },
    positive: { spans: [], deltas: [], counts: [] },
    hint: 0,
    timestampMs: 0,
    bounds: [],
  };
  while (reader.offset < reader.end) readField(reader, view, fields);
  if (isOverrun(reader)) throw corrupt('a truncated field', reader.end);
  return fields;
}

function readField(reader: ByteReader, view: DataView, fields: Fields): void {
  const tag = readUvarint(reader);
  switch (tag) {
    case 0x08:
      fields.count = readUvarint(reader);
      fields.isFloat = false;
      return;
    case 0x11:
      fields.count = readDouble(reader, view);
      fields.isFloat = true;
      return;
    case 0x19:
      fields.isStale = isStaleAt(reader, view);
      fields.sum = readDouble(reader, view);
      return;
    case 0x20:
      fields.schema = readVarint(reader);
      return;
    case 0x29:
      fields.zeroThreshold = readDouble(reader, view);
      return;
    case 0x30:
      fields.zeroCountInteger = readUvarint(reader);
      return;
    case 0x39:
      fields.zeroCountFloat = readDouble(reader, view);
      return;
    case 0x70:
      fields.hint = readUvarint(reader);
      return;
    case 0x78:
      fields.timestampMs = readSigned64(reader);
      return;
    case 0x81:
    case 0x82:
      readDoubles(reader, view, tag, fields.bounds);
      return;
    default:
      readSideField(reader, view, tag, fields);
  }
}

function readSideField(reader: ByteReader, view: DataView, tag: number, fields: Fields): void {
  const isNegative = tag >>> 3 <= 10;
  const side = isNegative ? fields.negative : fields.positive;
  const kind = (tag >>> 3) - (isNegative ? 8 : 11);
  if (kind === 0 && (tag & 7) === 2) readSpan(reader, side.spans);
  else if (kind === 1) readDeltas(reader, tag, side.deltas);
  else if (kind === 2) readDoubles(reader, view, tag, side.counts);
  else skip(reader, tag);
}

function readSpan(reader: ByteReader, spans: number[]): void {
  const end = endOf(reader);
  let offset = 0;
  let length = 0;
  while (reader.offset < end) {
    const tag = readUvarint(reader);
    if (tag === 0x08) offset = readVarint(reader);
    else if (tag === 0x10) length = readUvarint(reader);
    else skip(reader, tag);
  }
  if (reader.offset !== end) throw corrupt('a span past its end', end);
  if (spans.length >= BUCKETS_MAX * 2) throw invalid(`more than ${BUCKETS_MAX} spans`);
  spans.push(offset, length);
}

function readDeltas(reader: ByteReader, tag: number, into: number[]): void {
  if ((tag & 7) !== 2) {
    if ((tag & 7) !== 0) {
      skip(reader, tag);
      return;
    }
    push(into, readVarint(reader));
    return;
  }
  const end = endOf(reader);
  while (reader.offset < end) push(into, readVarint(reader));
  if (reader.offset !== end) throw corrupt('a bucket past its end', end);
}

function readDoubles(reader: ByteReader, view: DataView, tag: number, into: number[]): void {
  if ((tag & 7) !== 2) {
    if ((tag & 7) !== 1) {
      skip(reader, tag);
      return;
    }
    push(into, readDouble(reader, view));
    return;
  }
  const end = endOf(reader);
  while (reader.offset < end) push(into, readDouble(reader, view));
  if (reader.offset !== end) throw corrupt('a number past its end', end);
}

function push(into: number[], value: number): void {
  if (into.length >= BUCKETS_MAX) throw invalid(`more than ${BUCKETS_MAX} buckets or bounds`);
  into.push(value);
}

function endOf(reader: ByteReader): number {
  const length = readUvarint(reader);
  const end = reader.offset + length;
  if (!(end <= reader.end)) throw corrupt('a length past the end', reader.offset);
  return end;
}

function readDouble(reader: ByteReader, view: DataView): number {
  const at = reader.offset;
  reader.offset = at + 8;
  if (reader.offset > reader.end) throw corrupt('a truncated number', at);
  return view.getFloat64(at, true);
}

function isStaleAt({ end, offset }: ByteReader, view: DataView): boolean {
  if (offset + 8 > end) return false;
  return isStaleWords(view.getUint32(offset, true), view.getUint32(offset + 4, true));
}

function skip(reader: ByteReader, tag: number): void {
  if (tag < 8) throw corrupt('field number 0', reader.offset);
  const kind = tag & 7;
  if (kind === 0) readUvarint(reader);
  else if (kind === 1) reader.offset += 8;
  else if (kind === 2) reader.offset = endOf(reader);
  else if (kind === 5) reader.offset += 4;
  else throw corrupt(`wire type ${kind}`, reader.offset);
  if (isOverrun(reader)) throw corrupt('a truncated field', reader.end);
}

/** The histogram of the fields, or `histogram.invalid`. */
function checked(fields: Fields): Histogram {
  const { bounds, isFloat, schema, zeroThreshold } = fields;
  const isCustom = schema === CUSTOM_SCHEMA;
  if (!isCustom && !(schema >= SCHEMA_MIN && schema <= SCHEMA_REDUCIBLE_MAX)) {
    throw invalid(
      `schema ${schema} is none of ${SCHEMA_MIN} to ${SCHEMA_MAX} and ${CUSTOM_SCHEMA}`,
    );
  }
  if (isCustom) checkCustom(fields);
  else if (bounds.length > 0) throw invalid('custom bounds in an exponential schema');
  if (!(zeroThreshold >= 0) || zeroThreshold === Infinity) {
    throw invalid(`the zero threshold ${zeroThreshold}`);
  }
  const histogram: Histogram = {
    hint: RESET_HINTS[fields.hint] ?? 'unknown',
    schema,
    zeroThreshold,
    zeroCount: isFloat ? fields.zeroCountFloat : fields.zeroCountInteger,
    count: fields.count,
    sum: fields.sum,
    negative: bucketsOf(fields.negative, isFloat, 'negative'),
    positive: bucketsOf(fields.positive, isFloat, 'positive'),
    customBounds: isCustom && bounds.length > 0 ? Float64Array.from(bounds) : NO_BOUNDS,
  };
  checkCounts(histogram, isFloat);
  return !isCustom && schema > SCHEMA_MAX ? reduceResolution(histogram, SCHEMA_MAX) : histogram;
}

function checkCustom(fields: Fields): void {
  const { bounds, negative, positive } = fields;
  let last = -Infinity;
  for (const bound of bounds) {
    if (!Number.isFinite(bound)) throw invalid(`the custom bound ${bound} is not finite`);
    if (bound <= last) throw invalid(`the custom bound ${bound} comes after ${last}`);
    last = bound;
  }
  if (fields.zeroThreshold !== 0) throw invalid('custom buckets with a zero threshold');
  if ((fields.isFloat ? fields.zeroCountFloat : fields.zeroCountInteger) !== 0) {
    throw invalid('custom buckets with a zero count');
  }
  if (negative.spans.length + negative.deltas.length + negative.counts.length > 0) {
    throw invalid('custom buckets with negative buckets');
  }
  let reach = 0;
  for (let i = 0; i < positive.spans.length; i += 2) {
    if (positive.spans[i]! < 0) throw invalid(`span ${i / 2} has the offset ${positive.spans[i]!}`);
    reach += positive.spans[i]! + positive.spans[i + 1]!;
  }
  if (reach > bounds.length + 1) {
    throw invalid(`${bounds.length} custom bounds are too few for buckets up to ${reach}`);
  }
}

/** Runs of buckets become indexes, integer differences become counts. */
function bucketsOf(side: Side, isFloat: boolean, name: string): Buckets {
  const { spans } = side;
  const values = isFloat ? side.counts : side.deltas;
  let needed = 0;
  for (let i = 0; i < spans.length; i += 2) {
    if (i > 0 && spans[i]! < 0) {
      throw invalid(`the ${name} span ${i / 2} has the offset ${spans[i]!}`);
    }
    needed += spans[i + 1]!;
  }
  if (needed !== values.length) {
    throw invalid(`the ${name} spans need ${needed} buckets, there are ${values.length}`);
  }
  if (needed === 0) return NO_BUCKETS;
  const indexes = new Int32Array(needed);
  const counts = new Float64Array(needed);
  let at = 0;
  let index = 0;
  let count = 0;
  for (let i = 0; i < spans.length; i += 2) {
    index += spans[i]!;
    if (Math.abs(index) + spans[i + 1]! >= 2 ** 31) throw invalid(`the bucket index ${index}`);
    for (let n = spans[i + 1]!; n > 0; n--, at++) {
      count = isFloat ? values[at]! : count + values[at]!;
      if (!(count >= 0)) throw invalid(`the ${name} bucket ${at} counts ${count}`);
      if (!isFloat && count > INTEGER_COUNT_MAX) throw tooLarge(count);
      indexes[at] = index++;
      counts[at] = count;
    }
  }
  return { indexes, counts };
}

function checkCounts(histogram: Histogram, isFloat: boolean): void {
  const { count, negative, positive, sum, zeroCount } = histogram;
  if (!(zeroCount >= 0)) throw invalid(`the zero bucket counts ${zeroCount}`);
  if (!(count >= 0)) throw invalid(`the count ${count}`);
  if (isFloat) return; // sums of floats need not be equal to the last digit
  if (count > INTEGER_COUNT_MAX || zeroCount > INTEGER_COUNT_MAX) {
    throw tooLarge(Math.max(count, zeroCount));
  }
  const counted = zeroCount + totalOf(negative) + totalOf(positive);
  const isRight = Number.isNaN(sum) ? counted <= count : counted === count;
  if (!isRight) throw invalid(`${counted} observations in buckets, but the count is ${count}`);
}

function totalOf({ counts }: Buckets): number {
  let total = 0;
  for (let i = 0; i < counts.length; i++) total += counts[i]!;
  return total;
}

function tooLarge(count: number): StarlingError {
  return invalid(`the count ${count} is over ${INTEGER_COUNT_MAX}, send it as a float histogram`);
}

function invalid(why: string): StarlingError {
  return new StarlingError('histogram.invalid', { why });
}

function corrupt(why: string, offset: number): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: `histogram: ${why}`, offset });
}
