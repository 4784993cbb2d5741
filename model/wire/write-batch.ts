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
export const WRITE_BATCH_BYTES_MAX = 64 * 1024 * 1024;

/** Encodes a batch into one fresh buffer. */
export function encodeWriteBatch(batch: WriteBatch): Uint8Array {
  const { seriesCount, sampleCount } = batch;
  const tenant = Buffer.from(batch.tenant, 'latin1');
  const bytes = new Uint8Array(
    HEADER_BYTES + sampleCount * 16 + seriesCount * 24 + batch.labelBytes.length + tenant.length,
  );
  const header = new Uint32Array(bytes.buffer, 0, 8);
  header.set([MAGIC, VERSION, seriesCount, sampleCount, batch.labelBytes.length, tenant.length]);
  let offset = HEADER_BYTES;
  const put = (column: Uint8Array): void => {
    bytes.set(column, offset);
    offset += column.length;
  };
  put(bytesOf(batch.timestamps, sampleCount * 8));
  put(bytesOf(batch.values, sampleCount * 8));
  put(bytesOf(batch.fingerprints, seriesCount * 16));
  put(bytesOf(batch.labelEnds, seriesCount * 4));
  put(bytesOf(batch.sampleEnds, seriesCount * 4));
  put(batch.labelBytes);
  put(tenant);
  return bytes;
}

function bytesOf(column: Float64Array | Uint32Array, byteLength: number): Uint8Array {
  return new Uint8Array(column.buffer, column.byteOffset, byteLength);
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
  let offset = bytes.byteOffset + HEADER_BYTES;
  const advance = (byteLength: number): number => (offset += byteLength) - byteLength;
  const batch: Omit<WriteBatch, 'tenant'> = {
    seriesCount,
    sampleCount,
    timestamps: new Float64Array(buffer, advance(sampleCount * 8), sampleCount),
    values: new Uint32Array(buffer, advance(sampleCount * 8), sampleCount * 2),
    fingerprints: new Uint32Array(buffer, advance(seriesCount * 16), seriesCount * 4),
    labelEnds: new Uint32Array(buffer, advance(seriesCount * 4), seriesCount),
    sampleEnds: new Uint32Array(buffer, advance(seriesCount * 4), seriesCount),
    labelBytes: new Uint8Array(buffer, advance(labelLength), labelLength),
  };
  checkEnds(batch.labelEnds, labelLength);
  checkEnds(batch.sampleEnds, sampleCount);
  const tenant = Buffer.from(buffer, advance(tenantLength), tenantLength).toString('latin1');
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
