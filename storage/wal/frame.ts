/**
 * How records lie in a segment, in Prometheus' format (docs/format/wal.md):
 *
 *   segment  := page* (32 KiB each, the last may be short)
 *   page     := fragment* zeros
 *   fragment := u8 type and flags, u16be length, u32be CRC-32C of data, data
 *
 * A record that does not fit in its page is split: first, middle*, last; first and middle always
 * fill their page to the end. Fewer than 7 bytes at a page's end are zeros.
 */
import { crc32c } from '../../model/wire/crc32c.ts';
import { putUint32 } from '../../model/wire/varint.ts';

export const PAGE_BYTES = 32 * 1024;
export const FRAGMENT_HEADER_BYTES = 7;

export const FRAGMENT_PAGE_END = 0;
export const FRAGMENT_FULL = 1;
export const FRAGMENT_FIRST = 2;
export const FRAGMENT_MIDDLE = 3;
export const FRAGMENT_LAST = 4;
export const FRAGMENT_TYPE_MASK = 0b111;
export const FRAGMENT_SNAPPY = 0b1000;
export const FRAGMENT_ZSTD = 0b1_0000;

const FRAGMENT_DATA_BYTES_MAX = PAGE_BYTES - FRAGMENT_HEADER_BYTES;

/** The bytes left in the page that holds offset `offset`: 1 to `PAGE_BYTES`. */
export function pageBytesLeft(offset: number): number {
  return PAGE_BYTES - (offset % PAGE_BYTES);
}

/** How many bytes `frameRecord` writes for a record at this offset of a segment. */
export function framedLength(recordByteCount: number, offset: number): number {
  let padding = 0;
  let pageLeft = pageBytesLeft(offset);
  if (pageLeft <= FRAGMENT_HEADER_BYTES) {
    padding = pageLeft;
    pageLeft = PAGE_BYTES;
  }
  const rest = recordByteCount - (pageLeft - FRAGMENT_HEADER_BYTES);
  if (rest <= 0) return padding + FRAGMENT_HEADER_BYTES + recordByteCount;
  const pages = Math.ceil(rest / FRAGMENT_DATA_BYTES_MAX);
  return padding + pageLeft + rest + pages * FRAGMENT_HEADER_BYTES;
}

/**
 * Writes the record `source[from..to)`, which is not empty, as fragments to `target` at `at`, where
 * `offset` is its place in the segment. Returns the position after it.
 */
export function frameRecord(
  source: Uint8Array,
  from: number,
  to: number,
  offset: number,
  target: Uint8Array,
  at: number,
): number {
  let out = at;
  let pageLeft = pageBytesLeft(offset);
  if (pageLeft <= FRAGMENT_HEADER_BYTES) {
    target.fill(0, out, out + pageLeft);
    out += pageLeft;
    pageLeft = PAGE_BYTES;
  }
  for (let next = from; next < to;) {
    const end = Math.min(to, next + pageLeft - FRAGMENT_HEADER_BYTES);
    target[out] = fragmentType(next === from, end === to);
    target[out + 1] = (end - next) >>> 8;
    target[out + 2] = end - next;
    putUint32(target, out + 3, crc32c(source, next, end));
    out += FRAGMENT_HEADER_BYTES;
    target.set(source.subarray(next, end), out);
    out += end - next;
    next = end;
    pageLeft = PAGE_BYTES;
  }
  return out;
}

function fragmentType(isFirst: boolean, isLast: boolean): number {
  if (isFirst) return isLast ? FRAGMENT_FULL : FRAGMENT_FIRST;
  return isLast ? FRAGMENT_LAST : FRAGMENT_MIDDLE;
}
