/**
 * Varints, as protobuf and Go's encoding/binary write them: seven bits a byte, low first, the high
 * bit on every byte but the last. A uvarint is unsigned; a varint is a signed 64-bit integer folded
 * zigzag (0, -1, 1, -2, …). Nothing here allocates.
 *
 * Values are doubles, exact to ±2^53. What was read from a larger one is the nearest double, so who
 * needs exactness checks `Number.isSafeInteger`. Reading past the end, or an 11th byte, is a sticky
 * failure: every later read gives 0, so a parser checks `isOverrun` once, at the end.
 */

/** A position in bytes. Reused by its owner: set `bytes`, `offset` and `end` anew. */
export interface ByteReader {
  bytes: Uint8Array;
  offset: number;
  /** Where the readable bytes stop. After a failed read `offset` is `end + 1`. */
  end: number;
}

/** The most bytes of a 64-bit varint. */
export const VARINT_BYTES_MAX = 10;

const TWO_32 = 4294967296;

/** A reader over `bytes[from..to)`. */
export function byteReader(bytes: Uint8Array, from = 0, to = bytes.length): ByteReader {
  return { bytes, offset: from, end: to };
}

/** True when a read failed: it went past the end, or met a varint longer than 64 bits. */
export function isOverrun(reader: ByteReader): boolean {
  return reader.offset > reader.end;
}

/** Makes this and every later read fail. */
export function overrun(reader: ByteReader): 0 {
  reader.offset = reader.end + 1;
  return 0;
}

/** Hot. Reads an unsigned varint: exact to 2^53, beyond it the nearest double. */
export function readUvarint(reader: ByteReader): number {
  const { bytes, offset, end } = reader;
  if (offset + 3 > end) return readLongUvarint(reader);
  // fast path: most lengths and deltas
  const first = bytes[offset]!;
  if (first < 0x80) {
    reader.offset = offset + 1;
    return first;
  }
  const second = bytes[offset + 1]!;
  if (second < 0x80) {
    reader.offset = offset + 2;
    return (first & 0x7f) | (second << 7);
  }
  const third = bytes[offset + 2]!;
  if (third < 0x80) {
    reader.offset = offset + 3;
    return (first & 0x7f) | ((second & 0x7f) << 7) | (third << 14);
  }
  return readLongUvarint(reader);
}

/** Of any length, wherever it ends. */
function readLongUvarint(reader: ByteReader): number {
  const { bytes, offset, end } = reader;
  let low = 0;
  let high = 0;
  for (let i = 0, at = offset; i < VARINT_BYTES_MAX && at < end; i++, at++) {
    const byte = bytes[at]!;
    if (i < 4) low |= (byte & 0x7f) << (7 * i);
    else if (i > 4) high |= (byte & 0x7f) << (7 * i - 32);
    else {
      low |= byte << 28;
      high = (byte & 0x7f) >>> 4;
    }
    if (byte < 0x80) {
      if (i === VARINT_BYTES_MAX - 1 && byte > 1) break; // a 65th bit
      reader.offset = at + 1;
      return high === 0 ? low >>> 0 : (high >>> 0) * TWO_32 + (low >>> 0);
    }
  }
  return overrun(reader);
}

/** Reads a signed varint: exact to ±2^53, beyond it the nearest double. */
export function readVarint(reader: ByteReader): number {
  const { bytes, offset, end } = reader;
  let low = 0;
  let high = 0;
  for (let i = 0, at = offset; i < VARINT_BYTES_MAX && at < end; i++, at++) {
    const byte = bytes[at]!;
    if (i < 4) low |= (byte & 0x7f) << (7 * i);
    else if (i > 4) high |= (byte & 0x7f) << (7 * i - 32);
    else {
      low |= byte << 28;
      high = (byte & 0x7f) >>> 4;
    }
    if (byte < 0x80) {
      if (i === VARINT_BYTES_MAX - 1 && byte > 1) break;
      reader.offset = at + 1;
      if (high === 0) return (low >>> 1) ^ -(low & 1);
      const folded = (high >>> 1) * TWO_32 + (((low >>> 1) | (high << 31)) >>> 0);
      return (low & 1) === 1 ? -folded - 1 : folded;
    }
  }
  return overrun(reader);
}

/** A protobuf int64: negative ones take ten bytes, in two's complement. */
export function readSigned64(reader: ByteReader): number {
  const from = reader.offset;
  const value = readUvarint(reader);
  if (reader.offset - from < 10) return value;
  let bits = 0n;
  for (let at = reader.offset - 1; at >= from; at--) {
    bits = (bits << 7n) | BigInt(reader.bytes[at]! & 0x7f);
  }
  return Number(BigInt.asIntN(64, bits));
}

/** Reads a 64-bit big-endian unsigned integer: exact to 2^53, beyond it the nearest double. */
export function readUint64(reader: ByteReader): number {
  const high = readUint32(reader);
  return high * TWO_32 + readUint32(reader);
}

/** Reads a 64-bit big-endian signed integer: exact to ±2^53, beyond it the nearest double. */
export function readInt64(reader: ByteReader): number {
  const high = readUint32(reader) | 0;
  return high * TWO_32 + readUint32(reader);
}

/** Reads a 32-bit big-endian unsigned integer. */
export function readUint32(reader: ByteReader): number {
  const { bytes, offset } = reader;
  if (offset + 4 > reader.end) return overrun(reader);
  reader.offset = offset + 4;
  return (
    ((bytes[offset]! << 24) |
      (bytes[offset + 1]! << 16) |
      (bytes[offset + 2]! << 8) |
      bytes[offset + 3]!) >>>
    0
  );
}

/** How many bytes `putUvarint` needs for `value`. */
export function uvarintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) length++;
  return length;
}

/** Writes `value`, an integer in [0, 2^53], and returns the offset after it. */
export function putUvarint(target: Uint8Array, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 128)) target[at++] = (rest % 128) | 0x80;
  for (; rest > 0x7f; rest >>>= 7) target[at++] = (rest & 0x7f) | 0x80;
  target[at] = rest;
  return at + 1;
}

/** Writes `value`, an integer within ±2^53, and returns the offset after it. */
export function putVarint(target: Uint8Array, offset: number, value: number): number {
  let at = offset;
  if ((value | 0) === value) {
    let rest = ((value << 1) ^ (value >> 31)) >>> 0; // fast path: 32 bits
    for (; rest > 0x7f; rest >>>= 7) target[at++] = (rest & 0x7f) | 0x80;
    target[at] = rest;
    return at + 1;
  }
  // Folding would need 54 bits: the first byte takes the sign and six bits, the rest is unsigned.
  const magnitude = value < 0 ? -(value + 1) : value;
  target[at] = ((magnitude % 64) << 1) | (value < 0 ? 1 : 0) | 0x80;
  return putUvarint(target, at + 1, Math.floor(magnitude / 64));
}

/** Writes an integer within ±2^53 as 64 bits, big-endian, and returns the offset after it. */
export function putInt64(target: Uint8Array, offset: number, value: number): number {
  const high = Math.floor(value / TWO_32);
  putUint32(target, offset, high);
  return putUint32(target, offset + 4, value - high * TWO_32);
}

/** Writes the low 32 bits of `value`, big-endian, and returns the offset after them. */
export function putUint32(target: Uint8Array, offset: number, value: number): number {
  target[offset] = value >>> 24;
  target[offset + 1] = value >>> 16;
  target[offset + 2] = value >>> 8;
  target[offset + 3] = value;
  return offset + 4;
}
