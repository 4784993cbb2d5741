/**
 * What stands in front of the samples of a histogram chunk: Prometheus' encodings 2 (integer) and 3 (float),
 * tsdb/docs/format/chunks.md.
 *
 *   u16 count | u8 flags | zero threshold | varbit schema | positive spans | negative spans | custom bounds
 *
 *   flags            10 the counter was reset before   01 it was not   00 unknown   11 gauge   (highest bits)
 *   zero threshold   0 | 1 to 254: 2^(byte - 244) | 255 + double
 *   spans            uint count, then (uint length, int offset) of each
 *   custom bounds    of schema -53 only: uint count, each 1 + 1000 times the bound, or 0 bit + double
 *
 * Invariant: all samples of a chunk have one layout; a stale marker has none, and reads as one anyway.
 */
import {
  CUSTOM_SCHEMA,
  type Histogram,
  NO_BOUNDS,
  type ResetHint,
  SCHEMA_MAX,
  SCHEMA_MIN,
  sameNumbers,
  spansOf,
} from '../../model/histogram.ts';
import { BUCKETS_MAX } from '../../model/histogram-sample.ts';
import { type BitWriter, VARBIT_BITS_MAX, readVarbitInt, readVarbitUint } from './varbit.ts';
import type { BitReader } from './bit-reader.ts';

export interface HistogramLayout {
  readonly hint: ResetHint;
  readonly schema: number;
  readonly zeroThreshold: number;
  /** Indexes of the buckets, rising. */
  readonly positive: Int32Array;
  readonly negative: Int32Array;
  readonly customBounds: Float64Array;
}

/** By the highest two bits of the flags. */
const HINTS: readonly ResetHint[] = ['unknown', 'not_reset', 'reset', 'gauge'];
const THRESHOLD_BYTE_SHIFT = 244;
const THRESHOLD_AS_DOUBLE = 255;
/** The largest bound in thousandths that has a short form. */
const SHORT_BOUND_MAX = 33_554_430;
const SPANS_START_BITS = 16 + 8 + 72 + 3 * VARBIT_BITS_MAX;

export function layoutOf(histogram: Histogram, hint: ResetHint): HistogramLayout {
  const { customBounds, negative, positive, schema, zeroThreshold } = histogram;
  const [positiveIndexes, negativeIndexes] = [positive.indexes, negative.indexes];
  const layout = { positive: positiveIndexes, negative: negativeIndexes, customBounds };
  return { hint, schema, zeroThreshold, ...layout };
}

/** Whether two layouts say the same of the buckets. */
export function hasSameBounds(a: HistogramLayout, b: Histogram): boolean {
  return (
    a.schema === b.schema &&
    a.zeroThreshold === b.zeroThreshold &&
    sameNumbers(a.customBounds, b.customBounds)
  );
}

/** Writes the front of a chunk; the count is 0 until `putCount`. */
export function putLayout(writer: BitWriter, layout: HistogramLayout): void {
  const { customBounds, schema, zeroThreshold } = layout;
  writer.reserve(SPANS_START_BITS);
  writer.bits(0, 16);
  writer.bits(HINTS.indexOf(layout.hint) << 6, 8);
  putThreshold(writer, zeroThreshold);
  writer.varbitInt(schema);
  putSpans(writer, layout.positive);
  putSpans(writer, layout.negative);
  if (schema !== CUSTOM_SCHEMA) return;
  writer.reserve((customBounds.length + 1) * VARBIT_BITS_MAX);
  writer.varbitUint(customBounds.length);
  for (const bound of customBounds) putBound(writer, bound);
}

export function putCount(bytes: Uint8Array, count: number): void {
  bytes[0] = count >>> 8;
  bytes[1] = count;
}

function putThreshold(writer: BitWriter, threshold: number): void {
  if (threshold === 0) {
    writer.bits(0, 8);
    return;
  }
  const byte = Math.round(Math.log2(threshold)) + THRESHOLD_BYTE_SHIFT;
  const isShort = byte >= 1 && byte <= 254 && 2 ** (byte - THRESHOLD_BYTE_SHIFT) === threshold;
  writer.bits(isShort ? byte : THRESHOLD_AS_DOUBLE, 8);
  if (!isShort) putDouble(writer, threshold);
}

