/**
 * Numbers of varying bit width in histogram chunks (Prometheus' tsdb/docs/format/chunks.md). A prefix of
 * ones tells the width:
 *
 *   0 | 10 + 3 bits | 110 + 6 | 1110 + 9 | … 12 | 18 | 25 | 56 | 11111111 + 64
 *
 * Unsigned numbers use a width fully; of signed ones n bits hold -(2^(n-1)-1)..2^(n-1), as in XOR chunks.
 * Widths over 32 travel as two words; beyond 2^53 what is read is the nearest double.
 */
import type { BitReader } from './bit-reader.ts';
import { NO_WINDOW, putBits, putXor } from './xor-encode.ts';

const WIDTHS = [0, 3, 6, 9, 12, 18, 25, 56, 64] as const;
const LAST_WIDTH = WIDTHS.length - 1;
const TWO_32 = 0x1_0000_0000;
/** A prefix and 64 bits. */
export const VARBIT_BITS_MAX = 72;
/** Two control bits, a window's 11 and 64 bits. */
export const XOR_BITS_MAX = 77;

/** The windows of XOR fields: leading and trailing zeros of each. */
export interface XorWindows {
  readonly leading: Uint8Array;
  readonly trailing: Uint8Array;
}

export function createXorWindows(fields: number): XorWindows {
  return {
    leading: new Uint8Array(fields).fill(NO_WINDOW),
    trailing: new Uint8Array(fields),
  };
}

/** Writes bits to bytes that grow. */
export class BitWriter {
  #bytes = new Uint8Array(256);
  #bit = 0;

  get byteLength(): number {
    return (this.#bit + 7) >>> 3;
  }

  /** The bytes so far, in a buffer of their own. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.byteLength);
  }

  /** Makes room for so many more bits: before anything is written. */
  reserve(bits: number): void {
    const needed = (this.#bit + bits + 7) >>> 3;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(needed * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }

  /** The lowest `size` (1 to 32) bits of a number. */
  bits(value: number, size: number): void {
    this.#bit = putBits(this.#bytes, 0, this.#bit, value, size);
  }

  words(low: number, high: number): void {
    this.bits(high, 32);
    this.bits(low, 32);
  }

  /** An integer in [0, 2^53]. */
  varbitUint(value: number): void {
    let width = 0;
    while (width < LAST_WIDTH && value >= 2 ** WIDTHS[width]!) width++;
    this.#varbit(value, width);
  }

  /** An integer within ±2^53. */
  varbitInt(value: number): void {
    let width = value === 0 ? 0 : 1;
    for (; width < LAST_WIDTH; width++) {
      if (width === 0) break;
      const half = 2 ** (WIDTHS[width]! - 1);
      if (value > -half && value <= half) break;
    }
    this.#varbit(value, width);
  }

  #varbit(value: number, width: number): void {
    if (width === 0) {
      this.bits(0, 1);
      return;
    }
    const size = WIDTHS[width]!;
    if (width === LAST_WIDTH) this.bits(0xff, 8);
    else this.bits((1 << (width + 1)) - 2, width + 1);
    if (size <= 32) {
      this.bits(value, size);
      return;
    }
    const high = Math.floor(value / TWO_32);
    this.bits(high, size - 32);
    this.bits(value - high * TWO_32, 32);
  }

  /** A double as its difference from the one before, each as words; `windows` has its window at `field`. */
  xor(windows: XorWindows, field: number, xorLow: number, xorHigh: number): void {
    if ((xorLow | xorHigh) === 0) this.bits(0, 1);
    else this.#bit = putXor(windows, field, this.#bytes, 0, this.#bit, xorLow, xorHigh);
  }
}

function readWidth(reader: BitReader): number {
  let width = 0;
  while (width < LAST_WIDTH && reader.read(1) === 1) width++;
  return WIDTHS[width]!;
}

export function readVarbitUint(reader: BitReader): number {
  const size = readWidth(reader);
  if (size === 0) return 0;
  if (size <= 32) return reader.read(size);
  return reader.read(size - 32) * TWO_32 + reader.read(32);
}

export function readVarbitInt(reader: BitReader): number {
  const size = readWidth(reader);
  if (size === 0) return 0;
  if (size <= 32) {
    const value = reader.read(size);
    return value > 2 ** (size - 1) ? value - 2 ** size : value;
  }
  const high = reader.read(size - 32);
  const low = reader.read(32);
  const half = 2 ** (size - 33);
  // In 64 bits the half itself is negative, in two's complement.
  const isNegative = high > half || (high === half && (low > 0 || size === 64));
  return (isNegative ? high - half * 2 : high) * TWO_32 + low;
}

/**
 * Reads a double as its difference from the one in `words[field * 2]`, low first, into there. False for a
 * window that cannot be.
 */
export function readXorWords(
  reader: BitReader,
  windows: XorWindows,
  field: number,
  words: Uint32Array,
): boolean {
  if (reader.read(1) === 0) return true;
  if (reader.read(1) === 1) {
    const leading = reader.read(5);
    const size = reader.read(6);
    const trailing = 64 - leading - (size === 0 ? 64 : size);
    if (trailing < 0) return false;
    windows.leading[field] = leading;
    windows.trailing[field] = trailing;
  }
  const leading = windows.leading[field]!;
  const trailing = windows.trailing[field]!;
  const size = 64 - leading - trailing;
  if (size <= 0) return false; // no window was ever set
  const top = size > 32 ? reader.read(size - 32) : 0;
  const bottom = reader.read(Math.min(size, 32));
  const [low, high] = shifted(bottom, top, trailing);
  words[field * 2]! ^= low;
  words[field * 2 + 1]! ^= high;
  return true;
}

/** 64 bits moved up by `by`. */
function shifted(low: number, high: number, by: number): readonly [number, number] {
  if (by === 0) return [low, high];
  if (by >= 32) return [0, low << (by - 32)];
  return [low << by, (high << by) | (low >>> (32 - by))];
}
