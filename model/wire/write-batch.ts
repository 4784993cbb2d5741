/**
 * A WriteBatch: the samples of one tenant on their way to one ingester, as columns.
 *
 *   seriesCount                 n
 *   fingerprints  Uint32Array   4 words a series
 *   labelEnds     Uint32Array   n: end of series i's canonical label bytes in labelBytes
 *                               (its start is the previous end; an empty range = "you know it")
 *   labelBytes    Uint8Array    canonical label bytes (model/labels.ts), concatenated
 *   sampleEnds    Uint32Array   n: end of series i's samples
 *   timestamps    Float64Array  Unix milliseconds; a single one is the time of all samples
 *   values        Uint32Array   2 words a sample, low first: bits survive
 *   histogramEnds Uint32Array   n: end of series i's histogram message in histogramBytes
 *   exemplars                   columns of their own, each with the fingerprint of its series, which need
 *                               not be one of the batch; exemplarEnds: of its canonical label bytes
 *
 * Encoded it is one buffer: a header of ten u32 (magic, version, seriesCount, sampleCount,
 * labelBytes length, tenant length, flags, histogramBytes length, exemplarCount, exemplarBytes length),
 * then timestamps, exemplarTimestamps, values, fingerprints, labelEnds, sampleEnds, histogramEnds,
 * exemplarValues, exemplarFingerprints, exemplarEnds, label bytes, histogram bytes, exemplar bytes,
 * tenant — 8-byte columns first, so that views need no copy when the buffer is 8-byte aligned. Little-endian, as every platform Node runs on. A scrape of known series
 * has one time, one sample a series and no labels: what follows from that is not in the bytes.
 *
 *   flags  1  all samples have one time: timestamps is that one
 *          2  every series has one sample: no sampleEnds
 *   labelBytes length 0: no labelEnds; histogramBytes length 0: no histogramEnds
 */
import { StarlingError } from '../errors.ts';
import { type TenantId, parseTenantId } from '../ids.ts';

export interface WriteBatch {
  readonly tenant: TenantId;
  readonly seriesCount: number;
  readonly sampleCount: number;
  readonly fingerprints: Uint32Array;
  readonly labelEnds: Uint32Array;
  readonly labelBytes: Uint8Array;
  readonly sampleEnds: Uint32Array;
  readonly timestamps: Float64Array;
  readonly values: Uint32Array;
  readonly histogramEnds: Uint32Array;
  /** The messages of remote write as they came, checked; a series has one at most. */
  readonly histogramBytes: Uint8Array;
  readonly exemplarCount: number;
  readonly exemplarFingerprints: Uint32Array;
  readonly exemplarTimestamps: Float64Array;
  readonly exemplarValues: Uint32Array;
  readonly exemplarEnds: Uint32Array;
  readonly exemplarBytes: Uint8Array;
}

const MAGIC = 0x31425753; // 'SWB1'
const VERSION = 3;
const FLAG_ONE_TIME = 1;
const FLAG_ONE_EACH = 2;
const HEADER_BYTES = 40;

/** Columns of batches that need none of their own; for more series there are fresh ones. */
const SHARED_SERIES = 4096;
const NO_LABELS = new Uint32Array(SHARED_SERIES);
const ONE_EACH = Uint32Array.from({ length: SHARED_SERIES }, (_, i) => i + 1);

/** A batch whose columns are views of `bytes`, its encoded form: fill the views, send the bytes. */
export interface EncodedWriteBatch {
  readonly bytes: Uint8Array;
  readonly batch: WriteBatch;
}

export interface WriteBatchShape {
  readonly tenant: TenantId;
  readonly seriesCount: number;
  readonly sampleCount: number;
  /** With 0 `labelEnds` is complete as it is, and must not be written. */
  readonly labelLength: number;
  /** With 0 `histogramEnds` is complete as it is, and must not be written. */
  readonly histogramLength?: number;
  readonly exemplarCount?: number;
  /** Of their label bytes. */
  readonly exemplarLength?: number;
  /** All samples have one time: `timestamps` has room for one. */
  readonly hasOneTime?: boolean;
  /** Every series has one sample: `sampleEnds` is complete as it is, and must not be written. */
  readonly hasOneEach?: boolean;
}

