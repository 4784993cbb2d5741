/**
 * XOR chunks, encoding: Prometheus' chunk encoding 1 (tsdb/docs/format/chunks.md, bstream.md), after
 * Facebook's Gorilla paper. The state of the open chunk of series s lives in columns, so that a head of
 * a million series is a handful of typed arrays; samples are encoded in runs, which share one visit to
 * that state and to the chunk's end.
 *
 *   u16 count | varint t0, 64 bits v0 | uvarint t1-t0, xor v1 | delta-of-delta, xor | …
 *   delta of delta:  0 | 10 + 14 bits | 110 + 17 | 1110 + 20 | 1111 + 64     n bits hold -(2^(n-1)-1)..2^(n-1)
 *   xor:             0 (same) | 10 + bits in the last window | 11 + 5 bits leading + 6 bits length + bits
 *
 * A double travels as two words: bits survive, signalling NaNs too.
 */

/** No sample takes more: 68 bits of time, 77 of value. */
export const XOR_SAMPLE_BYTES_MAX = 19;
/** The count in front of a chunk. */
const COUNT_BITS = 16;
/** `leading` before any window was set: more than any has. */
export const NO_WINDOW = 0xff;

/** Encoder state of open chunks, one element a series; meaningless while `count` is 0. */
export interface XorColumns {
  lastDelta: Float64Array;
  /** Bits written, the two count bytes included. */
  bitLength: Uint16Array;
  count: Uint16Array;
  leading: Uint8Array;
  trailing: Uint8Array;
}

export function createXorColumns(capacity: number): XorColumns {
  return {
    lastDelta: new Float64Array(capacity),
    bitLength: new Uint16Array(capacity),
    count: new Uint16Array(capacity),
    leading: new Uint8Array(capacity),
    trailing: new Uint8Array(capacity),
  };
}

/** Samples as columns: whole milliseconds, and two words a value, low first. */
export interface SampleColumns {
  readonly timestamps: Float64Array;
  readonly values: Uint32Array;
}

/** Where a chunk is: `bytes[base…base + capacity)`. */
export interface ChunkRoom {
  bytes: Uint8Array;
  base: number;
  capacity: number;
}

/**
 * Hot: appends samples `[from, to)` to the chunk of series `s`, as many as surely fit into its room.
 * Sample `from - 1` of the columns is the chunk's newest, unless `count[s] === 0`: that begins a chunk.
 * Returns the first sample not taken. The chunk is whole after `putXorCount`.
 */
export function appendXor(
  columns: XorColumns,
  s: number,
  room: ChunkRoom,
  samples: SampleColumns,
  from: number,
  to: number,
): number {
  const { base, bytes } = room;
  const { timestamps, values } = samples;
  const bitMax = (room.capacity - XOR_SAMPLE_BYTES_MAX) * 8;
  let count = columns.count[s]!;
  let bit = count === 0 ? COUNT_BITS : columns.bitLength[s]!;
  let lastDelta = columns.lastDelta[s]!;
  let at = from;
  for (; at < to && bit <= bitMax; at++, count++) {
    const low = values[at * 2]! | 0;
    const high = values[at * 2 + 1]! | 0;
    if (count === 0) {
      bit = putVarintBytes(bytes, base, bit, timestamps[at]!);
      bit = putBits(bytes, base, putBits(bytes, base, bit, high, 32), low, 32);
      columns.leading[s] = NO_WINDOW;
      columns.trailing[s] = 0;
      continue;
    }
    const delta = timestamps[at]! - timestamps[at - 1]!;
    if (count === 1) bit = putUvarintBytes(bytes, base, bit, delta);
    else if (delta === lastDelta) bit = putBits(bytes, base, bit, 0, 1);
    else bit = putDeltaOfDelta(bytes, base, bit, delta - lastDelta);
    lastDelta = delta;
    const xorLow = low ^ values[at * 2 - 2]!;
    const xorHigh = high ^ values[at * 2 - 1]!;
    if ((xorLow | xorHigh) === 0) bit = putBits(bytes, base, bit, 0, 1);
    else bit = putXor(columns, s, bytes, base, bit, xorLow, xorHigh);
  }
  columns.count[s] = count;
  columns.bitLength[s] = bit;
  columns.lastDelta[s] = lastDelta;
  return at;
}

/**
 * Writes the count in front of a chunk: before its bytes are read or moved. Not done at every append,
 * because the chunk's front lies in another line of the cache than its end.
 */
export function putXorCount(bytes: Uint8Array, base: number, count: number): void {
  bytes[base] = count >>> 8;
  bytes[base + 1] = count & 0xff;
}

