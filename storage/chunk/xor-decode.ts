/**
 * XOR chunks, decoding (the format is drawn in xor-encode.ts). Every read is bounded by the chunk's
 * bytes: hostile bytes give an error, never an overrun or a hang.
 */

/** Reads bits of one chunk. Reused by its owner: `reset` sets it anew. */
export class BitReader {
  #bytes: Uint8Array = new Uint8Array(0);
  #bit = 0;
  #end = 0;
  /** True once a read went past the end; what it gave is worth nothing. */
  isOverrun = false;

  reset(bytes: Uint8Array, from: number, to: number): void {
    this.#bytes = bytes;
    this.#bit = from * 8;
    this.#end = to * 8;
    this.isOverrun = false;
  }

  /** Reads `size` (1 to 32) bits as an unsigned number. */
  read(size: number): number {
    if (this.#bit + size > this.#end) {
      this.isOverrun = true;
      return 0;
    }
    let value = 0;
    let left = size;
    while (left > 0) {
      const used = this.#bit & 7;
      const room = 8 - used;
      const take = left < room ? left : room;
      const part = (this.#bytes[this.#bit >>> 3]! >>> (room - take)) & ((1 << take) - 1);
      value = ((value << take) | part) >>> 0;
      this.#bit += take;
      left -= take;
    }
    return value;
  }

  readUvarint(): number {
    let value = 0;
    for (let i = 0, scale = 1; i < 10; i++, scale *= 128) {
      const byte = this.read(8);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    this.isOverrun = true;
    return 0;
  }
}

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
  reader: BitReader,
  bytes: Uint8Array,
  offset: number,
  length: number,
  timestamps: Float64Array,
  values: Uint32Array,
  at: number,
): number {
  if (length < 2) return -1;
  const count = xorSampleCount(bytes, offset);
  if (count === 0) return at;
  reader.reset(bytes, offset + 2, offset + length);
  const first = reader.readUvarint();
  let time = first % 2 === 0 ? first / 2 : -(first + 1) / 2;
  let high = reader.read(32);
  let low = reader.read(32);
  let delta = 0;
  let leading = 0;
  let trailing = 0;
  let i = at;
  const end = at + count;
  for (;;) {
    if (reader.isOverrun) return -1;
    timestamps[i] = time;
    values[i * 2] = low;
    values[i * 2 + 1] = high;
    i++;
    if (i === end) return i;
    delta = i === at + 1 ? reader.readUvarint() : delta + readDeltaOfDelta(reader);
    time += delta;
    if (reader.read(1) === 0) continue; // the same value
    if (reader.read(1) === 1) {
      leading = reader.read(5);
      const size = reader.read(6);
      trailing = 64 - leading - (size === 0 ? 64 : size);
      if (trailing < 0) return -1;
    }
    const size = 64 - leading - trailing;
    if (size > 32) {
      const top = reader.read(size - 32);
      const bottom = reader.read(32);
      // the window ends above `trailing` zero bits
      high ^= trailing === 0 ? top : (top << trailing) | (bottom >>> (32 - trailing));
      low ^= bottom << trailing;
    } else {
      const bits = reader.read(size);
      if (trailing >= 32) high ^= bits << (trailing - 32);
      else {
        high ^= trailing === 0 ? 0 : bits >>> (32 - trailing);
        low ^= bits << trailing;
      }
    }
    high >>>= 0;
    low >>>= 0;
  }
}

function readDeltaOfDelta(reader: BitReader): number {
  if (reader.read(1) === 0) return 0;
  if (reader.read(1) === 0) return signed(reader.read(14), 14);
  if (reader.read(1) === 0) return signed(reader.read(17), 17);
  if (reader.read(1) === 0) return signed(reader.read(20), 20);
  const high = reader.read(32) | 0;
  return high * 0x1_0000_0000 + reader.read(32);
}

/** n bits hold -(2^(n-1)-1) .. 2^(n-1): the upper half, less its first value, is negative. */
function signed(value: number, size: number): number {
  return value > 2 ** (size - 1) ? value - 2 ** size : value;
}