/**
 * Allocates a batch of exactly this shape, header and tenant written. Its columns hold whatever was
 * there: zero, or what `spare` held, whose buffer is used when it is large enough.
 */
export function allocateWriteBatch(shape: WriteBatchShape, spare?: ArrayBuffer): EncodedWriteBatch {
  const { hasOneEach = false, hasOneTime = false, histogramLength = 0 } = shape;
  const { exemplarCount = 0, exemplarLength = 0 } = shape;
  const { labelLength, sampleCount, seriesCount } = shape;
  const tenantBytes = Buffer.from(shape.tenant, 'latin1');
  const flags =
    (hasOneTime && sampleCount > 0 ? FLAG_ONE_TIME : 0) + (hasOneEach ? FLAG_ONE_EACH : 0);
  const layout: Layout = {
    ...{ seriesCount, sampleCount, labelLength, histogramLength, exemplarCount, exemplarLength },
    flags,
  };
  const tenantStart = HEADER_BYTES + columnBytes(layout);
  const byteLength = tenantStart + tenantBytes.length;
  const isEnough = spare !== undefined && spare.byteLength >= byteLength;
  const buffer = isEnough ? spare : new ArrayBuffer(byteLength);
  const bytes = new Uint8Array(buffer, 0, byteLength);
  const header = new Uint32Array(buffer, 0, HEADER_BYTES / 4);
  header.set([MAGIC, VERSION, seriesCount, sampleCount, labelLength, tenantBytes.length]);
  header.set([flags, histogramLength, exemplarCount, exemplarLength], 6);
  bytes.set(tenantBytes, tenantStart);
  return { bytes, batch: { tenant: shape.tenant, ...columnViews(bytes, layout) } };
}

/** What the header says of the columns. */
interface Layout {
  readonly seriesCount: number;
  readonly sampleCount: number;
  readonly labelLength: number;
  readonly histogramLength: number;
  readonly exemplarCount: number;
  readonly exemplarLength: number;
  readonly flags: number;
}

/** Of an exemplar: time, value, fingerprint, end. */
const EXEMPLAR_COLUMN_BYTES = 8 + 8 + 16 + 4;

function columnBytes(layout: Layout): number {
  const { flags, histogramLength, labelLength, sampleCount, seriesCount } = layout;
  const exemplars = layout.exemplarCount * EXEMPLAR_COLUMN_BYTES + layout.exemplarLength;
  const times = (flags & FLAG_ONE_TIME) === 0 ? sampleCount : 1;
  const ends =
    (labelLength === 0 ? 0 : 4) +
    ((flags & FLAG_ONE_EACH) === 0 ? 4 : 0) +
    (histogramLength === 0 ? 0 : 4);
  const bytes = labelLength + histogramLength;
  return times * 8 + sampleCount * 8 + seriesCount * (16 + ends) + bytes + exemplars;
}

