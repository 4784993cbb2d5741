/**
 * XOR chunks, decoding (the format is drawn in xor-encode.ts). Bits are read 32 at a time from any place,
 * if need be a little past the chunk's end; whether the chunk had them is checked after every sample.
 * Hostile bytes give an error, never an overrun or a hang. Queries have xor-decode.wat do the same (xor-kernel.ts): who
 * changes one changes the other.
 */

/** How far past a chunk's end one sample's bits can be looked for, in bytes. */
const LOOKAHEAD_BYTES = 32;
const UVARINT_BYTES_MAX = 10;

/** The number of samples a chunk says it has. */
export function xorSampleCount(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

/**
 * Hot: decodes the chunk `bytes[offset..offset + length)` into the columns from index `at` on; values
 * are two words each, low first. Returns the index after the last sample, or -1 for corrupt bytes.
 * The columns have room for `xorSampleCount` more.
 */
export function decodeXor(
  bytes: Uint8Array,
  offset: number,
  length: number,
  timestamps: Float64Array,
  values: Uint32Array,
  at: number,
): number {
  if (length < 2) return -1;
  if (offset + length + LOOKAHEAD_BYTES > bytes.length) {
    const padded = new Uint8Array(length + LOOKAHEAD_BYTES);
    padded.set(bytes.subarray(offset, offset + length));
    return decodeSamples(padded, 0, length, timestamps, values, at);
  }
  return decodeSamples(bytes, offset, length, timestamps, values, at);
}

/** As `decodeXor`, of a chunk after which `LOOKAHEAD_BYTES` can be read. Bits are counted from `base` on. */
function decodeSamples(
  bytes: Uint8Array,
  base: number,
  length: number,
  timestamps: Float64Array,
  values: Uint32Array,
  at: number,
): number {
  const endBit = length * 8;
  const end = at + xorSampleCount(bytes, base);
  if (at === end) return at;
  const view = new DataView(bytes.buffer, bytes.byteOffset + base, length + LOOKAHEAD_BYTES);
  const timeBytes = uvarintLength(bytes, base + 2);
  const first = uvarint(bytes, base + 2, timeBytes);
  let bit = (2 + timeBytes) * 8;
  let time = first % 2 === 0 ? first / 2 : -(first + 1) / 2;
  let high = wordAt(view, bit);
  let low = wordAt(view, bit + 32);
  bit += 64;
  if (timeBytes === 0 || bit > endBit) return -1;
  timestamps[at] = time;
  values[at * 2] = low;
  values[at * 2 + 1] = high;
  if (at + 1 === end) return end;
  const deltaBytes = uvarintLength(bytes, base + bit / 8); // the bits so far are whole bytes
  if (deltaBytes === 0) return -1;
  let delta = uvarint(bytes, base + bit / 8, deltaBytes);
  bit += deltaBytes * 8;
  let [leading, trailing] = [0, 0];
  for (let i = at + 1; i < end; i++) {
    let ahead = wordAt(view, bit); // its highest bit is the next one
    if (i > at + 1) {
      const size = deltaBits(ahead);
      delta += size === 1 ? 0 : deltaOfDelta(view, bit, ahead, size);
      bit += size;
      ahead = size === 1 ? ahead << 1 : wordAt(view, bit);
    }
    time += delta;
    if (ahead >= 0) {
      bit += 1; // the same value
    } else {
      if ((ahead & 0x4000_0000) === 0) {
        bit += 2;
      } else {
        leading = (ahead << 2) >>> 27;
        const size = (ahead << 7) >>> 26;
        trailing = 64 - leading - (size === 0 ? 64 : size);
        if (trailing < 0) return -1;
        bit += 2 + 5 + 6;
      }
      const size = 64 - leading - trailing;
      const begin = wordAt(view, bit);
      const isLong = size > 32;
      const top = isLong ? begin >>> (64 - size) : 0;
      const bottom = isLong ? wordAt(view, bit + size - 32) : begin >>> (32 - size);
      // the window ends above `trailing` zero bits
      if (trailing >= 32) {
        high ^= bottom << (trailing - 32);
      } else {
        high ^= trailing === 0 ? top : (top << trailing) | (bottom >>> (32 - trailing));
        low ^= bottom << trailing;
      }
      bit += size;
    }
    if (bit > endBit) return -1;
    timestamps[i] = time;
    values[i * 2] = low;
    values[i * 2 + 1] = high;
  }
  return end;
}

/** Hot: the 32 bits from `bit` on, the first one highest: one read of four bytes, and the one after them. */
function wordAt(view: DataView, bit: number): number {
  const at = bit >>> 3;
  const used = bit & 7;
  return (view.getInt32(at) << used) | (view.getUint8(at + 4) >>> (8 - used));
}

/** How many bits the delta of a delta takes that begins with the bits of `ahead`. */
function deltaBits(ahead: number): number {
  if (ahead >= 0) return 1;
  if ((ahead & 0x4000_0000) === 0) return 2 + 14;
  if ((ahead & 0x2000_0000) === 0) return 3 + 17;
  return (ahead & 0x1000_0000) === 0 ? 4 + 20 : 4 + 64;
}

function deltaOfDelta(view: DataView, bit: number, ahead: number, size: number): number {
  if (size === 2 + 14) return signed((ahead << 2) >>> 18, 14);
  if (size === 3 + 17) return signed((ahead << 3) >>> 15, 17);
  if (size === 4 + 20) return signed((ahead << 4) >>> 12, 20);
  const top = wordAt(view, bit + 4);
  return top * 0x1_0000_0000 + (wordAt(view, bit + 36) >>> 0);
}

/** How many bytes the uvarint at `at` has; 0 when it has no end. */
function uvarintLength(bytes: Uint8Array, at: number): number {
  for (let i = 0; i < UVARINT_BYTES_MAX; i++) if (bytes[at + i]! < 0x80) return i + 1;
  return 0;
}

function uvarint(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 128 + (bytes[at + i]! & 0x7f);
  return value;
}

/** n bits hold -(2^(n-1)-1) .. 2^(n-1): the upper half, less its first value, is negative. */
function signed(value: number, size: number): number {
  return value > 2 ** (size - 1) ? value - 2 ** size : value;
}
