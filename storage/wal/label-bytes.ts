/**
 * Label sets as bytes inside WAL records: pairs of uvarint length and UTF-8 bytes, which is exactly
 * the canonical form of model/labels.ts. Readers here trust nothing: every length is checked, and
 * names must rise, or a series would get a fingerprint of its own.
 */
import type { Labels } from '../../model/labels.ts';
import {
  type ByteReader,
  byteReader,
  isOverrun,
  overrun,
  putUvarint,
  readUvarint,
  uvarintLength,
} from '../../model/wire/varint.ts';

/** The canonical bytes of a label set. */
export function canonicalBytes(labels: Labels): Uint8Array {
  const lengths = labels.map((text) => Buffer.byteLength(text));
  const size = lengths.reduce((sum, length) => sum + uvarintLength(length) + length, 0);
  const target = Buffer.alloc(size);
  let at = 0;
  labels.forEach((text, i) => {
    at = putUvarint(target, at, lengths[i]!);
    at += target.write(text, at);
  });
  return new Uint8Array(target.buffer, target.byteOffset, size);
}

/** The strings of canonical label bytes, or undefined when a length does not hold. */
export function labelsFromBytes(bytes: Uint8Array): Labels | undefined {
  const reader = byteReader(bytes);
  const labels: string[] = [];
  while (reader.offset < reader.end) {
    const length = readUvarint(reader);
    if (skipBytes(reader, length)) return undefined;
    labels.push(textBefore(reader, length));
  }
  return isOverrun(reader) || labels.length % 2 === 1 ? undefined : labels;
}

/** The string of the `length` bytes just before the reader's position. */
export function textBefore(reader: ByteReader, length: number): string {
  const { bytes, offset } = reader;
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset - length, length).toString();
}

/** Counts the pairs from the reader to its end; -1 when the bytes are not pairs. */
export function countPairs(reader: ByteReader): number {
  let count = 0;
  for (; reader.offset < reader.end; count++) {
    skipBytes(reader, readUvarint(reader));
    skipBytes(reader, readUvarint(reader));
  }
  return isOverrun(reader) ? -1 : count;
}

/** Moves over `length` bytes. True when there are not so many. */
export function skipBytes(reader: ByteReader, length: number): boolean {
  if (length > reader.end - reader.offset) overrun(reader);
  else reader.offset += length;
  return isOverrun(reader);
}

/** Moves over `pairCount` label pairs. Names must rise bytewise, or the reader is overrun. */
export function skipLabels(reader: ByteReader, pairCount: number): void {
  let nameStart = 0;
  let nameEnd = 0;
  for (let i = 0; i < pairCount; i++) {
    const length = readUvarint(reader);
    const start = reader.offset;
    if (skipBytes(reader, length)) return;
    if (i > 0 && !rises(reader.bytes, nameStart, nameEnd, start, start + length)) {
      overrun(reader);
      return;
    }
    nameStart = start;
    nameEnd = start + length;
    if (skipBytes(reader, readUvarint(reader))) return;
  }
}

/** True when `bytes[aFrom..aTo)` sorts strictly before `bytes[bFrom..bTo)`. */
function rises(bytes: Uint8Array, aFrom: number, aTo: number, bFrom: number, bTo: number): boolean {
  const length = Math.min(aTo - aFrom, bTo - bFrom);
  for (let i = 0; i < length; i++) {
    const order = bytes[aFrom + i]! - bytes[bFrom + i]!;
    if (order !== 0) return order < 0;
  }
  return aTo - aFrom < bTo - bFrom;
}