function columnViews(bytes: Uint8Array, layout: Layout): Omit<WriteBatch, 'tenant'> {
  const { flags, histogramLength, labelLength, sampleCount, seriesCount } = layout;
  const { exemplarCount, exemplarLength } = layout;
  const { buffer } = bytes;
  let offset = bytes.byteOffset + HEADER_BYTES;
  const advance = (byteLength: number): number => (offset += byteLength) - byteLength;
  const times = (flags & FLAG_ONE_TIME) === 0 ? sampleCount : 1;
  const ends = (isAbsent: boolean, shared: Uint32Array): Uint32Array => {
    if (!isAbsent) return new Uint32Array(buffer, advance(seriesCount * 4), seriesCount);
    if (seriesCount <= SHARED_SERIES) return shared.subarray(0, seriesCount);
    return Uint32Array.from({ length: seriesCount }, (_, i) => (shared === ONE_EACH ? i + 1 : 0));
  };
  return {
    seriesCount,
    sampleCount,
    exemplarCount,
    timestamps: new Float64Array(buffer, advance(times * 8), times),
    exemplarTimestamps: new Float64Array(buffer, advance(exemplarCount * 8), exemplarCount),
    values: new Uint32Array(buffer, advance(sampleCount * 8), sampleCount * 2),
    fingerprints: new Uint32Array(buffer, advance(seriesCount * 16), seriesCount * 4),
    labelEnds: ends(labelLength === 0, NO_LABELS),
    sampleEnds: ends((flags & FLAG_ONE_EACH) !== 0, ONE_EACH),
    histogramEnds: ends(histogramLength === 0, NO_LABELS),
    exemplarValues: new Uint32Array(buffer, advance(exemplarCount * 8), exemplarCount * 2),
    exemplarFingerprints: new Uint32Array(buffer, advance(exemplarCount * 16), exemplarCount * 4),
    exemplarEnds: new Uint32Array(buffer, advance(exemplarCount * 4), exemplarCount),
    labelBytes: new Uint8Array(buffer, advance(labelLength), labelLength),
    histogramBytes: new Uint8Array(buffer, advance(histogramLength), histogramLength),
    exemplarBytes: new Uint8Array(buffer, advance(exemplarLength), exemplarLength),
  };
}

/**
 * Decodes a batch; its columns are views of `source` (copied first when misaligned).
 * Throws `protobuf.corrupt` when a length or an end column does not hold.
 */
export function decodeWriteBatch(source: Uint8Array): WriteBatch {
  if (source.length < HEADER_BYTES) throw corrupt('truncated header', source.length);
  const bytes = source.byteOffset % 8 === 0 ? source : new Uint8Array(source);
  const { buffer } = bytes;
  const header = new Uint32Array(buffer, bytes.byteOffset, HEADER_BYTES / 4);
  if (header[0] !== MAGIC || header[1] !== VERSION) throw corrupt('not a write batch', 0);
  const layout: Layout = {
    seriesCount: header[2]!,
    sampleCount: header[3]!,
    labelLength: header[4]!,
    histogramLength: header[7]!,
    exemplarCount: header[8]!,
    exemplarLength: header[9]!,
    flags: header[6]!,
  };
  const { flags, sampleCount, seriesCount } = layout;
  const tenantLength = header[5]!;
  const expected = HEADER_BYTES + columnBytes(layout) + tenantLength;
  if (expected !== bytes.length)
    throw corrupt(`length ${bytes.length}, header says ${expected}`, 8);
  if (flags > (FLAG_ONE_TIME | FLAG_ONE_EACH)) throw corrupt(`flags ${flags}`, 24);
  if ((flags & FLAG_ONE_EACH) !== 0 && sampleCount !== seriesCount)
    throw corrupt(`${sampleCount} samples, one for each of ${seriesCount} series`, 8);
  const batch = columnViews(bytes, layout);
  checkEnds(batch.labelEnds, layout.labelLength);
  checkEnds(batch.sampleEnds, sampleCount);
  checkEnds(batch.histogramEnds, layout.histogramLength);
  checkEnds(batch.exemplarEnds, layout.exemplarLength);
  const tenantStart = bytes.byteOffset + bytes.length - tenantLength;
  const tenant = Buffer.from(buffer, tenantStart, tenantLength).toString('latin1');
  return { ...batch, tenant: parseTenantId(tenant) };
}

/** Ends must rise and finish exactly at `total`. */
function checkEnds(ends: Uint32Array, total: number): void {
  let previous = 0;
  for (let i = 0; i < ends.length; i++) {
    if (ends[i]! < previous) throw corrupt('falling ends', i);
    previous = ends[i]!;
  }
  if (previous !== total) throw corrupt(`ends finish at ${previous}, not ${total}`, 0);
}

function corrupt(why: string, offset: number): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: `write batch: ${why}`, offset });
}
