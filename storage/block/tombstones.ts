/**
 * Tombstones of a block: time ranges of series that were deleted and are still in the chunks. Read as a
 * whole; a file that does not hold is an error, because nothing may be deleted on doubt.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import {
  VARINT_BYTES_MAX,
  byteReader,
  isOverrun,
  putUint32,
  putUvarint,
  putVarint,
  readUint32,
  readUvarint,
  readVarint,
} from '../../model/wire/varint.ts';
import { StarlingError } from '../../model/errors.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { PagedSource } from './byte-source.ts';
import {
  CRC_BYTES,
  TOMBSTONES_HEADER_BYTES,
  TOMBSTONES_MAGIC,
  TOMBSTONES_VERSION,
} from './format.ts';

/** Series reference -> closed ranges, sorted and apart from each other. */
export type Tombstones = ReadonlyMap<number, readonly TimeRange[]>;

export const NO_TOMBSTONES: Tombstones = new Map();
const TOMBSTONES_BYTES_MAX = 1024 * 1024 * 1024;

/** The size of a file without any. */
export const EMPTY_TOMBSTONES_BYTES = TOMBSTONES_HEADER_BYTES + CRC_BYTES;

/** The bytes of a tombstones file. */
export function encodeTombstones(tombstones: Tombstones): Uint8Array {
  let count = 0;
  for (const ranges of tombstones.values()) count += ranges.length;
  const sizeMax = TOMBSTONES_HEADER_BYTES + count * 3 * VARINT_BYTES_MAX + CRC_BYTES;
  const target = new Uint8Array(sizeMax);
  putUint32(target, 0, TOMBSTONES_MAGIC);
  target[4] = TOMBSTONES_VERSION;
  let at = TOMBSTONES_HEADER_BYTES;
  for (const [ref, ranges] of [...tombstones].sort((a, b) => a[0] - b[0])) {
    for (const { minTimeMs, maxTimeMs } of ranges) {
      at = putUvarint(target, at, ref);
      at = putVarint(target, at, minTimeMs);
      at = putVarint(target, at, maxTimeMs);
    }
  }
  at = putUint32(target, at, crc32c(target, TOMBSTONES_HEADER_BYTES, at));
  return target.subarray(0, at);
}

/** Reads a tombstones file. Throws `block.corrupt` or `block.unsupported`. */
export async function readTombstones(source: PagedSource): Promise<Tombstones> {
  const size = source.sizeBytes;
  if (size < TOMBSTONES_HEADER_BYTES + CRC_BYTES || size > TOMBSTONES_BYTES_MAX) {
    throw source.corrupt(0, 'a size that tombstones cannot have');
  }
  const bytes = await source.readDirect(0, size);
  const reader = byteReader(bytes);
  if (readUint32(reader) !== TOMBSTONES_MAGIC) throw source.corrupt(0, 'not tombstones');
  const version = bytes[4]!;
  if (version !== TOMBSTONES_VERSION) {
    const why = `version ${version}, this one reads version ${TOMBSTONES_VERSION}`;
    throw new StarlingError('block.unsupported', { block: source.block, file: source.file, why });
  }
  const end = size - CRC_BYTES;
  reader.offset = end;
  if (readUint32(reader) !== crc32c(bytes, TOMBSTONES_HEADER_BYTES, end)) {
    throw source.corrupt(0, 'the checksum of the tombstones is wrong');
  }
  const found = new Map<number, TimeRange[]>();
  reader.offset = TOMBSTONES_HEADER_BYTES;
  reader.end = end;
  while (reader.offset < end) {
    const at = reader.offset;
    const ref = readUvarint(reader);
    const range = { minTimeMs: readVarint(reader), maxTimeMs: readVarint(reader) };
    if (isOverrun(reader)) throw source.corrupt(at, 'tombstones that do not hold');
    const ranges = found.get(ref);
    if (ranges === undefined) found.set(ref, [range]);
    else ranges.push(range);
  }
  for (const [ref, ranges] of found) found.set(ref, joinRanges(ranges));
  return found;
}

/** The same times as sorted ranges that neither overlap nor touch; empty ones go. */
export function joinRanges(ranges: readonly TimeRange[]): TimeRange[] {
  const sorted = ranges
    .filter(({ minTimeMs, maxTimeMs }) => minTimeMs <= maxTimeMs)
    .sort((a, b) => a.minTimeMs - b.minTimeMs);
  const joined: TimeRange[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last === undefined || range.minTimeMs > last.maxTimeMs + 1) joined.push(range);
    else if (range.maxTimeMs > last.maxTimeMs) {
      joined[joined.length - 1] = { minTimeMs: last.minTimeMs, maxTimeMs: range.maxTimeMs };
    }
  }
  return joined;
}
