/**
 * CRC-32C (Castagnoli, reflected polynomial 0x82f63b78): the checksum of Prometheus' WAL, chunks
 * and index. Slicing by 16: one table lookup a byte, sixteen of them independent of each other, so
 * the processor overlaps them (1.5 GB/s on one core; 0.4 with one table).
 */

const POLYNOMIAL = 0x82f63b78;
const SLICES = 16;
/** Tables are joined: slice s of byte b is at s * 256 + b. */
const TABLE = makeTable();

function makeTable(): Int32Array {
  const table = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    table[byte] = crc;
  }
  for (let i = 256; i < table.length; i++) {
    const previous = table[i - 256]!;
    table[i] = (previous >>> 8) ^ table[previous & 0xff]!;
  }
  return table;
}

/**
 * The checksum of `bytes[from..to)` as an unsigned 32-bit number. `previous` continues a checksum:
 * `crc32c(b, 0, n, crc32c(a))` is that of a followed by b.
 */
export function crc32c(
  bytes: Uint8Array,
  from = 0,
  to: number = bytes.length,
  previous = 0,
): number {
  let crc = ~previous;
  let at = from;
  if (to - at >= SLICES) {
    const blockEnd = at + ((to - at) & -SLICES);
    crc = crcOfBlocks(new DataView(bytes.buffer, bytes.byteOffset), at, blockEnd, crc);
    at = blockEnd;
  }
  for (; at < to; at++) crc = TABLE[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Hot: whole blocks of 16 bytes. A `DataView` reads words whatever their alignment. */
function crcOfBlocks(view: DataView, from: number, to: number, previous: number): number {
  let crc = previous;
  for (let at = from; at < to; at += SLICES) {
    const a = crc ^ view.getInt32(at, true);
    const b = view.getInt32(at + 4, true);
    const c = view.getInt32(at + 8, true);
    const d = view.getInt32(at + 12, true);
    crc =
      TABLE[3840 + (a & 0xff)]! ^
      TABLE[3584 + ((a >>> 8) & 0xff)]! ^
      TABLE[3328 + ((a >>> 16) & 0xff)]! ^
      TABLE[3072 + (a >>> 24)]! ^
      TABLE[2816 + (b & 0xff)]! ^
      TABLE[2560 + ((b >>> 8) & 0xff)]! ^
      TABLE[2304 + ((b >>> 16) & 0xff)]! ^
      TABLE[2048 + (b >>> 24)]! ^
      TABLE[1792 + (c & 0xff)]! ^
      TABLE[1536 + ((c >>> 8) & 0xff)]! ^
      TABLE[1280 + ((c >>> 16) & 0xff)]! ^
      TABLE[1024 + (c >>> 24)]! ^
      TABLE[768 + (d & 0xff)]! ^
      TABLE[512 + ((d >>> 8) & 0xff)]! ^
      TABLE[256 + ((d >>> 16) & 0xff)]! ^
      TABLE[d >>> 24]!;
  }
  return crc;
}