function putSpans(writer: BitWriter, indexes: Int32Array): void {
  const spans = spansOf({ indexes, counts: NO_BOUNDS });
  writer.reserve((spans.length * 2 + 1) * VARBIT_BITS_MAX);
  writer.varbitUint(spans.length);
  for (const { length, offset } of spans) {
    writer.varbitUint(length);
    writer.varbitInt(offset);
  }
}

function putBound(writer: BitWriter, bound: number): void {
  const thousandths = bound * 1000;
  const isShort =
    Number.isInteger(thousandths) &&
    thousandths >= 0 &&
    thousandths <= SHORT_BOUND_MAX &&
    Object.is(thousandths / 1000, bound);
  if (isShort) {
    writer.varbitUint(thousandths + 1);
    return;
  }
  writer.bits(0, 1);
  putDouble(writer, bound);
}

function putDouble(writer: BitWriter, value: number): void {
  const words = new Uint32Array(Float64Array.of(value).buffer);
  writer.words(words[0]!, words[1]!);
}

/** Reads the front of a chunk behind its count. Undefined for bytes that do not hold. */
export function readLayout(reader: BitReader, bitsMax: number): HistogramLayout | undefined {
  const hint = HINTS[reader.read(8) >>> 6]!;
  const zeroThreshold = readThreshold(reader);
  const schema = readVarbitInt(reader);
  const positive = readSpans(reader, bitsMax);
  const negative = readSpans(reader, bitsMax);
  const isCustom = schema === CUSTOM_SCHEMA;
  const customBounds = isCustom ? readBounds(reader, bitsMax) : NO_BOUNDS;
  const isKnown = isCustom || (schema >= SCHEMA_MIN && schema <= SCHEMA_MAX);
  if (reader.isOverrun || !isKnown || !(zeroThreshold >= 0)) return undefined;
  if (positive === undefined || negative === undefined || customBounds === undefined) {
    return undefined;
  }
  return { hint, schema, zeroThreshold, positive, negative, customBounds };
}

function readThreshold(reader: BitReader): number {
  const byte = reader.read(8);
  if (byte === 0) return 0;
  return byte === THRESHOLD_AS_DOUBLE ? readDouble(reader) : 2 ** (byte - THRESHOLD_BYTE_SHIFT);
}

/** Every bucket takes a bit of a sample at least, so `bitsMax` bounds how many there can be. */
function readSpans(reader: BitReader, bitsMax: number): Int32Array | undefined {
  const spanCount = readVarbitUint(reader);
  if (spanCount > bitsMax) return undefined;
  const indexes: number[] = [];
  let index = 0;
  for (let i = 0; i < spanCount; i++) {
    const length = readVarbitUint(reader);
    const offset = readVarbitInt(reader);
    if (reader.isOverrun || indexes.length + length > Math.min(bitsMax, BUCKETS_MAX * 2)) {
      return undefined;
    }
    if (i > 0 && offset < 0) return undefined;
    index += offset;
    if (Math.abs(index) + length >= 2 ** 31) return undefined;
    for (let n = 0; n < length; n++) indexes.push(index++);
  }
  return Int32Array.from(indexes);
}

function readBounds(reader: BitReader, bitsMax: number): Float64Array | undefined {
  const count = readVarbitUint(reader);
  if (count > bitsMax) return undefined;
  const bounds: number[] = [];
  for (let i = 0; i < count && !reader.isOverrun; i++) {
    const short = readVarbitUint(reader);
    bounds.push(short === 0 ? readDouble(reader) : (short - 1) / 1000);
  }
  return Float64Array.from(bounds);
}

function readDouble(reader: BitReader): number {
  const high = reader.read(32);
  const low = reader.read(32);
  return new Float64Array(Uint32Array.of(low, high).buffer)[0]!;
}