/** Of two intervals that differ. */
function putDeltaOfDelta(bytes: Uint8Array, base: number, bit: number, dod: number): number {
  if (dod >= -8191 && dod <= 8192) {
    return putBits(bytes, base, putBits(bytes, base, bit, 0b10, 2), dod & 0x3fff, 14);
  }
  if (dod >= -65_535 && dod <= 65_536) {
    return putBits(bytes, base, putBits(bytes, base, bit, 0b110, 3), dod & 0x1_ffff, 17);
  }
  if (dod >= -524_287 && dod <= 524_288) {
    return putBits(bytes, base, putBits(bytes, base, bit, 0b1110, 4), dod & 0xf_ffff, 20);
  }
  let at = putBits(bytes, base, bit, 0b1111, 4);
  at = putBits(bytes, base, at, Math.floor(dod / 0x1_0000_0000), 32);
  return putBits(bytes, base, at, dod % 0x1_0000_0000, 32);
}

/** Telling a window takes so many bits. */
const WINDOW_BITS = 5 + 6;

/**
 * Of two values that differ: `columns` has their window at `s`. It is told anew when they do not fit, and, where
 * Prometheus keeps it for the rest of the chunk, when it is so wide that a new one takes no more: readers do not mind, and
 * numbers whose first step was unlike the later ones take up to half less.
 */
export function putXor(
  columns: Pick<XorColumns, 'leading' | 'trailing'>,
  s: number,
  bytes: Uint8Array,
  base: number,
  from: number,
  xorLow: number,
  xorHigh: number,
): number {
  const leadingBits = xorHigh !== 0 ? Math.clz32(xorHigh) : 32 + Math.clz32(xorLow);
  const leading = leadingBits > 31 ? 31 : leadingBits;
  const trailing = xorLow !== 0 ? trailingZeros(xorLow) : 32 + trailingZeros(xorHigh);
  const oldLeading = columns.leading[s]!;
  const oldTrailing = columns.trailing[s]!;
  const spareFirst = leading - oldLeading; // negative where there is no window
  const spareLast = trailing - oldTrailing;
  if (spareFirst >= 0 && spareLast >= 0 && spareFirst + spareLast < WINDOW_BITS) {
    const bit = putBits(bytes, base, from, 0b10, 2);
    return putWindow(bytes, base, bit, xorLow, xorHigh, oldTrailing, 64 - oldLeading - oldTrailing);
  }
  columns.leading[s] = leading;
  columns.trailing[s] = trailing;
  const size = 64 - leading - trailing; // 64 is written as 0
  const bit = putBits(bytes, base, from, (0b11 << 11) | (leading << 6) | (size & 63), 13);
  return putWindow(bytes, base, bit, xorLow, xorHigh, trailing, size);
}

/** Writes the `size` bits of a 64-bit word above its `trailing` lowest ones. */
function putWindow(
  bytes: Uint8Array,
  base: number,
  from: number,
  low: number,
  high: number,
  trailing: number,
  size: number,
): number {
  if (trailing >= 32) return putBits(bytes, base, from, high >>> (trailing - 32), size);
  const shifted = trailing === 0 ? low : (low >>> trailing) | (high << (32 - trailing));
  if (size <= 32) return putBits(bytes, base, from, shifted, size);
  const bit = putBits(bytes, base, from, high >>> trailing, size - 32);
  return putBits(bytes, base, bit, shifted, 32);
}

function trailingZeros(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** Writes the lowest `size` (1 to 32) bits of `value`, highest first; bytes are zeroed as they begin. */
export function putBits(
  bytes: Uint8Array,
  base: number,
  from: number,
  value: number,
  size: number,
): number {
  let bit = from;
  let left = size;
  while (left > 0) {
    const used = bit & 7;
    const at = base + (bit >>> 3);
    const room = 8 - used;
    const take = left < room ? left : room;
    const part = (value >>> (left - take)) & ((1 << take) - 1);
    const kept = used === 0 ? 0 : bytes[at]!;
    bytes[at] = kept | (part << (room - take));
    bit += take;
    left -= take;
  }
  return bit;
}

function putUvarintBytes(bytes: Uint8Array, base: number, from: number, value: number): number {
  let bit = from;
  let rest = value;
  while (rest >= 0x80) {
    bit = putBits(bytes, base, bit, (rest % 128) | 0x80, 8);
    rest = Math.floor(rest / 128);
  }
  return putBits(bytes, base, bit, rest, 8);
}

function putVarintBytes(bytes: Uint8Array, base: number, from: number, value: number): number {
  return putUvarintBytes(bytes, base, from, value < 0 ? -2 * value - 1 : 2 * value);
}
