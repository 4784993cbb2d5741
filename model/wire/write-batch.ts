/**
 * A WriteBatch: the samples of one tenant on their way to one ingester, as columns.
 *
 *   seriesCount                 n
 *   fingerprints  Uint32Array   4 words a series
 *   labelEnds     Uint32Array   n: end of series i's canonical label bytes in labelBytes
 *                               (its start is the previous end; an empty range = "you know it")
 *   labelBytes    Uint8Array    canonical label bytes (model/labels.ts), concatenated
 *   sampleEnds    Uint32Array   n: end of series i's samples
 *   timestamps    Float64Array  Unix milliseconds
 *   values        Uint32Array   2 words a sample, low first: bits survive
 *
 * Encoded it is one buffer: a header of eight u32 (magic, version, seriesCount, sampleCount,
 * labelBytes length, tenant length, 0, 0), then timestamps, values, fingerprints, labelEnds,
 * sampleEnds, label bytes, tenant — 8-byte columns first, so that views need no copy when the
 * buffer is 8-byte aligned. Little-endian, as every platform Node runs on.
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
}

const MAGIC = 0x31425753; // 'SWB1'
const VERSION = 1;
const HEADER_BYTES = 32;

/** A batch whose columns are views of `bytes`, its encoded form: fill the views, send the bytes. */
export interface EncodedWriteBatch {
  readonly bytes: Uint8Array;
  readonly batch: WriteBatch;
}

export interface WriteBatchShape {
  readonly tenant: TenantId;
  readonly seriesCount: number;
  readonly sampleCount: number;
  readonly labelLength: number;
}

/**
 * Allocates a batch of exactly this shape, header and tenant written. Its columns hold whatever was
 * there: zero, or what `spare` held, whose buffer is used when it is large enough.
 */
export function allocateWriteBatch(shape: WriteBatchShape, spare?: ArrayBuffer): EncodedWriteBatch {
  const { tenant, seriesCount, sampleCount, labelLength } = shape;
  const tenantBytes = Buffer.from(tenant, 'latin1');
  const columnBytes = sampleCount * 16 + seriesCount * 24 + labelLength;
  const byteLength = HEADER_BYTES + columnBytes + tenantBytes.length;
  const isEnough = spare !== undefined && spare.byteLength >= byteLength;
  const buffer = isEnough ? spare : new ArrayBuffer(byteLength);
  const bytes = new Uint8Array(buffer, 0, byteLength);
  const header = new Uint32Array(buffer, 0, 8);
  header.set([MAGIC, VERSION, seriesCount, sampleCount, labelLength, tenantBytes.length, 0, 0]);
  bytes.set(tenantBytes, HEADER_BYTES + columnBytes);
  return { bytes, batch: { tenant, ...columnViews(bytes, seriesCount, sampleCount, labelLength) } };
}

function columnViews(
  bytes: Uint8Array,
  seriesCount: number,
  sampleCount: number,
  labelLength: number,
): Omit<WriteBatch, 'tenant'> {
  const { buffer } = bytes;
  let offset = bytes.byteOffset + HEADER_BYTES;
  const advance = (byteLength: number): number => (offset += byteLength) - byteLength;
  return {
    seriesCount,
    sampleCount,
    timestamps: new Float64Array(buffer, advance(sampleCount * 8), sampleCount),
    values: new Uint32Array(buffer, advance(sampleCount * 8), sampleCount * 2),
    fingerprints: new Uint32Array(buffer, advance(seriesCount * 16), seriesCount * 4),
    labelEnds: new Uint32Array(buffer, advance(seriesCount * 4), seriesCount),
    sampleEnds: new Uint32Array(buffer, advance(seriesCount * 4), seriesCount),
    labelBytes: new Uint8Array(buffer, advance(labelLength), labelLength),
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
  const header = new Uint32Array(buffer, bytes.byteOffset, 8);
  const seriesCount = header[2]!;
  const sampleCount = header[3]!;
  const labelLength = header[4]!;
  const tenantLength = header[5]!;
  if (header[0] !== MAGIC || header[1] !== VERSION) throw corrupt('not a write batch', 0);
  const expected = HEADER_BYTES + sampleCount * 16 + seriesCount * 24 + labelLength + tenantLength;
  if (expected !== bytes.length)
    throw corrupt(`length ${bytes.length}, header says ${expected}`, 8);
  const batch = columnViews(bytes, seriesCount, sampleCount, labelLength);
  checkEnds(batch.labelEnds, labelLength);
  checkEnds(batch.sampleEnds, sampleCount);
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
